"""From the hits of each source to one list of candidate rows per request.

A source is an ordered list of (row, score). Rows that must not come back (hidden by the request,
blocked by its filter or gone) are dropped inside every source, before it is cut to size, so that
they never cost a place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from app.engine.attributes import Mask
from app.engine.wants import Want
from app.types import Rows, SourceHit, Vector

SOURCE_SIZE = 200
"""Candidates that a source brings, unless it says otherwise."""


_ZERO = np.zeros(1, np.int64)


@dataclass(frozen=True, slots=True)
class Hits:
    """What one source brought: int64[n] rows, best first, and their float32[n] scores there."""

    rows: Rows
    scores: Vector

    def without(self, hidden: Rows, blocked: Mask | None = None, size: int = SOURCE_SIZE) -> "Hits":
        """Return the best `size` hits that are neither hidden nor blocked."""
        if not hidden.size and blocked is None:
            return Hits(self.rows[:size], self.scores[:size])
        keep = ~np.isin(self.rows, hidden)
        if blocked is not None:
            keep &= ~blocked[self.rows]
        first = np.flatnonzero(keep)[:size]
        return Hits(self.rows[first], self.scores[first])


class Source(Protocol):
    """Brings candidates for those wants of a batch that it has something to say about.

    Blocking, deterministic, called from one thread at a time. Rows that the want
    hides or blocks never come back.
    """

    @property
    def name(self) -> str:
        """Its name in answers."""
        ...

    def search(self, wants: Sequence[Want]) -> list[Hits | None]:
        """Return hits for each want; None where the source does not apply."""
        ...


class CandidateSet:
    """Unites the hits of sources. Holds a buffer of one number an item: one thread at a time."""

    def __init__(self, n_items: int) -> None:
        """Prepare for a catalogue."""
        self._first = np.empty(n_items, np.int32)

    def over(self, n_items: int) -> "CandidateSet":
        """Return one for so many items: this one, if it is."""
        return self if n_items == len(self._first) else CandidateSet(n_items)

    def union(self, sources: Mapping[str, Hits], also: Rows | None = None) -> Rows:
        """Return int64[n], every row that some source brought or that is in `also`, once each.

        In order of appearance: equal final scores then fall back to the order of the sources.
        """
        parts = [hits.rows for hits in sources.values()]
        if also is not None:
            parts.append(also)
        if not parts:
            return np.empty(0, dtype=np.int64)
        rows = np.concatenate(parts)
        # Written backwards, so that the first place of a row is what remains.
        places = np.arange(len(rows), dtype=np.int32)
        self._first[rows[::-1]] = places[::-1]
        united: Rows = rows[self._first[rows] == places]
        return united


def retrieve(wants: Sequence[Want], sources: Sequence[Source]) -> list[dict[str, Hits]]:
    """Return for each want what each source brought, by name, in the order of the sources."""
    found: list[dict[str, Hits]] = [{} for _ in wants]
    for source in sources:
        for mine, hits in zip(found, source.search(wants), strict=True):
            if hits is not None and hits.rows.size:
                mine[source.name] = hits
    return found


def highest(scores: Vector, want: Want, size: int) -> Hits:
    """Return the `size` best rows of a whole catalogue that a want neither hides nor blocks.

    `scores`: float32[n], finite; those of other rows are overwritten.
    """
    scores[want.hidden] = -np.inf
    if want.blocked is not None:
        np.putmask(scores, want.blocked, -np.inf)
    edge = max(len(scores) - size, 0)
    rows = np.argpartition(scores, edge)[edge:] if edge else np.arange(len(scores))
    hits = best_of(rows, scores.take(rows))
    # What must not come back is last; ascending, it is first.
    n = len(rows) - int(np.searchsorted(hits.scores[::-1], -np.inf, side="right"))
    return Hits(hits.rows[:n], hits.scores[:n])


def best_of(rows: Rows, scores: Vector) -> Hits:
    """Return int64[n] rows in the order of their float32[n] scores, best first."""
    order = np.argsort(-scores, kind="stable")
    return Hits(rows.take(order), scores.take(order))


def origins(rows: Rows, sources: Mapping[str, Hits]) -> list[tuple[SourceHit, ...]]:
    """Return for each of a few rows where it stands in each source that brought it."""
    found: list[list[SourceHit]] = [[] for _ in range(len(rows))]
    if not sources:
        return [() for _ in found]
    brought = np.concatenate([hits.rows for hits in sources.values()])
    scores = np.concatenate([hits.scores for hits in sources.values()])
    ends = np.cumsum([len(hits.rows) for hits in sources.values()])
    at, places = np.divmod(np.flatnonzero(rows[:, None] == brought), len(brought) or 1)
    source = np.searchsorted(ends, places, side="right")
    ranks = places + 1 - np.concatenate([_ZERO, ends]).take(source)
    names = tuple(sources)
    columns = (column.tolist() for column in (at, source, ranks, scores.take(places)))
    for row, name, rank, score in zip(*columns, strict=True):
        found[row].append(SourceHit(names[name], rank, score))
    return [tuple(hits) for hits in found]


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
