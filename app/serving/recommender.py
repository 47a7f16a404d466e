"""The story of one request, top to bottom. Each step says what happens when it fails.

It sees ports only: which engine, cache or store stands behind them is decided in `app.bootstrap`.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.errors import InvalidRequestError, StoreError
from app.ports import Cache, Engine, UserStore, user_key
from app.request import MAX_HISTORY, RecommendRequest
from app.serving.answer import NO_TIMINGS, Answer, CacheWord, write_head, write_tail
from app.serving.batcher import Batcher
from app.serving.entry import Submitted
from app.serving.flight import SingleFlight
from app.serving.keys import fingerprint
from app.serving.local_cache import LocalCache
from app.telemetry import Metrics
from app.types import RankRequest, RankResult, StageTimings

log = logging.getLogger(__name__)

_MOST_FILLS: Final = 256
"""Writes to the shared cache under way at once; more are skipped, for a cache may forget."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a recommender is wired from. `shared` is None where there is no shared cache."""

    engine: Engine
    batcher: Batcher[RankRequest, RankResult]
    flights: "SingleFlight[Computed]"
    users: UserStore
    local: LocalCache
    shared: Cache | None
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Computed:
    """What one computation leaves to everybody who waited for it."""

    tail: bytes
    degraded: tuple[str, ...]
    queue_ms: float
    stages: StageTimings


