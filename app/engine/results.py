"""From scored candidates to the answer of a request: the best items, and where they came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.core.types import (
    RankedItem,
    RankRequest,
    RankResult,
    Rows,
    StageTimings,
    Vector,
)
from app.engine.catalogue.catalogue import Catalogue
from app.engine.kernels.topk import Exclusion, Hits, TopK
from app.engine.retrieval.resolve import ResolvedRequest

_NOTHING = Exclusion()


@dataclass(frozen=True, slots=True)
class ScoredCandidates:
    """The candidates of one request: int64[n] rows, float32[n] scores, and the hits they are of.

    `degraded`: see `RankResult`.
    """

    rows: Rows
    scores: Vector
    hits: Mapping[str, Hits]
    degraded: tuple[str, ...] = ()


def results_of(
    catalogue: Catalogue,
    topk: TopK,
    batch: Sequence[RankRequest],
    resolved: Sequence[ResolvedRequest],
    scored: Sequence[ScoredCandidates],
) -> tuple[RankResult, ...]:
    """Return the best candidates of each request, best first; equal scores keep their order."""
    rows, scores = [each.rows for each in scored], [each.scores for each in scored]
    for position, named_rows in enumerate([request.named for request in resolved]):
        if named_rows is not None:
            # Sources bring more than the named candidates, and all are scored together.
            chosen = np.flatnonzero(np.isin(rows[position], named_rows))
            rows[position], scores[position] = rows[position][chosen], scores[position][chosen]
    best = topk.best(scores, [_NOTHING] * len(scores), [request.k for request in resolved])
    tops = [some.take(hits.rows) for some, hits in zip(rows, best, strict=True)]
    positions = topk.positions(tops, [each.hits for each in scored])
    results = []
    for request, top, hits, sources, each in zip(batch, tops, best, positions, scored, strict=True):
        items = [
            RankedItem(
                id=item_id,
                score=score,
                title=catalogue.title(row),
                fields=catalogue.fields(row, request.fields) if request.fields else {},
                sources=source_hits,
                seen=item_id in request.seen,
            )
            for row, item_id, score, source_hits in zip(
                top.tolist(),
                map(catalogue.id, top.tolist()),
                hits.scores.tolist(),
                sources,
                strict=True,
            )
        ]
        missing = tuple(catalogue.unknown(request.named))
        results.append(RankResult(tuple(items), missing, each.degraded))
    return tuple(results)


# An answer that a filter left short is filled up by a second request without the filter.


def fill_up(request: RankRequest, result: RankResult) -> RankRequest:
    """Return the request for the rest of an answer: other items that suit, or popular ones."""
    rest = replace(
        request,
        filter="",
        k=request.k - len(result.items),
        exclude=request.exclude.union(item.id for item in result.items),
    )
    if request.on_empty == "relax":
        return rest
    return replace(rest, query="", history=(), like=(), dislike=())


def joined(result: RankResult, rest: RankResult) -> RankResult:
    """Return an answer, and behind it the items that fill it up."""
    degraded = tuple(dict.fromkeys((*result.degraded, *rest.degraded)))
    items = (*result.items, *rest.items)
    return RankResult(items, result.missing_ids, degraded, passing=len(result.items))


def summed(one: StageTimings, other: StageTimings) -> StageTimings:
    """Return the time of two passes together."""
    return StageTimings(
        encode_ms=one.encode_ms + other.encode_ms,
        retrieve_ms=one.retrieve_ms + other.retrieve_ms,
        rerank_ms=one.rerank_ms + other.rerank_ms,
    )
