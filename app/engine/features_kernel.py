"""`app.features` on our own C, `features_kernel.c`: one call for a whole batch.

Here live the layout that the C file reads, and the types that it counts on.
"""

import ctypes
import math
from collections.abc import Sequence
from ctypes import CDLL, POINTER, Structure, c_double, c_int64, c_void_p
from typing import Any

import numpy as np
import numpy.typing as npt

from app.engine.native import Unavailable, address, load_library, pointer
from app.errors import BundleError
from app.features import RECENT, Behaviour, Features
from app.types import Matrix, Rows


class _Table(Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("rows", "weights")),
        *((name, c_int64) for name in ("items", "near")),
    ]


class _Facts(Structure):
    _fields_ = [
        ("tables", POINTER(_Table)),
        *((name, c_int64) for name in ("n_tables", "n_items", "dim")),
        *((name, c_void_p) for name in ("given", "wanted", "items", "sums", "log1p", "place")),
    ]


class _Asked(Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("recent", "rows")),
        *((name, c_int64) for name in ("n_recent", "n_rows")),
        ("log_length", c_double),
    ]


def features_over(behaviour: Behaviour) -> Features:
    """Return what computes features: our own C where it can run, else numpy."""
    try:
        return KernelFeatures(load_library(), behaviour)
    except Unavailable:
        return Features(behaviour)


class KernelFeatures(Features):
    """Features by a loaded library (`app.engine.native`)."""

    def __init__(self, library: CDLL, behaviour: Behaviour) -> None:
        """Prepare for a catalogue; nothing of it is copied that is contiguous.

        Raises:
            BundleError: the parts disagree on the number of items.
        """
        super().__init__(behaviour)
        self._library = library
        self._held: list[npt.NDArray[Any]] = []  # what the facts point to lives as long as we do
        tables, taste = tuple(behaviour.tables.values()), behaviour.taste
        if not len(taste.given) == len(taste.wanted) == self.n_items:
            raise BundleError("what was learned is of another number of items")
        sums = np.zeros((RECENT + 1, len(tables) + 1, 3, RECENT), np.float32)
        for n, each in enumerate(self._sums):
            sums[n, :, :, :n] = each
        self._facts = _Facts(
            tables=(_Table * len(tables))(
                *(
                    _Table(
                        *(self._hold(near.rows, np.int32), self._hold(near.weights, np.float32)),
                        *near.rows.shape,
                    )
                    for near in tables
                )
            ),
            n_tables=len(tables),
            n_items=self.n_items,
            dim=taste.given.shape[1],
            given=self._hold(taste.given, np.float32),
            wanted=self._hold(taste.wanted, np.float32),
            items=self._hold(behaviour.items, np.float32),
            sums=self._hold(sums, np.float32),
            log1p=self._hold(np.log1p(np.arange(self.n_items)), np.float32),
            place=self._hold(self._place, np.int32),
        )

    def compute(
        self, recents: Sequence[Rows], lengths: Sequence[int], candidates: Sequence[Rows]
    ) -> Matrix:
        """See `Features`.

        Raises:
            IndexError: a row is none of the catalogue's, nothing was taken, or candidates repeat.
            MemoryError: there is none.
        """
        taken = [np.ascontiguousarray(recent[:RECENT], np.int64) for recent in recents]
        rows = [np.ascontiguousarray(each, np.int64) for each in candidates]
        asked = (_Asked * len(rows))(
            *(
                _Asked(address(recent), address(mine), len(recent), len(mine), math.log(length))
                for recent, mine, length in zip(taken, rows, lengths, strict=True)
            )
        )
        n = sum(map(len, rows))
        out = np.empty((len(self.names), n), np.float32)
        failed = self._library.describe_all(
            ctypes.byref(self._facts), asked, c_int64(len(rows)), pointer(out), c_int64(n)
        )
        if failed:
            raise MemoryError if failed == 1 else IndexError("rows that are not the catalogue's")
        return out

    def _hold(self, array: npt.NDArray[Any], kind: type[np.number[Any]]) -> int:
        held = np.ascontiguousarray(array, kind)
        self._held.append(held)
        return address(held)