class Recommender:
    """Answers requests. All methods belong to one event loop."""

    def __init__(self, parts: Parts, clock: Callable[[], float] = time.monotonic) -> None:
        """Wire the parts; `clock` is monotonic seconds, the one deadlines are on."""
        self._parts = parts
        self._clock = clock
        self._fills: set[asyncio.Task[None]] = set()
        # Looked up once: finding a series costs more than counting in it.
        seconds = parts.metrics.stage_seconds
        self._total_seconds = seconds.labels("total")
        self._stages = [seconds.labels(name) for name in ("queue", "encode", "retrieve", "rerank")]

    def __repr__(self) -> str:
        parts = self._parts
        return f"<Recommender {parts.batcher!r} {parts.flights!r} fills={len(self._fills)}>"

    async def recommend(self, ask: RecommendRequest) -> Answer:
        """Answer one request within its budget.

        Raises:
            InvalidRequestError: a field name the catalogue does not have (422).
            OverloadedError: refused before any model work (429).
            DeadlineExceededError: the budget ran out (504).
            NotReadyError: stopping, or the engine is lost (503).
            EngineError: the model failed on this request (500).
        """
        # 1. The deadline is absolute from here on; what can never work is refused.
        start = self._clock()
        deadline = start + ask.budget_ms / 1e3
        self._check_fields(ask)

        # 2. User state. A store that is down costs the personal part, not the answer.
        history, degraded = await self._history(ask)
        request = _rank_request(ask, history)
        key = self._key(request)

        # 3. Cache. A hit ends here, also under overload; any trouble is a miss. What was made
        #    without user state is no answer to a whole request, nor the other way round.
        trouble = False
        if degraded:
            key += b"".join(reason.encode() for reason in degraded)
        else:
            tail, trouble = await self._cached(key)
            if tail is not None:
                return self._answer(start, "hit", tail)

        # 4.-6. Admission and engine, once for all identical requests in flight. What the batcher
        #    would refuse is refused here: a refusal must cost little when there are many.
        if not self._parts.flights.flying(key):
            self._parts.batcher.admit(deadline)
        shared = await self._parts.flights.run(
            key, deadline, lambda: self._compute(request, key, deadline, degraded)
        )

        # 7. Respond.
        word: CacheWord = "bypass" if degraded else "miss" if shared.leader else "coalesced"
        return self._answer(start, word, shared.value.tail, shared.value, trouble=trouble)

    async def aclose(self) -> None:
        """Let cache writes under way end. Idempotent."""
        await asyncio.gather(*self._fills, return_exceptions=True)

    def _check_fields(self, ask: RecommendRequest) -> None:
        known = self._parts.engine.info.attributes
        for name in ask.fields:
            if name not in known:
                there_are = ", ".join(sorted(known))
                raise InvalidRequestError(f"no such field; there are: {there_are}", field="fields")

    def _key(self, request: RankRequest) -> bytes:
        info = self._parts.engine.info
        return fingerprint(request, bundle=info.bundle, catalogue=info.catalogue)

    async def _cached(self, key: bytes) -> tuple[bytes | None, bool]:
        """Return a stored tail, or None, and whether the shared cache was in trouble."""
        tail = self._parts.local.get(key)
        if tail is not None or self._parts.shared is None:
            return tail, False
        read = await self._parts.shared.get(key)
        if read.value is not None:
            self._parts.local.put(key, read.value)
        return read.value, read.failed

    async def _compute(
        self, request: RankRequest, key: bytes, deadline: float, degraded: tuple[str, ...]
    ) -> Computed:
        """Do the work of one flight and leave it in the caches."""
        # 4.-6. The batcher refuses before any model work, or runs it.
        done = await self._parts.batcher.submit(request, deadline)
        computed = self._computed(done, degraded)

        # A degraded answer is not what the next caller should get.
        if not computed.degraded:
            self._fill(key, computed.tail)
        return computed

    async def _history(self, ask: RecommendRequest) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return what the user did, oldest first, and what had to be left out."""
        user = user_key(ask.user_id, ask.session_id)
        if user is None:
            return ask.history, ()
        try:
            stored = await self._parts.users.history(user)
        except StoreError as error:
            log.warning("recommending without user state: %s", error.message)
            return ask.history, ("user_state",)
        return (*stored, *ask.history)[-MAX_HISTORY:], ()

    def _computed(self, done: Submitted[RankResult], degraded: tuple[str, ...]) -> Computed:
        result = done.result
        if degraded:
            result = RankResult(result.items, result.missing_ids, (*degraded, *result.degraded))
        tail = write_tail(result, done.batch_size, self._parts.engine.info)
        return Computed(tail, result.degraded, done.queue_s * 1e3, done.timings)

    def _fill(self, key: bytes, tail: bytes) -> None:
        self._parts.local.put(key, tail)
        if self._parts.shared is None or len(self._fills) >= _MOST_FILLS:
            return
        task = asyncio.create_task(self._parts.shared.put(key, tail), name="recserve-fill")
        self._fills.add(task)
        task.add_done_callback(self._fills.discard)

    def _answer(
        self,
        start: float,
        word: CacheWord,
        tail: bytes,
        computed: Computed | None = None,
        *,
        trouble: bool = False,
    ) -> Answer:
        total = self._clock() - start
        stages = computed.stages if computed else NO_TIMINGS
        queue_ms = computed.queue_ms if computed else 0.0
        degraded = computed.degraded if computed else ()
        self._observe(total, queue_ms, stages, degraded, worked=computed is not None)
        head = write_head(word, queue_ms, stages, total * 1e3)
        return Answer(head + tail, "error" if trouble else word, degraded)

    def _observe(
        self,
        total_s: float,
        queue_ms: float,
        stages: StageTimings,
        degraded: tuple[str, ...],
        *,
        worked: bool,
    ) -> None:
        self._total_seconds.observe(total_s)
        if worked:
            spent = (queue_ms, stages.encode_ms, stages.retrieve_ms, stages.rerank_ms)
            for seconds, ms in zip(self._stages, spent, strict=True):
                seconds.observe(ms / 1e3)
        for reason in degraded:
            self._parts.metrics.degraded.labels(reason).inc()


def _rank_request(ask: RecommendRequest, history: tuple[str, ...]) -> RankRequest:
    """Say what the engine shall do: here it is decided what may not come back."""
    used = () if ask.repeats else (*history, *ask.like, *ask.dislike)
    return RankRequest(
        query=ask.query,
        history=history,
        like=ask.like,
        dislike=ask.dislike,
        exclude=frozenset((*ask.exclude, *used)),
        candidates=ask.candidates,
        k=ask.size,
        fields=ask.fields,
    )
