"""The story of one request, top to bottom. Each step says what happens when it fails.

It sees ports only: which engine, cache or store stands behind them is decided in `app.bootstrap`.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from app.core.errors import AppError, StoreError
from app.core.ports import Engine, user_key
from app.core.telemetry import Metrics, Observed
from app.core.types import RankRequest, RankResult, StageTimings
from app.domain.filters import filter_text, no_such_field
from app.domain.request import DEFAULT_BUDGET_MS, MAX_HISTORY, RecommendRequest
from app.serving.batching.batcher import Batcher
from app.serving.batching.queue import Submitted
from app.serving.caching.answers import CacheLookup, Caches
from app.serving.caching.keys import fingerprint, state_of
from app.serving.caching.single_flight import Shared, SingleFlight
from app.serving.cursor import Page, owned_by, read_cursor, write_cursor
from app.serving.response import NO_TIMINGS, Answer, CacheWord, write_head, write_tail
from app.serving.user_state import STRANGER, Taste, UserState, UserStates, seen, taste_of

log = logging.getLogger(__name__)

_MOST_REFRESHES: Final = 8
"""Answers computed at once for nobody, in place of older ones that were given."""
_NO_TASTE: Final = Taste()
_FIRST_PAGE: Final = Page()


@dataclass(frozen=True, slots=True)
class Parts:
    """What a recommender is wired from.

    `cursor_life_s`: age up to which cursors hold.
    `reach`: waits until a change of the catalogue has been taken in, `LiveCatalogue.reach`.
    """

    engine: Engine
    batcher: Batcher[RankRequest, RankResult]
    flights: "SingleFlight[Computed]"
    users: UserStates
    caches: Caches
    metrics: Metrics
    cursor_life_s: float
    reach: Callable[[int, float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Computed:
    """What one computation leaves to everybody who waited for it."""

    tail: bytes
    degraded: tuple[str, ...]
    queue_ms: float
    stages: StageTimings


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one computation is to do, and under what its answer is kept."""

    request: RankRequest
    lookup: CacheLookup
    deadline: float
    degraded: tuple[str, ...]
    page: Page

    @property
    def flight(self) -> bytes:
        """What identical requests in flight have in common: also the catalogue of this moment."""
        lookup, left_out = self.lookup, " ".join(self.degraded)
        now = f"{lookup.generation.catalogue} {left_out}"
        return lookup.key + lookup.state + now.encode()


