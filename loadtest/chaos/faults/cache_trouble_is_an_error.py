"""A read of the shared cache that fails is raised, and not taken for a miss."""

from app.core.types import CacheRead
from app.serving.caching.redis import RedisCache


def seed() -> None:
    """Raise where the cache reports a failed read."""
    get = RedisCache.get

    async def raising(self: RedisCache, fingerprint: bytes, state: bytes = b"") -> CacheRead:
        read = await get(self, fingerprint, state)
        if read.failed:
            raise ConnectionError("the shared cache cannot be read")
        return read

    RedisCache.get = raising
