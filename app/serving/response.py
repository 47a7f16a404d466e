"""Answers as JSON bytes: a head made for each answer, and a tail that may come from a cache.

The tail holds what the engine returned. The head holds what is true of this one answer only: its
id, its timings and the part the cache played. The head ends with a comma, so joining the two is all
the serialisation that a cache hit needs.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import orjson

from app.core.ranking import ExposureReport, RankedItem, RankResult, StageTimings
from app.core.types import Generation

CacheWord = Literal["hit", "miss", "coalesced", "bypass"]

NO_TIMINGS = StageTimings()

_MAX_HEAD_BYTES: Final = 512

# Seeded once by the system. Asking the system for each id would take a twentieth of a cache hit.
_ids = random.Random(random.SystemRandom().getrandbits(256))  # noqa: S311 - unique, not secret


def fresh_id(random_bits: Callable[[int], int] = _ids.getrandbits) -> str:
    """Return 128 random bits in hex. `random_bits(n)` returns n random bits as a number.

    >>> fresh_id(lambda n: n)
    '00000000000000000000000000000080'
    """
    return f"{random_bits(128):032x}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the caller.

    `x_cache`: value of the header X-Cache: the word in the body, `error` if a cache failed, or
    `stale`.
    """

    body: bytes
    x_cache: str
    degraded: tuple[str, ...] = ()


def write_tail(
    result: RankResult,
    batch_size: int,
    generation: Generation,
    next_cursor: str | None,
    *,
    explain: bool = False,
) -> bytes:
    """Return the JSON of the tail, without an opening brace. `explain`: it was asked for."""
    tail: dict[str, object] = {
        "batch_size": batch_size,
        "items": [_item(item) for item in result.items],
        "degraded": result.degraded,
        "generation": {"bundle": generation.bundle, "catalogue": generation.catalogue},
        "missing_ids": result.missing_ids,
        "passing": result.passing,
        "intent": orjson.Fragment(result.intent) if result.intent else None,
        "next_cursor": next_cursor,
    }
    if explain:
        tail["baseline"] = result.baseline
    if result.exposure is not None:
        tail["exposure"] = _exposure(result.exposure)
    return orjson.dumps(tail)[1:]


def _exposure(report: ExposureReport) -> dict[str, object]:
    groups = {
        group.name: {
            "share": group.share,
            "wanted": {"min": group.least, "max": group.most},
            "met": group.met,
        }
        for group in report.groups
    }
    return {"field": report.field, "groups": groups}


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
    if item.placed_by:
        shown["placed_by"] = item.placed_by
    if item.propensity is not None:
        shown["propensity"] = item.propensity
    if item.explanation is not None:
        shown["contributions"] = item.explanation.contributions
        shown["evidence"] = item.explanation.evidence
        shown["reason"] = item.explanation.reason
    return shown


def timings_of(body: bytes) -> dict[str, float]:
    """Return the stages that the head of an answer says, in milliseconds; none of other bodies."""
    _, found, rest = body[:_MAX_HEAD_BYTES].partition(b'"timings_ms":')
    end = rest.find(b"}")
    if not found or end < 0:
        return {}
    timings: dict[str, float] = orjson.loads(rest[: end + 1])
    return timings


def write_head(
    recommendation_id: str,
    cache: CacheWord,
    queue_ms: float,
    stages: StageTimings,
    total_ms: float,
) -> bytes:
    """Return the JSON of the head, which ends with the comma before the tail.

    It is formatted by hand because every hit needs it. Every value is a number, a fixed word or
    hexadecimal digits, so nothing has to be escaped.
    """
    return (
        f'{{"recommendation_id":"{recommendation_id}","cache":"{cache}","timings_ms":'
        f'{{"queue":{queue_ms:.3f},"encode":{stages.encode_ms:.3f},'
        f'"retrieve":{stages.retrieve_ms:.3f},"rerank":{stages.rerank_ms:.3f},'
        f'"total":{total_ms:.3f}}},'
    ).encode()