class Recommender:
    """Answers requests. All methods belong to one event loop."""

    def __init__(
        self,
        parts: Parts,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Wire the parts. `clock`: monotonic seconds, for deadlines; `now`: unix seconds."""
        self._parts = parts
        self._clock = clock
        self._now = now
        self._refreshes: set[asyncio.Task[None]] = set()
        self._observed = Observed(parts.metrics)

    def __repr__(self) -> str:
        parts = self._parts
        return f"<Recommender {parts.batcher!r} {parts.flights!r} {parts.caches!r}>"

    async def recommend(self, ask: RecommendRequest) -> Answer:
        """Answer one request within its budget.

        Raises:
            InvalidRequestError: a field that the catalogue does not have, a filter that does not
                fit it, a cursor that does not hold any more (422).
            OverloadedError: refused before any model work (429).
            DeadlineExceededError: the budget ran out (504).
            NotReadyError: stopping, or the engine is lost (503).
            EngineError: the model failed on this request (500).
        """
        # 1. The deadline is absolute from here on; what can never work is refused.
        start = self._clock()
        deadline = start + ask.budget_ms / 1e3
        if ask.min_catalogue > self._parts.engine.info.catalogue:
            await self._parts.reach(ask.min_catalogue, deadline)
        self._check(ask)
        page = self._page(ask)

        # 2. User state. A store that is down costs the personal part, not the answer.
        user = user_key(ask.user_id, ask.session_id) if ask.personalize else None
        user_state, degraded = await self._user_state(ask, user)
        if not degraded:
            page = owned_by(user_state.stored.version, page)
        request = self._request(ask, user_state, page)
        generation = self._parts.engine.info.generation
        key = self._key(ask, user, request, page, generation.bundle)
        whose = b"" if user is None else state_of(user_state.stored.version, request)
        # How many items pass a filter is said in the answer, and any change may alter it.
        min_catalogue_seq = generation.catalogue if request.filter else ask.min_catalogue
        lookup = CacheLookup(key, generation, whose, _named(request), min_catalogue_seq)

        # 3. Cache. A hit ends here, also under overload; any trouble is a miss. What was made
        #    without user state is no answer to a whole request, nor the other way round.
        trouble = False
        if not degraded:
            tail, trouble = await self._parts.caches.get(lookup)
            if tail is not None:
                return self._answer(start, "hit", tail)

        # 4.-6. Admission and engine, once for all identical requests in flight. The batcher refuses
        #    before any work: a refusal must cost little when there are many.
        plan = _Plan(request, lookup, deadline, degraded, page)
        if ask.max_stale_ms and not degraded and (tail := self._stale(ask, plan)) is not None:
            return self._answer(start, "hit", tail, x_cache="stale")
        shared = await self._run(plan)

        # 7. Respond.
        word: CacheWord = "bypass" if degraded else "miss" if shared.leader else "coalesced"
        x_cache = "error" if trouble else ""
        return self._answer(start, word, shared.value.tail, shared.value, x_cache)

    def check_capacity(self) -> None:
        """Raise as `recommend` would for what is not in the cache, and has the usual budget."""
        now = self._clock()
        self._parts.batcher.admitted(now, now + DEFAULT_BUDGET_MS / 1e3)

    async def aclose(self) -> None:
        """Let cache writes under way end. Idempotent."""
        for task in self._refreshes:
            task.cancel()
        await self._parts.caches.aclose()

    def _check(self, ask: RecommendRequest) -> None:
        if ask.filter:
            self._parts.engine.check_filter(filter_text(ask.filter))
        known = self._parts.engine.info.attributes
        for name in ask.fields:
            if name not in known:
                raise no_such_field(known, "fields")

    def _page(self, ask: RecommendRequest) -> Page:
        if ask.cursor is None:
            return _FIRST_PAGE
        return read_cursor(ask.cursor, self._now(), self._parts.cursor_life_s)

    def _key(
        self,
        ask: RecommendRequest,
        user: str | None,
        request: RankRequest,
        page: Page,
        bundle: str,
    ) -> bytes:
        """Return what the answer is cached under.

        With a user that is what was said and by whom, so that one answer is kept per question; what
        the user did is the state beside it, in which a hit must have been made.
        """
        who: tuple[str, ...] = ()
        if user is not None:
            request = self._request(ask, STRANGER, page)
            who = (user, f"{ask.seen.events} {ask.seen.within}")
        return fingerprint(request, bundle, who=who)

    def _stale(self, ask: RecommendRequest, plan: _Plan) -> bytes | None:
        """Return an answer from an older catalogue, if there is one, and see to a new one."""
        lookup = replace(plan.lookup, min_catalogue_seq=ask.min_catalogue)
        tail = self._parts.caches.stale(lookup, ask.max_stale_ms / 1e3)
        # Nobody waits for the new one, so nobody shall wait behind it: after a change all are due.
        room = len(self._refreshes) < _MOST_REFRESHES
        if tail is not None and room and not self._parts.flights.flying(plan.flight):
            task = asyncio.create_task(self._refresh(plan), name="recserve-refresh")
            self._refreshes.add(task)
            task.add_done_callback(self._refreshes.discard)
        return tail

    async def _refresh(self, plan: _Plan) -> None:
        """Compute an answer that nobody waits for; where there is no time for it, not now."""
        with suppress(AppError):
            await self._run(plan)

    async def _run(self, plan: _Plan) -> Shared[Computed]:
        begin = partial(self._parts.batcher.begin, plan.request, plan.deadline)
        finish = partial(self._computed, plan)
        return await self._parts.flights.run(plan.flight, plan.deadline, begin, finish)

    async def _user_state(
        self, ask: RecommendRequest, user: str | None
    ) -> tuple[UserState, tuple[str, ...]]:
        """Return what is known of the user, and what had to be left out."""
        if user is None:
            return STRANGER, ()
        try:
            return await self._parts.users.read(user, ask.seen.events or ()), ()
        except StoreError as error:
            log.warning("recommending without user state: %s", error.message)
            return STRANGER, ("user_state",)

    def _request(self, ask: RecommendRequest, user: UserState, page: Page) -> RankRequest:
        """Say what the engine shall do: here it is decided what may not come back."""
        rules, now = self._parts.users.rules, self._now()
        taste = taste_of(user, rules, now) if user else _NO_TASTE
        had = seen(user, ask.seen, rules, now) if user else ()
        # What the request itself says of an item counts more than what is stored.
        said = {*ask.history, *ask.like, *ask.dislike}
        disliked = tuple(item for item in taste.disliked if item not in said)
        used = () if ask.repeats else (*said, *disliked)
        return RankRequest(
            query=ask.query,
            history=(*taste.history, *ask.history)[-MAX_HISTORY:],
            like=ask.like,
            dislike=(*disliked, *ask.dislike)[-MAX_HISTORY:],
            exclude=frozenset((*ask.exclude, *used, *page.shown, *had)),
            candidates=ask.candidates,
            k=ask.size,
            fields=ask.fields,
            filter=filter_text(ask.filter),
            on_empty=ask.on_empty if ask.filter else "none",
        )

    def _computed(self, plan: _Plan, done: Submitted[RankResult]) -> Computed:
        """Make the answer of one flight, and leave it in the caches."""
        result = done.result
        if plan.degraded:
            degraded = (*plan.degraded, *result.degraded)
            result = replace(result, degraded=degraded)
        cursor = self._next_cursor(result, plan)
        tail = write_tail(result, done.batch_size, done.generation, cursor)

        # A degraded answer is not what the next caller should get, nor is one that was ranked by
        # another bundle than its key names, or after its state, while the request waited.
        now = replace(plan.lookup.generation, catalogue=done.generation.catalogue)
        if not result.degraded and done.generation == now:
            self._parts.caches.put(plan.lookup, tail, now.catalogue)
        return Computed(tail, result.degraded, done.queue_s * 1e3, done.timings)

    def _next_cursor(self, result: RankResult, plan: _Plan) -> str | None:
        """Return where the next page starts; None where this one is the last."""
        if plan.request.candidates is not None or len(result.items) < plan.request.k:
            return None
        shown = (*plan.page.shown, *(item.id for item in result.items))
        return write_cursor(shown, plan.page.owner, self._now())

    def _answer(
        self,
        start: float,
        word: CacheWord,
        tail: bytes,
        computed: Computed | None = None,
        x_cache: str = "",
    ) -> Answer:
        total = self._clock() - start
        stages = computed.stages if computed else NO_TIMINGS
        queue_ms = computed.queue_ms if computed else 0.0
        degraded = computed.degraded if computed else ()
        self._observed.count(total, queue_ms, stages, degraded, worked=computed is not None)
        head = write_head(word, queue_ms, stages, total * 1e3)
        return Answer(head + tail, x_cache or word, degraded)


def _named(request: RankRequest) -> tuple[str, ...]:
    return (*request.history, *request.like, *request.dislike, *(request.candidates or ()))
