"""The words of a catalogue that changes: the index of its bundle, and a small one of what changed.

Both are searched for every query; what the first says of a changed row does not count. Words weigh
what they weigh in the bundle, so that an item scores the same in either.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from app.engine.attributes import Mask
from app.engine.words import WordIndex, highest_words
from app.lexicon import Statistics, lexicon_arrays
from app.types import Rows, Vector

_NO_ROWS: Rows = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Changed:
    """The index of the rows that changed: int64[c] rows, in the order of its items."""

    rows: Rows
    index: WordIndex


class LiveWords:
    """The words of `n_rows` rows. Implements `Words`."""

    def __init__(self, main: WordIndex, n_rows: int) -> None:
        """Start with an index of the first rows; the others are empty."""
        self._main, self._n = main, n_rows
        self._changed: Changed | None = None

    def over(self, n_rows: int) -> "LiveWords":
        """Return the same for more rows."""
        other = LiveWords(self._main, n_rows)
        other.use(self._changed)
        return other

    def index_of(self, texts: Mapping[int, tuple[str | None, str]]) -> Changed | None:
        """Return the index of changed rows, given their titles and texts; it is not used yet."""
        if not texts:
            return None
        titles, whole = zip(*texts.values(), strict=True)
        statistics = Statistics(self._main.idf, self._main.words_per_item)
        arrays = lexicon_arrays(titles, whole, statistics)
        return Changed(np.array(list(texts), np.int64), WordIndex(arrays))

    def use(self, changed: Changed | None) -> None:
        """Search this index of changed rows from now on."""
        self._changed = changed

    def search(
        self, query: str, size: int, hidden: Rows = _NO_ROWS, blocked: Mask | None = None
    ) -> tuple[Rows, Vector]:
        """Return the rows that match the words of a query best; see `WordIndex.search`."""
        total = np.zeros(self._n, np.float32)
        self._main.add_impacts(query, total)
        if self._changed is not None:
            found = np.zeros(len(self._changed.rows), np.float32)
            self._changed.index.add_impacts(query, found)
            total[self._changed.rows] = found
        total[hidden] = 0.0
        if blocked is not None:
            np.putmask(total, blocked, 0.0)
        return highest_words(total, size)

    def coverage(self, query: str, rows: Rows) -> Vector:
        """Return how much of a query the titles of the rows hold; see `WordIndex.coverage`."""
        covered = np.zeros(self._n, np.float32)
        weights = self._main.weights(query)
        self._main.add_coverage(query, weights, covered)
        if self._changed is not None:
            found = np.zeros(len(self._changed.rows), np.float32)
            self._changed.index.add_coverage(query, weights, found)
            covered[self._changed.rows] = found
        return np.minimum(covered.take(rows), 1.0)
