"""The shared journal of catalogue changes: `Journal` in the Redis of the event store.

    PREFIX CATALOGUE :newest    the highest number ever given
    PREFIX CATALOGUE :records   hash: item id -> record, JSON
    PREFIX CATALOGUE :order     sorted set: number -> item id

Each call is one script and one round trip. The scripts use commands of Redis ≤ 6.2 only. They make
the names of keys themselves, so the journal works with one Redis and its replicas, but not with a
Redis cluster. It is as durable as that Redis: `RedisEventStore.warnings` applies here too.
"""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.store_ports import MOST_CHANGED, journal_full
from app.core.types import Change
from app.serving.stores.redis_store import translated

_NAME: Final = "the journal"
_PREFIX: Final = b"recserve:journal:1:"

_APPEND: Final = """
-- prefix, most items with a change, then for each change: item, record; returns 0 if it is full
local P = ARGV[1]
local count = (#ARGV - 2) / 2
local room = tonumber(ARGV[2]) - redis.call('HLEN', P .. ':records')
if room < count then
  local new = {}
  for i = 3, #ARGV, 2 do
    if not new[ARGV[i]] and redis.call('HEXISTS', P .. ':records', ARGV[i]) == 0 then
      new[ARGV[i]] = true
      room = room - 1
    end
  end
  if room < 0 then return 0 end
end
local first = redis.call('INCRBY', P .. ':newest', count) - count + 1
for i = 3, #ARGV, 2 do
  redis.call('HSET', P .. ':records', ARGV[i], ARGV[i + 1])
  redis.call('ZADD', P .. ':order', first + (i - 3) / 2, ARGV[i])
end
return first
"""

_AFTER: Final = """
-- prefix, number, most changes
local P = ARGV[1]
local rows = redis.call(
  'ZRANGEBYSCORE', P .. ':order', '(' .. ARGV[2], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
local changes = {}
for i = 1, #rows, 2 do
  changes[#changes + 1] = {rows[i + 1], rows[i], redis.call('HGET', P .. ':records', rows[i])}
end
return changes
"""


class RedisJournal:
    """`Journal` of one catalogue over a client made by `open_client`; owns and closes it."""

    def __init__(self, client: Redis, catalogue: str, *, most_items: int = MOST_CHANGED) -> None:
        """Wrap a client; nothing is connected yet.

        `catalogue`: its name. `most_items`: most items with a change.
        """
        self._client, self._most_items = client, most_items
        self._catalogue = catalogue
        self._prefix = _PREFIX + catalogue.encode()
        self._append = client.register_script(_APPEND)
        self._after = client.register_script(_AFTER)

    def __repr__(self) -> str:
        return f"<RedisJournal of {self._catalogue}>"

    @property
    def alive(self) -> bool:
        """True: it has no thread, and a Redis that is down may come back."""
        return True

    async def append(
        self, changes: Sequence[tuple[str, Mapping[str, object] | None]]
    ) -> tuple[Change, ...]:
        """Store changes; return once Redis has them as durably as it is configured to."""
        if not changes:
            return ()
        arguments = [part for item, record in changes for part in (item, orjson.dumps(record))]
        first = int(await self._run(self._append, [self._most_items, *arguments]))
        if not first:
            raise journal_full(self._most_items)
        return tuple(
            Change(seq, item, record) for seq, (item, record) in enumerate(changes, start=first)
        )

    async def after(self, seq: int, limit: int) -> tuple[Change, ...]:
        """Return the stored changes after a number."""
        rows = await self._run(self._after, [seq, limit])
        return tuple(
            Change(int(number), item.decode(), orjson.loads(record))
            for number, item, record in rows
        )

    async def newest(self) -> int:
        """Return the highest number ever given."""
        with translated(_NAME, self._client):
            return int(await self._client.get(self._prefix + b":newest") or 0)

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._client.aclose()

    async def _run(self, script: Callable[..., Awaitable[Any]], arguments: Sequence[Any]) -> Any:  # noqa: ANN401 - a reply
        with translated(_NAME, self._client):
            return await script(args=[self._prefix, *arguments])
