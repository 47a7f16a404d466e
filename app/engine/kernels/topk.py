"""Top k, gather, union and positions: what every engine pass does with the rows of a catalogue.

With n rows in the catalogue and a batch of requests, for each request:

    best        the k rows of the highest score of float32[m], m ≤ n
    best_sums   the same for a sparse sum: score[row] = Σ weight · value over the pieces of the row
    gather      float32[c]: base[row] + weight · min(sum[row], 1) + more[row] for c rows
    union       int64[u]: the distinct rows of several lists, in order of first appearance
    positions   of each row of a result: in which lists it stands, at which position

All but the rows that an `Exclusion` names. Ties are broken by row, so that an answer does not
depend on how it was computed. Nothing here knows what a score means.

Why C (`c/topk.c`): one call answers a whole batch without the interpreter's lock, which the event
loop needs meanwhile, and touches only the rows that a request names, where numpy makes arrays of
the size of the catalogue. `NumpyTopK` is the oracle of the tests and runs where C cannot.
"""

from collections.abc import Iterable, Mapping, Sequence
from ctypes import CDLL, c_float, c_int64, c_void_p
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from app.core.ranking import SourceHit
from app.core.types import Mask, Rows, Vector
from app.engine.kernels.loader import (
    Signature,
    Unavailable,
    address,
    bind,
    load_library,
    table_layout,
)

_NO_ROWS: Final[Rows] = np.empty(0, np.int64)


