"""The shared store of kept answers: `AnswerStore` in the Redis of the event store.

    PREFIX a: ID        hash of an answer: at, user, head, request, tail, and its size
    PREFIX b: DIGEST    a body
    PREFIX u: USER      sorted set: when given -> id, of the answers of a user
    PREFIX e: USER      unix seconds until which the answers of an erased user are left out
    PREFIX answers      sorted set: when given -> size:id
    PREFIX bodies       sorted set: when last used -> size:digest
    PREFIX bytes        sum of these sizes

USER is the hash of a user key. Redis lets all keys expire; what has expired also leaves the sorted
sets, at the next write. Why a body can be dropped by its last use is said in `sqlite_answers`.
Each call is one script and one round trip, with commands of Redis ≤ 6.2 only.
"""

import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from math import ceil
from typing import Any, Final
from urllib.parse import quote

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.answer_port import (
    ANSWER_BYTES,
    BODY_BYTES,
    TOMBSTONE_S,
    AnswerBounds,
    GivenAnswer,
    KeptAnswer,
)
from app.serving.stores.redis_store import translated
from app.serving.stores.user_identity import hashed_user

_NAME: Final = "the store of answers"
_PREFIX: Final = "recserve:answers:1:"
_CLOCKS_S: Final = 1.0
"""How much the clocks of two machines may differ: what an erased user got so shortly after the
erasure is left out too.
"""
_CLEARED_AT_ONCE: Final = 1000

_COMMON: Final = """
local P = ARGV[1]
local function drop(set, kind, member)
  if redis.call('ZREM', P .. set, member) == 0 then return end
  local size, name = string.match(member, '^(%d+):(.*)$')
  redis.call('DEL', P .. kind .. name)
  redis.call('DECRBY', P .. 'bytes', size)
end
"""

_PUT: Final = (
    _COMMON
    + f"""
-- prefix, life in whole seconds, oldest time that is kept, most bytes, number of bodies, then the
-- digest, body and time of last use of each; then of each answer id, time, user, head, request and
-- tail
local life, oldest, most = ARGV[2], ARGV[3], tonumber(ARGV[4])
local first = 6 + 3 * ARGV[5]
local grown, kept, used, erased = 0, 0, {{}}, {{}}
for i = first, #ARGV, 6 do
  local id, at, user, head = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if user ~= '' and erased[user] == nil then
    erased[user] = tonumber(redis.call('GET', P .. 'e:' .. user) or '0')
  end
  if user == '' or tonumber(at) > erased[user] then
    local size = {ANSWER_BYTES} + #head
    if redis.call('ZADD', P .. 'answers', at, size .. ':' .. id) == 1 then grown = grown + size end
    redis.call('HSET', P .. 'a:' .. id, 'at', at, 'user', user, 'head', head,
               'request', ARGV[i + 4], 'tail', ARGV[i + 5], 'size', size)
    redis.call('EXPIRE', P .. 'a:' .. id, life)
    if user ~= '' then
      redis.call('ZADD', P .. 'u:' .. user, at, id)
      redis.call('ZREMRANGEBYSCORE', P .. 'u:' .. user, '-inf', oldest)
      redis.call('EXPIRE', P .. 'u:' .. user, life)
    end
    used[ARGV[i + 4]], used[ARGV[i + 5]] = true, true
    kept = kept + 1
  end
end
for i = 6, first - 1, 3 do
  local digest, body = ARGV[i], ARGV[i + 1]
  if used[digest] then
    local size = {BODY_BYTES} + #body
    local new = redis.call('ZADD', P .. 'bodies', 'GT', ARGV[i + 2], size .. ':' .. digest)
    if new == 1 then grown = grown + size end
    redis.call('SET', P .. 'b:' .. digest, body, 'EX', life)
  end
end
local bytes = redis.call('INCRBY', P .. 'bytes', grown)
local function trim(last)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', P .. 'answers', '-inf', last)) do
    drop('answers', 'a:', member)
  end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', P .. 'bodies', '-inf', last)) do
    drop('bodies', 'b:', member)
  end
  bytes = tonumber(redis.call('GET', P .. 'bytes'))
end
trim(oldest)
local n = 1
while bytes > most do
  local last = redis.call('ZRANGE', P .. 'answers', 0, n - 1, 'WITHSCORES')
  if #last == 0 then break end
  trim(last[#last])
  n = 2 * n
end
for _, key in ipairs({{'answers', 'bodies', 'bytes'}}) do redis.call('EXPIRE', P .. key, life) end
return kept
"""
)

