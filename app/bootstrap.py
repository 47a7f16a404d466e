"""Wires the service: the only serving module that names concrete parts. Opens, warms, closes.

What opens closes, in reverse order; ready only after a real request has passed all stages.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

from app.bundle.generations import is_generation
from app.core.memory import settled
from app.core.ports import Cache, Engine, EventStore, Journal, LiveEngine, UserStore
from app.core.settings import Settings
from app.core.telemetry import LoopLag, Metrics
from app.core.types import RankRequest, RankResult
from app.domain.event_rules import DEFAULT_EVENT_RULES, EventRule
from app.loading import Loader, warm_up_batches
from app.serving.batching.batcher import Batcher
from app.serving.batching.plan import Limits
from app.serving.caching.answers import Caches
from app.serving.caching.local import LocalCache
from app.serving.caching.redis import Breaker, RedisCache
from app.serving.caching.single_flight import SingleFlight
from app.serving.current_engine import CurrentEngine, Loaded
from app.serving.cursor import LIFE_S
from app.serving.ingest import Ingest
from app.serving.live_catalogue import LiveCatalogue
from app.serving.recommender import Computed, Parts, Recommender
from app.serving.reloader import BundleSource, Reloader
from app.serving.stores.opening import open_event_store, open_journal
from app.serving.stores.redis_client import RedisLimits, open_client
from app.serving.user_state import UserStates

log = logging.getLogger(__name__)

_LAG_INTERVAL_S = 0.05
_BREAKER_FAILURES = 5
_BREAKER_PAUSE_S = 2.0
_WARM_UP_S = 60.0


@dataclass(frozen=True, slots=True)
class Service:
    """A running service: what the routes need, and nothing else."""

    settings: Settings
    metrics: Metrics
    engine: Engine
    batcher: Batcher[RankRequest, RankResult]
    recommender: Recommender
    users: UserStates
    ingest: Ingest
    catalogue: LiveCatalogue
    reloader: Reloader

    @property
    def ready(self) -> bool:
        """Whether requests can be answered. A shared cache that is down does not matter."""
        return self.batcher.ready


@asynccontextmanager
async def open_service(settings: Settings, metrics: Metrics) -> AsyncIterator[Service]:
    """Open the bundle and everything around it; close it in reverse order.

    Raises:
        BundleError: the bundle is missing, damaged or does not fit.
        DeviceError, EngineError: the device cannot be used, failed, or has no room.
        StoreError: the file of the event store cannot be used.
    """
    # Here, not above: importing the server must not load model libraries.
    from threadpoolctl import threadpool_limits

    # The products of a pass are small: the second thread gains little on an idle machine, and on a
    # busy one the first waits milliseconds for it. The encoder has threads of its own.
    threadpool_limits(limits=1, user_api="blas")
    loader = Loader(settings)
    loaded = loader.load()
    shared = _open_shared_cache(settings, metrics)
    events = await open_event_store(settings)
    async with wire(
        *(settings, metrics, loaded.engine, loaded.users, shared),
        events=events,
        journal=open_journal(settings, loaded.engine.info.bundle_name),
        rules=loaded.rules,
        source=loader.source(),
    ) as service:
        del loaded  # or the first bundle would stay in memory for ever
        log.info("ready: %s", service.engine)
        with settled(), _watching(service):
            yield service


@contextmanager
def _watching(service: Service) -> Iterator[None]:
    """Follow `current`, unless the settings name one generation."""
    settings = service.settings
    if not settings.watch_bundle_ms or is_generation(settings.bundle):
        yield
        return
    watch = service.reloader.watch(settings.watch_bundle_ms / 1e3)
    task = asyncio.create_task(watch, name="recserve-watch")
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
    rules: Mapping[str, EventRule] = DEFAULT_EVENT_RULES,
    source: BundleSource | None = None,
) -> AsyncIterator[Service]:
    """Put a service together from its parts, and close them all when it ends.

    `users`: what the bundle knows; `events`, `journal`: what people do and how items change while
    it serves; `rules`: what each kind of event says of an item; `source`: where other bundles come
    from (None: nowhere).
    """
    current = CurrentEngine(loaded := Loaded(engine, users, rules))
    source = source or BundleSource.fixed(loaded)
    del engine, users, loaded  # what serves is named by `current` alone
    limits = Limits(
        max_requests=settings.max_batch_requests,
        max_tokens=settings.max_batch_tokens,
        max_pending=settings.max_pending_requests,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_close_users, current)
        stack.push_async_callback(events.aclose)
        stack.push_async_callback(journal.aclose)
        if shared is not None:
            stack.push_async_callback(shared.aclose)
        lag = LoopLag(metrics)
        batcher: Batcher[RankRequest, RankResult] = Batcher(
            current, limits, metrics, lag=lambda: lag.seconds
        )
        flights: SingleFlight[Computed] = SingleFlight(metrics)
        local = LocalCache(settings.cache_local_bytes, settings.cache_ttl_ms / 1e3, metrics)
        states = UserStates(current, events, settings.store_read_timeout_ms / 1e3)
        # A cached answer may have lain its time in the shared cache, then in ours.
        life_s = LIFE_S + 2.2 * settings.cache_ttl_ms / 1e3
        catalogue = LiveCatalogue(current.loaded.engine, batcher.run_exclusive, journal, metrics)
        caches = Caches(local, shared, current)
        parts = Parts(
            *(current, batcher, flights, states, caches, metrics, life_s, catalogue.reach)
        )
        recommender = Recommender(parts)
        stack.push_async_callback(recommender.aclose)
        stack.push_async_callback(flights.aclose)
        await batcher.__aenter__()
        stack.push_async_callback(_stop_engine, batcher, current, settings.drain_timeout_ms / 1e3)
        await _warm_up(batcher, min(limits.max_requests, limits.max_pending))
        look = lag.measure(_LAG_INTERVAL_S)
        stack.callback(asyncio.create_task(look, name="recserve-lag").cancel)
        stack.callback(catalogue.close)
        await catalogue.open()
        watch = catalogue.watch(settings.watch_catalogue_ms / 1e3)
        stack.callback(asyncio.create_task(watch, name="recserve-catalogue").cancel)
        ingest = Ingest(current, events, settings.retention(), metrics)
        reloader = Reloader(current, batcher, source, metrics, catalogue.handover)
        yield Service(
            *(settings, metrics, current, batcher, recommender, states, ingest),
            *(catalogue, reloader),
        )


def _open_shared_cache(settings: Settings, metrics: Metrics) -> Cache | None:
    if settings.cache_url is None:
        return None
    limits = RedisLimits(
        timeout_s=settings.cache_timeout_ms / 1e3,
        ttl_s=settings.cache_ttl_ms / 1e3,
        max_connections=settings.cache_max_connections,
    )
    breaker = Breaker(_BREAKER_FAILURES, _BREAKER_PAUSE_S)
    return RedisCache(open_client(settings.cache_url, limits), limits, breaker, metrics)


async def _close_users(current: CurrentEngine) -> None:
    await current.loaded.users.aclose()


async def _stop_engine(
    batcher: Batcher[RankRequest, RankResult], engine: Engine, drain_s: float
) -> None:
    if await batcher.aclose(drain_s):
        engine.close()
    else:
        log.warning("a pass is still running; the engine is left to the end of the process")


async def _warm_up(batcher: Batcher[RankRequest, RankResult], most: int) -> None:
    """Send real requests through all stages, of several lengths, then `most` at once.

    A failure stops the start. The batcher learns from them what passes of several sizes cost.
    """
    deadline = time.monotonic() + _WARM_UP_S
    for batch in warm_up_batches(most):
        await asyncio.gather(*(batcher.submit(request, deadline) for request in batch))
