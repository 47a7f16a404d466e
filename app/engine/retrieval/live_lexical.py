"""The lexical index of a catalogue that changes: the one of its bundle, and small ones on top.

The small indexes, the segments, contain the rows that changed. Every query searches all of them;
for a changed row the index of the bundle does not count. Words have the weights of the bundle, so
that an item gets the same score in each index.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import and_
from typing import Final, TypeAlias

import numpy as np

from app.core.types import Mask, Matrix, Rows
from app.engine.kernels.lexical_features import PairRequest
from app.engine.kernels.topk import Piece, WeightedScores
from app.engine.retrieval.codes import code_of, is_distinctive, is_year
from app.engine.retrieval.lexical import LexicalIndex
from app.engine.retrieval.lexical_arrays import Statistics, lexical_arrays

_NO_ROWS: Final[Rows] = np.empty(0, np.int64)
_RECENT: Final = 64
"""How many rows the segment of recent changes may have: so many, or one in so many of all that
changed."""


ItemText: TypeAlias = tuple[str | None, str, Sequence[str]]
"""Title, whole text and names of an item, as `lexical_arrays` takes them."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The index of int64[c] changed rows, in the order of its items."""

    rows: Rows
    index: LexicalIndex
    replaced: Piece = field(init=False)
    _order: Rows = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "replaced", Piece(self.rows.astype(np.int32), None))
        object.__setattr__(self, "_order", np.argsort(self.rows))

    def positions(self, rows: Rows) -> Rows:
        """Return int64[r]: where int64[r] rows stand in the segment, −1 for those it lacks."""
        order = self._order
        positions = order[np.searchsorted(self.rows, rows, sorter=order) % len(order)]
        return np.where(self.rows[positions] == rows, positions, -1)

    def replacing(self, pieces: Sequence[WeightedScores]) -> list[WeightedScores]:
        """Return the pieces of its index in rows of the catalogue, behind one that clears its rows.

        Pieces without rows are left out.
        """
        replacing = [(self.replaced, 0.0)]
        for piece, weight in pieces:
            if piece.rows.size:
                rows = self.replaced.rows[piece.rows]
                replacing.append((Piece(rows, piece.values), weight))
        return replacing


