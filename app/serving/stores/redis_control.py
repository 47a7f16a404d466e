"""The shared store of rules and scenarios: `ControlStore` in the Redis of the event store.

    PREFIX NAMESPACE :number     the number of the newest change
    PREFIX NAMESPACE :newest     hash: kind, line break, name -> the newest version
    PREFIX NAMESPACE :versions   hash: the same -> JSON array of the kept versions, newest first

A version is four lines: since, version, put_at, and the JSON text. Each call is one script and one
round trip, with commands of Redis ≤ 6.2 only. The scripts make the names of keys themselves, so the
store works with one Redis and its replicas, but not with a Redis cluster. It is as durable as that
Redis: `RedisEventStore.warnings` applies here too.
"""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, cast

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.control_port import KEPT_VERSIONS, ControlEntry, ControlKind, ControlState
from app.serving.stores.redis_store import translated

_NAME: Final = "the store of rules and scenarios"
_PREFIX: Final = b"recserve:control:1:"

_PUT: Final = """
-- prefix, kind, how many versions are kept, put_at, then for each entry: name, text
local P, kind, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local count = (#ARGV - 4) / 2
local first = redis.call('INCRBY', P .. ':number', count) - count + 1
local found = {}
for i = 5, #ARGV, 2 do
  local version = string.format('%d', first + (i - 5) / 2)
  local field = kind .. '\\n' .. ARGV[i]
  local before = redis.call('HGET', P .. ':newest', field)
  local since = before and string.match(before, '^%d+') or version
  local packed = since .. '\\n' .. version .. '\\n' .. ARGV[4] .. '\\n' .. ARGV[i + 1]
  redis.call('HSET', P .. ':newest', field, packed)
  local kept = cjson.decode(redis.call('HGET', P .. ':versions', field) or '[]')
  table.insert(kept, 1, packed)
  while #kept > most do table.remove(kept) end
  redis.call('HSET', P .. ':versions', field, cjson.encode(kept))
  found[#found + 1] = packed
end
return found
"""

_DELETE: Final = """
-- prefix, kind, and a name, or nothing for all
local P, start = ARGV[1], ARGV[2] .. '\\n'
local fields = {}
if ARGV[3] then
  fields[1] = start .. ARGV[3]
else
  for _, field in ipairs(redis.call('HKEYS', P .. ':newest')) do
    if string.sub(field, 1, #start) == start then fields[#fields + 1] = field end
  end
end
local gone = 0
for _, field in ipairs(fields) do
  gone = gone + redis.call('HDEL', P .. ':newest', field)
  redis.call('HDEL', P .. ':versions', field)
end
if gone > 0 then redis.call('INCR', P .. ':number') end
return gone
"""

_READ: Final = """
-- prefix
return {redis.call('GET', ARGV[1] .. ':number') or '0', redis.call('HGETALL', ARGV[1] .. ':newest')}
"""


class RedisControlStore:
    """`ControlStore` of one namespace over a client made by `open_client`; owns and closes it."""

    def __init__(self, client: Redis, namespace: str) -> None:
        """Wrap a client; nothing is connected yet. `namespace`: its name."""
        self._client, self._namespace = client, namespace
        self._prefix = _PREFIX + namespace.encode()
        self._put = client.register_script(_PUT)
        self._delete = client.register_script(_DELETE)
        self._read = client.register_script(_READ)

    def __repr__(self) -> str:
        return f"<RedisControlStore of {self._namespace}>"

    @property
    def alive(self) -> bool:
        """True: it has no thread, and a Redis that is down may come back."""
        return True

    async def number(self) -> int:
        """Return the number of the newest change."""
        with translated(_NAME, self._client):
            return int(await self._client.get(self._prefix + b":number") or 0)

    async def read(self) -> ControlState:
        """Return everything."""
        number, rows = await self._run(self._read, [])
        entries = [
            _entry(field, packed) for field, packed in zip(rows[::2], rows[1::2], strict=True)
        ]
        return ControlState(int(number), tuple(sorted(entries, key=lambda each: each.since)))

    async def put(
        self, kind: ControlKind, texts: Sequence[tuple[str, str]], now: float
    ) -> tuple[ControlEntry, ...]:
        """Store entries; return once Redis has them as durably as it is configured to."""
        if not texts:
            return ()
        parts = [part for text in texts for part in text]
        rows = await self._run(self._put, [kind, KEPT_VERSIONS[kind], repr(now), *parts])
        return tuple(
            _entry(f"{kind}\n{name}".encode(), packed)
            for (name, _), packed in zip(texts, rows, strict=True)
        )

    async def delete(self, kind: ControlKind, name: str | None) -> int:
        """Delete one entry, or all."""
        return int(await self._run(self._delete, [kind] if name is None else [kind, name]))

    async def versions(self, kind: ControlKind, name: str) -> tuple[ControlEntry, ...]:
        """Return the kept versions."""
        field = f"{kind}\n{name}".encode()
        with translated(_NAME, self._client):
            reply: Any = self._client.hget(self._prefix + b":versions", field.decode())
            kept: bytes | None = await reply
        rows = [] if kept is None else orjson.loads(kept)
        return tuple([_entry(field, row.encode()) for row in rows])

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._client.aclose()

    async def _run(self, script: Callable[..., Awaitable[Any]], arguments: Sequence[Any]) -> Any:  # noqa: ANN401 - a reply
        with translated(_NAME, self._client):
            return await script(args=[self._prefix, *arguments])


def _entry(field: bytes, packed: bytes) -> ControlEntry:
    kind, _, name = field.decode().partition("\n")
    since, version, put_at, text = packed.decode().split("\n", 3)
    return ControlEntry(
        cast("ControlKind", kind), name, int(since), int(version), float(put_at), text
    )
