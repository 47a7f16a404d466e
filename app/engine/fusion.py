"""The part of the score that is a documented, fixed blend: words, dislikes, and what is popular.

    match      = cos(query, item) + 0.3 · coverage(query, title) − 0.4 · max(0, cos(disliked, item))
    unlearned  = match + 0.5 · cos(taste, item)
               + 0.15 · popularity(item) + 0.1 · trending(item) + 0.05 · freshness(item)

Cosines are in [-1, 1], everything else in [0, 1]; an absent part adds nothing. The weight of
coverage was chosen on queries with human grades (docs/accuracy.md); the others are not tuned on any
data: words lead, taste bends, what is popular, trending or new breaks near-ties.
"""

from collections.abc import Mapping

import numpy as np

from app.engine.wants import Want
from app.engine.words import Words
from app.types import Matrix, Rows, Vector

COVERAGE_WEIGHT = 0.3
TASTE_WEIGHT = 0.5
DISLIKE_WEIGHT = 0.4
SIGNAL_WEIGHTS = {"popularity": 0.15, "trending": 0.1, "freshness": 0.05}

LEARNED_MATCH_WEIGHT = 10.0
"""What a match is worth beside the learned score, whose unit is a log of odds: words lead."""


class Blend:
    """The fixed blend over one catalogue."""

    def __init__(self, vectors: Matrix, words: Words, signals: Mapping[str, Vector]) -> None:
        """Take float32[n, dim] unit rows, the words of titles, and float32[n] for each signal."""
        self._vectors, self._words = vectors, words
        self._signals: Vector = np.zeros(len(vectors), np.float32)
        self.change(np.arange(len(vectors)), signals)

    def change(self, rows: Rows, signals: Mapping[str, Vector]) -> None:
        """Take the signals of some rows (int64[c]) anew, of float32[n] for each signal."""
        self._signals[rows] = 0.0
        for name, weight in SIGNAL_WEIGHTS.items():
            self._signals[rows] += weight * signals[name][rows]

    def match(self, want: Want, rows: Rows) -> Vector:
        """Return float32[len(rows)]: how each candidate fits the words and the dislikes."""
        score = np.zeros(len(rows), np.float32)
        if want.query_vector is None and want.disliked is None:
            return score
        if want.cosines is not None:
            score += want.cosines.take(rows)
        elif want.query_vector is not None:
            score += self._cosines(rows, want.query_vector)
        if want.query_vector is not None:
            score += COVERAGE_WEIGHT * self._words.coverage(want.query, rows)
        if want.disliked is not None:
            score -= DISLIKE_WEIGHT * np.maximum(self._cosines(rows, want.disliked), 0.0)
        return score

    def _cosines(self, rows: Rows, vector: Vector) -> Vector:
        near: Vector = self._vectors.take(rows, axis=0) @ vector
        return near

    def unlearned(self, want: Want, rows: Rows) -> Vector:
        """Return float32[len(rows)], the score of candidates where nothing was learned."""
        score = self.match(want, rows) + self._signals[rows]
        if want.alike is not None:
            score += TASTE_WEIGHT * self._cosines(rows, want.alike)
        return score
