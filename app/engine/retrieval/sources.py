"""Sources that need no behaviour: *meaning*, *words*, *taste* by text, and what is popular or new.

Each answers the wants it applies to and leaves the others alone; see `candidates.Source`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from app.core.types import Rows, Vector
from app.engine.catalogue.behaviour import RECENT, Behaviour, Neighbours, TasteSpace
from app.engine.kernels.topk import Hits, Piece, TopK, WeightedScores, topk_over
from app.engine.retrieval.index import VectorIndex
from app.engine.retrieval.lexical import Words
from app.engine.retrieval.resolve import ResolvedRequest

# What brings candidates, and in which order they stand where nothing better is known.
#
# A source is an ordered list of (row, score). Rows that must not come back (hidden by the request,
# blocked by its filter or gone) are dropped inside every source, before it is cut to size, so that
# they never cost a place.

SOURCE_SIZE = 200
"""Candidates that a source brings, unless it says otherwise."""


class Source(Protocol):
    """Brings candidates for those wants of a batch that it has something to say about.

    Blocking, deterministic, called from one thread at a time. Rows that the want
    hides or blocks never come back.
    """

    @property
    def name(self) -> str:
        """Its name in answers."""
        ...

    def search(self, wants: Sequence[ResolvedRequest]) -> list[Hits | None]:
        """Return hits for each want; None where the source does not apply."""
        ...


def retrieve(wants: Sequence[ResolvedRequest], sources: Sequence[Source]) -> list[dict[str, Hits]]:
    """Return for each want what each source brought, by name, in the order of the sources."""
    found: list[dict[str, Hits]] = [{} for _ in wants]
    for source in sources:
        for mine, hits in zip(found, source.search(wants), strict=True):
            if hits is not None and hits.rows.size:
                mine[source.name] = hits
    return found


def hits_where(
    applies: Callable[[ResolvedRequest], bool],
    wants: Sequence[ResolvedRequest],
    search: Callable[[Sequence[ResolvedRequest]], Sequence[Hits]],
) -> list[Hits | None]:
    """Return what `search` finds for the wants that it applies to, and None for the others."""
    found: list[Hits | None] = [None] * len(wants)
    asked = [place for place, want in enumerate(wants) if applies(want)]
    if asked:
        for place, hits in zip(asked, search([wants[place] for place in asked]), strict=True):
            found[place] = hits
    return found


def retrieval_order(rows: Rows, sources: Mapping[str, Hits]) -> Vector:
    """Return float32[n], a score by the ranks in the sources alone: Σ 1 / (60 + rank).

    Reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009.
    """
    score = np.zeros(len(rows), np.float32)
    order = np.argsort(rows, kind="stable")
    for hits in sources.values():
        places = order[np.searchsorted(rows, hits.rows, sorter=order)]
        score[places] += 1.0 / (61.0 + np.arange(len(hits.rows)))
    return score


def best_first(values: Vector, then: Vector) -> Rows:
    """Return int64[n], all rows by falling value, equal ones by falling `then`."""
    return np.lexsort((-then, -values)).astype(np.int64)


class VectorSource:
    """The items whose texts lie nearest to a vector of the want: one search a batch."""

    def __init__(
        self, name: str, index: VectorIndex, probe: Callable[[ResolvedRequest], Vector | None]
    ) -> None:
        """Search an index for what `probe` finds in a want."""
        self.name = name
        self._index, self._probe = index, probe

    def search(self, wants: Sequence[ResolvedRequest]) -> list[Hits | None]:
        """Return for each want with such a vector its nearest rows."""
        probes = [self._probe(want) for want in wants]
        asked = [place for place, probe in enumerate(probes) if probe is not None]
        found: list[Hits | None] = [None] * len(wants)
        # Equal filters share one mask, and a search takes one.
        for group in _grouped(asked, [id(wants[place].blocked) for place in asked]):
            # Hidden rows may fill the top: ask for that many more, so that none costs a place.
            size = SOURCE_SIZE + max(wants[place].hidden.size for place in group)
            vectors = np.stack([np.asarray(probes[place]) for place in group])
            hits = self._index.search(vectors, size, wants[group[0]].blocked)
            for place, scores, rows in zip(group, *hits, strict=True):
                real = rows >= 0
                mine = Hits(rows[real], scores[real])
                found[place] = mine.excluding(wants[place].hidden, SOURCE_SIZE)
        return found


def _grouped(places: Sequence[int], keys: Sequence[int]) -> list[list[int]]:
    groups: dict[int, list[int]] = {}
    for place, key in zip(places, keys, strict=True):
        groups.setdefault(key, []).append(place)
    return list(groups.values())


class MeaningSource:
    """The items whose texts lie nearest to the words of the query."""

    name = "meaning"

    def __init__(self, index: VectorIndex, topk: TopK) -> None:
        """Search an index where the want does not know how near every item lies."""
        self._topk = topk
        self._unknown = VectorSource(
            self.name, index, lambda want: want.query_vector if want.cosines is None else None
        )

    def search(self, wants: Sequence[ResolvedRequest]) -> list[Hits | None]:
        """Return for each want with words its nearest rows."""
        unknown = self._unknown.search(wants)
        known = hits_where(lambda want: want.cosines is not None, wants, self._nearest)
        return [one or other for one, other in zip(known, unknown, strict=True)]

    def _nearest(self, wants: Sequence[ResolvedRequest]) -> list[Hits]:
        cosines = [want.cosines for want in wants if want.cosines is not None]
        exclusion = [want.exclusion for want in wants]
        return self._topk.best(cosines, exclusion, [SOURCE_SIZE] * len(wants))


class WordSource:
    """The items whose text holds the words of the query, or words spelt like them."""

    name = "words"

    def __init__(self, index: Words, topk: TopK) -> None:
        """Search an index."""
        self._index, self._topk = index, topk

    def search(self, wants: Sequence[ResolvedRequest]) -> list[Hits | None]:
        """Return for each want with words the rows that match them best."""
        return hits_where(lambda want: bool(want.query), wants, self._matches)

    def _matches(self, wants: Sequence[ResolvedRequest]) -> list[Hits]:
        sums = [self._index.items(want.query) for want in wants]
        return self._topk.best_sums(sums, [want.exclusion for want in wants], SOURCE_SIZE)


class FixedSource:
    """The same list for everybody: what is popular, trending or new."""

    def __init__(self, name: str, order: Rows, values: Vector, size: int = SOURCE_SIZE) -> None:
        """Take all rows, best first, and float32[n], the value of each row of the catalogue."""
        self.name = name
        self._order, self._values, self._size = order, values, size

    def search(self, wants: Sequence[ResolvedRequest]) -> list[Hits | None]:
        """Return the first rows of the list for every want."""
        return [self._search(want) for want in wants]

    def _search(self, want: ResolvedRequest) -> Hits:
        rows = self._order
        if want.blocked is None:
            rows = rows[: self._size + want.hidden.size]
        else:
            rows = rows[~want.blocked[rows]][: self._size + want.hidden.size]
        return Hits(rows, self._values[rows]).excluding(want.hidden, self._size)


# Sources learned from what people did: item to item, and the space of taste.
#
# They read the rows a want took lately; without any they have nothing to say. What they hold is
# made by `app.offline.learning.learn`.

BEHAVIOUR_SIZE, ALIKE_SIZE, TASTE_SIZE = 200, 100, 350
"""Candidates of each source; about 470 together. Chosen on validation items of `amazon-beauty`."""


@dataclass(frozen=True, slots=True)
class Weighted:
    """A table of neighbours as part of a source: `decay` per step of age, `share` of the sum."""

    near: Neighbours
    decay: float
    share: float


class NeighbourSource:
    """The items that lie nearest to the recent ones: a decayed sum over tables of neighbours."""

    def __init__(self, name: str, tables: Sequence[Weighted], size: int, topk: TopK) -> None:
        """Take the tables to add up."""
        self.name = name
        self._size, self._topk = size, topk
        ages = np.arange(RECENT)
        self._tables = [
            (t.near, (t.share * t.decay**ages).astype(np.float32)[:, None]) for t in tables
        ]

    def search(self, wants: Sequence[ResolvedRequest]) -> list[Hits | None]:
        """Return for each want with recent items the rows with the highest sums."""
        return hits_where(_took_something, wants, self._nearest)

    def _nearest(self, wants: Sequence[ResolvedRequest]) -> list[Hits]:
        sums = [list(self._summands(want.recent[:RECENT])) for want in wants]
        return self._topk.best_sums(sums, [want.exclusion for want in wants], self._size)

    def _summands(self, recent: Rows) -> Iterator[WeightedScores]:
        for near, decayed in self._tables:
            nearest, weights = near.of(recent)
            weights *= decayed[: len(recent)]
            yield Piece(nearest, weights), 1.0


class TasteSource:
    """The items nearest to the user in the learned space: exact, one matrix product a batch."""

    name = "taste"

    def __init__(self, space: TasteSpace, topk: TopK, size: int = TASTE_SIZE) -> None:
        """Search a space."""
        self._space, self._size, self._topk = space, size, topk

    def search(self, wants: Sequence[ResolvedRequest]) -> list[Hits | None]:
        """Return for each want with recent items the rows wanted most."""
        return hits_where(_took_something, wants, self._nearest)

    def _nearest(self, wants: Sequence[ResolvedRequest]) -> list[Hits]:
        users = np.stack([self._space.user(want.recent) for want in wants])
        scores = list(users @ self._space.targets.T)
        exclusion = [want.exclusion for want in wants]
        return self._topk.best(scores, exclusion, [self._size] * len(wants))


def _took_something(want: ResolvedRequest) -> bool:
    return want.recent.size > 0


def behaviour_sources(behaviour: Behaviour, content_knn_share: float) -> tuple[Source, ...]:
    """Return the sources that bring candidates for people: *behaviour*, *alike*, *taste*.

    `content_knn_share`: weight of likeness in words beside what follows what, in *behaviour*.
    """
    topk = topk_over(behaviour.items.shape[1])
    tables: Mapping[str, Neighbours] = behaviour.tables
    first = next(iter(tables))
    parts = [Weighted(tables[first], behaviour.decays[first], 1.0)]
    content_knn = Weighted(tables["content_knn"], behaviour.decays["content_knn"], 1.0)
    if first != "content_knn":
        parts.append(Weighted(content_knn.near, content_knn.decay, content_knn_share))
    return (
        NeighbourSource("behaviour", parts, BEHAVIOUR_SIZE, topk),
        NeighbourSource("alike", [content_knn], ALIKE_SIZE, topk),
        TasteSource(behaviour.taste, topk),
    )
