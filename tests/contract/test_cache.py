"""What every `Cache` promises, over the fake and over Redis; and what a broken one still does."""

import asyncio
import random

import pytest

from app.core.types import CacheRead
from app.testing.fakes import DownCache, MemoryCache
from tests.redis_rig import RedisRig
from tests.redis_server import free_port


@pytest.fixture(params=["memory", "redis"])
async def cache(request):
    if request.param == "memory":
        yield MemoryCache()
        return
    server = request.getfixturevalue("redis_server")
    async with RedisRig(server.url) as rig:
        yield rig.cache


async def test_what_was_never_put_is_a_miss_without_trouble(cache):
    assert await cache.get(b"absent") == CacheRead(None, failed=False)


@pytest.mark.parametrize("value", [b"x", b"", b"\x00\r\n\xff$-1\r\n", bytes(500_000)])
async def test_a_value_comes_back_exactly(cache, value):
    await cache.put(b"key", value)
    assert await cache.get(b"key") == CacheRead(value)


async def test_the_last_value_wins(cache):
    await cache.put(b"key", b"old")
    await cache.put(b"key", b"new")
    assert (await cache.get(b"key")).value == b"new"


async def test_any_bytes_are_a_fingerprint_and_near_ones_stay_apart(cache):
    keys = [b"", b"\x00", b"\x00\x00", b"key", b"key ", b"KEY", b"k" * 100_000, b"k" * 100_001]
    for n, key in enumerate(keys):
        await cache.put(key, b"%d" % n)
    assert [(await cache.get(key)).value for key in keys] == [b"%d" % n for n in range(len(keys))]


async def test_a_value_comes_back_only_in_the_state_it_was_put_in(cache):
    await cache.put(b"key", b"value", b"state 1")
    assert await cache.get(b"key", b"state 2") == CacheRead(None, failed=False)
    assert (await cache.get(b"key", b"state 1")).value == b"value"
    await cache.put(b"key", b"newer", b"state 2")
    assert (await cache.get(b"key", b"state 1")).value is None
    assert (await cache.get(b"key", b"state 2")).value == b"newer"


async def test_concurrent_callers_each_get_their_own(cache):
    chance = random.Random(1)
    names = [b"%d" % chance.randrange(200) for _ in range(1000)]

    async def one(name: bytes) -> bool:
        await cache.put(name, b"value of " + name)
        return (await cache.get(name)).value == b"value of " + name

    assert all(await asyncio.gather(*map(one, names)))


async def test_closing_twice_and_using_it_after_raises_nothing(cache):
    await cache.put(b"key", b"value")
    await cache.aclose()
    await cache.aclose()
    await cache.put(b"key", b"value")
    assert (await cache.get(b"key")).value in {None, b"value"}


@pytest.fixture(params=["fake", "redis"])
async def broken(request):
    if request.param == "fake":
        yield DownCache()
        return
    async with RedisRig(f"redis://127.0.0.1:{free_port()}/0") as rig:
        yield rig.cache


async def test_a_cache_without_its_server_reports_trouble_and_raises_nothing(broken):
    for n in range(20):
        await broken.put(b"%d" % n, b"value")
        assert await broken.get(b"%d" % n) == CacheRead(None, failed=True)
    await broken.aclose()