# ---- Port ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hits:
    """What one source brought: int64[n] rows, best first, and their float32[n] scores there."""

    rows: Rows
    scores: Vector

    def excluding(self, hidden: Rows, size: int) -> "Hits":
        """Return the best `size` hits that are not hidden."""
        if not hidden.size:
            return Hits(self.rows[:size], self.scores[:size])
        first = np.flatnonzero(~np.isin(self.rows, hidden))[:size]
        return Hits(self.rows[first], self.scores[first])

    def followed_by(self, other: "Hits") -> "Hits":
        """Return these hits, and behind them those of another search that are not among them."""
        new = ~np.isin(other.rows, self.rows)
        return Hits(
            np.concatenate([self.rows, other.rows[new]]),
            np.concatenate([self.scores, other.scores[new]]),
        )


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Rows that must not come back: int64[e] rows, and those where a bool[n] mask is true."""

    hidden: Rows = field(default_factory=lambda: _NO_ROWS)
    blocked: Mask | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", np.ascontiguousarray(self.hidden, np.int64))


@dataclass(frozen=True, slots=True)
class Piece:
    """One summand of a sparse sum: float32[p] values to add at int32[p] rows.

    Without values it drops what the pieces before it added at these rows.

    Attributes:
        address: addresses of both arrays, and p. Kept, because asking numpy for them costs as much
            as a small sum.
    """

    rows: npt.NDArray[np.int32]
    values: Vector | None
    address: tuple[int, int, int] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        rows, values_at = np.ascontiguousarray(self.rows, np.int32), 0
        object.__setattr__(self, "rows", rows)
        if self.values is not None:
            values = np.ascontiguousarray(self.values, np.float32)
            object.__setattr__(self, "values", values)
            values_at = address(values)
        object.__setattr__(self, "address", (address(rows), values_at, rows.size))


WeightedScores: TypeAlias = tuple[Piece, float]
"""A piece, and the weight that its values are multiplied by."""


@dataclass(frozen=True, slots=True)
class Gather:
    """Scores for some rows: `base[rows] + weight · min(sum of the summands, 1)[rows] + more[rows]`.

    `rows`: int64[c]; `base`, `more`: float32[n], or None for zeros.
    """

    rows: Rows
    base: Vector | None
    summands: Sequence[WeightedScores]
    more: Vector | None


class TopK(Protocol):
    """Works on n rows. It owns buffers: one thread at a time. Results keep the order of requests.

    That rows are below n is trusted.
    """

    def best(
        self, scores: Sequence[Vector], exclusion: Sequence[Exclusion], sizes: Sequence[int]
    ) -> list[Hits]:
        """Return the rows of the highest scores (float32[m], m ≤ n), ties by row.

        Rows whose score is -inf do not come back.
        """
        ...

    def best_sums(
        self, sums: Sequence[Sequence[WeightedScores]], exclusion: Sequence[Exclusion], size: int
    ) -> list[Hits]:
        """Return the rows where a sum of pieces is highest, and above 0; ties by row."""
        ...

    def gather(self, requests: Sequence[Gather], weight: float) -> list[Vector]:
        """Return float32[c] for the rows of each request; see `Gather`."""
        ...

    def union(self, lists: Sequence[Sequence[Rows]]) -> list[Rows]:
        """Return int64[u]: each row of the lists once, in order of first appearance."""
        ...

    def positions(
        self, tops: Sequence[Rows], hits: Sequence[Mapping[str, Hits]]
    ) -> list[list[tuple[SourceHit, ...]]]:
        """Return for each row of `tops` (distinct within a list) its rank and score by source."""
        ...


def topk_over(n: int) -> TopK:
    """Return a `TopK` over `n` rows: our own C where it can run, else numpy."""
    try:
        return KernelTopK(load_library(), n)
    except Unavailable:
        return NumpyTopK(n)


# ---- Numpy ---------------------------------------------------------------------------------------


class NumpyTopK:
    """The port in numpy, request by request."""

    def __init__(self, n: int) -> None:
        """Work on `n` rows."""
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
            _best_sum(self._total(pieces), excluded, size)
            for pieces, excluded in zip(sums, exclusion, strict=True)
        ]

    def gather(self, requests: Sequence[Gather], weight: float) -> list[Vector]:
        """See `TopK`."""
        gathered = []
        for request in requests:
            score = np.zeros(len(request.rows), np.float32)
            if request.base is not None:
                score += request.base.take(request.rows)
            if request.summands:
                total = self._total(request.summands).take(request.rows)
                score += np.float32(weight) * np.minimum(total, 1.0)
            if request.more is not None:
                score += request.more.take(request.rows)
            gathered.append(score)
        return gathered

    def union(self, lists: Sequence[Sequence[Rows]]) -> list[Rows]:
        """See `TopK`."""
        return [self._union(each) for each in lists]

    def positions(
        self, tops: Sequence[Rows], hits: Sequence[Mapping[str, Hits]]
    ) -> list[list[tuple[SourceHit, ...]]]:
        """See `TopK`."""
        return [_positions(*each) for each in zip(tops, hits, strict=True)]

    def _total(self, pieces: Sequence[WeightedScores]) -> Vector:
        total = np.zeros(len(self._first), np.float32)
        for piece, weight in pieces:
            if piece.values is None:
                total[piece.rows] = 0.0
            else:
                # Not total[rows] += …: a row may stand twice in one piece, once a neighbour.
                np.add.at(total, piece.rows.ravel(), np.float32(weight) * piece.values.ravel())
        return total

    def _union(self, lists: Sequence[Rows]) -> Rows:
        rows = np.concatenate([_NO_ROWS, *lists])
        # Assigned backwards: of several indices of a row the last assignment, its first, remains.
        indices = np.arange(len(rows), dtype=np.int32)
        self._first[rows[::-1]] = indices[::-1]
        distinct: Rows = rows[self._first[rows] == indices]
        return distinct


def _best(scores: Vector, exclusion: Exclusion, size: int) -> Hits:
    allowed = scores.copy()
    allowed[exclusion.hidden] = -np.inf
    if exclusion.blocked is not None:
        np.putmask(allowed, exclusion.blocked, -np.inf)
    return _highest(np.flatnonzero(allowed > -np.inf), allowed, size)


def _best_sum(total: Vector, exclusion: Exclusion, size: int) -> Hits:
    total[exclusion.hidden] = 0.0
    if exclusion.blocked is not None:
        np.putmask(total, exclusion.blocked, 0.0)
    # Only the few rows above 0: a partition is slow where most values are equal, here 0.
    return _highest(np.flatnonzero(total > 0), total, size)


def _highest(rows: Rows, values: Vector, size: int) -> Hits:
    scores = values.take(rows)
    if len(rows) > size > 0:
        # All rows from the score of the last one on: ties there are cut by row, below.
        edge = len(rows) - size
        candidates = scores >= np.partition(scores, edge)[edge]
        rows, scores = rows[candidates], scores[candidates]
    order = np.argsort(-scores, kind="stable")[:size]
    return Hits(rows.take(order), scores.take(order))


def _positions(top: Rows, hits: Mapping[str, Hits]) -> list[tuple[SourceHit, ...]]:
    sources: list[list[SourceHit]] = [[] for _ in top]
    for name, each in hits.items():
        of_top, positions = np.nonzero(top[:, None] == each.rows)
        for n, position, score in zip(of_top, positions, each.scores[positions], strict=True):
            sources[n].append(SourceHit(name, int(position) + 1, float(score)))
    return [tuple(each) for each in sources]


# ---- Binding of c/topk.c -------------------------------------------------------------------------
#
# What C reads of each request is a line of an int64 table: addresses, lengths and numbers.

_Table: TypeAlias = npt.NDArray[np.int64]

_EXCLUSION: Final = ("exclusion.hidden", "exclusion.n_hidden", "exclusion.blocked")
_SHARED: Final = {
    **table_layout("TopkRequest", ("scores", "n_rows", "size", *_EXCLUSION)),
    **table_layout("Piece", ("rows", "values", "n")),
    **table_layout("SumRequest", ("pieces.first", "pieces.n", "size", *_EXCLUSION)),
    **table_layout("GatherRequest", ("rows", "n_rows", "base", "more", "pieces.first", "pieces.n")),
    **table_layout("RowList", ("rows", "n")),
    **table_layout("Position", ("top", "list", "position")),
}

_P, _N = c_void_p, c_int64
_BEST_ARGUMENTS: Final = (_P, _N, _P, _P, _P)  # keys, width, rows, scores, counts
_FUNCTIONS: Final[dict[str, Signature]] = {
    "topk_batch": (None, (_P, _N, _P, *_BEST_ARGUMENTS)),
    "topk_sums_batch": (None, (_P, _N, _P, _P, _P, *_BEST_ARGUMENTS)),
    "gather_batch": (None, (_P, _N, _P, _P, c_float, _P, _P)),
    "union_batch": (None, (_P, _P, _N, _P, _P, _P)),
    "positions_batch": (_N, (_P, _P, _P, _N, _P, _P)),
}


class KernelTopK:
    """The port by a loaded library (`app.engine.kernels.loader`)."""

    def __init__(self, library: CDLL, n: int) -> None:
        """Work on `n` rows. Raises `KernelMismatch`."""
        bind(library, "topk", _FUNCTIONS, _SHARED)
        self._library, self._n = library, n
        # One entry a row, zeros between two calls.
        self._total = np.zeros(n, np.float32)
        self._marks = np.zeros(n, np.uint8)
        self._stamps = np.zeros(n, np.int32)
        self._total_at, self._marks_at = address(self._total), address(self._marks)
        self._stamps_at = address(self._stamps)

    def best(
        self, scores: Sequence[Vector], exclusion: Sequence[Exclusion], sizes: Sequence[int]
    ) -> list[Hits]:
        """See `TopK`."""
        if not scores:
            return []
        arrays = [np.ascontiguousarray(each, np.float32) for each in scores]
        possible = [min(size, array.size) for array, size in zip(arrays, sizes, strict=True)]
        requests = _table(
            (_address(array), array.size, size, *_exclusion_words(excluded))
            for array, size, excluded in zip(arrays, possible, exclusion, strict=True)
        )
        best = _BestRows(len(scores), max(possible))
        self._library.topk_batch(
            address(requests),
            len(requests),
            self._marks_at,
            address(best.keys),
            best.width,
            address(best.rows),
            address(best.scores),
            address(best.counts),
        )
        return best.hits()

    def best_sums(
        self, sums: Sequence[Sequence[WeightedScores]], exclusion: Sequence[Exclusion], size: int
    ) -> list[Hits]:
        """See `TopK`."""
        if not sums:
            return []
        pieces, weights, ranges = _piece_table(sums)
        best = _BestRows(len(sums), min(size, self._n))
        requests = _table(
            (*of_sum, best.width, *_exclusion_words(excluded))
            for of_sum, excluded in zip(ranges, exclusion, strict=True)
        )
        self._library.topk_sums_batch(
            address(requests),
            len(requests),
            address(pieces),
            address(weights),
            self._total_at,
            address(best.keys),
            best.width,
            address(best.rows),
            address(best.scores),
            address(best.counts),
        )
        return best.hits()

    def gather(self, requests: Sequence[Gather], weight: float) -> list[Vector]:
        """See `TopK`."""
        pieces, weights, ranges = _piece_table([request.summands for request in requests])
        rows = [np.ascontiguousarray(request.rows, np.int64) for request in requests]
        table = _table(
            (_address(each), each.size, _address(request.base), _address(request.more), *of_sum)
            for each, request, of_sum in zip(rows, requests, ranges, strict=True)
        )
        lengths = [each.size for each in rows]
        out = np.empty(sum(lengths), np.float32)
        self._library.gather_batch(
            address(table),
            len(requests),
            address(pieces),
            address(weights),
            weight,
            self._total_at,
            address(out),
        )
        return _split(out, lengths)

    def union(self, lists: Sequence[Sequence[Rows]]) -> list[Rows]:
        """See `TopK`."""
        _arrays, table, ends = _list_table(lists)
        rows, counts = np.empty(table[:, 1].sum(), np.int64), np.empty(len(lists), np.int64)
        self._library.union_batch(
            address(table),
            address(ends),
            len(lists),
            self._marks_at,
            address(rows),
            address(counts),
        )
        return _split(rows, counts.tolist())

    def positions(
        self, tops: Sequence[Rows], hits: Sequence[Mapping[str, Hits]]
    ) -> list[list[tuple[SourceHit, ...]]]:
        """See `TopK`."""
        names = [name for each in hits for name in each]
        scores = [each.scores for of_request in hits for each in of_request.values()]
        _arrays, table, ends = _list_table(
            [[each.rows for each in of_request.values()] for of_request in hits]
        )
        arrays = [np.ascontiguousarray(top, np.int64) for top in tops]
        requests = _table((_address(top), top.size) for top in arrays)
        lengths = [top.size for top in arrays]
        # Distinct rows: each stands in each list once at most.
        most = sum(n * len(of_request) for n, of_request in zip(lengths, hits, strict=True))
        out = np.empty((most, 3), np.int64)
        n = self._library.positions_batch(
            address(requests),
            address(table),
            address(ends),
            len(tops),
            self._stamps_at,
            address(out),
        )
        sources: list[list[SourceHit]] = [[] for _ in range(sum(lengths))]
        for top, number, position in out[:n].tolist():
            score = scores[number].item(position)
            sources[top].append(SourceHit(names[number], position + 1, score))
        return _split([tuple(each) for each in sources], lengths)


class _BestRows:
    """Arrays for the best rows of a batch, and the buffer that they are selected in.

    Attributes:
        width: most rows of one request.
        rows, scores: int64 and float32[requests, width].
        counts: int64[requests], how many rows of each line there are.
        keys: uint64[2 · width], for C alone.
    """

    def __init__(self, n_requests: int, width: int) -> None:
        self.width = width
        self.rows = np.empty((n_requests, width), np.int64)
        self.scores = np.empty((n_requests, width), np.float32)
        self.counts = np.empty(n_requests, np.int64)
        self.keys = np.empty(2 * width, np.uint64)

    def hits(self) -> list[Hits]:
        lines = zip(self.rows, self.scores, self.counts.tolist(), strict=True)
        return [Hits(rows[:n], scores[:n]) for rows, scores, n in lines]


def _piece_table(
    sums: Sequence[Sequence[WeightedScores]],
) -> tuple[_Table, Vector, list[tuple[int, int]]]:
    """Return a table of the pieces of all sums, their weights, and (first, number) of each sum."""
    flat = [each for pieces in sums for each in pieces]
    weights = np.array([weight for _, weight in flat], np.float32)
    lengths = [len(pieces) for pieces in sums]
    firsts = list(accumulate(lengths, initial=0))[:-1]
    table = _table(piece.address for piece, _ in flat)
    return table, weights, list(zip(firsts, lengths, strict=True))


def _list_table(lists: Sequence[Sequence[Rows]]) -> tuple[list[Rows], _Table, _Table]:
    """Return the arrays of all lists, a table of them, and int64[requests] where each one's end.

    The caller holds the arrays during the call: the table has only their addresses.
    """
    arrays = [np.ascontiguousarray(rows, np.int64) for each in lists for rows in each]
    table = _table((_address(rows), rows.size) for rows in arrays).reshape(-1, 2)
    return arrays, table, np.cumsum([len(each) for each in lists], dtype=np.int64)


def _exclusion_words(exclusion: Exclusion) -> tuple[int, int, int]:
    hidden = exclusion.hidden
    return _address(hidden) if hidden.size else 0, hidden.size, _address(exclusion.blocked)


def _table(lines: Iterable[tuple[int, ...]]) -> _Table:
    return np.array(list(lines), np.int64)


def _split(joined: Any, lengths: Sequence[int]) -> list[Any]:  # noqa: ANN401 - a list or an array
    ends = list(accumulate(lengths, initial=0))
    return [joined[start:end] for start, end in pairwise(ends)]


def _address(array: npt.NDArray[Any] | None) -> int:
    return 0 if array is None else address(array)
