"""From the hits of each source to one list of candidate rows per request.

A source is an ordered list of (row, score). Excluded rows are dropped inside every source, before
it is cut to size, so an exclusion never costs a place.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from app.columns import Floats
from app.types import Rows, SourceHit, Vector

SOURCE_SIZE = 200
"""Candidates that each source may bring."""


@dataclass(frozen=True, slots=True)
class Hits:
    """What one source brought: int64[n] rows, best first, and their float32[n] scores there."""

    rows: Rows
    scores: Vector

    def without(self, excluded: Rows, size: int = SOURCE_SIZE) -> "Hits":
        """Return the best `size` hits that are not excluded."""
        keep = np.flatnonzero(~np.isin(self.rows, excluded))[:size]
        return Hits(self.rows[keep], self.scores[keep])


def union(sources: Mapping[str, Hits]) -> Rows:
    """Return int64[n], every row that some source brought, once each, in order of appearance.

    Keeping that order means that equal final scores fall back to the order of the sources.
    """
    if not sources:
        return np.empty(0, dtype=np.int64)
    rows, first = np.unique(
        np.concatenate([hits.rows for hits in sources.values()]), return_index=True
    )
    return rows[np.argsort(first)]


def hits_of(row: int, sources: Mapping[str, Hits]) -> tuple[SourceHit, ...]:
    """Return where a row stands in each source that brought it."""
    found = []
    for name, hits in sources.items():
        places = np.flatnonzero(hits.rows == row)
        if places.size:
            place = int(places[0])
            found.append(SourceHit(name, place + 1, float(hits.scores[place])))
    return tuple(found)


def popular_order(popularity: Vector, published_at: Floats) -> Rows:
    """Return int64[n], all rows, the most popular first, the newest first among equals.

    NaN in `published_at` (unknown) counts as oldest.
    """
    newest = np.nan_to_num(published_at, nan=-np.inf)
    return np.lexsort((-newest, -popularity)).astype(np.int64)
