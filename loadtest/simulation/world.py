"""One run of a schedule: the service is wired over the simulated parts, and does what steps say."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final

import orjson
from prometheus_client import CollectorRegistry

from app.bootstrap import Service, wire
from app.core.errors import AppError, BundleError
from app.core.settings import Settings
from app.core.store_ports import user_key
from app.core.telemetry import Metrics
from app.core.types import Event
from app.domain.request import RecommendRequest
from app.domain.rule import Rule
from app.serving.breaker import Breaker
from app.serving.caching.redis import RedisCache
from app.serving.current_engine import LoadedBundle
from app.serving.reloader import BundleSource
from app.serving.response import Answer
from app.serving.stores.redis_client import RedisLimits
from app.testing.fakes import MemoryUserStore
from loadtest.simulation.checks import Asked, Checks, Served
from loadtest.simulation.engine import Floor, SimulatedEngine
from loadtest.simulation.ledger import Ledger
from loadtest.simulation.right import RULES, bundle_number
from loadtest.simulation.schedule import CALLERS, USERS, Schedule, Step
from loadtest.simulation.stores import (
    SimulatedAnswers,
    SimulatedControl,
    SimulatedEvents,
    SimulatedJournal,
    SimulatedRedis,
)
from loadtest.simulation.threads import SimulatedThreads
from loadtest.simulation.troubles import Troubles
from loadtest.simulation.virtual_time import VirtualLoop

UNIX_S: Final = 1.7e9
"""Unix seconds at the beginning of the virtual clock."""
_LIMITS: Final = {"max_batch_requests": 4, "max_batch_tokens": 16, "max_pending_requests": 16}
_CACHE_S: Final = 0.02
_LONGEST_CALL_S: Final = 60.0
_REST_S: Final = 6.0
_WRITES_S: Final = 0.1
_CLOSE_S: Final = 30.0
_LOAD_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one run: what was wrong, and what happened, if it was traced."""

    wrong: tuple[str, ...]
    lines: tuple[str, ...]


def run(schedule: Schedule, *, traced: bool = False) -> Outcome:
    """Run a schedule from beginning to end."""
    # The local cache spreads its expiry by the common source of random numbers.
    random.seed(schedule.seed)
    logging.disable(logging.CRITICAL)
    draws = Random(f"world {schedule.seed}")
    loop = VirtualLoop(partial(draws.uniform, 0, 0.002))
    ledger = Ledger(traced=traced)
    try:
        loop.run_until_complete(World(schedule, loop, draws, ledger).live())
    except Exception as error:  # noqa: BLE001 - whatever ends a run is what is looked for
        ledger.complain("promise", f"the run ended with {error!r}")
    finally:
        logging.disable(logging.NOTSET)
        loop.close()
    for complaint in loop.complaints:
        ledger.complain("loop", complaint)
    return Outcome(tuple(ledger.wrong), tuple(ledger.lines))


