"""The words of a catalogue that changes: the index of its bundle, and small ones of what changed.

All are searched for every query; what the first says of a changed row does not count. Words weigh
what they weigh in the bundle, so that an item scores the same in any of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.engine.attributes import Mask
from app.engine.words import WordIndex, highest_words
from app.lexicon import Statistics, lexicon_arrays
from app.types import Rows, Vector

_RECENT: Final = 64
"""Rows that the segment of what changed lately may hold; and one in so many of all that changed."""

_NO_ROWS: Rows = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Segment:
    """The index of some rows that changed: int64[c] rows, in the order of its items."""

    rows: Rows
    index: WordIndex


class LiveWords:
    """The words of `n_rows` rows. Implements `Words`."""

    def __init__(self, main: WordIndex, n_rows: int, segments: tuple[Segment, ...] = ()) -> None:
        """Start with an index of the first rows; segments say better, the last one best."""
        self._main, self._n, self._segments = main, n_rows, segments

    def over(self, n_rows: int) -> "LiveWords":
        """Return the same for more rows."""
        return LiveWords(self._main, n_rows, self._segments)

    @property
    def rows(self) -> tuple[int, ...]:
        """Return the rows that segments hold, each once."""
        return tuple(dict.fromkeys(row for part in self._segments for row in part.rows.tolist()))

    def segments_of(
        self, texts: Mapping[int, tuple[str | None, str]], fresh: Iterable[int]
    ) -> tuple[Segment, ...]:
        """Return the segments for when some rows have changed; they are not used yet.

        Making a segment takes as long as it is large, so what changed lately is in a small one of
        its own, and only now and then all of it is put into one.

        Args:
            texts: row -> title and text, of all `rows` that are still there, and the fresh ones.
            fresh: those that change now.
        """
        held = self._segments[1:]
        recent = dict.fromkeys([*(row for part in held for row in part.rows.tolist()), *fresh])
        mine = {row: texts[row] for row in recent if row in texts}
        if self._segments and len(mine) <= max(_RECENT, len(texts) // _RECENT):
            return (self._segments[0], self._segment(mine)) if mine else self._segments
        return (self._segment(texts),) if texts else ()

    def _segment(self, texts: Mapping[int, tuple[str | None, str]]) -> Segment:
        titles, whole = zip(*texts.values(), strict=True)
        statistics = Statistics(self._main.idf, self._main.words_per_item)
        arrays = lexicon_arrays(titles, whole, statistics)
        return Segment(np.array(list(texts), np.int64), WordIndex(arrays))

    def use(self, segments: tuple[Segment, ...]) -> None:
        """Search these segments from now on."""
        self._segments = segments

    def search(
        self, query: str, size: int, hidden: Rows = _NO_ROWS, blocked: Mask | None = None
    ) -> tuple[Rows, Vector]:
        """Return the rows that match the words of a query best; see `WordIndex.search`."""
        rows, scores = self._main.impacts(query)
        for segment in self._segments:
            old = np.isin(rows, segment.rows)
            mine, found = segment.index.impacts(query)
            rows = np.concatenate([rows[~old], segment.rows.take(mine)])
            scores = np.concatenate([scores[~old], found])
        if self._segments:
            order = np.argsort(rows)
            rows, scores = rows.take(order), scores.take(order)
        return highest_words(rows, scores, size, hidden, blocked)

    def coverage(self, query: str, rows: Rows) -> Vector:
        """Return how much of a query the titles of the rows hold; see `WordIndex.coverage`."""
        covered = np.zeros(self._n, np.float32)
        weights = self._main.weights(query)
        self._main.add_coverage(query, weights, covered)
        for segment in self._segments:
            found = np.zeros(len(segment.rows), np.float32)
            segment.index.add_coverage(query, weights, found)
            covered[segment.rows] = found
        return np.minimum(covered.take(rows), 1.0)
