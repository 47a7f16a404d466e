"""What an answer is filled up with where a filter leaves too little: a second, wider request."""

from dataclasses import replace

from app.types import RankRequest, RankResult, StageTimings


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
