"""Finds the words of a vocabulary by how they begin, or by how they end.

The words that begin alike follow each other in the vocabulary, which is sorted. The bundle has a
second order, by their bytes from the last to the first, for those that end alike. The first eight
bytes of a word, in either order, are one number: so one search among numbers finds where the words
begin. The work that follows is bounded: of many such words only the most frequent count.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from app.core.types import Rows
from app.domain.columns import StringColumn
from app.engine.kernels.matching import RowNumbers

MAX_WORDS: Final = 64
"""Words that one beginning or ending may stand for."""

MAX_POSTINGS: Final = 100_000
"""Postings that those words may have together, beside the first of them."""

_MAX_RANGE: Final = 50_000
"""Words whose frequencies are compared."""

_BYTES: Final = 8
_NO_WORDS: Final[Rows] = np.empty(0, np.int64)

_Heads: TypeAlias = npt.NDArray[np.uint64]


class WordEnds:
    """Beginnings and endings of V words."""

    def __init__(self, words: StringColumn, by_ending: RowNumbers, offsets: Rows) -> None:
        """Take the words, sorted by their bytes; `ending/words`; and int64[V + 1] of postings."""
        self._words, self._by_ending, self._offsets = words, by_ending, offsets
        data, bounds = words.arrays
        last = by_ending.astype(np.int64)
        # Views that return plain Python numbers: searched in a fraction of numpy's time.
        self._starts = _heads(data, bounds[:-1], bounds[1:], 1).data
        self._endings = _heads(data, bounds[last + 1] - 1, bounds[last] - 1, -1).data

    def beginning_with(self, start: str) -> Rows:
        """Return int64[s], the most frequent words that begin with a text, but not the text."""
        first = start.encode()
        low, high = _range(self._starts, first)
        if low == high:
            return _NO_WORDS
        found = np.arange(low, high)
        if len(first) >= _BYTES or self._words.raw(low) == first:
            found = self._where(found, lambda word: word.startswith(first) and word != first)
        return self.most_frequent(found)

    def begins_longer(self, start: str) -> bool:
        """Tell whether a word begins with a text and is longer."""
        first = start.encode()
        at = bisect_left(self._starts, _least(first))
        while at < len(self._starts):
            word = self._words.raw(at)
            if word.startswith(first) and word != first:
                return True
            if word > first:
                return False
            at += 1
        return False

    def ending_in(self, end: str) -> Rows:
        """Return int64[s], the most frequent long words that end in a text, but not the text."""
        last = end.encode()
        low, high = _range(self._endings, last[::-1])
        if low == high:
            return _NO_WORDS
        found: Rows | RowNumbers = self._by_ending[low:high]
        if len(last) >= _BYTES:
            found = self._where(found, lambda word: word.endswith(last) and word != last)
        return self.most_frequent(found)

    def most_frequent(self, words: Rows | RowNumbers) -> Rows:
        """Return int64[s], the most frequent of some words, as many as one word may stand for."""
        if len(words) <= 1:
            return words.astype(np.int64)
        frequency = self._offsets.take(words + 1) - self._offsets.take(words)
        order = np.argsort(-frequency, kind="stable")[:MAX_WORDS]
        total = np.cumsum(frequency.take(order))
        fitting = max(int(np.searchsorted(total, MAX_POSTINGS, side="right")), 1)
        return words.take(order[:fitting]).astype(np.int64)

    def _where(self, words: Rows | RowNumbers, fits: Callable[[bytes], bool]) -> Rows:
        kept = [number for number in words.tolist() if fits(self._words.raw(number))]
        return np.array(kept, np.int64)


def _heads(data: npt.NDArray[np.uint8], starts: Rows, ends: Rows, step: int) -> _Heads:
    """Return uint64[m], the eight bytes from each start on, zeros behind its end."""
    heads = np.zeros(len(starts), np.uint64)
    for distance in range(_BYTES):
        at = starts + step * distance
        inside = (ends - at) * step > 0
        byte = data.take(np.where(inside, at, 0)) if len(data) else np.zeros(0, np.uint8)
        heads = (heads << np.uint64(8)) | np.where(inside, byte, 0).astype(np.uint64)
    return heads


def _least(prefix: bytes) -> int:
    """Return the least head of what begins with a prefix."""
    return int.from_bytes(prefix[:_BYTES].ljust(_BYTES, b"\0"))


def _range(heads: memoryview, prefix: bytes) -> tuple[int, int]:
    """Return the first and last + 1 position of the heads that begin with a prefix."""
    low = _least(prefix)
    high = int.from_bytes(prefix[:_BYTES].ljust(_BYTES, b"\xff"))
    first = bisect_left(heads, low)
    last = bisect_right(heads, high, first)
    return first, min(last, first + _MAX_RANGE)
