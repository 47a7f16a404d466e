"""Wires the service: the only serving module that names concrete parts. Opens, warms, closes.

What opens closes, in reverse order; ready only after a real request has passed all stages.
"""

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

from app.ports import Cache, Engine, UserStore
from app.serving.batch_plan import Limits
from app.serving.batcher import Batcher
from app.serving.breaker import Breaker
from app.serving.flight import SingleFlight
from app.serving.local_cache import LocalCache
from app.serving.recommender import Computed, Parts, Recommender
from app.serving.redis_cache import RedisCache, RedisLimits, open_client
from app.serving.users import BundleUserStore
from app.settings import Settings
from app.telemetry import Metrics, measure_loop_lag
from app.types import RankRequest, RankResult

log = logging.getLogger(__name__)

_LAG_INTERVAL_S = 0.25
_BREAKER_FAILURES = 5
_BREAKER_PAUSE_S = 2.0
_WARM_UP_S = 60.0
_ALLOCATIONS_PER_COLLECTION = 20_000
_WARM_UP_REPEATS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class Service:
    """A running service: what the routes need, and nothing else."""

    settings: Settings
    metrics: Metrics
    engine: Engine
    batcher: Batcher[RankRequest, RankResult]
    recommender: Recommender

    @property
    def ready(self) -> bool:
        """Whether requests can be answered. A shared cache that is down does not matter."""
        return self.batcher.ready


@asynccontextmanager
async def open_service(settings: Settings, metrics: Metrics) -> AsyncIterator[Service]:
    """Open the bundle and everything around it; close it in reverse order.

    Raises:
        BundleError: the bundle is missing, damaged or does not fit.
    """
    # Here, not above: importing the server must not load model libraries.
    from threadpoolctl import threadpool_limits

    from app.bundle import open_bundle
    from app.engine.open import engine_of

    # The products of a pass are small: the second thread gains little on an idle machine, and on a
    # busy one the first waits milliseconds for it. The encoder has threads of its own.
    threadpool_limits(limits=1, user_api="blas")
    bundle = open_bundle(settings.bundle)
    engine = engine_of(bundle, settings.threads_per_worker())
    users = BundleUserStore.open(bundle)
    shared = _open_shared_cache(settings, metrics)
    async with wire(settings, metrics, engine, users, shared) as service:
        log.info("ready: %s", engine)
        with _settled_memory():
            yield service


@contextmanager
def _settled_memory() -> Iterator[None]:
    """Keep the garbage collector away from what was loaded, and from running at every turn.

    Requests leave no cycles behind, so collecting seldom costs no memory; a full collection over
    the libraries' objects would stop the event loop for tens of milliseconds.
    """
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_PER_COLLECTION, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


@asynccontextmanager
async def wire(
    settings: Settings, metrics: Metrics, engine: Engine, users: UserStore, shared: Cache | None
) -> AsyncIterator[Service]:
    """Put a service together from its parts, and close them all when it ends."""
    limits = Limits(
        max_requests=settings.max_batch_requests,
        max_tokens=settings.max_batch_tokens,
        max_pending=settings.max_pending_requests,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(users.aclose)
        if shared is not None:
            stack.push_async_callback(shared.aclose)
        batcher: Batcher[RankRequest, RankResult] = Batcher(
            engine.rank, engine.cost, limits, metrics
        )
        flights: SingleFlight[Computed] = SingleFlight(metrics)
        local = LocalCache(settings.cache_local_bytes, settings.cache_ttl_ms / 1e3, metrics)
        recommender = Recommender(Parts(engine, batcher, flights, users, local, shared, metrics))
        stack.push_async_callback(recommender.aclose)
        stack.push_async_callback(flights.aclose)
        await batcher.__aenter__()
        stack.push_async_callback(_stop_engine, batcher, engine, settings.drain_timeout_ms / 1e3)
        await _warm_up(batcher, min(limits.max_requests, limits.max_pending))
        lag = asyncio.create_task(measure_loop_lag(metrics, _LAG_INTERVAL_S), name="recserve-lag")
        stack.callback(lag.cancel)
        yield Service(settings, metrics, engine, batcher, recommender)


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
    for repeats in _WARM_UP_REPEATS:
        await batcher.submit(RankRequest(query=" ".join(["warm up"] * repeats)), deadline)
    crowd = (RankRequest(query=f"warm up {number}") for number in range(most))
    await asyncio.gather(*(batcher.submit(request, deadline) for request in crowd))
