"""The candidate sources: each brings the items that one way of searching finds for a request.

A source returns an ordered list of (row, score) for every request that it has something to say
about. Rows that must not come back (excluded by the request, blocked by its filter, or gone) are
dropped inside the source, before the list is cut to size, so that they take nobody's place.

A source that fails on a request brings nothing for it, and the request goes on without it.

`app.engine.retrieval.registry` says which sources an engine has.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from app.core.ranking import By
from app.core.types import Rows, Vector
from app.engine.catalogue.behaviour import RECENT, Neighbours, TasteSpace
from app.engine.catalogue.side_values import SideValues
from app.engine.kernels.topk import Exclusion, Gather, Hits, Piece, TopK, WeightedScores
from app.engine.retrieval.index import VectorIndex
from app.engine.retrieval.lexical import LexicalSearch
from app.engine.retrieval.resolve import ResolvedRequest
from app.engine.retrieval.similar import Similarity

SOURCE_SIZE = 200
"""Candidates that a source brings, unless it says otherwise."""

_MOST_HOLDERS = 20_000
"""Items that hold the words of a query, above which they are not ordered."""
_SMALL, _TIE, _LAST = 1e-2, 1e-4, 1e-6
"""Weights of the history, of popularity and of nearness to the query among them: a sum stays below
1, where it is cut."""
_SKIPPED: Final = "source:"
"""Before the name of a source that failed, among the hits of a request."""

_log = logging.getLogger(__name__)

_NO_HITS = Hits(np.empty(0, np.int64), np.empty(0, np.float32))


class Source(Protocol):
    """Brings candidates for those requests of a batch that it has something to say about.

    Blocking, deterministic, called from one thread at a time. Rows that a request excludes or
    blocks never come back.
    """

    @property
    def name(self) -> str:
        """Its name in answers."""
        ...

    def search(self, requests: Sequence[ResolvedRequest]) -> list[Hits | None]:
        """Return the hits for each request; None where the source does not apply."""
        ...


def retrieve(
    requests: Sequence[ResolvedRequest], sources: Sequence[Source]
) -> list[dict[str, Hits]]:
    """Return for each request the hits of each source, by name, in the order of the sources."""
    hits_of: list[dict[str, Hits]] = [{} for _ in requests]
    for source in sources:
        for by_name, hits in zip(hits_of, source.search(requests), strict=True):
            if hits is not None and hits.rows.size:
                by_name[source.name] = hits
    return hits_of


def found_by(
    requests: Sequence[ResolvedRequest], sources: Sequence[Source]
) -> list[dict[str, Hits]]:
    """Ask sources; where some items are preferred, ask once more for those alone.

    A source that fails on a request is left out of it; `skipped` says which.
    """
    preferring = [
        position for position, request in enumerate(requests) if request.preferred is not None
    ]
    asked = [*requests, *(requests[position].preferred_only for position in preferring)]
    hits: list[dict[str, Hits]] = [{} for _ in asked]
    for source in sources:
        for by_name, some in zip(hits, _searched(source, asked), strict=True):
            if some is None:
                by_name[_SKIPPED + source.name] = _NO_HITS
            elif some.rows.size:
                by_name[source.name] = some
    for position, more in zip(preferring, hits[len(requests) :], strict=True):
        for name, some in more.items():
            before = hits[position].get(name)
            hits[position][name] = some if before is None else before.followed_by(some)
    return hits[: len(requests)]


def skipped(hits: Mapping[str, Hits]) -> tuple[str, ...]:
    """Return `source:<name>` for each source that failed on a request."""
    return tuple([name for name in hits if name.startswith(_SKIPPED)])


def _searched(source: Source, requests: Sequence[ResolvedRequest]) -> list[Hits | None]:
    """Return the hits of a source, none where it does not apply; None = it failed on a request."""
    try:
        return [_NO_HITS if some is None else some for some in source.search(requests)]
    except Exception:  # noqa: BLE001 - whatever it is, the other sources have answers
        if len(requests) != 1:  # one of them may be at fault
            return [each for request in requests for each in _searched(source, [request])]
        _log.exception("the source %s failed: answering without it", source.name)
        return [None]


def hits_where(
    applies: Callable[[ResolvedRequest], bool],
    requests: Sequence[ResolvedRequest],
    search: Callable[[Sequence[ResolvedRequest]], Sequence[Hits]],
) -> list[Hits | None]:
    """Return the hits of `search` for the requests it applies to, and None for the others."""
    chosen = [applies(request) for request in requests]
    if not any(chosen):
        return [None] * len(requests)
    if all(chosen):
        return list(search(requests))
    some = [request for request, applied in zip(requests, chosen, strict=True) if applied]
    hits = iter(search(some))
    return [next(hits) if applied else None for applied in chosen]


def retrieval_order(rows: Rows, sources: Mapping[str, Hits]) -> Vector:
    """Return float32[n], a score by the ranks in the sources alone: Σ 1 / (60 + rank).

    Reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009.
    """
    score = np.zeros(len(rows), np.float32)
    order = np.argsort(rows, kind="stable")
    for hits in sources.values():
        positions = order[np.searchsorted(rows, hits.rows, sorter=order)]
        score[positions] += 1.0 / (61.0 + np.arange(len(hits.rows)))
    return score


def best_first(values: Vector, then: Vector) -> Rows:
    """Return int64[n], all rows by falling value, equal ones by falling `then`."""
    return np.lexsort((-then, -values)).astype(np.int64)


class VectorSource:
    """The items whose texts lie nearest to a vector of the request: one search a batch."""

    def __init__(
        self, name: str, index: VectorIndex, probe: Callable[[ResolvedRequest], Vector | None]
    ) -> None:
        """Search an index for the vector that `probe` returns; None = the source does not apply."""
        self.name = name
        self._index, self._probe = index, probe

    def search(self, requests: Sequence[ResolvedRequest]) -> list[Hits | None]:
        """Return for each request with such a vector its nearest rows."""
        probes = [self._probe(request) for request in requests]
        # A search takes one mask: requests are grouped by theirs, which equal filters share.
        groups: dict[int, list[int]] = {}
        for position, (probe, request) in enumerate(zip(probes, requests, strict=True)):
            if probe is not None:
                groups.setdefault(id(request.blocked), []).append(position)
        hits: list[Hits | None] = [None] * len(requests)
        for group in groups.values():
            # Hidden rows may fill the top: ask for that many more, so that none takes a place.
            size = SOURCE_SIZE + max([requests[position].hidden.size for position in group])
            vectors = np.stack([np.asarray(probes[position]) for position in group])
            nearest = self._index.search(vectors, size, requests[group[0]].blocked)
            for position, scores, rows in zip(group, *nearest, strict=True):
                real = rows >= 0
                hits[position] = Hits(rows[real], scores[real]).excluding(
                    requests[position].hidden, SOURCE_SIZE
                )
        return hits


class MeaningSource:
    """The items whose texts lie nearest to the query."""

    def __init__(self, name: str, index: VectorIndex, topk: TopK) -> None:
        """Search an index, where the cosines of all items are not known already."""
        self.name = name
        self._topk, self._index = topk, index
        self._by_index = VectorSource(
            name, index, lambda request: request.query_vector if request.cosines is None else None
        )

    def search(self, requests: Sequence[ResolvedRequest]) -> list[Hits | None]:
        """Return for each request whose query has a vector its nearest rows."""
        known = hits_where(lambda request: request.cosines is not None, requests, self._nearest)
        if None not in known:
            return known
        unknown = self._by_index.search(requests)
        return [one or other for one, other in zip(known, unknown, strict=True)]

    def _nearest(self, requests: Sequence[ResolvedRequest]) -> list[Hits]:
        cosines = [request.cosines for request in requests if request.cosines is not None]
        exclusions = [
            Exclusion(request.hidden, self._index.empty.or_blocked(request.blocked))
            for request in requests
        ]
        return self._topk.best(cosines, exclusions, [SOURCE_SIZE] * len(requests))


class WordSource:
    """The items whose text contains the words of the query, or words of similar spelling."""

    def __init__(self, name: str, index: LexicalSearch, topk: TopK) -> None:
        """Search an index."""
        self.name = name
        self._index, self._topk = index, topk

    def search(self, requests: Sequence[ResolvedRequest]) -> list[Hits | None]:
        """Return for each request with a query the rows that match its words best."""
        return hits_where(lambda request: bool(request.query), requests, self._matches)

    def _matches(self, requests: Sequence[ResolvedRequest]) -> list[Hits]:
        sums = [self._index.items(request.query) for request in requests]
        return self._topk.best_sums(sums, [r.exclusion for r in requests], SOURCE_SIZE)


class SimilarSource:
    """The items that are similar to the liked ones."""

    def __init__(self, name: str, similarity: Similarity, size: int) -> None:
        """Take what tells which items are similar."""
        self.name = name
        self._similarity, self._size = similarity, size

    def search(self, requests: Sequence[ResolvedRequest]) -> list[Hits | None]:
        """Return for each request with liked items the rows most similar to them."""
        return hits_where(lambda request: request.liked is not None, requests, self._nearest)

    def _nearest(self, requests: Sequence[ResolvedRequest]) -> list[Hits]:
        groups: dict[By, list[int]] = {}
        for position, request in enumerate(requests):
            groups.setdefault(request.by, []).append(position)
        hits: list[Hits] = [_NO_HITS] * len(requests)
        for by, positions in groups.items():
            some = [requests[position] for position in positions]
            liked = [request.liked for request in some if request.liked is not None]
            exclusions = [request.exclusion for request in some]
            found = self._similarity.similar(liked, exclusions, self._size, by)
            for position, each in zip(positions, found, strict=True):
                hits[position] = each
        return hits


class FixedSource:
    """The same list for everybody: the popular, trending or new items."""

    def __init__(self, name: str, order: Rows, values: Vector, size: int = SOURCE_SIZE) -> None:
        """Take all rows, best first, and float32[n], the value of each row of the catalogue."""
        self.name = name
        self._order, self._values, self._size = order, values, size

    def search(self, requests: Sequence[ResolvedRequest]) -> list[Hits | None]:
        """Return for every request the first rows of the list that may come back."""
        hits: list[Hits | None] = []
        for request in requests:
            rows = self._order
            if request.blocked is not None:
                rows = rows[~request.blocked[rows]]
            rows = rows[: self._size + request.hidden.size]
            hits.append(Hits(rows, self._values[rows]).excluding(request.hidden, self._size))
        return hits


@dataclass(frozen=True, slots=True)
class WeightedTable:
    """A table of neighbours in a sum of tables: `decay` per step of age, `share` of the sum."""

    near: Neighbours
    decay: float
    share: float


class NeighbourSource:
    """The items that lie nearest to the recent ones: a decayed sum over tables of neighbours."""

    def __init__(self, name: str, tables: Sequence[WeightedTable], size: int, topk: TopK) -> None:
        """Take the tables to add up."""
        self.name = name
        self._size, self._topk = size, topk
        ages = np.arange(RECENT)
        self._tables = [
            (table.near, (table.share * table.decay**ages).astype(np.float32)[:, None])
            for table in tables
        ]

    def search(self, requests: Sequence[ResolvedRequest]) -> list[Hits | None]:
        """Return for each request with recent items the rows with the highest sums."""
        return hits_where(lambda request: request.recent.size > 0, requests, self._nearest)

    def _nearest(self, requests: Sequence[ResolvedRequest]) -> list[Hits]:
        sums: list[list[WeightedScores]] = []
        for request in requests:
            recent, pieces = request.recent[:RECENT], list[WeightedScores]()
            for near, decayed in self._tables:
                rows, weights = near.of(recent)
                weights *= decayed[: len(recent)]
                pieces.append((Piece(rows, weights), 1.0))
            sums.append(pieces)
        return self._topk.best_sums(sums, [r.exclusion for r in requests], self._size)


class HolderSource:
    """The items that hold all words of the query: first what suits the history, then the popular.

    Where both say nothing, the meaning decides if it is known of all items, and not the row.

    Word search brings the best matches. Where hundreds of items hold the words equally well, it
    cannot tell which of them the user would take.
    """

    def __init__(  # noqa: PLR0913 - each by its name
        self,
        name: str,
        index: LexicalSearch,
        *,
        popularity: Vector,
        table: WeightedTable | None,
        size: int,
        topk: TopK,
    ) -> None:
        """Take float32[n] in [0, 1], and the strongest table; None = nothing was learned."""
        self.name = name
        self._index, self._size, self._topk = index, size, topk
        self._popularity = popularity * np.float32(_TIE)
        self._table = table
        if table is not None:
            decayed = table.share * table.decay ** np.arange(RECENT)
            self._decayed = decayed.astype(np.float32)[:, None]

    def search(self, requests: Sequence[ResolvedRequest]) -> list[Hits | None]:
        """Return for each request with a query rows that hold all its words."""
        return hits_where(lambda request: bool(request.query), requests, self._holders)

    def _holders(self, requests: Sequence[ResolvedRequest]) -> list[Hits]:
        gathers = []
        for request in requests:
            rows = self._index.rows_with(request.query)
            if len(rows) > _MOST_HOLDERS:
                rows = rows[:0]  # words that stand nearly everywhere choose nothing
            if request.blocked is not None:
                rows = rows[~request.blocked[rows]]
            if request.hidden.size:
                rows = rows[~np.isin(rows, request.hidden)]
            gathers.append(Gather(rows, None, self._neighbours(request), self._popularity))
        scores = self._topk.gather(gathers, 1.0)
        for position, request in enumerate(requests):
            if request.cosines is not None:
                near = request.cosines.take(gathers[position].rows)
                scores[position] += np.float32(_LAST) * near
        best = self._topk.best(scores, [Exclusion()] * len(scores), [self._size] * len(scores))
        return [
            Hits(gather.rows.take(hits.rows), hits.scores)
            for gather, hits in zip(gathers, best, strict=True)
        ]

    def _neighbours(self, request: ResolvedRequest) -> list[WeightedScores]:
        if self._table is None or not request.recent.size:
            return []
        recent = request.recent[:RECENT]
        rows, weights = self._table.near.of(recent)
        weights *= self._decayed[: len(recent)]
        return [(Piece(rows, weights), _SMALL)]


class TasteSource:
    """The items nearest to the user in the learned space: exact, one matrix product a batch."""

    def __init__(self, name: str, space: TasteSpace, size: int, topk: TopK) -> None:
        """Search a space."""
        self.name = name
        self._space, self._size, self._topk = space, size, topk

    def search(self, requests: Sequence[ResolvedRequest]) -> list[Hits | None]:
        """Return for each request with recent items the rows that suit the user best."""
        return hits_where(lambda request: request.recent.size > 0, requests, self._nearest)

    def _nearest(self, requests: Sequence[ResolvedRequest]) -> list[Hits]:
        users = np.stack([self._space.user(request.recent) for request in requests])
        scores = list(users @ self._space.targets.T)
        exclusions = [request.exclusion for request in requests]
        return self._topk.best(scores, exclusions, [self._size] * len(requests))


class PeopleLikeSource:
    """What people like the user take, at moments like this one: the popular items, times lifts."""

    def __init__(
        self, name: str, sides: SideValues, popularity: Vector, *, size: int, topk: TopK
    ) -> None:
        """Take what was learned of who and where, and float32[n], log(1 + how often taken)."""
        self.name = name
        self._sides, self._popularity = sides, popularity
        self._size, self._topk = size, topk

    def search(self, requests: Sequence[ResolvedRequest]) -> list[Hits | None]:
        """Return for each request with known values the rows that such people take most."""
        return hits_where(lambda request: request.sides.size > 0, requests, self._taken)

    def _taken(self, requests: Sequence[ResolvedRequest]) -> list[Hits]:
        scores = []
        for request in requests:
            score = self._popularity.copy()
            self._sides.add_lifts(request.sides, score)
            scores.append(score)
        exclusions = [request.exclusion for request in requests]
        return self._topk.best(scores, exclusions, [self._size] * len(requests))
