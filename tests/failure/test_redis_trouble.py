"""Redis down, silent, lying or slow: always a miss, never an error, and soon left alone.

Added latency is bounded by counting what was tried, not by a stopwatch.
"""

import asyncio
import hashlib
import random
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from app.core.types import CacheRead
from app.serving.caching.redis import pack
from tests.lying_server import lying
from tests.redis_rig import FAILURES, PAUSE_S, RedisRig

pytestmark = pytest.mark.process

PREFIX = b"recserve:1:"
TROUBLE = CacheRead(None, failed=True)
MISS = CacheRead(None)
SHORT = 0.02


def redis_key(fingerprint: bytes) -> bytes:
    """The documented key: other services of ours must find the same one."""
    return PREFIX + hashlib.blake2b(fingerprint, digest_size=16).hexdigest().encode()


@asynccontextmanager
async def raw(url: str):
    client = Redis.from_url(url)
    try:
        yield client
    finally:
        await client.aclose()


# down, and back


async def test_a_stopped_server_costs_a_few_tries_and_is_used_again_after_it_is_back(redis_server):
    async with RedisRig(redis_server.url) as rig:
        await rig.cache.put(b"key", b"value")
        redis_server.stop()
        for _ in range(100):
            assert await rig.cache.get(b"key") == TROUBLE
        assert rig.reads("error") == 100
        assert rig.value("cache_breaker_open") == 1
        await rig.cache.put(b"key", b"lost")
        assert rig.value("cache_write_errors_total") == 1

        redis_server.start()
        assert await rig.cache.get(b"key") == TROUBLE  # still in the pause
        rig.clock.advance(PAUSE_S)
        assert await rig.cache.get(b"key") == MISS  # the probe; the server came back empty
        assert rig.value("cache_breaker_open") == 0
        await rig.cache.put(b"key", b"again")
        assert (await rig.cache.get(b"key")).value == b"again"


async def test_a_server_restarted_between_two_reads_costs_at_most_one_of_them(redis_server):
    async with RedisRig(redis_server.url) as rig:
        assert await rig.cache.get(b"key") == MISS
        redis_server.stop()
        redis_server.start()
        reads = [await rig.cache.get(b"key") for _ in range(3)]
        assert reads[1:] == [MISS, MISS]


# silent


async def test_a_black_hole_is_tried_a_few_times_and_then_left_alone():
    async with lying(lambda _: None) as hole, RedisRig(hole.url, timeout_s=SHORT) as rig:
        for _ in range(200):
            assert await rig.cache.get(b"key") == TROUBLE
        assert hole.connections == FAILURES
        rig.clock.advance(PAUSE_S)
        for _ in range(200):
            assert await rig.cache.get(b"key") == TROUBLE
        assert hole.connections == FAILURES + 1  # the one probe
        assert rig.connections_in_use() == 0


async def test_a_crowd_before_a_black_hole_opens_no_more_than_the_pool(redis_server):
    redis_server.pause()
    async with RedisRig(redis_server.url, timeout_s=SHORT, max_connections=4) as rig:
        got = await asyncio.gather(*(rig.cache.get(b"key") for _ in range(100)))
        assert got == [TROUBLE] * 100
        assert len(rig.client.connection_pool._available_connections) <= 4
        assert rig.connections_in_use() == 0
        assert rig.value("cache_breaker_open") == 1
        redis_server.resume()
    async with RedisRig(redis_server.url) as rig:
        assert await rig.cache.get(b"key") == MISS


async def test_a_crowd_ten_times_the_pool_waits_for_its_turn(redis_server):
    async with RedisRig(redis_server.url, max_connections=4) as rig:
        await rig.cache.put(b"key", b"value")
        got = await asyncio.gather(*(rig.cache.get(b"key") for _ in range(40)))
        assert got == [CacheRead(b"value")] * 40
        assert rig.connections_in_use() == 0


# cancelled callers


async def test_a_cancelled_read_never_leaves_its_reply_for_the_next(redis_server):
    async with RedisRig(redis_server.url, max_connections=1) as rig:
        for name in (b"one", b"two"):
            await rig.cache.put(name, name)
        redis_server.pause()
        asked = asyncio.create_task(rig.cache.get(b"one"))
        for _ in range(20):
            await asyncio.sleep(0)  # the command is written, the reply cannot come
        asked.cancel()
        await asyncio.wait({asked})
        assert asked.cancelled()
        redis_server.resume()
        assert (await rig.cache.get(b"two")).value == b"two"
        assert rig.reads("foreign") == 0


async def test_many_cancelled_reads_mix_up_nothing_and_leak_no_connection(redis_server):
    chance = random.Random(1)
    names = [b"%d" % n for n in range(50)]
    async with RedisRig(redis_server.url, max_connections=4) as rig:
        for name in names:
            await rig.cache.put(name, b"value of " + name)

        async def one(name: bytes) -> None:
            assert await rig.cache.get(name) == CacheRead(b"value of " + name)

        cancelled, kept = [], []
        for _ in range(150):
            tasks = [asyncio.create_task(one(chance.choice(names))) for _ in range(20)]
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            for task in tasks:
                given_up = chance.random() < 0.3 and task.cancel()
                (cancelled if given_up else kept).append(task)
            await asyncio.wait(tasks)
        assert len(cancelled) > 500
        assert all(task.cancelled() for task in cancelled)
        await asyncio.gather(*kept)
        assert rig.reads("foreign") == rig.reads("error") == 0
        assert rig.connections_in_use() == 0