class World:
    """The service, everything around it, and those who use it."""

    def __init__(
        self, schedule: Schedule, loop: VirtualLoop, draws: Random, ledger: Ledger
    ) -> None:
        self._schedule, self._loop, self._draws, self._ledger = schedule, loop, draws, ledger
        self._threads = SimulatedThreads(loop, Random(f"threads {schedule.seed}"))
        self._troubles = Troubles(loop, Random(f"troubles {schedule.seed}"))
        self._floor = Floor(
            self._threads, self._troubles, Random(f"engine {schedule.seed}"), ledger
        )
        self._events = SimulatedEvents(self._troubles, self._now)
        self._journal = SimulatedJournal(self._troubles)
        self._control = SimulatedControl(self._troubles)
        self._answers = SimulatedAnswers(self._troubles) if schedule.answers else None
        self._loads = 0
        self._served: list[Served] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._newest_put = 0
        self._pages: list[tuple[str | None, str, tuple[str, ...]]] = []
        self._given: list[tuple[float, Asked, str]] = []
        self._erased: dict[str, float] = {}

    async def live(self) -> None:
        """Wire the service, do all steps, and close."""
        loaded = self._load()
        metrics = Metrics(CollectorRegistry())
        closing = AsyncExitStack()
        wired = wire(
            Settings(**_LIMITS),
            metrics,
            loaded.engine,
            loaded.users,
            self._shared_cache(metrics) if self._schedule.shared else None,
            events=self._events,
            journal=self._journal,
            control=self._control,
            answers=self._answers,
            rules=RULES,
            source=BundleSource(lambda: f"films/{self._loads + 1}", self._load_in_thread),
            clock=self._loop.time,
            now=self._now,
            threads=self._threads.real,
        )
        self._service: Service = await closing.enter_async_context(wired)
        self._floor.serving = lambda: self._service.engine.info.bundle
        self._checks = Checks(
            ledger=self._ledger,
            troubles=self._troubles,
            floor=self._floor,
            events=self._events,
            journal=self._journal,
            control=self._control,
            served=self._served,
            service=self._service,
        )
        for step in self._schedule.steps:
            await asyncio.sleep(step.after_s)
            self._tell(str(step))
            self._begin(step)
            self._checks.after_a_step()
        if self._schedule.rests and not self._floor.dead:
            await self._rest()
        await self._close(closing)

    def _now(self) -> float:
        return UNIX_S + self._loop.time()

    def _tell(self, line: str) -> None:
        self._ledger.tell(self._loop.time(), line)

    def _shared_cache(self, metrics: Metrics) -> RedisCache:
        redis = SimulatedRedis(self._troubles, Random(f"redis {self._schedule.seed}"))
        limits = RedisLimits(ttl_s=300.0, timeout_s=_CACHE_S, max_connections=8)
        breaker = Breaker(5, 2.0, self._loop.time)
        return RedisCache(redis, limits, breaker, metrics)

    def _load(self) -> LoadedBundle:
        self._loads += 1
        bundle = bundle_number(self._loads)
        engine = SimulatedEngine(self._floor, bundle.id, bundle.items)
        self._served.append(Served(bundle, engine, self._loop.time()))
        return LoadedBundle(engine, MemoryUserStore(bundle.histories, bundle.attributes), RULES)

    def _load_in_thread(self) -> LoadedBundle:
        troubles = self._troubles
        self._threads.sleep(troubles.seconds("loading", _LOAD_S / 2))
        if troubles.has("loading", "refuses"):
            raise BundleError("the bundle is damaged")
        if troubles.has("loading", "raises"):
            raise ValueError("the bundle is not understood")
        if troubles.has("loading", "dies"):
            raise SystemExit("the thread is to die")
        return self._load()

    def _begin(self, step: Step) -> None:
        call = getattr(self, f"_{step.kind}")(**step.arguments)
        if call is not None:
            task = self._loop.create_task(self._observed(step, call))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
            if step.leaves_s is not None:
                self._loop.call_later(step.leaves_s, task.cancel)

    async def _observed(self, step: Step, call: Coroutine[Any, Any, str]) -> None:
        """Wait for a call, and note how it ends."""
        said = "left"
        try:
            said = await call
        except AppError as error:
            said = f"{type(error).__name__}: {error.message}"
            self._checks.failed(step.kind, error)
        except Exception as error:  # noqa: BLE001 - it is noted
            said = repr(error)
            self._ledger.complain("error", f"{step} ended with {error!r}")
        finally:
            self._tell(f"    step {step.number} ends: {said}")

    # What steps do. Those that call the service return a coroutine.

    def _ask(self, **asked: Any) -> Coroutine[Any, Any, str]:
        return self._ask_all([asked], alone=True)

    def _together(self, asks: list[dict[str, Any]]) -> Coroutine[Any, Any, str]:
        return self._ask_all(asks, alone=False)

    async def _ask_all(self, asks: list[dict[str, Any]], *, alone: bool) -> str:
        longest_s = max(fields["budget_ms"] for fields in asks) / 1e3
        begun = [self._asked(dict(fields), longest_s) for fields in asks]
        answers: list[Answer | Exception]
        requests, caller = [request for request, _ in begun], begun[0][1].caller
        recommender = self._service.recommender
        if alone:
            try:
                answers: list[Answer | Exception] = [
                    await recommender.recommend(requests[0], caller)
                ]
            except AppError as error:
                answers = [error]
        else:
            answers = await recommender.recommend_together(requests, caller)
        return "; ".join(
            self._answered(asked, answer) for (_, asked), answer in zip(begun, answers, strict=True)
        )

    def _asked(
        self, fields: dict[str, Any], together_s: float = 0.0
    ) -> tuple[RecommendRequest, Asked]:
        shown: tuple[str, ...] = ()
        caller = CALLERS[fields.pop("caller", "")]
        if fields.pop("wants_newest", False):
            fields["min_catalogue"] = self._newest_put
        if fields.pop("next_page", False) and self._pages:
            _, fields["cursor"], shown = self._pages[-1]
        request = RecommendRequest.model_validate_json(orjson.dumps(fields))
        who = user_key(request.user_id, request.session_id, caller.namespace)
        asked = Asked(
            fields={**fields, "shown": shown},
            caller=caller,
            user=who if request.personalize else None,
            start=self._loop.time(),
            rules=self._service.control.number,
            together_s=together_s,
        )
        return request, asked

    def _answered(self, asked: Asked, answer: Answer | Exception) -> str:
        if isinstance(answer, Exception):
            self._checks.refused(asked, answer)
            return f"{type(answer).__name__}: {answer}"
        body = orjson.loads(answer.body)
        self._checks.answered(asked, answer, body)
        ids = tuple(item["id"] for item in body["items"])
        if body["next_cursor"]:
            self._pages.append((asked.user, body["next_cursor"], (*asked.fields["shown"], *ids)))
        self._given.append((self._loop.time(), asked, body["recommendation_id"]))
        return f"{answer.x_cache} {body['generation']} {body['degraded']} {ids}"

    async def _event(self, who: str, events: list[tuple[int, str, str]]) -> str:
        sent = [
            Event(id=f"e{number}", user=who, item=item, kind=kind, time=self._now())
            for number, item, kind in events
        ]
        done = await self._service.ingest.take(sent)
        self._checks.stored([event.id for event in sent], done)
        return f"{done.accepted} accepted, {done.duplicates} known"

    async def _undo(self, event: int) -> str:
        return str(await self._service.users.events.undo(f"e{event}"))

    async def _attributes(self, user: str, age: int) -> str:
        await self._service.users.events.put_attributes(user, (("age", float(age)),))
        return "put"

    async def _merge(self, session: str, user: str) -> str:
        return str(await self._service.users.events.merge(session, user))

    async def _erase(self, user: str) -> str:
        """Erase a user as the route does."""
        service, start = self._service, self._loop.time()
        state = await service.users.read_all(user)
        users = (user, *state.stored.merged)
        if service.answers is not None:
            await service.answers.erase(users)
        gone = await service.users.events.delete(user)
        if service.answers is not None:
            await service.answers.erase(users)
        self._erased |= dict.fromkeys(users, start)
        return f"{gone} events"

    async def _put(self, items: list[dict[str, Any]]) -> str:
        return await self._changed(self._service.catalogue.put(items), items[-1]["id"])

    async def _patch(self, item: str, n: int) -> str:
        return await self._changed(self._service.catalogue.patch(item, {"n": n}), item)

    async def _delete(self, item: str) -> str:
        return await self._changed(self._service.catalogue.delete(item), item)

    async def _changed(self, call: Awaitable[int], item: str) -> str:
        number = await call
        self._newest_put = max(self._newest_put, number)
        self._checks.changed(number, item)
        return f"change {number}"

    async def _reload(self) -> str:
        done = await self._service.reloader.reload()
        self._checks.reloaded(done)
        return f"{done.previous} -> {done.generation.bundle}"

    async def _rule(self, rule: dict[str, Any], lasts_s: float | None) -> str:
        if lasts_s is not None:
            rule = {**rule, "until": self._now() + lasts_s}
        start, stored = self._loop.time(), max(self._control.states)
        await self._service.control.put_rules([Rule.model_validate(rule)])
        self._checks.ruled(start, stored + 1)
        return f"rules at {self._service.control.number}"

    async def _unrule(self, rule: str) -> str:
        start, stored = self._loop.time(), max(self._control.states)
        await self._service.control.delete_rules(rule)
        self._checks.ruled(start, stored)
        return f"rules at {self._service.control.number}"

    async def _facets(self) -> str:
        engine = self._service.engine
        count = partial(engine.facets, "", ["n"], 5)
        await self._service.batcher.run_exclusive(count)
        return "counted"

    def _trouble(self, part: str, mode: str, seconds: float) -> None:
        self._troubles.set(part, mode, seconds)

    def _die(self) -> None:
        self._floor.dead = True

    # The end.

    async def _rest(self) -> None:
        """Let everything work again, wait for all calls, and ask once more as everybody."""
        self._troubles.clear()
        await self._all_ended()
        await asyncio.sleep(_REST_S)
        self._checks.at_rest()
        for fields in ({}, *({"user_id": user} for user in USERS), {"session_id": "s1"}):
            request, asked = self._asked({**fields, "query": "tea", "k": 5, "budget_ms": 2000})
            try:
                answer = await self._service.recommender.recommend(request, asked.caller)
            except AppError as error:
                self._ledger.complain("rest", f"{fields} gets {error!r} though all is well")
                continue
            self._answered(asked, answer)
            if answer.degraded:
                self._ledger.complain("rest", f"{fields} gets {answer.degraded}, all being well")
        await asyncio.sleep(_WRITES_S)
        self._checks.at_rest()
        await self._check_erased()

    async def _check_erased(self) -> None:
        """Check that no answer is kept of those who were erased after it was given."""
        if self._service.answers is None:
            return
        for given, asked, name in self._given:
            if asked.user is not None and given < self._erased.get(asked.user, 0.0):
                kept = await self._service.answers.read(name, asked.caller.namespace)
                if kept is not None:
                    self._ledger.complain("erased", f"an answer to {asked.user} is still kept")

    async def _all_ended(self) -> None:
        if self._calls:
            await asyncio.wait(self._calls, timeout=_LONGEST_CALL_S)
        for call in self._calls:
            self._ledger.complain("promise", f"a call never ends: {call!r}")

    async def _close(self, closing: AsyncExitStack) -> None:
        self._checks.closing = True
        try:
            async with asyncio.timeout(_CLOSE_S):
                await closing.aclose()
        except TimeoutError:
            self._ledger.complain("close", "the service does not close")
        await self._all_ended()
        for _ in range(3):
            await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            self._ledger.complain("close", f"a task is left: {task.get_name()}")
            task.cancel()
