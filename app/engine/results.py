"""From scored candidates to what one request gets: the best, named, and where they came from."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from app.engine.candidates import Hits, origins
from app.engine.catalogue import Catalogue
from app.engine.wants import Want
from app.types import RankedItem, RankRequest, RankResult, Rows, Vector


@dataclass(frozen=True, slots=True)
class Scored:
    """The candidates of one request: int64[n] rows, float32[n] scores, and where they came from."""

    rows: Rows
    scores: Vector
    hits: Mapping[str, Hits]


def result_of(
    catalogue: Catalogue,
    request: RankRequest,
    want: Want,
    scored: Scored,
    degraded: tuple[str, ...],
) -> RankResult:
    """Return the best candidates as items, best first; equal scores keep their order."""
    rows, scores = scored.rows, scored.scores
    if want.named is not None:
        # Scored among what the sources bring, as everything else is; only these come back.
        chosen = np.flatnonzero(np.isin(rows, want.named))
        rows, scores = rows[chosen], scores[chosen]
    best = np.argsort(-scores, kind="stable")[: want.k]
    top = rows[best]
    items = tuple(
        RankedItem(
            id=catalogue.id(row),
            score=score,
            title=catalogue.title(row),
            fields=catalogue.fields(row, request.fields),
            sources=sources,
        )
        for row, score, sources in zip(
            top.tolist(), scores[best].tolist(), origins(top, scored.hits), strict=True
        )
    )
    named = (*request.history, *request.like, *request.dislike, *(request.candidates or ()))
    return RankResult(items, tuple(catalogue.unknown(named)), degraded)
