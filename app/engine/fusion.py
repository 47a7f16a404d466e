"""The order of candidates until a scorer has been trained: a documented, fixed blend.

    score = cos(query, item)
          + 0.5 · cos(taste, item)
          − 0.4 · max(0, cos(disliked, item))
          + 0.15 · popularity(item)

Cosines are in [-1, 1], popularity in [0, 1]; an absent part adds nothing. Nothing here is learned,
and the weights are not tuned on any data set: words lead, taste bends, popularity breaks near-ties.
"""

from dataclasses import dataclass

import numpy as np

from app.types import Matrix, Rows, Vector

TASTE_WEIGHT = 0.5
DISLIKE_WEIGHT = 0.4
POPULARITY_WEIGHT = 0.15

TASTE_DECAY = 0.85
"""Weight of the history item before the last, relative to it, and so on backwards."""


@dataclass(frozen=True, slots=True)
class Wants:
    """The vectors a request is matched with, each float32[dim] of unit norm, or None."""

    query: Vector | None = None
    taste: Vector | None = None
    disliked: Vector | None = None


def taste_vector(vectors: Matrix, history: Rows, liked: Rows) -> Vector | None:
    """Return the unit mean of recent and liked items' vectors; None without any.

    The newest history item and every liked item weigh 1; older history fades geometrically.
    """
    rows = np.concatenate([history, liked])
    if rows.size == 0:
        return None
    ages = np.arange(history.size - 1, -1, -1)
    weights = np.concatenate([TASTE_DECAY**ages, np.ones(liked.size)]).astype(np.float32)
    return _unit(weights @ vectors[rows])


def disliked_vector(vectors: Matrix, disliked: Rows) -> Vector | None:
    """Return the unit mean of the disliked items' vectors; None without any."""
    return _unit(vectors[disliked].sum(axis=0)) if disliked.size else None


def fuse(vectors: Matrix, popularity: Vector, rows: Rows, wants: Wants) -> Vector:
    """Return float32[len(rows)], the score of each candidate row."""
    score = POPULARITY_WEIGHT * popularity[rows]
    block = vectors[rows]
    if wants.query is not None:
        score = score + block @ wants.query
    if wants.taste is not None:
        score = score + TASTE_WEIGHT * (block @ wants.taste)
    if wants.disliked is not None:
        score = score - DISLIKE_WEIGHT * np.maximum(block @ wants.disliked, 0.0)
    return score.astype(np.float32, copy=False)


def _unit(vector: Vector) -> Vector | None:
    norm = float(np.linalg.norm(vector))
    # Opposite vectors can cancel out: then there is no direction to search in.
    return (vector / norm).astype(np.float32) if norm > 1e-6 else None
