"""The shared store of learned intents: `IntentStore` in the Redis of the event store.

    PREFIX NAMESPACE :meta      hash: newest, removals; minute and calls of the budget
    PREFIX NAMESPACE :intents   hash: words -> intent, JSON or empty
    PREFIX NAMESPACE :learned   hash: words -> unix seconds
    PREFIX NAMESPACE :used      hash: words -> unix seconds
    PREFIX NAMESPACE :uses      hash: words -> number
    PREFIX NAMESPACE :order     sorted set: number -> words
    PREFIX NAMESPACE :scores    sorted set: score (`app.domain.use_counts`) -> words
    PREFIX NAMESPACE :claims    sorted set: unix seconds until which it holds -> words

Each call is one script and one round trip, with commands of Redis ≤ 6.2 only. A namespace that
nobody writes to any more, such as that of a former model, expires.
"""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.types import Claim, LearnedIntent, LearnedState
from app.domain.use_counts import HALF_LIFE_S, MOST_LEARNED, UNUSED_S, kept_of, lowest, score_of
from app.serving.stores.redis_store import translated

_NAME: Final = "the store of intents"
_PREFIX: Final = b"recserve:intents:1:"
_CLAIMS: Final[tuple[Claim, ...]] = ("granted", "taken", "spent")

_COMMON: Final = f"""
local P = ARGV[1]
local function drop(words)
  for _, part in ipairs({{':intents', ':learned', ':used', ':uses'}}) do
    redis.call('HDEL', P .. part, words)
  end
  redis.call('ZREM', P .. ':order', words)
  redis.call('ZREM', P .. ':scores', words)
end
local function keep()
  for _, part in ipairs({{':meta', ':intents', ':learned', ':used', ':uses', ':order', ':scores',
                          ':claims'}}) do
    redis.call('EXPIRE', P .. part, {int(UNUSED_S + HALF_LIFE_S)})
  end
end
"""

_PUT: Final = (
    _COMMON
    + """
-- prefix, words, intent, now, uses, score, lowest score, most, how many stay
local words = ARGV[2]
local seq = redis.call('HINCRBY', P .. ':meta', 'newest', 1)
redis.call('HSET', P .. ':intents', words, ARGV[3])
redis.call('HSET', P .. ':learned', words, ARGV[4])
redis.call('HSET', P .. ':used', words, ARGV[4])
redis.call('HSET', P .. ':uses', words, ARGV[5])
redis.call('ZADD', P .. ':order', seq, words)
redis.call('ZADD', P .. ':scores', ARGV[6], words)
redis.call('ZREM', P .. ':claims', words)
local gone = redis.call('ZRANGEBYSCORE', P .. ':scores', '-inf', '(' .. ARGV[7])
local held = redis.call('ZCARD', P .. ':scores') - #gone
if held > tonumber(ARGV[8]) then
  local more = redis.call('ZRANGE', P .. ':scores', #gone, #gone + held - ARGV[9])
  local room = held - ARGV[9]
  for _, other in ipairs(more) do
    if other ~= words and room > 0 then
      gone[#gone + 1] = other
      room = room - 1
    end
  end
end
for _, other in ipairs(gone) do drop(other) end
if #gone > 0 then redis.call('HINCRBY', P .. ':meta', 'removals', 1) end
keep()
return seq
"""
)

_REMOVE: Final = (
    _COMMON
    + """
-- prefix, and the words, or nothing for all
local gone
if ARGV[2] then
  gone = redis.call('HEXISTS', P .. ':intents', ARGV[2])
  drop(ARGV[2])
else
  gone = redis.call('HLEN', P .. ':intents')
  for _, part in ipairs({':intents', ':learned', ':used', ':uses', ':order', ':scores'}) do
    redis.call('DEL', P .. part)
  end
end
if gone > 0 then redis.call('HINCRBY', P .. ':meta', 'removals', 1) end
return gone
"""
)

_AFTER: Final = """
-- prefix, number, most
local P = ARGV[1]
local rows = redis.call(
  'ZRANGEBYSCORE', P .. ':order', '(' .. ARGV[2], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
local found = {}
for i = 1, #rows, 2 do
  local row = {rows[i + 1], rows[i]}
  for n, part in ipairs({':intents', ':learned', ':used', ':uses'}) do
    row[n + 2] = redis.call('HGET', P .. part, rows[i])
  end
  found[#found + 1] = row
end
return found
"""

