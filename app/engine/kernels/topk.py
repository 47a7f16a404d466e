"""Choosing among the rows of a catalogue for a whole batch: best rows, unions, and their places.

What every pass does for every request, behind one port: `KernelTopK` (`selection_kernel`) does
it in one call of our own C a batch, without the interpreter's lock, which the event loop wants
meanwhile; `NumpyTopK` below needs no compiler. Neither knows what scores mean.
"""

from collections.abc import Iterable, Mapping, Sequence
from ctypes import CDLL, c_float, c_int64, c_void_p
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from app.core.types import Mask, Rows, SourceHit, Vector
from app.engine.kernels.loader import Unavailable, address, load_library, pointer

_NO_ROWS: Final[Rows] = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Hits:
    """What one source brought: int64[n] rows, best first, and their float32[n] scores there."""

    rows: Rows
    scores: Vector

    def exclusion(self, hidden: Rows, size: int) -> "Hits":
        """Return the best `size` hits that are not hidden."""
        if not hidden.size:
            return Hits(self.rows[:size], self.scores[:size])
        first = np.flatnonzero(~np.isin(self.rows, hidden))[:size]
        return Hits(self.rows[first], self.scores[first])


@dataclass(frozen=True, slots=True)
class Exclusion:
    """What must not come back: int64[e] rows, and those where a bool[n] mask is true."""

    hidden: Rows = field(default_factory=lambda: _NO_ROWS)
    blocked: Mask | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", np.ascontiguousarray(self.hidden, np.int64))


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a sum over rows: float32[p] values to add in int32[p] rows.

    Without values: what the pieces before it said of these rows counts no more. `address`: where
    the arrays lie, and p; asking for it costs as much as a small sum.
    """

    rows: npt.NDArray[np.int32]
    values: Vector | None
    address: tuple[int, int, int] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        rows, at = np.ascontiguousarray(self.rows, np.int32), 0
        object.__setattr__(self, "rows", rows)
        if self.values is not None:
            values = np.ascontiguousarray(self.values, np.float32)
            object.__setattr__(self, "values", values)
            at = address(values)
        object.__setattr__(self, "address", (address(rows), at, rows.size))


WeightedScores: TypeAlias = tuple[Piece, float]
"""A piece, and what its values are multiplied by."""


@dataclass(frozen=True, slots=True)
class Gather:
    """Scores for some rows: `base[rows] + weight · min(sum of the summands, 1)[rows] + more[rows]`.

    `rows`: int64[c]; `base`, `more`: float32[n], or nothing.
    """

    rows: Rows
    base: Vector | None
    summands: Sequence[WeightedScores]
    more: Vector | None


class TopK(Protocol):
    """Chooses among n rows. Holds buffers: one thread at a time. Results keep the order asked."""

    def best(
        self, scores: Sequence[Vector], exclusion: Sequence[Exclusion], sizes: Sequence[int]
    ) -> list[Hits]:
        """Return the rows of the highest scores (float32[m], m ≤ n), equal ones by row.

        Rows whose score is -inf do not come back.
        """
        ...

    def best_sums(
        self, sums: Sequence[Sequence[WeightedScores]], exclusion: Sequence[Exclusion], size: int
    ) -> list[Hits]:
        """Return the rows where a sum of pieces is highest, and more than 0; equal ones by row."""
        ...

    def gather(self, asked: Sequence[Gather], weight: float) -> list[Vector]:
        """Return float32[c] for the rows of each; see `Gather`."""
        ...

    def union(self, lists: Sequence[Sequence[Rows]]) -> list[Rows]:
        """Return int64[u]: each row of the lists once, in order of appearance."""
        ...

    def places(
        self, tops: Sequence[Rows], hits: Sequence[Mapping[str, Hits]]
    ) -> list[list[tuple[SourceHit, ...]]]:
        """Return for each row of `tops` (each once in its list) where it stands in which list."""
        ...


class NumpyTopK:
    """The port in numpy, request by request."""

    def __init__(self, n: int) -> None:
        """Choose among `n` rows."""
        self._first = np.empty(n, np.int32)

    def best(
        self, scores: Sequence[Vector], exclusion: Sequence[Exclusion], sizes: Sequence[int]
    ) -> list[Hits]:
        """See `TopK`."""
        return [_best(*each) for each in zip(scores, exclusion, sizes, strict=True)]

    def best_sums(
        self, sums: Sequence[Sequence[WeightedScores]], exclusion: Sequence[Exclusion], size: int
    ) -> list[Hits]:
        """See `TopK`."""
        return [
            _best_sum(self._total(pieces), each, size)
            for pieces, each in zip(sums, exclusion, strict=True)
        ]

    def gather(self, asked: Sequence[Gather], weight: float) -> list[Vector]:
        """See `TopK`."""
        found = []
        for one in asked:
            score = np.zeros(len(one.rows), np.float32)
            if one.base is not None:
                score += one.base.take(one.rows)
            if one.summands:
                total = self._total(one.summands).take(one.rows)
                score += np.float32(weight) * np.minimum(total, 1.0)
            if one.more is not None:
                score += one.more.take(one.rows)
            found.append(score)
        return found

    def union(self, lists: Sequence[Sequence[Rows]]) -> list[Rows]:
        """See `TopK`."""
        return [self._united(each) for each in lists]

    def places(
        self, tops: Sequence[Rows], hits: Sequence[Mapping[str, Hits]]
    ) -> list[list[tuple[SourceHit, ...]]]:
        """See `TopK`."""
        return [_places(*each) for each in zip(tops, hits, strict=True)]

    def _total(self, pieces: Sequence[WeightedScores]) -> Vector:
        total = np.zeros(len(self._first), np.float32)
        for piece, weight in pieces:
            if piece.values is None:
                total[piece.rows] = 0.0
            else:
                # Rows may come twice in the piece of several neighbours.
                np.add.at(total, piece.rows.ravel(), np.float32(weight) * piece.values.ravel())
        return total

    def _united(self, lists: Sequence[Rows]) -> Rows:
        rows = np.concatenate([_NO_ROWS, *lists])
        # Written backwards, so that the first place of a row is what remains.
        places = np.arange(len(rows), dtype=np.int32)
        self._first[rows[::-1]] = places[::-1]
        united: Rows = rows[self._first[rows] == places]
        return united


def _best(scores: Vector, exclusion: Exclusion, size: int) -> Hits:
    kept = scores.copy()
    kept[exclusion.hidden] = -np.inf
    if exclusion.blocked is not None:
        np.putmask(kept, exclusion.blocked, -np.inf)
    return _highest(np.flatnonzero(kept > -np.inf), kept, size)


def _best_sum(total: Vector, exclusion: Exclusion, size: int) -> Hits:
    total[exclusion.hidden] = 0.0
    if exclusion.blocked is not None:
        np.putmask(total, exclusion.blocked, 0.0)
    # Chosen among few: a partition is slow where most values are equal, here 0.
    return _highest(np.flatnonzero(total > 0), total, size)


def _highest(rows: Rows, values: Vector, size: int) -> Hits:
    scores = values.take(rows)
    if len(rows) > size > 0:
        edge = len(rows) - size
        keep = scores >= np.partition(scores, edge)[edge]
        rows, scores = rows[keep], scores[keep]
    order = np.argsort(-scores, kind="stable")[:size]
    return Hits(rows.take(order), scores.take(order))


def _places(top: Rows, hits: Mapping[str, Hits]) -> list[tuple[SourceHit, ...]]:
    found: list[list[SourceHit]] = [[] for _ in top]
    for name, each in hits.items():
        at, places = np.nonzero(top[:, None] == each.rows)
        for row, place, score in zip(at, places, each.scores[places], strict=True):
            found[row].append(SourceHit(name, int(place) + 1, float(score)))
    return [tuple(places) for places in found]


# The port `TopK` on our own C, `selection_kernel.c`: one call for a whole batch.
#
# Here live the tables that the C file reads, and the types and layout that it counts on. That rows
# are rows of the catalogue it takes from us, and we from our caller.

_Table: TypeAlias = npt.NDArray[np.int64]


def topk_over(n: int) -> TopK:
    """Return what chooses among `n` rows: our own C where it can run, else numpy."""
    try:
        return KernelTopK(load_library(), n)
    except Unavailable:
        return NumpyTopK(n)


class KernelTopK:
    """Chooses among n rows by a loaded library (`app.engine.kernels.loader`)."""

    def __init__(self, library: CDLL, n: int) -> None:
        """Choose among `n` rows."""
        self._library, self._n = library, n
        self._total = np.zeros(n, np.float32)
        self._marks = np.zeros(n, np.uint8)
        self._stamps = np.zeros(n, np.int32)

    def best(
        self, scores: Sequence[Vector], exclusion: Sequence[Exclusion], sizes: Sequence[int]
    ) -> list[Hits]:
        """See `TopK`."""
        if not scores:
            return []
        lines = [np.ascontiguousarray(each, np.float32) for each in scores]
        asked = _table(
            (_at(line), line.size, min(size, line.size), *_words(barred))
            for line, barred, size in zip(lines, exclusion, sizes, strict=True)
        )
        width = max(asked[:, 2])
        found = _Found(len(scores), width)
        self._library.best_of_all(
            *(pointer(asked), c_int64(len(asked))),
            *(pointer(self._marks), *found.arguments()),
        )
        return found.hits()

    def best_sums(
        self, sums: Sequence[Sequence[WeightedScores]], exclusion: Sequence[Exclusion], size: int
    ) -> list[Hits]:
        """See `TopK`."""
        if not sums:
            return []
        pieces, weights, spans = _pieces(sums)
        asked = _table(
            (*span, size, *_words(barred)) for span, barred in zip(spans, exclusion, strict=True)
        )
        found = _Found(len(sums), min(size, self._n))
        asked[:, 2] = found.width
        self._library.best_of_sums(
            *(pointer(asked), c_int64(len(asked)), pointer(pieces), pointer(weights)),
            *(pointer(self._total), *found.arguments()),
        )
        return found.hits()

    def gather(self, asked: Sequence[Gather], weight: float) -> list[Vector]:
        """See `TopK`."""
        pieces, weights, spans = _pieces([one.summands for one in asked])
        rows = [np.ascontiguousarray(one.rows, np.int64) for one in asked]
        table = _table(
            (_at(mine), mine.size, _at(one.base), _at(one.more), *span)
            for mine, one, span in zip(rows, asked, spans, strict=True)
        )
        lengths = [one.rows.size for one in asked]
        out = np.empty(sum(lengths), np.float32)
        self._library.gathered(
            *(pointer(table), c_int64(len(asked)), pointer(pieces), pointer(weights)),
            *(c_float(weight), pointer(self._total), pointer(out)),
        )
        return _cut(out, lengths)

    def union(self, lists: Sequence[Sequence[Rows]]) -> list[Rows]:
        """See `TopK`."""
        _owners, table, ends = _lists(lists)
        rows, found = np.empty(table[:, 1].sum(), np.int64), np.empty(len(lists), np.int64)
        self._library.united(
            *(pointer(table), pointer(ends), c_int64(len(lists))),
            *(pointer(self._marks), pointer(rows), pointer(found)),
        )
        return _cut(rows, found.tolist())

    def places(
        self, tops: Sequence[Rows], hits: Sequence[Mapping[str, Hits]]
    ) -> list[list[tuple[SourceHit, ...]]]:
        """See `TopK`."""
        names = [name for each in hits for name in each]
        lists = [each for one in hits for each in one.values()]
        _owners, table, ends = _lists([[each.rows for each in one.values()] for one in hits])
        mine = [np.ascontiguousarray(top, np.int64) for top in tops]
        asked = _table((_at(top), top.size) for top in mine).reshape(-1, 2)
        lengths = [top.size for top in tops]
        most = sum(n * len(one) for n, one in zip(lengths, hits, strict=True))
        out = np.empty((most, 3), np.int64)
        self._library.places_in.restype = c_int64
        n = self._library.places_in(
            *(pointer(asked), pointer(table), pointer(ends), c_int64(len(tops))),
            *(pointer(self._stamps), pointer(out)),
        )
        found: list[list[SourceHit]] = [[] for _ in range(sum(lengths))]
        for top, number, place in out[:n].tolist():
            score = lists[number].scores.item(place)
            found[top].append(SourceHit(names[number], place + 1, score))
        return _cut([tuple(places) for places in found], lengths)


class _Found:
    """Where the best rows of each request are put, and buffers to choose them in."""

    def __init__(self, n: int, width: int) -> None:
        self.width = width
        self._rows, self._scores = np.empty((n, width), np.int64), np.empty((n, width), np.float32)
        self._keys = np.empty(2 * width, np.uint64)
        self._found = np.empty(n, np.int64)

    def arguments(self) -> tuple[c_void_p | c_int64, ...]:
        return (
            *(pointer(self._keys), c_int64(self.width)),
            *(pointer(self._rows), pointer(self._scores), pointer(self._found)),
        )

    def hits(self) -> list[Hits]:
        return [
            Hits(rows[:n], scores[:n])
            for rows, scores, n in zip(self._rows, self._scores, self._found.tolist(), strict=True)
        ]


def _pieces(
    sums: Sequence[Sequence[WeightedScores]],
) -> tuple[_Table, Vector, list[tuple[int, int]]]:
    """Return the pieces of all sums, their weights, and of each sum its first and how many."""
    flat = [each for pieces in sums for each in pieces]
    weights = np.array([weight for _, weight in flat], np.float32)
    lengths = [len(pieces) for pieces in sums]
    firsts = list(accumulate(lengths, initial=0))[:-1]
    return (
        _table(piece.address for piece, _ in flat),
        weights,
        list(zip(firsts, lengths, strict=True)),
    )


def _lists(lists: Sequence[Sequence[Rows]]) -> tuple[list[Rows], _Table, _Table]:
    """Return all lists of all requests, a table of them, and where those of each request end."""
    kept = [np.ascontiguousarray(rows, np.int64) for each in lists for rows in each]
    table = _table((_at(rows), rows.size) for rows in kept).reshape(-1, 2)
    return kept, table, np.cumsum([len(each) for each in lists], dtype=np.int64)


def _words(exclusion: Exclusion) -> tuple[int, int, int]:
    hidden = exclusion.hidden
    return _at(hidden) if hidden.size else 0, hidden.size, _at(exclusion.blocked)


def _table(lines: Iterable[tuple[int, ...]]) -> _Table:
    return np.array(list(lines), np.int64)


def _cut(whole: Any, lengths: Sequence[int]) -> list[Any]:  # noqa: ANN401 - a list or an array
    ends = list(accumulate(lengths, initial=0))
    return [whole[start:end] for start, end in pairwise(ends)]


def _at(array: npt.NDArray[Any] | None) -> int:
    """Return where an array lies; 0 for none. It must be contiguous."""
    return 0 if array is None else address(array)
