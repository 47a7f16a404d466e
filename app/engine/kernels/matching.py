"""Word matching: which words are spelt alike, and which rows contain some words.

    similar_words   words w by their Dice coefficient with a query word q, over trigrams:
                    2 · |q ∩ w| / (|q| + |w|), from LEAST_SIMILARITY on, the MAX_SIMILAR highest
    match           rows that contain any of some words, with the highest of weight · impact; and
                    rows whose title contains any of them, with the highest weight
    merge           two such lists as one, with the higher value where a row is in both

Words, rows and trigrams are numbers; the index lies in flat arrays (`Postings`, `Trigrams`). Which
words a query means, and what a match counts, is decided in `app.engine.retrieval.vocabulary`.

Why C (`c/matching.c`): a word that no query had before costs a dozen numpy calls on short arrays,
most of whose time is numpy's own overhead and the interpreter's lock. `NumpyMatching` is the oracle
of the tests and runs where C cannot.
"""

import ctypes
from ctypes import CDLL, Structure, c_double, c_int32, c_int64, c_void_p
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from app.core.bounds import are_below, are_offsets
from app.core.errors import BundleError
from app.core.types import Rows, Vector
from app.engine.kernels.loader import (
    Signature,
    Unavailable,
    address,
    bind,
    load_library,
    struct_layout,
)

LEAST_SIMILARITY: Final = 0.55
"""Dice coefficient of trigrams from which on a word is similar."""

MAX_SIMILAR: Final = 64
"""Vocabulary words that one query word may stand for, the most similar ones."""

RowNumbers: TypeAlias = npt.NDArray[np.int32]
"""Rows as they lie in the bundle: half the memory of `Rows`."""

Matches: TypeAlias = tuple[RowNumbers, Vector]
"""int32[m] rows, ascending, each once, and float32[m], a value of each."""


# ---- Port ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Postings:
    """Which rows contain each of V words: word w has the postings offsets[w] … offsets[w + 1].

    offsets: int64[V + 1]; rows: int32, ascending within a word; impacts: float32; titled: bool,
    whether the title contains the word, and not only the text.
    """

    offsets: Rows
    rows: RowNumbers
    impacts: Vector
    titled: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Trigrams:
    """Which of V words contain each of G trigrams.

    codes: int64[G], ascending; offsets: int64[G + 1] into words: int32, ascending within a trigram;
    counts: int32[V], distinct trigrams of each word.
    """

    codes: Rows
    offsets: Rows
    words: RowNumbers
    counts: npt.NDArray[np.int32]


class Matching(Protocol):
    """Matches over the arrays of one index. It owns buffers: one thread at a time."""

    def similar_words(self, codes: Rows) -> tuple[Rows, Vector]:
        """Return the words most similar to one with these trigrams, and how similar they are.

        That is int64[s] words, best first, ties by word, s ≤ MAX_SIMILAR; and float32[s], their
        Dice coefficients, from LEAST_SIMILARITY on. `codes`: int64, ascending.
        """
        ...

    def match(self, words: Rows, word_weights: Vector) -> tuple[Matches, Matches]:
        """Return the rows that contain any of the words, and those whose title does.

        The best of the words counts: by impact times weight, in titles by weight.
        """
        ...

    def merge(self, one: Matches, other: Matches) -> Matches:
        """Return the rows of both, with the higher value."""
        ...


def matching_over(postings: Postings, trigrams: Trigrams) -> Matching:
    """Return a `Matching` over these arrays: our own C where it can run, else numpy.

    Raises:
        BundleError: the arrays point beyond each other.
    """
    try:
        return KernelMatching(load_library(), postings, trigrams)
    except Unavailable:
        return NumpyMatching(postings, trigrams)


# ---- Numpy ---------------------------------------------------------------------------------------