async def test_a_cancelled_probe_does_not_keep_the_breaker_open_for_ever(redis_server):
    async with RedisRig(redis_server.url) as rig:
        for _ in range(FAILURES):
            rig.breaker.failed(rig.breaker.permit())
        rig.clock.advance(PAUSE_S)
        probe = asyncio.create_task(rig.cache.get(b"key"))
        await asyncio.sleep(0)
        probe.cancel()
        await asyncio.wait({probe})
        assert probe.cancelled()
        assert await rig.cache.get(b"key") == MISS
        assert rig.value("cache_breaker_open") == 0


# lying


def bulk(value: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(value), value)


GARBAGE = {
    "noise": b"\xff\x00 noise\r\n",
    "unknown type": b"!!\r\n",
    "no length": b"$x\r\n",
    "endless bulk": b"$99999999999\r\nabc",
    "negative": b"$-7\r\n",
    "nested for ever": b"*1\r\n" * 5000,
    "half a reply": b"$10\r\nabc",
    "an error": b"-ERR out of order\r\n",
    "not allowed": b"-NOAUTH Authentication required.\r\n",
    "nothing but a line break": b"\r\n",
}


@pytest.mark.parametrize("reply", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_is_a_miss(reply):
    async with lying(lambda _: reply) as liar, RedisRig(liar.url, timeout_s=SHORT) as rig:
        for _ in range(FAILURES + 5):
            assert (await rig.cache.get(b"key")).value is None
        assert rig.reads("hit") == 0
        assert rig.connections_in_use() == 0


FOREIGN = {
    "an integer": b":1\r\n",
    "a list": b"*1\r\n$3\r\nabc\r\n",
    "null": b"$-1\r\n",
    "a status": b"+OK\r\n",
    "somebody else's value": bulk(pack(b"other", b"secret")),
    "a wrong type": b"-WRONGTYPE Operation against a key\r\n",
}


@pytest.mark.parametrize("reply", FOREIGN.values(), ids=FOREIGN.keys())
async def test_well_formed_replies_that_are_not_ours_are_misses(reply):
    async with lying(lambda _: reply) as liar, RedisRig(liar.url) as rig:
        for _ in range(FAILURES + 5):
            assert await rig.cache.get(b"key") == MISS
        assert rig.reads("foreign") == FAILURES + 5
        assert rig.value("cache_breaker_open") == 0


async def test_two_replies_to_one_command_are_not_carried_over():
    true = bulk(pack(b"key", b"value"))
    async with lying(lambda _: true + true) as liar, RedisRig(liar.url) as rig:
        for _ in range(10):
            assert (await rig.cache.get(b"key")).value in {b"value", None}
        assert await rig.cache.get(b"other") == MISS


async def test_thousands_of_harmed_values_are_all_found(redis_server):
    chance = random.Random(1)

    def harmed(value: bytes) -> bytes:
        at = chance.randrange(len(value))
        return chance.choice(
            [
                value[:at] + bytes([value[at] ^ (1 << chance.randrange(8))]) + value[at + 1 :],
                value[:at] if at else b"x",
                value + chance.randbytes(1 + at),
                chance.randbytes(len(value)),
                pack(b"fingerprint of another", chance.randbytes(20)),
            ]
        )

    async with RedisRig(redis_server.url) as rig, raw(redis_server.url) as redis:
        for n in range(2500):
            name = b"fingerprint %d" % n
            await redis.set(redis_key(name), harmed(pack(name, b"payload of " + name)))
            assert await rig.cache.get(name) == MISS
        assert rig.reads("foreign") == 2500
        assert rig.reads("error") == rig.reads("hit") == 0


async def test_foreign_things_under_our_key_are_misses(redis_server):
    async with RedisRig(redis_server.url) as rig, raw(redis_server.url) as redis:
        await redis.rpush(redis_key(b"list"), "not a string")
        await redis.set(redis_key(b"huge"), bytes(20_000_000))
        assert await rig.cache.get(b"list") == MISS
        assert await rig.cache.get(b"huge") == MISS
        assert rig.reads("foreign") == 2
        await rig.cache.put(b"big", bytes(2_000_000))
        assert await redis.exists(redis_key(b"big")) == 0


async def test_the_key_is_a_hash_and_a_collision_is_a_miss(redis_server):
    async with RedisRig(redis_server.url) as rig, raw(redis_server.url) as redis:
        await rig.cache.put(b"mine", b"value")
        assert await redis.keys() == [redis_key(b"mine")]
        await redis.rename(redis_key(b"mine"), redis_key(b"collides"))
        assert await rig.cache.get(b"collides") == MISS
        assert rig.reads("foreign") == 1


# expiry


@pytest.mark.parametrize(("chance", "life_ms"), [(0.0, 90_000), (0.5, 100_000), (1.0, 110_000)])
async def test_values_live_for_the_ttl_spread_by_ten_percent(redis_server, chance, life_ms):
    async with RedisRig(redis_server.url, chance=chance) as rig, raw(redis_server.url) as redis:
        await rig.cache.put(b"key", b"value")
        left_ms = await redis.pttl(redis_key(b"key"))
        assert life_ms - 5000 < left_ms <= life_ms
