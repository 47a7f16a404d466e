"""How a request is answered, top to bottom: plan, cache, join, batch, answer.

Each step says what happens when it fails. This module sees ports only: which engine, cache or
store stands behind them is decided in `app.bootstrap`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from app.core.caller import Caller
from app.core.errors import AppError
from app.core.lane import Lane
from app.core.ports import Engine
from app.core.ranking import RankRequest, RankResult, StageTimings
from app.core.telemetry import Metrics, Observed
from app.domain.request import RecommendRequest
from app.serving.batching.batcher import Batcher
from app.serving.batching.queue import Submitted
from app.serving.caching.answers import Caches, Validity
from app.serving.caching.single_flight import Shared, SingleFlight
from app.serving.control.rule_counts import RuleCounts
from app.serving.cursor import write_cursor
from app.serving.intents.words import Words
from app.serving.kept_answers.keeper import AnswerKeeper
from app.serving.query_tally import QueryTally
from app.serving.request_plan import Planner, RequestPlan, may_teach
from app.serving.response import NO_TIMINGS, Answer, CacheWord, fresh_id, write_head, write_tail

T = TypeVar("T")

_MAX_REFRESHES: Final = 8
"""Most stale answers that are refreshed at the same time, in the background."""


@dataclass(frozen=True, slots=True)
class RecommenderParts:
    """What a recommender is wired from.

    Attributes:
        reach: waits until a change of the catalogue is applied, `LiveCatalogue.reach`.
        with_text: adds a text to the JSON of an answer to a query, `Teller.with_text`.
        words: where queries are noted that were not understood; None = nothing is learned.
        answers: keeps the answers that are given; None = they are not kept.
    """

    engine: Engine
    planner: Planner
    batcher: Batcher[RankRequest, RankResult]
    flights: "SingleFlight[Computed]"
    caches: Caches
    metrics: Metrics
    reach: Callable[[int, float], Awaitable[None]]
    with_text: Callable[[bytes, str], bytes]
    words: Words | None = None
    answers: AnswerKeeper | None = None


@dataclass(frozen=True, slots=True)
class Computed:
    """The result of one computation, shared by all requests that waited for it."""

    tail: bytes
    degraded: tuple[str, ...]
    queue_ms: float
    stages: StageTimings


class _Prepared(NamedTuple):
    """A request that is not cached: whose, when it came, in monotonic seconds, and what it needs.

    `trouble`: a cache failed.
    """

    caller: Caller
    start: float
    plan: RequestPlan
    trouble: bool


class Recommender:
    """Answers requests. All methods belong to one event loop.

    Attributes:
        queries: how well the newest queries were understood.
    """

    def __init__(
        self,
        parts: RecommenderParts,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        new_id: Callable[[], str] = fresh_id,
    ) -> None:
        """Wire the parts.

        Args:
            parts: what the recommender uses.
            clock: monotonic seconds; deadlines are on it.
            now: unix seconds.
            new_id: makes the id of an answer.
        """
        self._parts = parts
        self._clock = clock
        self._now = now
        self._new_id = new_id
        self._refreshes: set[asyncio.Task[None]] = set()
        self._closed = False
        self._observed = Observed(parts.metrics)
        self._rule_counts = RuleCounts(parts.metrics)
        self.queries = QueryTally()

    def __repr__(self) -> str:
        parts = self._parts
        return f"<Recommender {parts.batcher!r} {parts.flights!r} {parts.caches!r}>"

    async def recommend(self, ask: RecommendRequest, caller: Caller) -> Answer:
        """Answer one request within its budget. `caller`: whose users are named.

        Raises:
            InvalidRequestError: a field that the catalogue does not have, a filter that does not
                fit it, a cursor that is not valid any more, an unknown scenario (422).
            ForbiddenError: a scenario with which this caller may not ask (403).
            RateLimitedError: a text, and the caller's budget of them is spent (429).
            OverloadedError: refused before any model work (429).
            DeadlineExceededError: the budget ran out (504).
            NotReadyError: stopping, or the engine is lost (503).
            EngineError: the model failed on this request (500).
        """
        prepared = await self._prepared(ask, caller)
        return prepared if isinstance(prepared, Answer) else await self._finished(prepared)

    def completed(self, ask: RecommendRequest, caller: Caller) -> RecommendRequest:
        """Return a request with the fields of its scenario; raises as `recommend`."""
        return self._parts.planner.completed(ask, caller)

    async def recommend_together(
        self, asks: Sequence[RecommendRequest], caller: Caller
    ) -> list[Answer | Exception]:
        """Answer several requests; those that are not cached go into one batch, if it has room.

        Returns for each request its answer, or what `recommend` would raise.
        """
        prepared = await _all_of(self._prepared(ask, caller) for ask in asks)
        # All of them begin in one turn of the event loop, before the batcher has its turn.
        misses = [each for each in prepared if isinstance(each, _Prepared)]
        begun = [self._finished(each, follows=n > 0) for n, each in enumerate(misses)]
        computed = iter(await _all_of(begun))
        return [next(computed) if isinstance(each, _Prepared) else each for each in prepared]

    async def _prepared(self, ask: RecommendRequest, caller: Caller) -> "Answer | _Prepared":
        """Return the answer if it is cached, else all that the engine has to know."""
        # 1. Plan. The deadline is absolute from here on; what can never work is refused.
        start = self._clock()
        ask = self._parts.planner.completed(ask, caller)
        if ask.text and caller.language is not None:
            caller.language.spend()
        deadline = start + ask.budget_ms / 1e3
        if ask.min_catalogue > self._parts.engine.info.catalogue:
            await self._parts.reach(ask.min_catalogue, deadline)
        plan = await self._parts.planner.plan(ask, deadline, caller)

        # 2. Cache. A hit ends here, also under overload; any trouble is a miss. What was made
        #    without user state never answers a request that has it, nor the other way round.
        trouble = False
        if not (plan.degraded or plan.explores):
            tail, trouble = await self._parts.caches.get(plan.lookup)
            if tail is not None:
                return self._answer(ask, caller, start, "hit", tail)
            if ask.max_stale_ms and (tail := self._stale(plan)) is not None:
                return self._answer(ask, caller, start, "hit", tail, x_cache="stale")

        # 3. Resolve: only a miss reads what the user did.
        return _Prepared(caller, start, await self._parts.planner.resolve(plan), trouble)

    async def _finished(self, prepared: _Prepared, *, follows: bool = False) -> Answer:
        caller, start, plan, trouble = prepared

        # 4. Join and batch: the engine works once for all identical requests in flight. The
        #    batcher refuses before any work: a refusal must cost little when there are many.
        shared = await self._run(plan, follows=follows)

        # 5. Answer.
        word: CacheWord = "miss" if shared.leader else "coalesced"
        if plan.degraded or plan.explores:
            word = "bypass"
        x_cache = "error" if trouble else ""
        made = shared.value
        return self._answer(
            plan.ask, caller, start, word, made.tail, computed=made, x_cache=x_cache
        )

    async def interpret(self, query: str) -> str:
        """Return the JSON text of what a query asks for now, as an answer would show it.

        Raises:
            NotReadyError: stopping, or the engine is lost.
        """
        engine, now = self._parts.engine, self._now()
        words = self._parts.words
        if words is not None and query and (learned := words.find(query, engine.info.bundle)):
            return learned
        # A search box asks with every key. So requests wait only where titles are looked up, in the
        # thread that ranks: the catalogue changes there and nowhere else.
        text = engine.interpret(query, now, look_up=False)
        if text is not None:
            return text
        look_up = partial(engine.interpret, query, now, look_up=True)
        return await self._parts.batcher.run_exclusive(look_up) or ""

    def check_capacity(self, lane: Lane, budget_ms: int) -> None:
        """Raise as `recommend` would for a request that is not cached and has such a budget."""
        now = self._clock()
        self._parts.batcher.admitted(now, now + budget_ms / 1e3, lane)

    async def aclose(self) -> None:
        """End refreshes, and wait for the cache writes that are running. Idempotent."""
        self._closed = True
        for task in self._refreshes:
            task.cancel()
        await asyncio.gather(*self._refreshes, return_exceptions=True)
        await self._parts.caches.aclose()

    def _stale(self, plan: RequestPlan) -> bytes | None:
        """Return an answer from an older catalogue, if there is one, and refresh it."""
        tail = self._parts.caches.stale(plan.lookup, plan.ask.max_stale_ms / 1e3)
        # After a change of the catalogue, all answers are stale at once. Refreshing them must not
        # delay the requests that wait for an answer.
        room = len(self._refreshes) < _MAX_REFRESHES and not self._closed
        if tail is not None and room and not self._parts.flights.flying(plan.flight_key):
            task = asyncio.create_task(self._refresh(plan), name="recserve-refresh")
            self._refreshes.add(task)
            task.add_done_callback(self._refreshes.discard)
        return tail

    async def _refresh(self, plan: RequestPlan) -> None:
        """Compute an answer that nobody waits for; it is skipped during an overload."""
        with suppress(AppError):
            await self._run(await self._parts.planner.resolve(plan))

    async def _run(self, plan: RequestPlan, *, follows: bool = False) -> Shared[Computed]:
        begin = partial(
            self._parts.batcher.begin,
            plan.request,
            plan.deadline,
            follows=follows,
            lane=plan.origin.lane,
        )
        finish = partial(self._computed, plan)
        key = plan.flight_key
        if plan.explores:
            # What is drawn is of one answer: nobody joins its flight, with the same seed neither.
            key += self._new_id().encode()
        return await self._parts.flights.run(key, plan.deadline, begin=begin, finish=finish)

    def _computed(self, plan: RequestPlan, done: Submitted[RankResult]) -> Computed:
        """Make the answer of one flight, and put it into the caches."""
        result = done.result
        if plan.request.query:
            self.queries.note(result)
        if result.weak and plan.caller and self._parts.words is not None and may_teach(plan.origin):
            self._parts.words.note(plan.request.query, plan.caller)
        self._rule_counts.count(result.rules)
        if plan.degraded:
            result = replace(result, degraded=(*plan.degraded, *result.degraded))
        cursor = self._next_cursor(result, plan)
        tail = write_tail(
            result,
            batch_size=done.batch_size,
            generation=done.generation,
            next_cursor=cursor,
            explain=plan.request.explain,
        )

        # Three kinds of answers are not cached: degraded ones, those in which something was drawn,
        # and those that another bundle or a later state ranked than their key names, because the
        # request waited.
        now = replace(plan.lookup.generation, catalogue=done.generation.catalogue)
        if not result.degraded and done.generation == now and not plan.explores:
            validity = Validity(
                catalogue_seq=now.catalogue,
                valid_until=min(plan.valid_until, result.valid_until),
                depends_on=(*plan.request.named, *plan.request.rules.pinned),
                # Any change may alter which items pass a filter, of the request or of a rule.
                depends_on_catalogue=(
                    result.depends_on_catalogue
                    or bool(plan.request.filter)
                    or plan.request.rules.reads_fields
                ),
            )
            self._parts.caches.put(plan.lookup, tail, validity)
        return Computed(
            tail=tail,
            degraded=result.degraded,
            queue_ms=done.queue_s * 1e3,
            stages=done.timings,
        )

    def _next_cursor(self, result: RankResult, plan: RequestPlan) -> str | None:
        """Return the cursor of the next page; None if this page is the last."""
        if plan.request.candidates is not None or len(result.items) < _wanted(plan, result):
            return None
        shown = [*plan.page.shown, *[item.id for item in result.items]]
        return write_cursor(shown, plan.page.owner, self._now())

    def _answer(  # noqa: PLR0913 - what an answer is made of
        self,
        ask: RecommendRequest,
        caller: Caller,
        start: float,
        word: CacheWord,
        tail: bytes,
        *,
        computed: Computed | None = None,
        x_cache: str = "",
    ) -> Answer:
        total = self._clock() - start
        stages = computed.stages if computed else NO_TIMINGS
        queue_ms = computed.queue_ms if computed else 0.0
        degraded = computed.degraded if computed else ()
        self._observed.count(total, queue_ms, stages, degraded, worked=computed is not None)
        answer_id = self._new_id()
        head = write_head(
            recommendation_id=answer_id,
            cache=word,
            queue_ms=queue_ms,
            stages=stages,
            total_ms=total * 1e3,
        )
        if self._parts.answers is not None:
            self._parts.answers.note(answer_id, ask, caller.namespace, head, tail)
        body = head + tail
        if ask.text:
            body = self._parts.with_text(body, ask.query)
        return Answer(body, x_cache or word, degraded)


async def _all_of(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T | Exception]:
    """Return for each call what it returns or raises. What is no `Exception` ends all of them."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_caught(call)) for call in calls]
    return [task.result() for task in tasks]


async def _caught(call: Coroutine[Any, Any, T]) -> T | Exception:
    try:
        return await call
    except Exception as error:  # noqa: BLE001 - a failure is the answer of its own request
        return error


def _wanted(plan: RequestPlan, result: RankResult) -> int:
    """Return how many items were wanted: by the caller, or else by the query ("five comedies")."""
    said = result.count if plan.request.k_is_default else None
    return said or plan.request.k
