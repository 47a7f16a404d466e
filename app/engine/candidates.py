"""What brings candidates, and in which order they stand where nothing better is known.

A source is an ordered list of (row, score). Rows that must not come back (hidden by the request,
blocked by its filter or gone) are dropped inside every source, before it is cut to size, so that
they never cost a place.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from app.engine.selection import Hits
from app.engine.wants import Want
from app.types import Rows, Vector

SOURCE_SIZE = 200
"""Candidates that a source brings, unless it says otherwise."""


class Source(Protocol):
    """Brings candidates for those wants of a batch that it has something to say about.

    Blocking, deterministic, called from one thread at a time. Rows that the want
    hides or blocks never come back.
    """

    @property
    def name(self) -> str:
        """Its name in answers."""
        ...

    def search(self, wants: Sequence[Want]) -> list[Hits | None]:
        """Return hits for each want; None where the source does not apply."""
        ...


def retrieve(wants: Sequence[Want], sources: Sequence[Source]) -> list[dict[str, Hits]]:
    """Return for each want what each source brought, by name, in the order of the sources."""
    found: list[dict[str, Hits]] = [{} for _ in wants]
    for source in sources:
        for mine, hits in zip(found, source.search(wants), strict=True):
            if hits is not None and hits.rows.size:
                mine[source.name] = hits
    return found


def hits_where(
    applies: Callable[[Want], bool],
    wants: Sequence[Want],
    search: Callable[[Sequence[Want]], Sequence[Hits]],
) -> list[Hits | None]:
    """Return what `search` finds for the wants that it applies to, and None for the others."""
    found: list[Hits | None] = [None] * len(wants)
    asked = [place for place, want in enumerate(wants) if applies(want)]
    if asked:
        for place, hits in zip(asked, search([wants[place] for place in asked]), strict=True):
            found[place] = hits
    return found


def retrieval_order(rows: Rows, sources: Mapping[str, Hits]) -> Vector:
    """Return float32[n], a score by the ranks in the sources alone: Σ 1 / (60 + rank).

    Reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009.
    """
    score = np.zeros(len(rows), np.float32)
    order = np.argsort(rows, kind="stable")
    for hits in sources.values():
        places = order[np.searchsorted(rows, hits.rows, sorter=order)]
        score[places] += 1.0 / (61.0 + np.arange(len(hits.rows)))
    return score


def best_first(values: Vector, then: Vector) -> Rows:
    """Return int64[n], all rows by falling value, equal ones by falling `then`."""
    return np.lexsort((-then, -values)).astype(np.int64)
