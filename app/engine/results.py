"""From scored candidates to what a request gets: the best, named, and where they came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.core.types import (
    RankedItem,
    RankRequest,
    RankResult,
    Rows,
    SourceHit,
    StageTimings,
    Vector,
)
from app.engine.catalogue.catalogue import Catalogue
from app.engine.kernels.topk import Exclusion, Hits, TopK
from app.engine.retrieval.resolve import ResolvedRequest

_NOTHING = Exclusion()


@dataclass(frozen=True, slots=True)
class Scored:
    """The candidates of one request: int64[n] rows, float32[n] scores, and where they came from."""

    rows: Rows
    scores: Vector
    hits: Mapping[str, Hits]

    def among(self, named: Rows | None) -> "Scored":
        """Return those of them that are named: all are scored among what the sources bring."""
        if named is None:
            return self
        chosen = np.flatnonzero(np.isin(self.rows, named))
        return Scored(self.rows[chosen], self.scores[chosen], self.hits)


def best_items(
    catalogue: Catalogue,
    topk: TopK,
    batch: Sequence[RankRequest],
    wants: Sequence[ResolvedRequest],
    scored: Sequence[Scored],
) -> list[tuple[RankedItem, ...]]:
    """Return the best candidates of each request, best first; equal scores keep their order."""
    mine = [each.among(want.named) for each, want in zip(scored, wants, strict=True)]
    best = topk.best(
        [each.scores for each in mine], [_NOTHING] * len(mine), [want.k for want in wants]
    )
    tops = [each.rows.take(hits.rows) for each, hits in zip(mine, best, strict=True)]
    places = topk.positions(tops, [each.hits for each in mine])
    return [
        _items(catalogue, request, top, hits, where)
        for request, top, hits, where in zip(batch, tops, best, places, strict=True)
    ]


def _items(
    catalogue: Catalogue,
    request: RankRequest,
    top: Rows,
    best: Hits,
    places: Sequence[tuple[SourceHit, ...]],
) -> tuple[RankedItem, ...]:
    return tuple(
        RankedItem(
            id=catalogue.id(row),
            score=score,
            title=catalogue.title(row),
            fields=catalogue.fields(row, request.fields) if request.fields else {},
            sources=mine,
            seen=catalogue.id(row) in request.seen,
        )
        for row, score, mine in zip(top.tolist(), best.scores.tolist(), places, strict=True)
    )


def result_of(
    catalogue: Catalogue,
    request: RankRequest,
    items: tuple[RankedItem, ...],
    degraded: tuple[str, ...],
) -> RankResult:
    """Return the answer to one request."""
    return RankResult(items, tuple(catalogue.unknown(request.named)), degraded)


# What an answer is filled up with where a filter leaves too little: a second, wider request.


def widened(request: RankRequest, result: RankResult) -> RankRequest:
    """Return what fills up an answer: anything else that fits, or what is popular."""
    rest = replace(
        request,
        filter="",
        k=request.k - len(result.items),
        exclude=request.exclude.union(item.id for item in result.items),
    )
    if request.on_empty == "relax":
        return rest
    return replace(rest, query="", history=(), like=(), dislike=())


def joined(result: RankResult, more: RankResult) -> RankResult:
    """Return an answer with what fills it up behind it."""
    degraded = tuple(dict.fromkeys((*result.degraded, *more.degraded)))
    items = (*result.items, *more.items)
    return RankResult(items, result.missing_ids, degraded, passing=len(result.items))


def summed(one: StageTimings, other: StageTimings) -> StageTimings:
    """Return what two passes cost together."""
    return StageTimings(
        one.encode_ms + other.encode_ms,
        one.retrieve_ms + other.retrieve_ms,
        one.rerank_ms + other.rerank_ms,
    )