_COUNT: Final = (
    _COMMON
    + """
-- prefix, now, then for each: words, uses, score of these uses
for i = 3, #ARGV, 3 do
  local words = ARGV[i]
  local before = redis.call('ZSCORE', P .. ':scores', words)
  if before then
    local high, low = tonumber(before), tonumber(ARGV[i + 2])
    if high < low then high, low = low, high end
    local score = high + math.log(1 + 2 ^ (low - high)) / math.log(2)
    redis.call('ZADD', P .. ':scores', string.format('%.17g', score), words)
    redis.call('HINCRBY', P .. ':uses', words, ARGV[i + 1])
    if tonumber(redis.call('HGET', P .. ':used', words)) < tonumber(ARGV[2]) then
      redis.call('HSET', P .. ':used', words, ARGV[2])
    end
  end
end
keep()
"""
)

_CLAIM: Final = (
    _COMMON
    + """
-- prefix, words, now, until, minute, most a minute; returns the place in `_CLAIMS`
redis.call('ZREMRANGEBYSCORE', P .. ':claims', '-inf', ARGV[3])
if redis.call('HEXISTS', P .. ':intents', ARGV[2]) == 1
    or redis.call('ZSCORE', P .. ':claims', ARGV[2]) then return 1 end
local calls = 1
if redis.call('HGET', P .. ':meta', 'minute') == ARGV[5] then
  calls = redis.call('HGET', P .. ':meta', 'calls') + 1
end
if calls > tonumber(ARGV[6]) then return 2 end
redis.call('HSET', P .. ':meta', 'minute', ARGV[5], 'calls', calls)
redis.call('ZADD', P .. ':claims', ARGV[4], ARGV[2])
keep()
return 0
"""
)


class RedisIntentStore:
    """`IntentStore` of one namespace over a client made by `open_client`; owns and closes it."""

    def __init__(self, client: Redis, namespace: str, *, most: int = MOST_LEARNED) -> None:
        """Wrap a client; nothing is connected yet. `most`: most intents that are kept."""
        self._client, self._namespace, self._most = client, namespace, most
        self._prefix = _PREFIX + namespace.encode()
        self._put = client.register_script(_PUT)
        self._remove = client.register_script(_REMOVE)
        self._after = client.register_script(_AFTER)
        self._count = client.register_script(_COUNT)
        self._claim = client.register_script(_CLAIM)

    def __repr__(self) -> str:
        return f"<RedisIntentStore of {self._namespace}>"

    async def put(self, words: str, intent: str, now: float, uses: int = 1) -> LearnedIntent:
        """Store an intent; return once Redis has it as durably as it is configured to."""
        bounds = [repr(lowest(now)), self._most, kept_of(self._most)]
        arguments = [words, intent, repr(now), uses, repr(score_of(uses, now)), *bounds]
        seq = int(await self._run(self._put, arguments))
        return LearnedIntent(seq, words, intent, now, now, uses)

    async def remove(self, words: str | None) -> int:
        """Remove one intent, or all."""
        return int(await self._run(self._remove, [] if words is None else [words]))

    async def after(self, seq: int, limit: int) -> tuple[LearnedIntent, ...]:
        """Return the intents after a number."""
        rows = await self._run(self._after, [seq, limit])
        return tuple([_learned(*row) for row in rows])

    async def state(self) -> LearnedState:
        """Return the highest number, and how often some left."""
        with translated(_NAME, self._client):
            read = await self._client.hmget(self._prefix + b":meta", ["newest", "removals"])
            newest, removals = [int(number or 0) for number in read]
            return LearnedState(newest, removals)

    async def count(self, uses: Mapping[str, int], now: float) -> None:
        """Count uses."""
        if not uses:
            return
        counted = [
            part
            for words, more in uses.items()
            for part in (words, more, repr(score_of(more, now)))
        ]
        await self._run(self._count, [repr(now), *counted])

    async def claim(self, words: str, now: float, lease_s: float, most_per_minute: int) -> Claim:
        """Claim words."""
        times = [repr(now), repr(now + lease_s), int(now // 60)]
        return _CLAIMS[int(await self._run(self._claim, [words, *times, most_per_minute]))]

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._client.aclose()

    async def _run(self, script: Callable[..., Awaitable[Any]], arguments: Sequence[Any]) -> Any:  # noqa: ANN401 - a reply
        with translated(_NAME, self._client):
            return await script(args=[self._prefix, *arguments])


def _learned(*row: bytes) -> LearnedIntent:
    seq, words, intent, learned_at, used_at, uses = row
    return LearnedIntent(
        seq=int(seq),
        words=words.decode(),
        intent=intent.decode(),
        learned_at=float(learned_at),
        used_at=float(used_at),
        uses=int(uses),
    )
