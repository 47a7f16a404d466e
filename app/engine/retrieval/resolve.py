"""What a request asks for, in the terms of the catalogue: rows and vectors, not ids and words.

Knows neither sources nor scores.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from app.core.ranking import By, RankRequest
from app.core.types import Codes, Goals, Mask, Matrix, Rows, Vector
from app.engine.catalogue.catalogue import Catalogue
from app.engine.catalogue.side_values import SideValues
from app.engine.catalogue.tone_taste import ToneTaste
from app.engine.kernels.topk import Exclusion, Hits
from app.engine.retrieval.lexical import LexicalSearch
from app.engine.retrieval.similar import MOST_LIKED, Liked
from app.engine.rules.applied import AppliedRules

TASTE_DECAY = 0.85
"""Weight of the history item before the last, relative to it, and so on backwards."""

NEW_ITEM_WEIGHT = 0.5
"""Weight of a history of items that nothing was learned of, relative to liked items."""

_NO_ROWS: Rows = np.empty(0, np.int64)
_NO_CODES: Codes = np.empty(0, np.int32)
_FIRST = np.ones(1, np.bool_)


@dataclass(frozen=True, slots=True)
class Needed:
    """Rows, bool[n], of which at least `least` are needed among the candidates."""

    rows: Mask
    least: int


@dataclass(frozen=True, slots=True)
class ResolvedRequest:
    """One request, resolved.

    Attributes:
        query: the text to search by, "" = none.
        query_vector: float32[dim] of unit norm; None without a query, or where it has no vector.
        cosines: float32[n], of the query with every item; None without a vector, or not computed.
        recent: int64[h], rows taken lately, newest first. Where something was learned, only those
            that there were then.
        length: how many of them there ever were, repeats in a row once; ≥ 1.
        sides: int32[s], codes of who asks, and where (`app.engine.catalogue.side_values`).
        liked: the items that the answer shall be similar to: those in `like`, and those of the
            history that came after something was learned; None without any.
        by: what makes items similar to the liked ones.
        similar_only: nothing but the items in `like` and `dislike` says what is wanted.
        taste_vector: float32[dim] of unit norm, the texts of the items taken; None without any, or
            where taste is learned from behaviour.
        disliked: the same of the items disliked.
        hidden: int64[e], rows that must not come back.
        blocked: bool[n], more rows that must not: those that fail the filter, and those that nobody
            gets; None where there are none.
        named: int64[c], rows to rank and nothing else; None = find candidates.
        extra: name -> hits that the demands of the request bring beside the sources.
        preferred: float32[n], how much each row comes before others of like relevance; 0 = not.
            None = no preference.
        tone_taste: the tones of what was taken lately, where items have tones and the query asks
            for none; None = nothing is known of them.
        k: how many items are asked for.
        popularity_bias: see `RankRequest`.
        needed: what the candidates must have enough of.
        rules: those of operators that apply; None without any.
        goals: see `RankRequest`.
    """

    query: str = ""
    query_vector: Vector | None = None
    cosines: Vector | None = None
    recent: Rows = field(default_factory=lambda: _NO_ROWS)
    length: int = 0
    sides: Codes = field(default_factory=lambda: _NO_CODES)
    liked: Liked | None = None
    by: By = "both"
    similar_only: bool = False
    taste_vector: Vector | None = None
    disliked: Vector | None = None
    hidden: Rows = field(default_factory=lambda: _NO_ROWS)
    blocked: Mask | None = None
    named: Rows | None = None
    extra: Mapping[str, Hits] = field(default_factory=dict)
    preferred: Vector | None = None
    tone_taste: ToneTaste | None = None
    k: int = 10
    popularity_bias: float = 0.0
    needed: tuple[Needed, ...] = ()
    rules: AppliedRules | None = None
    goals: Goals = ()

    @property
    def exclusion(self) -> Exclusion:
        """The rows that must not come back."""
        return Exclusion(self.hidden, self.blocked)

    @property
    def preferred_only(self) -> "ResolvedRequest":
        """The same request for the preferred rows alone."""
        assert self.preferred is not None  # noqa: S101 - asked where there is a preference
        return self.only(self.preferred > 0.0)

    def only(self, rows: Mask) -> "ResolvedRequest":
        """Return the same request for some rows, bool[n], alone."""
        blocked = ~rows if self.blocked is None else ~rows | self.blocked
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
    n_learned: int | None = None,
    sides: SideValues | None = None,
) -> ResolvedRequest:
    """Return a request in the terms of the catalogue; ids that it does not contain are left out.

    Args:
        request: what is asked.
        query: the residual text of its interpretation, encoded.
        catalogue: id to row.
        vectors: float32[n, dim], unit rows: the items' texts.
        words: finds items by their titles.
        n_learned: how many rows there were when behaviour was learned; None = nothing was.
        sides: what was learned of who and where; None = nothing was.
    """
    history = catalogue.rows(request.history)
    if len(history) > 1:
        # A view, a click and a purchase of one item are one step, here as in training.
        history = history[np.concatenate([_FIRST, history[1:] != history[:-1]])]
    named, hidden = None, catalogue.rows(request.exclude)
    if request.seen:
        seen = catalogue.rows(request.seen)
        if query.text:
            # Somebody who types the title, or the id, of an item they have seen wants that item.
            seen = seen[~words.with_title(query.text, seen)]
            seen = seen[~np.isin(seen, words.coded(query.text))]
        hidden = np.concatenate([hidden, seen])
    blocked = catalogue.blocked(request.filter)
    if request.candidates is not None:
        named = catalogue.rows(dict.fromkeys(request.candidates))
        named = named[~np.isin(named, hidden)]
        if blocked is not None:
            named = named[~blocked[named]]
    history, new = _split(history, n_learned)
    taste_vector = disliked = None
    if n_learned is None and history.size:
        taste_vector = _taste_vector(vectors, history)
    if request.dislike:
        disliked = _unit(vectors[catalogue.rows(request.dislike)].sum(axis=0))
    liked, codes = catalogue.rows(dict.fromkeys(request.like)), _codes(request, sides)
    return ResolvedRequest(
        query=query.text,
        query_vector=query.vector,
        cosines=query.cosines,
        recent=history[::-1],
        length=max(len(history), 1),
        sides=codes,
        liked=_liked(liked, new),
        by=request.by,
        similar_only=bool(liked.size) and not (query.text or request.history or codes.size),
        taste_vector=taste_vector,
        disliked=disliked,
        hidden=hidden,
        blocked=blocked,
        named=named,
        k=request.k,
        popularity_bias=request.popularity_bias,
        goals=request.goals,
    )


def _codes(request: RankRequest, sides: SideValues | None) -> Codes:
    """Return the codes of who asks, and where."""
    if sides is None or not (request.attributes or request.context):
        return _NO_CODES
    return sides.codes(request.attributes, request.context)


def _liked(named: Rows, new: Liked | None) -> Liked | None:
    """Return the liked items, those of the history behind those that the request names."""
    if not named.size:
        return new
    if new is None:
        return Liked.equally(named[:MOST_LIKED])
    rest = ~np.isin(new.rows, named)
    rows = np.concatenate([named, new.rows[rest]])
    weights = np.concatenate([np.ones(named.size, np.float32), new.weights[rest]])
    return Liked(rows[:MOST_LIKED], weights[:MOST_LIKED])


def _split(history: Rows, n_learned: int | None) -> tuple[Rows, Liked | None]:
    """Return the history without the items that nothing was learned of, and these, newest first.

    An item weighs its share of the history, in which older items fade, times `NEW_ITEM_WEIGHT`.
    """
    if n_learned is None or not history.size or history.max() < n_learned:
        return history, None
    newest = history[::-1]
    weights = (TASTE_DECAY ** np.arange(newest.size)).astype(np.float32)
    weights *= NEW_ITEM_WEIGHT / weights.sum()
    rows, firsts = np.unique(newest, return_index=True)
    totals = np.bincount(np.searchsorted(rows, newest), weights)
    some = np.sort(firsts[rows >= n_learned])[:MOST_LIKED]
    chosen = newest[some]
    liked = Liked(chosen, totals[np.searchsorted(rows, chosen)].astype(np.float32))
    return history[history < n_learned], liked


def _taste_vector(vectors: Matrix, history: Rows) -> Vector | None:
    """Return the unit mean of the vectors of the items taken, of which there is at least one.

    The newest item weighs 1; older ones fade geometrically.
    """
    weights = (TASTE_DECAY ** np.arange(history.size - 1, -1, -1)).astype(np.float32)
    return _unit(weights @ vectors[history])


def _unit(vector: Vector) -> Vector | None:
    norm = float(np.linalg.norm(vector))
    # Opposite vectors can cancel out: then there is no direction to search in.
    return (vector / norm).astype(np.float32) if norm > 1e-6 else None
