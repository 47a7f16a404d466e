"""Choosing among the rows of a catalogue for a whole batch: best rows, unions, and their places.

What every pass does for every request, behind one port: `KernelSelection` (`selection_kernel`) does
it in one call of our own C a batch, without the interpreter's lock, which the event loop wants
meanwhile; `NumpySelection` below needs no compiler. Neither knows what scores mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from app.engine.attributes import Mask
from app.engine.native import address
from app.types import Rows, SourceHit, Vector

_NO_ROWS: Final[Rows] = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Hits:
    """What one source brought: int64[n] rows, best first, and their float32[n] scores there."""

    rows: Rows
    scores: Vector

    def without(self, hidden: Rows, size: int) -> "Hits":
        """Return the best `size` hits that are not hidden."""
        if not hidden.size:
            return Hits(self.rows[:size], self.scores[:size])
        first = np.flatnonzero(~np.isin(self.rows, hidden))[:size]
        return Hits(self.rows[first], self.scores[first])


@dataclass(frozen=True, slots=True)
class Without:
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


Summand: TypeAlias = tuple[Piece, float]
"""A piece, and what its values are multiplied by."""


@dataclass(frozen=True, slots=True)
class Gather:
    """Scores for some rows: `base[rows] + weight · min(sum of the summands, 1)[rows] + more[rows]`.

    `rows`: int64[c]; `base`, `more`: float32[n], or nothing.
    """

    rows: Rows
    base: Vector | None
    summands: Sequence[Summand]
    more: Vector | None


class Selection(Protocol):
    """Chooses among n rows. Holds buffers: one thread at a time. Results keep the order asked."""

    def best(
        self, scores: Sequence[Vector], without: Sequence[Without], sizes: Sequence[int]
    ) -> list[Hits]:
        """Return the rows of the highest scores (float32[m], m ≤ n), equal ones by row.

        Rows whose score is -inf do not come back.
        """
        ...

    def best_sums(
        self, sums: Sequence[Sequence[Summand]], without: Sequence[Without], size: int
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


class NumpySelection:
    """The port in numpy, request by request."""

    def __init__(self, n: int) -> None:
        """Choose among `n` rows."""
        self._first = np.empty(n, np.int32)

    def best(
        self, scores: Sequence[Vector], without: Sequence[Without], sizes: Sequence[int]
    ) -> list[Hits]:
        """See `Selection`."""
        return [_best(*each) for each in zip(scores, without, sizes, strict=True)]

    def best_sums(
        self, sums: Sequence[Sequence[Summand]], without: Sequence[Without], size: int
    ) -> list[Hits]:
        """See `Selection`."""
        return [
            _best_sum(self._total(pieces), each, size)
            for pieces, each in zip(sums, without, strict=True)
        ]

    def gather(self, asked: Sequence[Gather], weight: float) -> list[Vector]:
        """See `Selection`."""
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
        """See `Selection`."""
        return [self._united(each) for each in lists]

    def places(
        self, tops: Sequence[Rows], hits: Sequence[Mapping[str, Hits]]
    ) -> list[list[tuple[SourceHit, ...]]]:
        """See `Selection`."""
        return [_places(*each) for each in zip(tops, hits, strict=True)]

    def _total(self, pieces: Sequence[Summand]) -> Vector:
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


def _best(scores: Vector, without: Without, size: int) -> Hits:
    kept = scores.copy()
    kept[without.hidden] = -np.inf
    if without.blocked is not None:
        np.putmask(kept, without.blocked, -np.inf)
    return _highest(np.flatnonzero(kept > -np.inf), kept, size)


def _best_sum(total: Vector, without: Without, size: int) -> Hits:
    total[without.hidden] = 0.0
    if without.blocked is not None:
        np.putmask(total, without.blocked, 0.0)
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
