"""The port `Matching` on our own C, `matching_kernel.c`: a few calls for each word that is new.

Here is the layout that the C file reads; what it trusts in the arrays is checked when they are
taken.
"""

import ctypes
from ctypes import CDLL, Structure, c_double, c_int32, c_int64, c_void_p

import numpy as np

from app.engine.matching import (
    LEAST_SIMILARITY,
    MAX_SIMILAR,
    Found,
    Matching,
    NumpyMatching,
    Postings,
    Trigrams,
)
from app.engine.native import Unavailable, address, load_library, pointer
from app.errors import BundleError
from app.types import Rows, Vector


class _Index(Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("offsets", "rows", "impacts", "titled", "codes", "lists")),
        ("n_codes", c_int64),
        *((name, c_void_p) for name in ("words", "counts", "shared", "touched")),
    ]


def matching_over(postings: Postings, trigrams: Trigrams) -> Matching:
    """Return what matches over these arrays: our own C where it can run, else numpy.

    Raises:
        BundleError: the arrays point beyond each other.
    """
    try:
        return KernelMatching(load_library(), postings, trigrams)
    except Unavailable:
        return NumpyMatching(postings, trigrams)


class KernelMatching:
    """Matches by a loaded library (`app.engine.native`)."""

    def __init__(self, library: CDLL, postings: Postings, trigrams: Trigrams) -> None:
        """Take the arrays, which are contiguous; none is copied. Raises `BundleError`."""
        n = len(trigrams.counts)
        words = trigrams.words
        rising = (np.diff(each.offsets) >= 0 for each in (postings, trigrams))
        inside = not len(words) or (words.min() >= 0 and words.max() < n)
        if not (all(each.all() for each in rising) and inside and len(postings.offsets) == n + 1):
            raise BundleError("the lexical index of the bundle is inconsistent")
        self._offsets = postings.offsets
        self._held = (
            *(postings.offsets, postings.rows, postings.impacts, postings.titled),
            *(trigrams.codes, trigrams.offsets, words, trigrams.counts),
            *(np.zeros(n, np.int32), np.empty(n, np.int32)),
        )
        at = [address(array) for array in self._held]
        self._index = _Index(*at[:6], len(trigrams.codes), *at[6:])
        for function in (library.similar, library.matched, library.either):
            function.restype = c_int64
        self._library = library
        self._alike = np.empty(MAX_SIMILAR, np.int64), np.empty(MAX_SIMILAR, np.float64)
        self._alike_at = [pointer(array) for array in self._alike]
        self._room = _Room(1024)

    def similar(self, codes: Rows) -> tuple[Rows, Vector]:
        """See `Matching`."""
        n = self._library.similar(
            *(ctypes.byref(self._index), pointer(codes), c_int64(len(codes))),
            *(c_double(LEAST_SIMILARITY), c_int64(MAX_SIMILAR), *self._alike_at),
        )
        words, dice = self._alike
        return words[:n].copy(), dice[:n].astype(np.float32)

    def matched(self, words: Rows, worth: Vector) -> tuple[Found, Found]:
        """See `Matching`."""
        total = int((self._offsets.take(words + 1) - self._offsets.take(words)).sum())
        room = self._room_for(total)
        ends = np.empty(len(words), np.int64)
        asked = ctypes.byref(self._index), pointer(words), pointer(worth), c_int64(len(words))
        out = *room.at, *room.spare_at, pointer(ends)
        items = room.first(self._library.matched(*asked, c_int32(0), *out))
        return items, room.first(self._library.matched(*asked, c_int32(1), *out))

    def either(self, one: Found, other: Found) -> Found:
        """See `Matching`."""
        room = self._room_for(len(one[0]) + len(other[0]))
        n = self._library.either(
            *(*map(pointer, one), c_int64(len(one[0]))),
            *(*map(pointer, other), c_int64(len(other[0]))),
            *room.at,
        )
        return room.first(n)

    def _room_for(self, n: int) -> "_Room":
        if self._room.size < n:
            self._room = _Room(2 * n)
        return self._room


class _Room:
    """Where rows and values are put, and as much to spare; kept, for an address costs a look-up."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._rows, self._values = np.empty(size, np.int32), np.empty(size, np.float32)
        self._spare = np.empty(size, np.int32), np.empty(size, np.float32)
        self.at = pointer(self._rows), pointer(self._values)
        self.spare_at = tuple(map(pointer, self._spare))

    def first(self, n: int) -> Found:
        # Copied: what is remembered shall hold no more than it has.
        return self._rows[:n].copy(), self._values[:n].copy()
