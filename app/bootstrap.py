"""Wires the service: opens the bundle and the stores, builds the parts, warms up, closes.

This is the only module that names the concrete parts of the service. Whatever it opens, it closes
in reverse order. The service is ready once real requests have passed through all stages.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from app.bundle.generations import is_generation
from app.bundle.training_lock import is_training
from app.core.answer_port import AnswerStore
from app.core.control_port import ControlStore
from app.core.life import Life
from app.core.memory import settled
from app.core.ports import Cache, Engine, LiveEngine
from app.core.ranking import RankRequest, RankResult
from app.core.settings import Settings
from app.core.store_ports import EventStore, Journal, UserStore
from app.core.telemetry import LoopLag, Metrics
from app.domain.event_rules import DEFAULT_EVENT_RULES, EventRule
from app.loading import Loader, warm_up_batches
from app.serving.batching.batcher import Batcher
from app.serving.batching.plan import Limits
from app.serving.batching.worker import REAL_THREADS, Threads
from app.serving.breaker import Breaker
from app.serving.caching.answers import Caches
from app.serving.caching.local import LocalCache
from app.serving.caching.single_flight import SingleFlight
from app.serving.control.control import Control
from app.serving.current_engine import CurrentEngine, LoadedBundle
from app.serving.cursor import LIFE_S
from app.serving.dry_run import DryRun
from app.serving.ingest import Ingest
from app.serving.intents.facts import count_values
from app.serving.intents.learner import IntentLearner
from app.serving.intents.learning import (
    Learning,
    Teacher,
    TitleSearch,
    learning_limits,
    namespace_of,
)
from app.serving.kept_answers.keeper import OTHERS_WRITE_S, AnswerKeeper
from app.serving.live_catalogue import LiveCatalogue
from app.serving.recommender import Computed, Recommender, RecommenderParts
from app.serving.reloader import BundleSource, Reloader
from app.serving.request_plan import Planner
from app.serving.scenario_desk import ScenarioDesk
from app.serving.shelves.shelves import ShelfFiller
from app.serving.stores.opening import (
    is_shared,
    open_answer_store,
    open_control_store,
    open_event_store,
    open_intent_store,
    open_journal,
    store_namespace,
)
from app.serving.telling.teller import Teller, TextWriter, text_limits
from app.serving.user_state import UserStates
from app.serving.watchdog import watch
from app.serving.why_not import WhyNot
from app.trial import open_in_child

log = logging.getLogger(__name__)

_LAG_INTERVAL_S = 0.05
_BREAKER_FAILURES = 5
_BREAKER_PAUSE_S = 2.0
_WARM_UP_S = 60.0
_NEVER = float("inf")
_CHANGE_TIMES = 30
"""A change may take so many times as long as a call of the engine: a large index is merged."""
_LAST_PASS_S = 1.0
"""Time for passes whose requests the server has not waited for any more."""


_Stores: TypeAlias = Mapping[str, EventStore | Journal | ControlStore]


@dataclass(frozen=True, slots=True)
class Service:
    """A running service: what the routes need, and nothing else."""

    settings: Settings
    metrics: Metrics
    life: Life
    engine: Engine
    batcher: Batcher[RankRequest, RankResult]
    recommender: Recommender
    why_not: WhyNot
    users: UserStates
    ingest: Ingest
    catalogue: LiveCatalogue
    reloader: Reloader
    control: Control
    scenarios: ScenarioDesk
    dry_run: DryRun
    shelves: ShelfFiller
    teller: Teller
    intents: IntentLearner | None = None
    answers: AnswerKeeper | None = None

    @property
    def ready(self) -> bool:
        """Whether new callers may come."""
        return self.trouble is None

    @property
    def trouble(self) -> str | None:
        """Why no new callers should come; None = they may. A shared cache may be down."""
        lost = None if self.batcher.ready else "the engine is not running"
        return self.life.trouble or lost

    @property
    def training(self) -> bool:
        """Whether `recserve demo` trains the bundle now: `recserve train` takes no such lock."""
        return is_training(self.settings.bundle)


@asynccontextmanager
async def open_service(
    settings: Settings,
    metrics: Metrics,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], float] = time.time,
) -> AsyncIterator[Service]:
    """Open the bundle and everything around it; close it in reverse order.

    `clock`: monotonic seconds. `now`: unix seconds.

    Raises:
        BundleError: the bundle is missing, damaged or does not fit.
        DeviceError, EngineError: the device cannot be used, failed, or has no room.
        StoreError: the file of the event store cannot be used.
    """
    # Here, not above: importing the server must not load model libraries.
    from threadpoolctl import threadpool_limits

    # The matrix products of a pass are small: a second thread gains little on an idle machine, and
    # on a busy one the first thread waits milliseconds for it. The encoder has its own threads.
    threadpool_limits(limits=1, user_api="blas")
    loader = Loader(settings)
    loaded = loader.load()
    shared = await _open_shared_cache(settings, metrics)
    events = await open_event_store(settings)
    bundle_name = loaded.engine.info.bundle_name
    lag = LoopLag(metrics)
    async with wire(
        settings,
        metrics,
        loaded.engine,
        loaded.users,
        shared,
        events=events,
        journal=open_journal(settings, store_namespace(settings)),
        control=open_control_store(settings, store_namespace(settings)),
        answers=await open_answer_store(settings),
        teacher=_open_teacher(settings, bundle_name),
        rules=loaded.rules,
        source=loader.source(open_in_child),
        lag=lag,
        clock=clock,
        now=now,
    ) as service:
        del loaded  # otherwise the first bundle would stay in memory after it was replaced
        info = service.engine.info
        log.info(
            "ready: serves %s, generation %s, %d items", info.bundle_name, info.bundle, info.n_items
        )
        # The lag is measured last. Steps of the start block the event loop, `settled` longest; a
        # measurement that had begun before them would take that for overload, and the first
        # requests would be degraded or refused.
        with settled(), _watching(service), _measuring(service, lag, clock):
            yield service


@contextmanager
def _measuring(service: Service, lag: LoopLag, clock: Callable[[], float]) -> Iterator[None]:
    """Measure the lag of the event loop from its next turn on."""
    task = service.life.keep(lag.measure(_LAG_INTERVAL_S, clock=clock), "recserve-lag")
    try:
        yield
    finally:
        task.cancel()


@contextmanager
def _watching(service: Service) -> Iterator[None]:
    """Reload when `current` moves, unless the settings name one generation."""
    settings = service.settings
    if not settings.watch_bundle_ms or is_generation(settings.bundle):
        yield
        return
    task = service.life.keep(
        service.reloader.watch(settings.watch_bundle_ms / 1e3), "recserve-watch"
    )
    try:
        yield
    finally:
        task.cancel()


@asynccontextmanager
async def wire(  # noqa: PLR0913 - one argument a part
    settings: Settings,
    metrics: Metrics,
    engine: LiveEngine,
    users: UserStore,
    shared: Cache | None,
    *,
    events: EventStore,
    journal: Journal,
    control: ControlStore,
    answers: AnswerStore | None = None,
    teacher: Teacher | None = None,
    rules: Mapping[str, EventRule] = DEFAULT_EVENT_RULES,
    source: BundleSource | None = None,
    lag: Callable[[], float] = lambda: 0.0,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], float] = time.time,
    threads: Threads = REAL_THREADS,
) -> AsyncIterator[Service]:
    """Build a service from its parts, warm it up, and close all of them when it ends.

    Args:
        settings: sizes, times and addresses.
        metrics: where everything is counted.
        engine: ranks; it is replaced when another bundle takes over.
        users: the histories in the bundle.
        shared: the shared cache; None = in-process only.
        events: where the events of users are stored.
        journal: where changes of items are stored.
        control: where rules and scenarios are stored.
        answers: where answers are kept; None = they are not.
        teacher: a language model that learns queries, and the store of that; None = nobody does.
        rules: what each kind of event says about an item.
        source: where other generations of the bundle come from; None = there are no others.
        lag: how late the event loop is, in seconds.
        clock: monotonic seconds.
        now: unix seconds.
        threads: how threads are started.
    """
    facets = None if teacher is None else count_values(engine)
    current = CurrentEngine(loaded := LoadedBundle(engine, users, rules, facets))
    source = source or BundleSource.fixed(loaded)
    del engine, users, loaded  # only `current` may refer to them, or they outlive a reload
    limits = Limits(
        max_requests=settings.max_batch_requests,
        max_tokens=settings.max_batch_tokens,
        max_pending=settings.max_pending_requests,
    )
    life = Life()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_close_users, current)
        stack.push_async_callback(events.aclose)
        stack.push_async_callback(journal.aclose)
        stack.push_async_callback(control.aclose)
        if shared is not None:
            stack.push_async_callback(shared.aclose)
        batcher: Batcher[RankRequest, RankResult] = Batcher(
            current, limits, metrics, clock=clock, lag=lag, threads=threads
        )
        flights: SingleFlight[Computed] = SingleFlight(metrics, clock)
        local = LocalCache(
            settings.cache_local_bytes, settings.cache_ttl_ms / 1e3, metrics, clock=clock
        )
        states = _user_states(current, events, settings, metrics, clock)
        # A cached answer may be as old as the life in the shared cache plus that in ours.
        life_s = LIFE_S + 2.2 * settings.cache_ttl_ms / 1e3
        catalogue = LiveCatalogue(
            engine=current.loaded.engine,
            run_exclusive=batcher.run_exclusive,
            journal=journal,
            metrics=metrics,
            now=now,
            clock=clock,
            new_thread=threads.in_background,
        )
        caches = Caches(local, shared, current, now)
        learning = None
        if teacher is not None:
            learning = Learning(
                teacher,
                current,
                metrics,
                learning_limits(settings),
                item_of_title=TitleSearch(current, batcher.run_exclusive),
                now=now,
                clock=clock,
            )
            stack.push_async_callback(learning.aclose)
        words = None if learning is None else learning.words
        controls = Control(control, current, metrics, now)
        keeping = _keeping(answers, settings, metrics, now=now, clock=clock)
        keeper = await stack.enter_async_context(keeping)
        planner = Planner(current, states, life_s, now, control=controls, words=words)
        teller = Teller(
            current, _writer_of(teacher), text_limits(settings), metrics, clock=clock, now=now
        )
        parts = RecommenderParts(
            engine=current,
            planner=planner,
            batcher=batcher,
            flights=flights,
            caches=caches,
            metrics=metrics,
            reach=catalogue.reach,
            with_text=teller.with_text,
            words=words,
            answers=keeper,
        )
        recommender = Recommender(parts, clock, now)
        stack.push_async_callback(teller.aclose)
        stack.push_async_callback(recommender.aclose)
        stack.push_async_callback(flights.aclose)
        await batcher.__aenter__()
        stack.push_async_callback(_stop_engine, batcher, current)
        await _warm_up(batcher, min(limits.max_requests, limits.max_pending), clock)
        stack.callback(catalogue.close)
        await catalogue.open()
        await controls.open()
        look_s = settings.watch_catalogue_ms / 1e3
        stores: _Stores = {"events": events, "changes": journal, "rules": control}
        for work, name in (
            (catalogue.watch(look_s), "recserve-catalogue"),
            (controls.watch(look_s), "recserve-control"),
            (_look_after(life, settings, batcher, catalogue, stores), "recserve-watchdog"),
        ):
            stack.callback(life.keep(work, name).cancel)
        if learning is not None:
            await learning.start()
        ingest = Ingest(
            current, events, settings.retention(), metrics=metrics, now=now, clock=clock
        )
        reloader = Reloader(
            current=current,
            batcher=batcher,
            source=source,
            metrics=metrics,
            handover=catalogue.handover,
            clock=clock,
            new_thread=threads.in_background,
        )
        yield Service(
            settings=settings,
            metrics=metrics,
            life=life,
            engine=current,
            batcher=batcher,
            recommender=recommender,
            why_not=WhyNot(current, planner, batcher, states),
            users=states,
            ingest=ingest,
            catalogue=catalogue,
            reloader=reloader,
            control=controls,
            scenarios=ScenarioDesk(controls, planner, current),
            dry_run=DryRun(controls, planner, batcher, clock),
            shelves=ShelfFiller(current, recommender, states, now),
            teller=teller,
            intents=None if learning is None else learning.learner,
            answers=keeper,
        )


def _user_states(
    current: CurrentEngine,
    events: EventStore,
    settings: Settings,
    metrics: Metrics,
    clock: Callable[[], float],
) -> UserStates:
    breaker = Breaker(_BREAKER_FAILURES, _BREAKER_PAUSE_S, clock)
    metrics.store_breaker_open.set_function(lambda: breaker.open)
    return UserStates(current, events, settings.store_read_timeout_ms / 1e3, breaker, clock)


@asynccontextmanager
async def _keeping(
    answers: AnswerStore | None,
    settings: Settings,
    metrics: Metrics,
    *,
    now: Callable[[], float],
    clock: Callable[[], float],
) -> AsyncIterator[AnswerKeeper | None]:
    """Keep answers in a store, if there is one."""
    if answers is None:
        yield None
        return
    alone = settings.workers == 1 and not is_shared(settings)
    patience_s = 0.0 if alone else OTHERS_WRITE_S
    keeper = AnswerKeeper(answers, metrics, now=now, clock=clock, patience_s=patience_s)
    keeper.start()
    try:
        yield keeper
    finally:
        await keeper.aclose()


def _open_teacher(settings: Settings, bundle_name: str) -> Teacher | None:
    if settings.llm_url is None:
        return None
    # Here, not above: most services need no HTTP client.
    from app.language_model.endpoint import open_language_model

    model = open_language_model(settings)
    namespace = namespace_of(bundle_name, settings.llm_model)
    store = open_intent_store(settings, namespace)
    return Teacher(model, store, settings.llm_model, writer=model)


def _writer_of(teacher: Teacher | None) -> TextWriter | None:
    if teacher is None or teacher.writer is None:
        return None
    return TextWriter(teacher.writer, teacher.store)


async def _open_shared_cache(settings: Settings, metrics: Metrics) -> Cache | None:
    if settings.cache_url is None:
        return None
    # Here, not above: the library takes a twentieth of the start.
    from app.serving.caching.redis import RedisCache
    from app.serving.stores.redis_client import RedisLimits, open_client

    limits = RedisLimits(
        timeout_s=settings.cache_timeout_ms / 1e3,
        ttl_s=settings.cache_ttl_ms / 1e3,
        max_connections=settings.cache_max_connections,
    )
    breaker = Breaker(_BREAKER_FAILURES, _BREAKER_PAUSE_S)
    cache = RedisCache(open_client(settings.cache_url, limits), limits, breaker, metrics)
    await cache.check()
    return cache


async def _close_users(current: CurrentEngine) -> None:
    await current.loaded.users.aclose()


async def _look_after(
    life: Life,
    settings: Settings,
    batcher: Batcher[RankRequest, RankResult],
    catalogue: LiveCatalogue,
    stores: _Stores,
) -> None:
    """Watch over all parts, for ever; when one is lost, requests that wait for the engine fail."""
    hang_s = settings.hang_limit_ms / 1e3 or _NEVER
    life.when_lost(batcher.give_up)
    parts = (
        partial(batcher.failure, hang_s),
        partial(catalogue.failure, _CHANGE_TIMES * hang_s),
        partial(_dead_store, stores),
    )
    await watch(life, parts)


def _dead_store(stores: _Stores) -> str | None:
    dead = [name for name, store in stores.items() if not store.alive]
    return f"the thread that writes {dead[0]} has died" if dead else None


async def _stop_engine(batcher: Batcher[RankRequest, RankResult], engine: Engine) -> None:
    if await batcher.aclose(_LAST_PASS_S):
        engine.close()
    else:
        log.warning("a pass is still running; the engine is left to the end of the process")


async def _warm_up(
    batcher: Batcher[RankRequest, RankResult], most: int, clock: Callable[[], float]
) -> None:
    """Send requests of several lengths through all stages, then `most` requests at once.

    A failure stops the start. The batcher learns how long passes of several sizes take.
    """
    deadline = clock() + _WARM_UP_S
    for batch in warm_up_batches(most):
        await asyncio.gather(*(batcher.submit(request, deadline) for request in batch))
