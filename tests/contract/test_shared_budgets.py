"""The suite of `SharedBudgets`: in memory, and in a real Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from app.core.budget_port import SharedBudgets, Spent
from app.core.errors import StoreError
from app.serving.stores.redis_budgets import RedisBudgets
from app.serving.stores.redis_client import RedisLimits, open_client
from app.testing.budgets import MemoryBudgets
from tests.redis_server import RedisServer

_SLOW = 0.001
"""Units a second: what comes back while a test runs cannot be seen."""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@asynccontextmanager
async def _opened(kind: str, server: RedisServer, namespace: str) -> AsyncIterator[SharedBudgets]:
    if kind == "memory":
        yield MemoryBudgets(time.monotonic)
        return
    budgets = RedisBudgets(open_client(server.url, RedisLimits(0.0, 5.0, 1)), namespace)
    try:
        yield budgets
    finally:
        await budgets.aclose()


def _spent(name: str, units: float, rate: float = _SLOW, burst: int = 10) -> Spent:
    return Spent(name, units, rate, burst)


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_what_is_spent_is_taken_off_what_all_have(kind: str, server: RedisServer) -> None:
    async with _opened(kind, server, "off") as budgets:
        left = await budgets.settle([_spent("a", 3), _spent("b", 0)])
        assert left == pytest.approx([7, 10], abs=0.1)
        left = await budgets.settle([_spent("b", 1), _spent("a", 5)])
        assert left == pytest.approx([9, 2], abs=0.1)
        assert await budgets.settle([]) == []


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_more_than_there_is_leaves_a_debt(kind: str, server: RedisServer) -> None:
    async with _opened(kind, server, "debt") as budgets:
        assert await budgets.settle([_spent("a", 64)]) == pytest.approx([-54], abs=0.1)
        assert await budgets.settle([_spent("a", 0)]) == pytest.approx([-54], abs=0.1)


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_units_come_back_up_to_a_burst(kind: str, server: RedisServer) -> None:
    async with _opened(kind, server, "back") as budgets:
        assert await budgets.settle([_spent("a", 10, rate=1e6)]) == [0]
        await asyncio.wait_for(_until_full(budgets), 10)


async def _until_full(budgets: SharedBudgets) -> None:
    while await budgets.settle([_spent("a", 0, rate=1e6)]) != [10]:
        pass


async def test_another_service_has_budgets_of_its_own(server: RedisServer) -> None:
    async with _opened("redis", server, "one") as one, _opened("redis", server, "two") as two:
        await one.settle([_spent("a", 10)])
        assert await two.settle([_spent("a", 1)]) == pytest.approx([9], abs=0.1)


async def test_what_others_wrote_there_counts_as_a_full_budget(server: RedisServer) -> None:
    client = open_client(server.url, RedisLimits(0.0, 5.0, 1))
    await client.set("recserve:budgets:1:odd:a", "text")
    await client.hset("recserve:budgets:1:odd:b", mapping={"level": "much", "at": "nan"})
    await client.hset("recserve:budgets:1:odd:c", mapping={"level": "5", "at": "9e99"})
    async with _opened("redis", server, "odd") as budgets:
        left = await budgets.settle([_spent(name, 1) for name in "abc"])
        assert left == pytest.approx([9, 9, 4], abs=0.1)
    await client.aclose()


async def test_a_budget_that_is_full_again_is_forgotten(server: RedisServer) -> None:
    client = open_client(server.url, RedisLimits(0.0, 5.0, 1))
    async with _opened("redis", server, "life") as budgets:
        await budgets.settle([_spent("a", 8, rate=2.0)])
    assert 4000 < await client.pttl("recserve:budgets:1:life:a") <= 5000
    await client.aclose()


async def test_a_redis_that_is_down_is_a_store_error() -> None:
    server = RedisServer()
    async with _opened("redis", server, "down") as budgets:
        with pytest.raises(StoreError, match="cannot be used"):
            await budgets.settle([_spent("a", 1)])
