"""The words of a catalogue that changes: the index of its bundle, and small ones of what changed.

All are searched for every query; what the first says of a changed row does not count. Words weigh
what they weigh in the bundle, so that an item scores the same in any of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from app.core.types import Mask, Rows
from app.engine.kernels.topk import Piece, WeightedScores
from app.engine.retrieval.lexical import WordIndex
from app.engine.retrieval.lexicon import Statistics, lexicon_arrays

_RECENT: Final = 64
"""Rows that the segment of what changed lately may hold; and one in so many of all that changed."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The index of some rows that changed: int64[c] rows, in the order of its items."""

    rows: Rows
    index: WordIndex
    replaced: Piece = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "replaced", Piece(self.rows.astype(np.int32), None))

    def instead(self, pieces: Sequence[WeightedScores]) -> list[WeightedScores]:
        """Return what its index says, in rows of the catalogue, in place of what was said before.

        Pieces that add nothing are left out.
        """
        mine = ((self.replaced.rows[piece.rows], piece.values, weight) for piece, weight in pieces)
        added = [(Piece(rows, values), weight) for rows, values, weight in mine if rows.size]
        return [(self.replaced, 0.0), *added]


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

    def items(self, query: str) -> list[WeightedScores]:
        """See `Words`."""
        found = self._main.items(query)
        for segment in self._segments:
            found += segment.instead(segment.index.items(query))
        return found

    def titles(self, query: str) -> list[WeightedScores]:
        """See `Words`."""
        found, weights = self._main.titles(query), self._main.weights(query)
        for segment in self._segments:
            found += segment.instead(segment.index.titles_by(query, weights))
        return found

    def with_title(self, query: str, rows: Rows) -> Mask:
        """See `Words`."""
        main = len(self._main)
        found = np.zeros(len(rows), np.bool_)
        found[rows < main] = self._main.with_title(query, rows[rows < main])
        for segment in self._segments:
            order = np.argsort(segment.rows)
            places = order[np.searchsorted(segment.rows, rows, sorter=order) % len(order)]
            inside = segment.rows[places] == rows
            found[inside] = segment.index.with_title(query, places[inside])
        return found
