"""Sets of texts as sorted hashes: twelve bytes a text, for titles and the words of titles.

A million titles as Python strings take a hundred megabytes. Here a text is its 64-bit hash, so a
set may say yes to a text that it does not have once in about 2**44 questions. Hashes of Python
differ between processes, so these sets are never stored.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

_MOST_CHANGES: Final = 4096
"""Changes that are kept beside the sorted hashes; more are merged into them."""

_CHUNK: Final = 1 << 20


class HashCounts:
    """How often each text occurs; immutable."""

    __slots__ = ("_changes", "_counts", "_keys")

    def __init__(
        self,
        keys: npt.NDArray[np.int64],
        counts: npt.NDArray[np.uint32],
        changes: Mapping[int, int],
    ) -> None:
        """Take ascending hashes, their counts, and by hash how many more or fewer there are."""
        # Memoryviews return plain Python numbers: several times faster to read one by one.
        self._keys, self._counts, self._changes = keys.data, counts.data, changes

    def count(self, text: str) -> int:
        """Return how often a text occurs."""
        key = hash(text)
        at = bisect_left(self._keys, key)
        found = at < len(self._keys) and self._keys[at] == key
        count = self._counts[at] if found else 0
        return count + self._changes.get(key, 0) if self._changes else count

    def changed(self, added: Iterable[str], removed: Iterable[str]) -> "HashCounts":
        """Return the counts after a change."""
        changes = dict(self._changes)
        for texts, step in ((added, 1), (removed, -1)):
            for text in texts:
                key = hash(text)
                changes[key] = changes.get(key, 0) + step
        if changes == self._changes:
            return self
        keys, counts = np.asarray(self._keys), np.asarray(self._counts)
        if len(changes) <= _MOST_CHANGES:
            return HashCounts(keys, counts, changes)
        more = np.fromiter(changes, np.int64, len(changes))
        by = np.fromiter(changes.values(), np.int64, len(changes))
        return HashCounts(*_summed((keys, more), (counts.astype(np.int64), by)), {})

    @property
    def n_bytes(self) -> int:
        """How much memory it takes, about."""
        return self._keys.nbytes + self._counts.nbytes + 100 * len(self._changes)


class HashCounter:
    """Counts texts one by one, in little memory."""

    def __init__(self) -> None:
        self._keys = np.empty(0, np.int64)
        self._counts = np.empty(0, np.int64)
        self._new = array("q")

    def add(self, text: str) -> None:
        """Count a text once more."""
        self._new.append(hash(text))
        if len(self._new) >= _CHUNK:
            self._merge()

    def counts(self) -> HashCounts:
        """Return what was counted."""
        self._merge()
        return HashCounts(self._keys, self._counts.astype(np.uint32), {})

    def _merge(self) -> None:
        new, self._new = np.array(self._new, np.int64), array("q")
        keys, counts = np.unique(new, return_counts=True)
        self._keys, total = _summed((self._keys, keys), (self._counts, counts))
        self._counts = total.astype(np.int64)


def _summed(
    keys: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    counts: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
    """Return the union of the keys, and the sum of their counts; those of 0 are left out."""
    distinct, place = np.unique(np.concatenate(keys), return_inverse=True)
    sums = np.bincount(place, np.concatenate(counts), len(distinct)).astype(np.int64)
    kept = sums > 0
    return distinct[kept], sums[kept].astype(np.uint32)
