"""What only the embedded store promises: group commit, full durability, one failure at a time."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from app.core.errors import OverloadedError, StoreError
from app.serving.stores.sqlite_file import SqliteFile
from app.serving.stores.sqlite_store import SqliteEventStore
from app.serving.stores.sqlite_tables import TABLES
from tests.clock import Clock
from tests.event_stores import content, event


def hold(path: Path) -> sqlite3.Connection:
    """Keep other writers waiting until the connection is closed."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return connection


async def test_writes_that_wait_are_committed_together(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = SqliteEventStore(path)
    await store.append([event("first")])
    before = store._file.commits
    held = hold(path)
    calls = [asyncio.create_task(store.append([event(f"{n}")])) for n in range(100)]
    await asyncio.sleep(0)
    held.close()
    assert await asyncio.gather(*calls) == [(True,)] * 100

    # The first was taken alone if the writer was already waiting for it; the rest came together.
    assert 1 <= store._file.commits - before <= 2
    await store.aclose()


async def test_the_file_is_written_with_full_durability(tmp_path: Path) -> None:
    store = SqliteEventStore(tmp_path / "store.sqlite")

    assert store._file._write.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._file._write.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    await store.aclose()


async def test_events_are_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = SqliteEventStore(path)
    await store.append([event("1", value=2.5)])
    await store.aclose()

    again = SqliteEventStore(path)
    assert (await again.read("u:ann")).events == (event("1", value=2.5),)
    await again.aclose()


async def test_two_stores_on_one_file_see_each_other(tmp_path: Path) -> None:
    one, other = (SqliteEventStore(tmp_path / "store.sqlite") for _ in range(2))
    assert await one.append([event("1")]) == (True,)
    assert await other.append([event("1"), event("2")]) == (False, True)

    assert len((await one.read("u:ann")).events) == 2
    await one.aclose()
    await other.aclose()


async def test_a_write_that_cannot_be_done_fails_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = SqliteEventStore(path)
    held = hold(path)
    bad = [event("2"), event("3", item="\ud800")]
    calls = [store.append(part) for part in ([event("1")], bad, [event("4")])]
    waiting = [asyncio.create_task(call) for call in calls]
    await asyncio.sleep(0)
    held.close()
    first, second, third = await asyncio.gather(*waiting, return_exceptions=True)

    assert (first, third) == ((True,), (True,))
    assert isinstance(second, StoreError)
    assert [kept.id for kept in (await store.read("u:ann")).events] == ["1", "4"]
    await store.aclose()


async def test_a_full_disk_acknowledges_nothing_and_is_survived(tmp_path: Path) -> None:
    store = SqliteEventStore(tmp_path / "store.sqlite")
    await store.append([event("1")])
    pages = store._file._write.execute("PRAGMA page_count").fetchone()[0]
    store._file._write.execute(f"PRAGMA max_page_count = {pages + 2}")
    large = [event(f"large{n}", item="x" * 200) for n in range(500)]
    with pytest.raises(StoreError, match="cannot be written"):
        await store.append(large)

    assert [kept.id for kept in (await store.read("u:ann")).events] == ["1"]
    store._file._write.execute("PRAGMA max_page_count = 1000000")
    assert all(await store.append(large))
    await store.aclose()


async def test_more_than_may_wait_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = SqliteEventStore(path, most_waiting=10)
    held = hold(path)
    waiting = asyncio.create_task(store.append([event(f"{n}") for n in range(8)]))
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await store.append([event("8"), event("9"), event("10")])
    held.close()

    assert all(await waiting)
    await store.aclose()


async def test_deleted_values_leave_the_files_when_compacted(tmp_path: Path) -> None:
    store = SqliteEventStore(tmp_path / "store.sqlite")
    await store.append([event(f"{n}", "u:secretname", item="secretitem") for n in range(50)])
    await store.append([event("other", "u:bob")])
    await store.merge("u:secretname", "u:othersecret")
    await store.delete("u:othersecret")
    await store.compact()
    # While it is still open: the log is empty too.
    left = content(tmp_path)

    assert b"secret" not in left
    assert b"u:bob" in left
    await store.aclose()


async def test_compacting_says_when_a_reader_keeps_deleted_values_in_the_log(
    tmp_path: Path,
) -> None:
    path = tmp_path / "store.sqlite"
    store = SqliteEventStore(path, patience_s=0.01)
    await store.append([event("1", "u:secretname")])
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchone()
    await store.delete("u:secretname")
    with pytest.raises(StoreError):
        await store.compact()
    reader.close()
    await store.compact()

    assert b"secret" not in content(tmp_path)
    await store.aclose()


async def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, but long enough to look at" * 100)
    newer = sqlite3.connect(tmp_path / "newer")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    (tmp_path / "folder").mkdir()

    for name in ("text", "newer", "folder"):
        with pytest.raises(StoreError):
            SqliteEventStore(tmp_path / name)


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = SqliteEventStore(tmp_path / "store.sqlite")
    await store.aclose()

    for call in (store.append([event("1")]), store.read("u:ann")):
        with pytest.raises(StoreError, match="closed"):
            await call


async def test_a_write_waits_for_another_process_by_the_injected_clock(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    clock, waits = Clock(), []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.advance(1.0)

    file = SqliteFile(path, TABLES, "the store", patience_s=3.0, clock=clock, sleep=sleep)
    held = hold(path)
    with pytest.raises(StoreError, match="cannot be written"):
        await file.written(lambda connection: connection.execute("DELETE FROM events").rowcount)
    held.close()

    assert waits == [0.001] * 4  # the fourth second is beyond the three
    assert await file.written(lambda connection: connection.execute("SELECT 7").fetchone()) == (7,)
    await file.aclose()


async def test_epochs_come_from_outside(tmp_path: Path) -> None:
    epochs = iter([b"first123", b"second12"])
    store = SqliteEventStore(tmp_path / "store.sqlite", new_epoch=lambda: next(epochs))
    await store.append([event("1")])
    assert await store.version("u:ann") == b"first123:1"
    await store.delete("u:ann")
    assert await store.version("u:ann") == b"second12:0"
    await store.aclose()


async def test_if_the_writing_thread_dies_all_writes_fail_at_once(tmp_path: Path) -> None:
    file = SqliteFile(tmp_path / "store.sqlite", TABLES, "the store")
    begun, go = threading.Event(), threading.Event()

    def die(_: sqlite3.Connection) -> None:
        begun.set()
        go.wait(20)
        raise SystemExit

    dying = asyncio.create_task(file.written(die))
    await asyncio.to_thread(begun.wait, 20)
    behind = asyncio.create_task(file.written(lambda connection: 1))
    await asyncio.sleep(0)
    assert file.alive
    go.set()
    for write in (dying, behind, file.written(lambda connection: 1)):
        with pytest.raises(StoreError, match="its thread has died"):
            await write

    assert not file.alive
    assert file.waiting == 0
    await file.aclose()