class NumpyMatching:
    """The port in numpy."""

    def __init__(self, postings: Postings, trigrams: Trigrams) -> None:
        """Take the arrays; none is copied."""
        self._postings, self._trigrams = postings, trigrams

    def similar_words(self, codes: Rows) -> tuple[Rows, Vector]:
        """See `Matching`."""
        index = self._trigrams
        lists = np.searchsorted(index.codes, codes)
        # A code that the index lacks lands on its successor, or behind the last one.
        known = index.codes.take(lists, mode="clip") == codes if len(index.codes) else []
        shared = np.bincount(index.words[positions_of(index.offsets, lists[known])[0]])
        words = np.flatnonzero(shared)
        dice = 2 * shared[words] / (index.counts[words] + len(codes))
        close = dice >= LEAST_SIMILARITY
        words, dice = words[close], dice[close]
        best = np.argsort(-dice, kind="stable")[:MAX_SIMILAR]
        return words[best], dice[best].astype(np.float32)

    def match(self, words: Rows, word_weights: Vector) -> tuple[Matches, Matches]:
        """See `Matching`."""
        postings = self._postings
        positions, bounds = positions_of(postings.offsets, words)
        weights = np.repeat(word_weights, np.diff(bounds))
        rows, impacts = postings.rows.take(positions), postings.impacts.take(positions) * weights
        titled = np.flatnonzero(postings.titled.take(positions))
        titles, weights = rows.take(titled), weights.take(titled)
        if len(words) > 1:
            return _highest_of_each(rows, impacts), _highest_of_each(titles, weights)
        return (rows, impacts), (titles, weights)

    def merge(self, one: Matches, other: Matches) -> Matches:
        """See `Matching`."""
        rows, values = (np.concatenate(each) for each in zip(one, other, strict=True))
        return _highest_of_each(rows, values)


def positions_of(offsets: Rows, lists: Rows | RowNumbers) -> tuple[Rows, Rows]:
    """Return the positions of some lists in a flat array, list after list.

    List i has the positions offsets[i] … offsets[i + 1].

    Returns:
        int64[t] positions, and int64[len(lists) + 1], where each list begins and ends among them.
    """
    starts = offsets.take(lists)
    lengths = offsets.take(lists + 1) - starts
    bounds = np.zeros(len(lists) + 1, np.int64)
    np.cumsum(lengths, out=bounds[1:])
    positions = np.repeat(starts - bounds[:-1], lengths)
    positions += np.arange(len(positions))
    return positions, bounds


def _highest_of_each(rows: RowNumbers, values: Vector) -> Matches:
    """Return each row once, ascending, and the highest of its values."""
    if not len(rows):
        return np.empty(0, np.int32), np.empty(0, np.float32)
    order = rows.argsort(kind="stable")
    ordered = rows.take(order)
    new = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    starts = new.nonzero()[0]
    return ordered.take(starts), np.maximum.reduceat(values.take(order), starts)


# ---- Binding of c/matching.c ---------------------------------------------------------------------


class _Index(Structure):
    """`Index` in C: addresses of the arrays of `Postings` and `Trigrams`, and of two buffers."""

    _fields_ = [
        ("offsets", c_void_p),
        ("rows", c_void_p),
        ("impacts", c_void_p),
        ("titled", c_void_p),
        ("codes", c_void_p),
        ("lists", c_void_p),
        ("n_codes", c_int64),
        ("words", c_void_p),
        ("counts", c_void_p),
        ("shared", c_void_p),
        ("touched", c_void_p),
    ]


_P, _N = c_void_p, c_int64
_FUNCTIONS: Final[dict[str, Signature]] = {
    # index, codes, n, least, most, words, dice
    "similar_words": (_N, (_P, _P, _N, c_double, _N, _P, _P)),
    # index, words, weights, n, titles, rows, values, spare rows, spare values, ends
    "match_rows": (_N, (_P, _P, _P, _N, c_int32, _P, _P, _P, _P, _P)),
    # rows, values and number of both, rows, values
    "merge_matches": (_N, (_P, _P, _N, _P, _P, _N, _P, _P)),
}


