"""Budgets that several processes share, in Redis: `SharedBudgets`.

    PREFIX NAMESPACE : KEY : BUDGET    hash: level, unix seconds of the server at which it was so

One call is one script and one round trip, with commands of Redis ≤ 6.2 only. A key is gone when its
budget is full again. The clock is that of Redis, so those of the processes need not agree.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio import Redis

from app.core.budget_port import Spent
from app.core.errors import StoreError
from app.core.life import Life
from app.core.settings import Settings
from app.core.telemetry import Metrics
from app.serving.access.accounts import Accounts
from app.serving.access.settling import settle_for_ever
from app.serving.stores.opening import store_namespace
from app.serving.stores.redis_client import RedisLimits, address_of, cause_of, open_client

_PREFIX: Final = "recserve:budgets:1:"
_TIMEOUT_S: Final = 0.5
"""No request waits for it, so a slow Redis may take longer than for an answer."""

_SETTLE: Final = """
-- units, rate, burst for each key
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
local left = {}
for i, key in ipairs(KEYS) do
  local units, rate = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1])
  local burst = tonumber(ARGV[3 * i])
  local kept = redis.pcall('HMGET', key, 'level', 'at')
  if kept.err then
    redis.call('DEL', key)
    kept = {}
  end
  local level, at = tonumber(kept[1] or burst), tonumber(kept[2] or now)
  if not level or level ~= level then level = burst end
  if not at or not (at <= now) then at = now end
  level = math.min(burst, level + (now - at) * rate) - units
  redis.call('HSET', key, 'level', string.format('%.6f', level), 'at', string.format('%.6f', now))
  redis.call('PEXPIRE', key, math.ceil((burst - level) / rate * 1000) + 1000)
  left[i] = string.format('%.6f', level)
end
return left
"""


class RedisBudgets:
    """`SharedBudgets` over a Redis client made by `open_client`; owns and closes it."""

    def __init__(self, client: Redis, namespace: str) -> None:
        """Wrap a client. `namespace`: of the service; others have budgets of their own."""
        self._client = client
        self._prefix = f"{_PREFIX}{namespace}:"
        self._settle = client.register_script(_SETTLE)

    def __repr__(self) -> str:
        return f"<RedisBudgets {self._prefix}>"

    async def settle(self, spent: Sequence[Spent]) -> list[float]:
        """Take what was spent off each budget, and return how many units are left of it.

        Raises:
            StoreError: Redis cannot be reached, or does not answer as it should.
        """
        names = [self._prefix + each.name for each in spent]
        values = [value for each in spent for value in (each.units, each.rate, each.burst)]
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return _levels(await self._settle(keys=names, args=values), len(spent))
        except Exception as error:  # whatever another server answers in its place
            raise StoreError(
                f"the Redis at {address_of(self._client)} cannot be used: {cause_of(error)}"
            ) from error

    async def aclose(self) -> None:
        """Close the connection."""
        await self._client.aclose()


def _levels(reply: Any, wanted: int) -> list[float]:  # noqa: ANN401 - what the library returns
    """Return the levels of a reply. Raises `ValueError`."""
    if not isinstance(reply, list) or len(reply) != wanted:
        raise ValueError("the reply has another length")
    levels = [float(each) for each in reply]
    if any(map(math.isnan, levels)):
        raise ValueError("a level is no number")
    return levels


@asynccontextmanager
async def settling(
    url: str, accounts: Accounts, settings: Settings, metrics: Metrics, life: Life
) -> AsyncIterator[None]:
    """Share the budgets with other processes in the Redis at `url` while the block runs."""
    limits = RedisLimits(0.0, _TIMEOUT_S, max_connections=1)
    shared = RedisBudgets(open_client(url, limits), store_namespace(settings))
    work = settle_for_ever(accounts, shared, metrics.limit_errors)
    task = life.keep(work, "recserve-limits")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        await shared.aclose()
