"""What only the shared store promises: it says what Redis's set-up risks, and survives trouble."""

import asyncio

import orjson
import pytest

from app.core.errors import StoreError
from app.serving.stores.redis_client import RedisLimits, open_client
from app.serving.stores.redis_store import RedisEventStore
from tests.event_stores import NOW, content, event, open_redis_store
from tests.redis_server import RedisServer, free_port


async def test_a_redis_that_may_lose_events_is_named(redis_server: RedisServer) -> None:
    store = open_redis_store(redis_server, lambda: NOW)
    said = await store.warnings()
    await store.aclose()

    assert [line.split(" is ")[0] for line in said] == ["appendonly", "appendfsync"]


async def test_a_durable_redis_gives_no_warning(durable_redis: RedisServer) -> None:
    store = open_redis_store(durable_redis, lambda: NOW)
    assert await store.warnings() == []
    await store.aclose()


async def test_events_survive_a_redis_that_is_killed(durable_redis: RedisServer) -> None:
    store = open_redis_store(durable_redis, lambda: NOW)
    await store.append([event("1"), event("2", kind="view")])
    version = (await store.read("u:ann")).version
    durable_redis.stop()
    with pytest.raises(StoreError):
        await store.append([event("3")])
    durable_redis.start()

    # The scripts are gone from the new server; connections are dead. Neither shows.
    assert await store.append([event("1"), event("3")]) == (False, True)
    after = await store.read("u:ann")
    assert [kept.id for kept in after.events] == ["1", "2", "3"]
    assert after.version != version
    await store.aclose()


async def test_events_without_words_are_stored_as_older_versions_read_them(
    redis_server: RedisServer,
) -> None:
    store = open_redis_store(redis_server, lambda: NOW)
    here = (("hour", 14.0),)
    await store.append([event("1"), event("2", query="red sofa"), event("3", context=here)])
    stored = await store._client.hgetall(b"recserve:store:2:films:events")
    await store.aclose()

    assert {key: len(orjson.loads(value.partition(b"\n")[2])) for key, value in stored.items()} == {
        b"1": 5,
        b"2": 6,
        b"3": 7,
    }


async def test_deleted_values_leave_the_files_when_compacted(
    durable_redis: RedisServer, tmp_path
) -> None:
    store = open_redis_store(durable_redis, lambda: NOW)
    await store.append([event(f"{n}", "u:secretname", item="secretitem") for n in range(50)])
    await store.append([event("other", "u:bob")])
    await store.merge("u:secretname", "u:othersecret")
    await store.delete("u:othersecret")
    await store.compact()
    await store.aclose()
    left = content(tmp_path / "redis")

    assert b"secret" not in left
    assert b"u:bob" in left


async def test_a_reply_that_nobody_waited_for_reaches_nobody_else(
    redis_server: RedisServer,
) -> None:
    """Over one connection: what was asked for one user must not be taken for another's."""
    client = open_client(redis_server.url, RedisLimits(0.0, 10.0, 1))
    store = RedisEventStore(client, None, lambda: NOW)
    await store.append([event("1", "u:ann", item="hers"), event("2", "u:bob", item="his")])
    redis_server.pause()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await store.read("u:ann")
    redis_server.resume()

    for user, item in (("u:bob", "his"), ("u:ann", "hers")) * 3:
        assert [kept.item for kept in (await store.read(user)).events] == [item]
    await store.aclose()


async def test_a_redis_that_is_not_there_is_a_store_error() -> None:
    client = open_client(f"redis://127.0.0.1:{free_port()}/0", RedisLimits(0.0, 1.0, 2))
    store = RedisEventStore(client)
    for call in (store.read("u:ann"), store.append([event("1")]), store.warnings()):
        with pytest.raises(StoreError):
            await call
    await store.aclose()


async def test_epochs_come_from_outside(redis_server: RedisServer) -> None:
    client = open_client(redis_server.url, RedisLimits(0.0, 10.0, 8))
    store = RedisEventStore(client, clock=lambda: NOW, new_epoch=lambda: b"12345678")
    await store.append([event("1", "u:epoch")])
    assert await store.version("u:epoch") == b"12345678".hex().encode() + b":1"
    await store.aclose()