class KernelMatching:
    """The port by a loaded library (`app.engine.kernels.loader`)."""

    def __init__(self, library: CDLL, postings: Postings, trigrams: Trigrams) -> None:
        """Take the arrays, which are contiguous; none is copied.

        C trusts what lies in them, so it is checked here.

        Raises:
            BundleError: they point beyond each other.
            KernelMismatch: C and this file disagree.
        """
        bind(library, "matching", _FUNCTIONS, struct_layout(_Index))
        n = len(trigrams.counts)
        sound = (
            are_offsets(postings.offsets, len(postings.rows), n)
            and are_offsets(trigrams.offsets, len(trigrams.words), len(trigrams.codes))
            and are_below(trigrams.words, n)
            and np.array_equal(np.bincount(trigrams.words, minlength=n), trigrams.counts)
        )
        if not sound:
            raise BundleError("the lexical index of the bundle is inconsistent")
        self._library = library
        self._offsets = postings.offsets
        # One entry a word. `shared` has zeros between two calls.
        shared, touched = np.zeros(n, np.int32), np.empty(n, np.int32)
        # The struct has only addresses: the arrays must live as long as this object.
        self._arrays = (postings, trigrams, shared, touched)
        self._index = _Index(
            offsets=address(postings.offsets),
            rows=address(postings.rows),
            impacts=address(postings.impacts),
            titled=address(postings.titled),
            codes=address(trigrams.codes),
            lists=address(trigrams.offsets),
            n_codes=len(trigrams.codes),
            words=address(trigrams.words),
            counts=address(trigrams.counts),
            shared=address(shared),
            touched=address(touched),
        )
        self._index_at = ctypes.addressof(self._index)
        self._similar = np.empty(MAX_SIMILAR, np.int64)
        self._dice = np.empty(MAX_SIMILAR, np.float64)
        self._similar_at, self._dice_at = address(self._similar), address(self._dice)
        self._buffer = _Buffer(1024)

    def similar_words(self, codes: Rows) -> tuple[Rows, Vector]:
        """See `Matching`."""
        n = self._library.similar_words(
            self._index_at,
            address(codes),
            len(codes),
            LEAST_SIMILARITY,
            MAX_SIMILAR,
            self._similar_at,
            self._dice_at,
        )
        return self._similar[:n].copy(), self._dice[:n].astype(np.float32)

    def match(self, words: Rows, word_weights: Vector) -> tuple[Matches, Matches]:
        """See `Matching`."""
        total = int((self._offsets.take(words + 1) - self._offsets.take(words)).sum())
        buffer = self._buffer_for(total)
        ends = np.empty(len(words), np.int64)
        words_at, weights_at, ends_at = address(words), address(word_weights), address(ends)
        items, titles = (
            buffer.first(
                self._library.match_rows(
                    self._index_at,
                    words_at,
                    weights_at,
                    len(words),
                    in_titles,
                    buffer.rows_at,
                    buffer.values_at,
                    buffer.spare_rows_at,
                    buffer.spare_values_at,
                    ends_at,
                )
            )
            for in_titles in (0, 1)
        )
        return items, titles

    def merge(self, one: Matches, other: Matches) -> Matches:
        """See `Matching`."""
        buffer = self._buffer_for(len(one[0]) + len(other[0]))
        n = self._library.merge_matches(
            address(one[0]),
            address(one[1]),
            len(one[0]),
            address(other[0]),
            address(other[1]),
            len(other[0]),
            buffer.rows_at,
            buffer.values_at,
        )
        return buffer.first(n)

    def _buffer_for(self, n: int) -> "_Buffer":
        if self._buffer.size < n:
            self._buffer = _Buffer(2 * n)
        return self._buffer


class _Buffer:
    """Room for `size` rows and values, twice: C merges lists from one half into the other.

    It is kept between calls with its addresses, because each look-up of one takes time.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._rows, self._values = np.empty(size, np.int32), np.empty(size, np.float32)
        self._spare_rows, self._spare_values = (
            np.empty_like(self._rows),
            np.empty_like(self._values),
        )
        self.rows_at, self.values_at = address(self._rows), address(self._values)
        self.spare_rows_at = address(self._spare_rows)
        self.spare_values_at = address(self._spare_values)

    def first(self, n: int) -> Matches:
        # Copies: a view would keep the whole buffer as long as the word is remembered.
        return self._rows[:n].copy(), self._values[:n].copy()
