"""What a request asks for, in the terms of the catalogue: rows and vectors, not ids and words.

Knows neither sources nor scores.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from app.core.types import Mask, Matrix, RankRequest, Rows, Vector
from app.engine.catalogue.catalogue import Catalogue
from app.engine.kernels.topk import Exclusion
from app.engine.retrieval.lexical import LexicalSearch

TASTE_DECAY = 0.85
"""Weight of the history item before the last, relative to it, and so on backwards."""

_NO_ROWS: Rows = np.empty(0, np.int64)
_FIRST = np.ones(1, np.bool_)


@dataclass(frozen=True, slots=True)
class ResolvedRequest:
    """One request, resolved.

    Attributes:
        query: the text to search by, "" = none.
        query_vector: float32[dim] of unit norm; None without a query, or where it has no vector.
        cosines: float32[n], of the query with every item; None without a vector, or not computed.
        recent: int64[h], rows taken lately, newest first; liked items count as newest.
        length: how many known items history and likes name, repeats in a row once; ≥ 1.
        taste_vector: float32[dim] of unit norm, the texts of the items taken; None without any, or
            where taste is learned from behaviour.
        disliked: the same of the items disliked.
        hidden: int64[e], rows that must not come back.
        blocked: bool[n], more rows that must not: those that fail the filter, and those that nobody
            gets; None where there are none.
        named: int64[c], rows to rank and nothing else; None = find candidates.
        extra: int64[x], candidates beside those that the sources bring.
        preferred: bool[n], rows that come before others of like relevance; None = no preference.
        k: how many items are asked for.
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
    extra: Rows | None = None
    preferred: Mask | None = None
    k: int = 10

    @property
    def exclusion(self) -> Exclusion:
        """The rows that must not come back."""
        return Exclusion(self.hidden, self.blocked)

    @property
    def preferred_only(self) -> "ResolvedRequest":
        """The same request for the preferred rows alone."""
        assert self.preferred is not None  # noqa: S101 - asked where there is a preference
        others = ~self.preferred
        blocked = others if self.blocked is None else others | self.blocked
        return replace(self, blocked=blocked)


@dataclass(frozen=True, slots=True)
class EncodedQuery:
    """The text that a request searches by, and its vectors; see `ResolvedRequest`."""

    text: str
    vector: Vector | None = None
    cosines: Vector | None = None


def resolve(  # noqa: PLR0913 - each by its name
    request: RankRequest,
    query: EncodedQuery,
    catalogue: Catalogue,
    vectors: Matrix,
    words: LexicalSearch,
    *,
    by_text: bool = True,
) -> ResolvedRequest:
    """Return a request in the terms of the catalogue; ids that it does not contain are left out.

    Args:
        request: what is asked.
        query: the residual text of its interpretation, encoded.
        catalogue: id to row.
        vectors: float32[n, dim], unit rows: the items' texts.
        words: finds items by their titles.
        by_text: whether `taste_vector` is needed.
    """
    history, liked = catalogue.rows(request.history), catalogue.rows(request.like)
    if len(history) > 1:
        # A view, a click and a purchase of one item are one step, here as in training.
        history = history[np.concatenate([_FIRST, history[1:] != history[:-1]])]
    named, hidden = None, catalogue.rows(request.exclude)
    if request.seen:
        seen = catalogue.rows(request.seen)
        if query.text:
            # Somebody who types the title of an item they have seen wants that item.
            seen = seen[~words.with_title(query.text, seen)]
        hidden = np.concatenate([hidden, seen])
    blocked = catalogue.blocked(request.filter)
    if request.candidates is not None:
        named = catalogue.rows(dict.fromkeys(request.candidates))
        named = named[~np.isin(named, hidden)]
        if blocked is not None:
            named = named[~blocked[named]]
    taste_vector = disliked = None
    if by_text and (history.size or liked.size):
        taste_vector = _taste_vector(vectors, history, liked)
    if request.dislike:
        disliked = _unit(vectors[catalogue.rows(request.dislike)].sum(axis=0))
    return ResolvedRequest(
        query=query.text,
        query_vector=query.vector,
        cosines=query.cosines,
        recent=np.concatenate([liked, history[::-1]]) if history.size else liked,
        length=max(len(history) + len(liked), 1),
        taste_vector=taste_vector,
        disliked=disliked,
        hidden=hidden,
        blocked=blocked,
        named=named,
        k=request.k,
    )


def _taste_vector(vectors: Matrix, history: Rows, liked: Rows) -> Vector | None:
    """Return the unit mean of taken and liked items' vectors, of which there is at least one.

    The newest history item and every liked item weigh 1; older history fades geometrically.
    """
    rows = np.concatenate([history, liked])
    ages = np.arange(history.size - 1, -1, -1)
    weights = np.concatenate([TASTE_DECAY**ages, np.ones(liked.size)]).astype(np.float32)
    return _unit(weights @ vectors[rows])


def _unit(vector: Vector) -> Vector | None:
    norm = float(np.linalg.norm(vector))
    # Opposite vectors can cancel out: then there is no direction to search in.
    return (vector / norm).astype(np.float32) if norm > 1e-6 else None
