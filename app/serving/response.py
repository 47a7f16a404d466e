"""Answers as finished bytes: a fresh head in front of a tail that may come from a cache.

The tail holds what the engine said; the head what is true of this one answer only. Their seam is a
comma, so joining them is the whole serialisation of a hit.
"""

import random
from dataclasses import dataclass
from typing import Literal

import orjson

from app.core.types import Generation, RankedItem, RankResult, StageTimings

CacheWord = Literal["hit", "miss", "coalesced", "bypass"]

NO_TIMINGS = StageTimings()

_random = random.SystemRandom()
_ids = random.Random(_random.getrandbits(256))  # noqa: S311 - ids are told apart, not kept secret


def fresh_id() -> str:
    """Return 128 random bits in hex; no call of the system, for that would cost a hit a twentieth.

    >>> len(fresh_id())
    32
    """
    return f"{_ids.getrandbits(128):032x}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the caller.

    `x_cache` is the header's word: that of the body, or `error` if a cache was in trouble.
    """

    body: bytes
    x_cache: str
    degraded: tuple[str, ...] = ()


def write_tail(
    result: RankResult, batch_size: int, generation: Generation, next_cursor: str | None
) -> bytes:
    """Return the JSON of the lasting part, without its opening brace."""
    tail = {
        "batch_size": batch_size,
        "items": [_item(item) for item in result.items],
        "degraded": result.degraded,
        "generation": {"bundle": generation.bundle, "catalogue": generation.catalogue},
        "missing_ids": result.missing_ids,
        "passing": result.passing,
        "next_cursor": next_cursor,
    }
    return orjson.dumps(tail)[1:]


def _item(item: RankedItem) -> dict[str, object]:
    shown: dict[str, object] = {
        "id": item.id,
        "score": item.score,
        "title": item.title,
        "fields": item.fields,
        "sources": [
            {"name": hit.name, "rank": hit.rank, "score": hit.score} for hit in item.sources
        ],
    }
    if item.seen:
        shown["seen"] = True
    return shown


def write_head(cache: CacheWord, queue_ms: float, stages: StageTimings, total_ms: float) -> bytes:
    """Return the JSON of the fresh part, ending in the comma before the tail.

    Written by hand: every value is a number or a fixed word, and it is on the path of every hit.
    """
    return (
        f'{{"recommendation_id":"{fresh_id()}","cache":"{cache}","timings_ms":'
        f'{{"queue":{queue_ms:.3f},"encode":{stages.encode_ms:.3f},'
        f'"retrieve":{stages.retrieve_ms:.3f},"rerank":{stages.rerank_ms:.3f},'
        f'"total":{total_ms:.3f}}},'
    ).encode()