class LiveLexicalIndex:
    """The words of `n_rows` rows. Implements `LexicalSearch`."""

    def __init__(self, main: LexicalIndex, n_rows: int, segments: tuple[Segment, ...] = ()) -> None:
        """Take the index of the first rows; segments replace what it says, the last one first."""
        self._main, self._n, self._segments = main, n_rows, segments

    def over(self, n_rows: int) -> "LiveLexicalIndex":
        """Return the same for more rows."""
        return LiveLexicalIndex(self._main, n_rows, self._segments)

    @property
    def rows(self) -> tuple[int, ...]:
        """Return the rows of all segments, each once."""
        return tuple(
            dict.fromkeys(row for segment in self._segments for row in segment.rows.tolist())
        )

    def segments_of(
        self, texts: Mapping[int, ItemText], fresh: Iterable[int]
    ) -> tuple[Segment, ...]:
        """Return the segments after a change of some rows; they are not used yet.

        The time to make a segment grows with its size. So recent changes have a small one of their
        own, and only now and then all changes are put into one.

        Args:
            texts: of all `rows` that are still there, and the fresh ones.
            fresh: the rows that change now.
        """
        rows = [row for segment in self._segments[1:] for row in segment.rows.tolist()]
        recent = {row: texts[row] for row in dict.fromkeys([*rows, *fresh]) if row in texts}
        if self._segments and len(recent) <= max(_RECENT, len(texts) // _RECENT):
            return (self._segments[0], self._segment(recent)) if recent else self._segments
        return (self._segment(texts),) if texts else ()

    def _segment(self, texts: Mapping[int, ItemText]) -> Segment:
        titles, whole_texts, names = zip(*texts.values(), strict=True)
        statistics = Statistics(self._main.idf, self._main.words_per_item)
        arrays = lexical_arrays(titles, whole_texts, statistics, names)
        return Segment(np.array(list(texts), np.int64), LexicalIndex(arrays))

    def use(self, segments: tuple[Segment, ...]) -> None:
        """Search these segments from now on."""
        self._segments = segments

    def items(self, query: str) -> list[WeightedScores]:
        """See `LexicalSearch`."""
        pieces = self._main.items(query)
        for segment in self._segments:
            pieces += segment.replacing(segment.index.items(query))
        return pieces

    def titles(self, query: str) -> list[WeightedScores]:
        """See `LexicalSearch`."""
        pieces, weights = self._main.titles(query), self._main.weights(query)
        for segment in self._segments:
            pieces += segment.replacing(segment.index.titles_by(query, weights))
        return pieces

    def rows_with(self, query: str) -> Rows:
        """See `LexicalSearch`."""
        rows = self._main.rows_with(query)
        for segment in self._segments:
            fresh = segment.rows[segment.index.rows_with(query)]
            rows = np.concatenate([rows[~np.isin(rows, segment.rows)], fresh])
        return np.sort(rows)

    def pictured(self, query: str) -> bool:
        """See `LexicalSearch`."""
        indexes = (self._main, *(segment.index for segment in self._segments))
        return any(index.pictured(query) for index in indexes)

    def coded(self, query: str) -> Rows:
        """See `LexicalSearch`."""
        rows = self._main.with_code(query)
        for segment in self._segments:
            found = segment.rows[segment.index.with_code(query)]
            if rows.size or found.size:
                rows = np.concatenate([rows[~np.isin(rows, segment.rows)], found])
        code = code_of(query)
        if not rows.size or is_distinctive(code):
            return rows
        parts = [self._main, *[segment.index for segment in self._segments]]
        titled = any(part.covers(query) for part in parts)
        return _NO_ROWS if is_year(code) or titled else rows

    def with_title(self, query: str, rows: Rows) -> Mask:
        """See `LexicalSearch`."""
        n_main = len(self._main)
        matches = np.zeros(len(rows), np.bool_)
        matches[rows < n_main] = self._main.with_title(query, rows[rows < n_main])
        for segment in self._segments:
            positions = segment.positions(rows)
            inside = positions >= 0
            matches[inside] = segment.index.with_title(query, positions[inside])
        return matches

    def features(self, queries: Sequence[str], candidates: Sequence[Rows]) -> Matrix:
        """See `LexicalSearch`. Rows that no index has get zeros where a row decides."""
        requests = self._main.pair_requests(queries, candidates)
        of_segments = [
            segment.index.pair_requests(queries, candidates) for segment in self._segments
        ]
        if of_segments:
            requests = [_in_all(each) for each in zip(requests, *of_segments, strict=True)]
        pairs = self._main.pairs(requests)
        if requests:
            for segment in self._segments:
                _replace_pairs(pairs, segment, queries, requests)
        return self._main.finish(pairs, requests)


def _in_all(requests: Sequence[PairRequest]) -> PairRequest:
    """Return the first of the same requests in several indexes, with what no index has."""
    return requests[0]._replace(
        unknown=reduce(and_, [request.unknown for request in requests]),
        replaced=reduce(and_, [request.replaced for request in requests]),
    )


def _replace_pairs(
    pairs: Matrix, segment: Segment, queries: Sequence[str], requests: Sequence[PairRequest]
) -> None:
    """Put in the features of the candidates that stand in a segment."""
    positions = segment.positions(np.concatenate([request.rows for request in requests]))
    columns = np.flatnonzero(positions >= 0)
    if columns.size:
        ends = np.cumsum([len(request.rows) for request in requests])
        candidates = np.split(positions[columns], np.searchsorted(columns, ends[:-1]))
        index = segment.index
        pairs[:, columns] = index.pairs(index.pair_requests(queries, candidates, requests))