_READ: Final = """
-- prefix, id
local P = ARGV[1]
local row = redis.call('HMGET', P .. 'a:' .. ARGV[2], 'at', 'head', 'request', 'tail')
if not row[1] then return false end
local bodies = redis.call('MGET', P .. 'b:' .. row[3], P .. 'b:' .. row[4])
if not bodies[1] or not bodies[2] then return false end
return {row[1], row[2], bodies[1], bodies[2]}
"""

_ERASE: Final = (
    _COMMON
    + f"""
-- prefix, time until which answers are left out, for how many seconds that is remembered, users
local erased = 0
for i = 4, #ARGV do
  local mine = P .. 'u:' .. ARGV[i]
  for _, id in ipairs(redis.call('ZRANGE', mine, 0, -1)) do
    local row = redis.call('HMGET', P .. 'a:' .. id, 'size', 'request', 'tail')
    if row[1] then
      for _, digest in ipairs({{row[2], row[3]}}) do
        local size = redis.call('STRLEN', P .. 'b:' .. digest)
        drop('bodies', 'b:', string.format('%d', size + {BODY_BYTES}) .. ':' .. digest)
      end
      drop('answers', 'a:', row[1] .. ':' .. id)
      erased = erased + 1
    end
  end
  redis.call('DEL', mine)
  redis.call('SET', P .. 'e:' .. ARGV[i], ARGV[2], 'EX', ARGV[3])
end
return erased
"""
)

_CLEAR: Final = """
-- prefix, most keys at once; returns 1 while there may be more
local P = ARGV[1]
local more = 0
for set, kind in pairs({answers = 'a:', bodies = 'b:'}) do
  local members = redis.call('ZRANGE', P .. set, 0, ARGV[2] - 1)
  for _, member in ipairs(members) do
    local name = string.match(member, '^%d+:(.*)$')
    local user = kind == 'a:' and redis.call('HGET', P .. 'a:' .. name, 'user')
    if user then redis.call('DEL', P .. 'u:' .. user) end
    redis.call('DEL', P .. kind .. name)
    redis.call('ZREM', P .. set, member)
    more = 1
  end
end
if more == 0 then redis.call('DEL', P .. 'bytes') end
return more
"""


class RedisAnswerStore:
    """`AnswerStore` of one namespace over a client made by `open_client`; owns and closes it."""

    def __init__(self, client: Redis, namespace: str, bounds: AnswerBounds) -> None:
        """Wrap a client; nothing is connected yet. `bounds`: how much is kept, and how long."""
        self._client, self._namespace, self._bounds = client, namespace, bounds
        self._prefix = f"{_PREFIX}{quote(namespace, safe='')}:"
        self._put = client.register_script(_PUT)
        self._read = client.register_script(_READ)
        self._erase = client.register_script(_ERASE)
        self._clear = client.register_script(_CLEAR)

    def __repr__(self) -> str:
        return f"<RedisAnswerStore of {self._namespace}>"

    async def put(
        self, answers: Sequence[GivenAnswer], bodies: Mapping[bytes, bytes], now: float
    ) -> int:
        """Keep answers; return once Redis has them."""
        used = dict.fromkeys(bodies, 0.0)
        for each in answers:
            for digest in (each.request, each.tail):
                used[digest] = max(used[digest], each.given_at)
        oldest = repr(now - self._bounds.life_s)
        arguments: list[Any] = [ceil(self._bounds.life_s), oldest, self._bounds.most_bytes]
        arguments.append(len(bodies))
        for digest, body in bodies.items():
            arguments += (digest, body, repr(used[digest]))
        for each in answers:
            user = hashed_user(each.user) if each.user else ""
            arguments += (each.id, repr(each.given_at), user, each.head, each.request, each.tail)
        return int(await self._run(self._put, arguments))

    async def read(self, answer_id: str, now: float) -> KeptAnswer | None:
        """Return an answer."""
        row = await self._run(self._read, [answer_id])
        if row is None or float(row[0]) <= now - self._bounds.life_s:
            return None
        return KeptAnswer(float(row[0]), *row[1:])

    async def erase(self, users: Collection[str], now: float) -> int:
        """Erase the answers of some users."""
        until = [repr(now + _CLOCKS_S), int(TOMBSTONE_S)]
        return int(await self._run(self._erase, [*until, *map(hashed_user, users)]))

    async def clear(self) -> None:
        """Erase everything in the namespace, some keys at a time."""
        while await self._run(self._clear, [_CLEARED_AT_ONCE]):
            pass

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._client.aclose()

    async def _run(self, script: Callable[..., Awaitable[Any]], arguments: Sequence[Any]) -> Any:  # noqa: ANN401 - a reply
        with translated(_NAME, self._client):
            return await script(args=[self._prefix, *arguments])
