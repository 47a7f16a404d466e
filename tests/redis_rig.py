"""A `RedisCache` on an injected clock, its real client, and what it counted."""

from prometheus_client import CollectorRegistry

from app.core.telemetry import Metrics
from app.serving.breaker import Breaker
from app.serving.caching.redis import RedisCache
from app.serving.stores.redis_client import RedisLimits, open_client
from tests.clock import Clock

FAILURES = 5
PAUSE_S = 10.0


class RedisRig:
    """Use as `async with`. `timeout_s` is generous where the server is well: nothing is timed."""

    def __init__(
        self, url: str, *, timeout_s: float = 5.0, max_connections: int = 4, chance: float = 0.5
    ) -> None:
        self.clock = Clock()
        self.metrics = Metrics(CollectorRegistry())
        self.breaker = Breaker(FAILURES, PAUSE_S, self.clock)
        limits = RedisLimits(100.0, timeout_s, max_connections)
        self.client = open_client(url, limits)
        self.cache = RedisCache(
            self.client, limits, self.breaker, self.metrics, chance=lambda: chance
        )

    async def __aenter__(self) -> "RedisRig":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cache.aclose()

    def reads(self, result: str) -> float:
        labels = {"tier": "shared", "result": result}
        return self.metrics.registry.get_sample_value("recserve_cache_reads_total", labels) or 0.0

    def value(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"recserve_{name}")

    def connections_in_use(self) -> int:
        return len(self.client.connection_pool._in_use_connections)
