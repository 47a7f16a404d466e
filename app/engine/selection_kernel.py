"""The port `Selection` on our own C, `selection_kernel.c`: one call for a whole batch.

Here live the tables that the C file reads, and the types and layout that it counts on. That rows
are rows of the catalogue it takes from us, and we from our caller.
"""

from collections.abc import Iterable, Mapping, Sequence
from ctypes import CDLL, c_float, c_int64, c_void_p
from itertools import accumulate, pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from app.engine.native import Unavailable, address, load_library, pointer
from app.engine.selection import (
    Gather,
    Hits,
    NumpySelection,
    Selection,
    Summand,
    Without,
)
from app.types import Rows, SourceHit, Vector

_Table: TypeAlias = npt.NDArray[np.int64]


def selection_over(n: int) -> Selection:
    """Return what chooses among `n` rows: our own C where it can run, else numpy."""
    try:
        return KernelSelection(load_library(), n)
    except Unavailable:
        return NumpySelection(n)


class KernelSelection:
    """Chooses among n rows by a loaded library (`app.engine.native`)."""

    def __init__(self, library: CDLL, n: int) -> None:
        """Choose among `n` rows."""
        self._library, self._n = library, n
        self._total = np.zeros(n, np.float32)
        self._marks = np.zeros(n, np.uint8)
        self._stamps = np.zeros(n, np.int32)

    def best(
        self, scores: Sequence[Vector], without: Sequence[Without], sizes: Sequence[int]
    ) -> list[Hits]:
        """See `Selection`."""
        if not scores:
            return []
        lines = [np.ascontiguousarray(each, np.float32) for each in scores]
        asked = _table(
            (_at(line), line.size, min(size, line.size), *_words(barred))
            for line, barred, size in zip(lines, without, sizes, strict=True)
        )
        width = max(asked[:, 2])
        found = _Found(len(scores), width)
        self._library.best_of_all(
            *(pointer(asked), c_int64(len(asked))),
            *(pointer(self._marks), *found.arguments()),
        )
        return found.hits()

    def best_sums(
        self, sums: Sequence[Sequence[Summand]], without: Sequence[Without], size: int
    ) -> list[Hits]:
        """See `Selection`."""
        if not sums:
            return []
        pieces, weights, spans = _pieces(sums)
        asked = _table(
            (*span, size, *_words(barred)) for span, barred in zip(spans, without, strict=True)
        )
        found = _Found(len(sums), min(size, self._n))
        asked[:, 2] = found.width
        self._library.best_of_sums(
            *(pointer(asked), c_int64(len(asked)), pointer(pieces), pointer(weights)),
            *(pointer(self._total), *found.arguments()),
        )
        return found.hits()

    def gather(self, asked: Sequence[Gather], weight: float) -> list[Vector]:
        """See `Selection`."""
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
        """See `Selection`."""
        _kept, table, ends = _lists(lists)
        rows, found = np.empty(table[:, 1].sum(), np.int64), np.empty(len(lists), np.int64)
        self._library.united(
            *(pointer(table), pointer(ends), c_int64(len(lists))),
            *(pointer(self._marks), pointer(rows), pointer(found)),
        )
        return _cut(rows, found.tolist())

    def places(
        self, tops: Sequence[Rows], hits: Sequence[Mapping[str, Hits]]
    ) -> list[list[tuple[SourceHit, ...]]]:
        """See `Selection`."""
        names = [name for each in hits for name in each]
        lists = [each for one in hits for each in one.values()]
        _kept, table, ends = _lists([[each.rows for each in one.values()] for one in hits])
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


def _pieces(sums: Sequence[Sequence[Summand]]) -> tuple[_Table, Vector, list[tuple[int, int]]]:
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


def _words(without: Without) -> tuple[int, int, int]:
    hidden = without.hidden
    return _at(hidden) if hidden.size else 0, hidden.size, _at(without.blocked)


def _table(lines: Iterable[tuple[int, ...]]) -> _Table:
    return np.array(list(lines), np.int64)


def _cut(whole: Any, lengths: Sequence[int]) -> list[Any]:  # noqa: ANN401 - a list or an array
    ends = list(accumulate(lengths, initial=0))
    return [whole[start:end] for start, end in pairwise(ends)]


def _at(array: npt.NDArray[Any] | None) -> int:
    """Return where an array lies; 0 for none. It must be contiguous."""
    return 0 if array is None else address(array)
