"""An event store that is silent, gone, full or removed: waits stay short, nothing is pretended."""

import asyncio
import sqlite3
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.core.errors import StoreError, StoreFullError
from app.serving.breaker import Breaker
from app.serving.stores.redis_client import RedisLimits, open_client
from app.serving.stores.redis_store import RedisEventStore
from app.serving.stores.sqlite_store import SqliteEventStore
from app.serving.user_state import UserStates
from tests.clock import Clock
from tests.event_stores import NOW, event
from tests.lying_server import lying

pytestmark = pytest.mark.process

CLIENT_S = 60.0
"""The time limit of the client: no test waits for it."""
READ_S = 0.05


@asynccontextmanager
async def store_of(url: str, *, timeout_s: float = CLIENT_S, clock: Clock | None = None):
    clock = clock or Clock()
    store = RedisEventStore(
        open_client(url, RedisLimits(0.0, timeout_s, 16)),
        clock=lambda: NOW,
        breaker=Breaker(3, 2.0, clock),
    )
    try:
        yield store
    finally:
        await store.aclose()


# Redis


async def test_no_read_of_a_silent_redis_outlives_its_limit(redis_server):
    """Deadlines that fall into the sending of a command are not lost by the client."""
    async with store_of(redis_server.url) as store:
        users = UserStates(None, store, READ_S, Breaker(10_000, 1.0))
        assert await users.version("u:ann") == b""
        redis_server.pause()
        # Crowds for few connections: half of each begins to send as its time ends.
        async with asyncio.timeout(CLIENT_S / 2):
            for _ in range(20):
                crowd = (users.version(f"u:{n}") for n in range(32))
                ended = await asyncio.gather(*crowd, return_exceptions=True)
                assert {type(each) for each in ended} == {StoreError}
        redis_server.resume()
        # It first works through what was sent meanwhile, which takes longer than one read may.
        async with asyncio.timeout(CLIENT_S):
            while await asyncio.gather(users.version("u:ann"), return_exceptions=True) != [b""]:
                pass


async def test_a_cancelled_write_leaves_nothing_for_the_next_caller(redis_server):
    async with store_of(redis_server.url) as store:
        await store.append([event("1", "u:ann", item="hers"), event("2", "u:bob", item="his")])
        redis_server.pause()
        for _ in range(40):
            task = asyncio.create_task(store.read("u:ann"))
            for _ in range(4):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()
        redis_server.resume()
        for _ in range(5):
            assert [each.item for each in (await store.read("u:bob")).events] == ["his"]


async def test_writes_to_a_redis_that_is_gone_are_soon_refused_at_once_and_resume(redis_server):
    clock = Clock()
    async with store_of(redis_server.url, clock=clock) as store:
        assert await store.append([event("1")]) == (True,)
        redis_server.stop()
        for _ in range(3):
            with pytest.raises(StoreError, match="cannot be read or written"):
                await store.append([event("2")])
        for _ in range(50):
            with pytest.raises(StoreError, match="a moment ago"):
                await store.append([event("2")])
        redis_server.start()
        with pytest.raises(StoreError, match="a moment ago"):
            await store.append([event("2")])
        clock.advance(2.0)
        assert await store.append([event("2")]) == (True,)


async def test_a_black_hole_is_tried_a_few_times_by_writers():
    async with lying(lambda _: None) as hole, store_of(hole.url, timeout_s=0.02) as store:
        for _ in range(50):
            with pytest.raises(StoreError):
                await store.append([event("1")])
        assert hole.connections == 3


async def test_a_full_redis_says_so_each_time_and_takes_events_again(redis_server):
    async with store_of(redis_server.url) as store, Redis.from_url(redis_server.url) as redis:
        await store.append([event("1")])
        await redis.config_set("maxmemory", 1)
        for _ in range(10):  # the breaker stays closed: a refusal costs no wait
            with pytest.raises(StoreFullError, match="no room"):
                await store.append([event("2")])
        assert [each.id for each in (await store.read("u:ann")).events] == ["1"]
        await redis.config_set("maxmemory", 0)
        assert await store.append([event("2")]) == (True,)


# the file


@asynccontextmanager
async def file_at(path: Path):
    store = SqliteEventStore(path, clock=lambda: NOW)
    try:
        await store.append([event("1")])
        yield store
    finally:
        await store.aclose()


async def ids(store) -> list[str]:
    return [each.id for each in (await store.read("u:ann")).events]


@pytest.mark.parametrize("name", ["store.sqlite", "store.sqlite-wal"])
async def test_nothing_is_acknowledged_into_a_file_that_was_removed(tmp_path, name):
    path = tmp_path / "store.sqlite"
    async with file_at(path) as store:
        (tmp_path / name).rename(tmp_path / "away")
        with pytest.raises(StoreError, match="was removed or replaced"):
            await store.append([event("2")])
        assert await ids(store) == ["1"]  # reading goes on

        (tmp_path / "away").rename(tmp_path / name)
        assert await store.append([event("3")]) == (True,)
    async with file_at(path) as again:
        assert await ids(again) == ["1", "3"]


async def test_nothing_is_acknowledged_into_a_file_that_was_replaced(tmp_path):
    path = tmp_path / "store.sqlite"
    async with file_at(path) as store:
        path.rename(tmp_path / "away")
        sqlite3.connect(path).close()
        path.touch()
        with pytest.raises(StoreError, match="was removed or replaced"):
            await store.append([event("2")])


async def test_a_full_disk_is_told_from_other_trouble(tmp_path):
    async with file_at(tmp_path / "store.sqlite") as store:
        pages = store._file._write.execute("PRAGMA page_count").fetchone()[0]
        store._file._write.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreFullError, match="no room"):
            await store.append([event(f"large{n}", item="x" * 200) for n in range(500)])
        assert await ids(store) == ["1"]


async def test_a_file_that_cannot_be_written_is_still_read_and_written_later(tmp_path):
    async with file_at(tmp_path / "store.sqlite") as store:
        store._file._write.execute("PRAGMA query_only = 1")
        for _ in range(3):
            with pytest.raises(StoreError, match="cannot be written"):
                await store.append([event("2")])
        assert await ids(store) == ["1"]
        store._file._write.execute("PRAGMA query_only = 0")
        assert await store.append([event("2")]) == (True,)


async def test_a_damaged_file_fails_reads_and_writes_and_hangs_nobody(tmp_path):
    path = tmp_path / "store.sqlite"
    async with file_at(path) as store:
        await store.append([event(f"{n}", item="x" * 500) for n in range(2, 200)])
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    try:
        store = SqliteEventStore(path, clock=lambda: NOW)
    except StoreError:
        return  # seen at the start
    try:
        for call in (lambda: store.read("u:ann"), lambda: store.append([event("new")])) * 2:
            with pytest.raises(StoreError):
                await call()
    finally:
        await store.aclose()
