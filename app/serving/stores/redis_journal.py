"""The shared journal: `Journal` in the Redis of the event store.

    PREFIX CATALOGUE :newest    the highest number ever given
    PREFIX CATALOGUE :records   hash: item id -> record, JSON
    PREFIX CATALOGUE :order     sorted set: number -> item id

Each call is one script and one round trip: commands of Redis ≤ 6.2, key names made inside, so this
is for one Redis (with replicas, if you like), not for a cluster. As durable as that Redis is set up
to be; what `RedisEventStore.warnings` says holds here too.
"""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.types import Change
from app.serving.stores.redis_store import translated

_NAME: Final = "the journal"
_PREFIX: Final = b"recserve:journal:1:"

_APPEND: Final = """
-- prefix, then for each change: item, record
local P = ARGV[1]
local first = redis.call('INCRBY', P .. ':newest', (#ARGV - 1) / 2) - (#ARGV - 1) / 2 + 1
for i = 2, #ARGV, 2 do
  redis.call('HSET', P .. ':records', ARGV[i], ARGV[i + 1])
  redis.call('ZADD', P .. ':order', first + i / 2 - 1, ARGV[i])
end
return first
"""

_AFTER: Final = """
-- prefix, number, most changes
local P = ARGV[1]
local found = redis.call(
  'ZRANGEBYSCORE', P .. ':order', '(' .. ARGV[2], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
local changes = {}
for i = 1, #found, 2 do
  changes[#changes + 1] = {found[i + 1], found[i], redis.call('HGET', P .. ':records', found[i])}
end
return changes
"""


class RedisJournal:
    """`Journal` of one catalogue over a client made by `open_client`; owns and closes it."""

    def __init__(self, client: Redis, catalogue: str) -> None:
        """Wrap a client; nothing is connected yet. `catalogue`: whose changes these are."""
        self._client = client
        self._catalogue = catalogue
        self._prefix = _PREFIX + catalogue.encode()
        self._append = client.register_script(_APPEND)
        self._after = client.register_script(_AFTER)

    def __repr__(self) -> str:
        return f"<RedisJournal of {self._catalogue}>"

    async def append(
        self, changes: Sequence[tuple[str, Mapping[str, object] | None]]
    ) -> tuple[Change, ...]:
        """Keep changes; returns once Redis has them as safely as it is set up to."""
        if not changes:
            return ()
        arguments = [part for item, record in changes for part in (item, orjson.dumps(record))]
        first = int(await self._run(self._append, arguments))
        return tuple(Change(first + n, *change) for n, change in enumerate(changes))

    async def after(self, seq: int, limit: int) -> tuple[Change, ...]:
        """Return the kept changes after a number."""
        found = await self._run(self._after, [seq, limit])
        return tuple(
            Change(int(number), item.decode(), orjson.loads(record))
            for number, item, record in found
        )

    async def newest(self) -> int:
        """Return the highest number ever given."""
        with translated(_NAME):
            return int(await self._client.get(self._prefix + b":newest") or 0)

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._client.aclose()

    async def _run(self, script: Callable[..., Awaitable[Any]], arguments: Sequence[Any]) -> Any:  # noqa: ANN401 - a reply
        with translated(_NAME):
            return await script(args=[self._prefix, *arguments])
