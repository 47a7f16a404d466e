"""What journals promise beyond the contract: trouble, limits, and the store they share."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from app.core.errors import OverloadedError, StoreError
from app.core.settings import Settings
from app.core.store_ports import Journal
from app.core.types import Change
from app.serving.stores.opening import open_journal
from app.serving.stores.redis_client import RedisLimits, open_client
from app.serving.stores.redis_journal import RedisJournal
from app.serving.stores.sqlite_journal import SqliteJournal
from app.serving.stores.sqlite_store import SqliteEventStore
from tests.event_stores import NOW, content, event, open_redis_store
from tests.journals import in_redis
from tests.redis_server import RedisServer, free_port

HEAT = ("a", {"title": "Heat"})


async def every_call_fails(journal: Journal) -> None:
    for call in (journal.append([HEAT]), journal.after(0, 1), journal.newest()):
        with pytest.raises(StoreError):
            await call


def hold(path: Path) -> sqlite3.Connection:
    """Keep other writers waiting until the connection is closed."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return connection


async def test_events_and_changes_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    journal, store = SqliteJournal(path, "films"), SqliteEventStore(path)
    await asyncio.gather(
        *(journal.append([(f"{n}", {"n": n})]) for n in range(50)),
        *(store.append([event(f"{n}")]) for n in range(50)),
    )
    await store.delete("u:ann")
    await store.compact()

    assert sorted(int(change.item) for change in await journal.after(0, 100)) == list(range(50))
    assert [change.seq for change in await journal.append([HEAT])] == [51]
    await store.aclose()
    await journal.aclose()


async def test_a_file_of_events_alone_becomes_one_of_both(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = SqliteEventStore(path)
    await store.append([event("1")])
    await store.aclose()
    journal = SqliteJournal(path, "films")
    await journal.append([HEAT])
    await journal.aclose()

    store = SqliteEventStore(path)
    assert (await store.read("u:ann")).events == (event("1"),)
    await store.aclose()


async def test_events_and_changes_share_a_redis(redis_server: RedisServer) -> None:
    journal, store = in_redis(redis_server)(), open_redis_store(redis_server, lambda: NOW)
    await journal.append([HEAT])
    await store.append([event("1")])
    await store.delete("u:ann")
    await store.compact()

    assert await journal.after(0, 10) == (Change(1, *HEAT),)
    assert [part async for part in store.scan()] == []
    await store.aclose()
    await journal.aclose()


async def test_the_file_is_written_with_full_durability(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "store.sqlite", "films")

    assert journal._file._write.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert journal._file._write.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    await journal.aclose()


async def test_appends_that_wait_are_committed_together(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    journal = SqliteJournal(path, "films")
    held = hold(path)
    calls = [asyncio.create_task(journal.append([HEAT])) for _ in range(100)]
    await asyncio.sleep(0)
    held.close()
    given = await asyncio.gather(*calls)

    assert [change.seq for (change,) in given] == list(range(1, 101))
    assert 1 <= journal._file.commits <= 2
    await journal.aclose()


async def test_a_full_disk_acknowledges_nothing_and_is_survived(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "store.sqlite", "films")
    await journal.append([HEAT])
    write = journal._file._write
    pages = write.execute("PRAGMA page_count").fetchone()[0]
    write.execute(f"PRAGMA max_page_count = {pages + 2}")
    large = [(f"{n}", {"text": "x" * 200}) for n in range(500)]
    with pytest.raises(StoreError, match="cannot be written"):
        await journal.append([("a", None), *large])

    assert await journal.after(0, 1000) == (Change(1, *HEAT),)
    assert await journal.newest() == 1
    write.execute("PRAGMA max_page_count = 1000000")
    assert [change.seq for change in await journal.append(large)] == list(range(2, 502))
    await journal.aclose()


async def test_a_change_that_cannot_be_written_takes_no_other_along(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    journal = SqliteJournal(path, "films")
    held = hold(path)
    parts = ([HEAT], [("b", None), ("\ud800", None)], [("c", None)])
    calls = [asyncio.create_task(journal.append(part)) for part in parts]
    await asyncio.sleep(0)
    held.close()
    first, second, third = await asyncio.gather(*calls, return_exceptions=True)

    assert isinstance(second, StoreError)
    assert (first, third) == ((Change(1, *HEAT),), (Change(2, "c", None),))
    await journal.aclose()


async def test_a_writer_that_never_ends_is_a_store_error(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    journal = SqliteJournal(path, "films", patience_s=0.01)
    held = hold(path)
    with pytest.raises(StoreError, match="cannot be written"):
        await journal.append([HEAT])
    held.close()

    assert [change.seq for change in await journal.append([HEAT])] == [1]
    await journal.aclose()


async def test_more_than_may_wait_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    journal = SqliteJournal(path, "films", most_waiting=10)
    held = hold(path)
    waiting = asyncio.create_task(journal.append([HEAT] * 8))
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await journal.append([HEAT] * 3)
    held.close()

    assert len(await waiting) == 8
    await journal.aclose()


async def test_a_foreign_file_is_refused_and_a_closed_one_says_so(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, but long enough to look at" * 100)
    (tmp_path / "folder").mkdir()
    for name in ("text", "folder", "text/below"):
        with pytest.raises(StoreError, match=r"the journal|the folder"):
            SqliteJournal(tmp_path / name, "films")

    journal = SqliteJournal(tmp_path / "store.sqlite", "films")
    await journal.aclose()
    await every_call_fails(journal)


async def test_a_redis_that_was_killed_has_every_change(durable_redis: RedisServer) -> None:
    journal = in_redis(durable_redis)()
    await journal.append([HEAT, ("b", None)])
    durable_redis.stop()
    await every_call_fails(journal)
    durable_redis.start()

    # The scripts are gone from the new server; connections are dead. Neither shows.
    assert [change.seq for change in await journal.append([("c", None)])] == [3]
    assert [change.item for change in await journal.after(0, 10)] == ["a", "b", "c"]
    await journal.aclose()


async def test_a_redis_that_is_not_there_is_a_store_error() -> None:
    client = open_client(f"redis://127.0.0.1:{free_port()}/0", RedisLimits(0.0, 1.0, 2))
    journal = RedisJournal(client, "films")
    await every_call_fails(journal)
    await journal.aclose()


async def test_the_settings_say_where_it_is(tmp_path: Path, redis_server: RedisServer) -> None:
    kinds = []
    for settings in (
        Settings(data_dir=tmp_path / "a"),
        Settings(store_url=f"sqlite:///{tmp_path}/a/store.sqlite"),
        Settings(store_url=redis_server.url),
    ):
        journal = open_journal(settings, "films")
        kinds.append((type(journal), await journal.newest()))
        await journal.append([HEAT])
        await journal.aclose()

    assert kinds == [(SqliteJournal, 0), (SqliteJournal, 1), (RedisJournal, 0)]
    assert b"Heat" in content(tmp_path / "a")
