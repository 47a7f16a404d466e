"""What a request asks for, in the terms of the catalogue: rows and vectors, not ids and words.

Knows neither sources nor scores.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from app.core.types import Mask, Matrix, RankRequest, Rows, Vector
from app.engine.catalogue.catalogue import Catalogue
from app.engine.kernels.topk import Exclusion
from app.engine.retrieval.lexical import Words

TASTE_DECAY = 0.85
"""Weight of the history item before the last, relative to it, and so on backwards."""

_NO_ROWS: Rows = np.empty(0, np.int64)
_FIRST = np.ones(1, np.bool_)


@dataclass(frozen=True, slots=True)
class ResolvedRequest:
    """One request, resolved.

    Attributes:
        query, query_vector: the words, and float32[dim] of unit norm; None without words.
        cosines: float32[n], of the query with every item; None without words, or not computed.
        recent: int64[h], rows taken lately, newest first; what is liked counts as newest.
        length: how many known items were named in history and likes, repeats in a row once; ≥ 1.
        taste_vector: float32[dim] of unit norm, the texts of what was taken; None without any, or
            where taste is learned from behaviour.
        disliked: the same of what is disliked.
        hidden: int64[e], rows that must not come back.
        blocked: bool[n], more rows that must not: those that fail the filter, and those that nobody
            gets; None where there are none.
        named: int64[c], rows to rank and nothing else; None = find candidates.
        k: how many items are wanted.
    """

    query: str = ""
    query_vector: Vector | None = None
    cosines: Vector | None = None
    recent: Rows = field(default_factory=lambda: _NO_ROWS)
    length: int = 0
    taste_vector: Vector | None = None
    disliked: Vector | None = None
    hidden: Rows = field(default_factory=lambda: _NO_ROWS)
    blocked: Mask | None = None
    named: Rows | None = None
    k: int = 10

    @property
    def exclusion(self) -> Exclusion:
        """What must not come back."""
        return Exclusion(self.hidden, self.blocked)


@dataclass(frozen=True, slots=True)
class Asked:
    """The words of a query as the engine sees them; fields as in `ResolvedRequest`."""

    vector: Vector
    cosines: Vector | None


def resolve(  # noqa: PLR0913 - each by its name
    request: RankRequest,
    catalogue: Catalogue,
    vectors: Matrix,
    queries: Mapping[str, Asked],
    words: Words,
    *,
    by_text: bool = True,
) -> ResolvedRequest:
    """Return the want of a request; ids that the catalogue does not hold are left out.

    Args:
        request: what is asked.
        catalogue: id to row.
        vectors: float32[n, dim], unit rows: the items' texts.
        queries: for every query of the batch.
        words: finds items by their titles.
        by_text: whether taste is told by texts (`taste_vector`).
    """
    asked = queries.get(request.query)
    history, liked = catalogue.rows(request.history), catalogue.rows(request.like)
    if len(history) > 1:
        # A view, a click and a purchase of one item are one step, here as in training.
        history = history[np.concatenate([_FIRST, history[1:] != history[:-1]])]
    named, hidden = None, _hidden(request, catalogue, words)
    blocked = catalogue.blocked(request.filter)
    if request.candidates is not None:
        named = catalogue.rows(dict.fromkeys(request.candidates))
        named = named[~np.isin(named, hidden)]
        if blocked is not None:
            named = named[~blocked[named]]
    return ResolvedRequest(
        query=request.query,
        query_vector=None if asked is None else asked.vector,
        cosines=None if asked is None else asked.cosines,
        recent=_recent(history, liked),
        length=max(len(history) + len(liked), 1),
        taste_vector=_taste_vector(vectors, history, liked) if by_text else None,
        disliked=_mean_vector(vectors, catalogue.rows(request.dislike)),
        hidden=hidden,
        blocked=blocked,
        named=named,
        k=request.k,
    )


def _hidden(request: RankRequest, catalogue: Catalogue, words: Words) -> Rows:
    """Return what must not come back. Who types the title of a seen item wants that item."""
    excluded = catalogue.rows(request.exclude)
    if not request.seen:
        return excluded
    seen = catalogue.rows(request.seen)
    if request.query:
        seen = seen[~words.with_title(request.query, seen)]
    return np.concatenate([excluded, seen])


def _recent(history: Rows, liked: Rows) -> Rows:
    """Return what was taken lately, newest first; what is liked counts as newest."""
    if not history.size:
        return liked
    return np.concatenate([liked, history[::-1]])


def _taste_vector(vectors: Matrix, history: Rows, liked: Rows) -> Vector | None:
    """Return the unit mean of taken and liked items' vectors; None without any.

    The newest history item and every liked item weigh 1; older history fades geometrically.
    """
    if not (history.size or liked.size):
        return None
    rows = np.concatenate([history, liked])
    ages = np.arange(history.size - 1, -1, -1)
    weights = np.concatenate([TASTE_DECAY**ages, np.ones(liked.size)]).astype(np.float32)
    return _unit(weights @ vectors[rows])


def _mean_vector(vectors: Matrix, rows: Rows) -> Vector | None:
    return _unit(vectors[rows].sum(axis=0)) if rows.size else None


def _unit(vector: Vector) -> Vector | None:
    norm = float(np.linalg.norm(vector))
    # Opposite vectors can cancel out: then there is no direction to search in.
    return (vector / norm).astype(np.float32) if norm > 1e-6 else None
