"""What words match, over flat arrays: words that are spelt alike, and the rows that hold them.

Which words a query means, and what a match is worth, `app.engine.retrieval.vocabulary` decides.
"""

import ctypes
from ctypes import CDLL, Structure, c_double, c_int32, c_int64, c_void_p
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from app.core.errors import BundleError
from app.core.types import Rows, Vector
from app.engine.kernels.loader import Unavailable, address, load_library, pointer

LEAST_SIMILARITY: Final = 0.55
MAX_SIMILAR: Final = 64
"""Vocabulary words that one query word may stand for, the most similar ones."""

RowNumbers: TypeAlias = npt.NDArray[np.int32]
"""Rows as they lie in the bundle: half as much to remember."""

Found: TypeAlias = tuple[RowNumbers, Vector]
"""int32[m] rows, ascending, each once, and float32[m], a value of each."""


@dataclass(frozen=True, slots=True)
class Postings:
    """Which rows hold each of V words: word w has places offsets[w] … offsets[w + 1].

    offsets: int64[V + 1]; rows: int32, ascending within a word; impacts: float32; titled: bool,
    whether the title holds the word, not only the text.
    """

    offsets: Rows
    rows: RowNumbers
    impacts: Vector
    titled: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Trigrams:
    """Which of V words hold each of G trigrams.

    codes: int64[G], ascending; offsets: int64[G + 1] into words: int32, ascending within a trigram;
    counts: int32[V], distinct trigrams of each word.
    """

    codes: Rows
    offsets: Rows
    words: RowNumbers
    counts: npt.NDArray[np.int32]


class Matching(Protocol):
    """Matches over the arrays of one index. Not for several threads at once."""

    def similar(self, codes: Rows) -> tuple[Rows, Vector]:
        """Return the words most similar to one with these trigrams, and how similar they are.

        That is int64[s] words, best first and then in their order, s ≤ MAX_SIMILAR, and float32[s],
        their Dice coefficients of trigrams, from LEAST_SIMILARITY on. `codes`: int64, ascending.
        """
        ...

    def matched(self, words: Rows, word_weights: Vector) -> tuple[Found, Found]:
        """Return the rows that hold any of the words, and those whose title does.

        The best of the words counts: by impact times its worth, in titles by its worth.
        """
        ...

    def either(self, one: Found, other: Found) -> Found:
        """Return the rows of both, with the higher value."""
        ...


class NumpyMatching:
    """The port in numpy."""

    def __init__(self, postings: Postings, trigrams: Trigrams) -> None:
        """Take the arrays; none is copied."""
        self._postings, self._trigrams = postings, trigrams

    def similar(self, codes: Rows) -> tuple[Rows, Vector]:
        """See `Matching`."""
        index = self._trigrams
        lists = np.searchsorted(index.codes, codes)
        # A code that the index lacks lands on its successor, or behind the last one.
        known = index.codes.take(lists, mode="clip") == codes if len(index.codes) else []
        shared = np.bincount(index.words[places_of(index.offsets, lists[known])[0]])
        found = np.flatnonzero(shared)
        dice = 2 * shared[found] / (index.counts[found] + len(codes))
        close = dice >= LEAST_SIMILARITY
        found, dice = found[close], dice[close]
        best = np.argsort(-dice, kind="stable")[:MAX_SIMILAR]
        return found[best], dice[best].astype(np.float32)

    def matched(self, words: Rows, word_weights: Vector) -> tuple[Found, Found]:
        """See `Matching`."""
        postings = self._postings
        places, bounds = places_of(postings.offsets, words)
        weights = np.repeat(word_weights, np.diff(bounds))
        rows, impacts = postings.rows.take(places), postings.impacts.take(places) * weights
        titled = np.flatnonzero(postings.titled.take(places))
        titles, weights = rows.take(titled), weights.take(titled)
        if len(words) > 1:
            return _best(rows, impacts), _best(titles, weights)
        return (rows, impacts), (titles, weights)

    def either(self, one: Found, other: Found) -> Found:
        """See `Matching`."""
        rows, values = (np.concatenate(each) for each in zip(one, other, strict=True))
        return _best(rows, values)


def places_of(offsets: Rows, pieces: Rows | RowNumbers) -> tuple[Rows, Rows]:
    """Return (int64[t] places, piece by piece, int64[p + 1] where each begins and ends).

    Piece i is places offsets[i] … offsets[i + 1] of a flat array.
    """
    starts = offsets.take(pieces)
    lengths = offsets.take(pieces + 1) - starts
    bounds = np.zeros(len(pieces) + 1, np.int64)
    np.cumsum(lengths, out=bounds[1:])
    places = np.repeat(starts - bounds[:-1], lengths)
    places += np.arange(len(places))
    return places, bounds


def _best(rows: RowNumbers, values: Vector) -> Found:
    """Return each row once, ascending, and the highest of its values."""
    if not len(rows):
        return np.empty(0, np.int32), np.empty(0, np.float32)
    order = rows.argsort(kind="stable")
    ordered = rows.take(order)
    new = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    starts = new.nonzero()[0]
    return ordered.take(starts), np.maximum.reduceat(values.take(order), starts)


# The port `Matching` on our own C, `matching_kernel.c`: a few calls for each word that is new.
#
# Here is the layout that the C file reads; what it trusts in the arrays is checked when they are
# taken.


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
    """Matches by a loaded library (`app.engine.kernels.loader`)."""

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
        self._similar = np.empty(MAX_SIMILAR, np.int64), np.empty(MAX_SIMILAR, np.float64)
        self._similar_at = [pointer(array) for array in self._similar]
        self._room = _Room(1024)

    def similar(self, codes: Rows) -> tuple[Rows, Vector]:
        """See `Matching`."""
        n = self._library.similar(
            *(ctypes.byref(self._index), pointer(codes), c_int64(len(codes))),
            *(c_double(LEAST_SIMILARITY), c_int64(MAX_SIMILAR), *self._similar_at),
        )
        words, dice = self._similar
        return words[:n].copy(), dice[:n].astype(np.float32)

    def matched(self, words: Rows, word_weights: Vector) -> tuple[Found, Found]:
        """See `Matching`."""
        total = int((self._offsets.take(words + 1) - self._offsets.take(words)).sum())
        room = self._room_for(total)
        ends = np.empty(len(words), np.int64)
        asked = (
            ctypes.byref(self._index),
            pointer(words),
            pointer(word_weights),
            c_int64(len(words)),
        )
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
