"""A store of a version without namespaces: the first bundle that opens it gets its events, once."""

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from app.core.settings import Settings
from app.core.store_ports import EventStore
from app.serving.stores.opening import open_event_store, open_journal
from app.serving.stores.sqlite_store import SqliteEventStore
from app.serving.stores.user_identity import hashed_user
from tests.event_stores import NOW, event, open_redis_store
from tests.redis_server import RedisServer

OLD_TABLES = (
    """CREATE TABLE events (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, user TEXT NOT NULL,
    kind TEXT NOT NULL, time REAL NOT NULL, item TEXT NOT NULL, value REAL, recommendation TEXT)""",
    "CREATE INDEX events_of_user ON events (user, kind, time, seq)",
    """CREATE TABLE users (hash TEXT PRIMARY KEY, epoch BLOB NOT NULL, n INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0, merged TEXT NOT NULL DEFAULT '[]') WITHOUT ROWID""",
    """CREATE TABLE attributes (
    hash TEXT PRIMARY KEY, user TEXT NOT NULL, named TEXT NOT NULL) WITHOUT ROWID""",
)
EVENTS = [event("1"), event("2", item="b", time=NOW + 1, value=2.5), event("3", "u:bob")]


def old_sqlite(path: Path, sent=EVENTS) -> str:
    """Write a file as the first version did, before events had words; return its URL."""
    old = sqlite3.connect(path, isolation_level=None)
    for statement in (*OLD_TABLES, "PRAGMA user_version = 1", "BEGIN"):
        old.execute(statement)
    insert = """INSERT INTO events (id, user, item, kind, time, value) VALUES (?, ?, ?, ?, ?, ?)"""
    old.executemany(insert, [(e.id, e.user, e.item, e.kind, e.time, e.value) for e in sent])
    for user, deleted in (("u:ann", 0), ("u:bob", 0), ("u:gone", 1)):
        row = (hashed_user(user), b"12345678", 7, deleted)
        old.execute("INSERT INTO users (hash, epoch, n, deleted) VALUES (?, ?, ?, ?)", row)
    old.execute("COMMIT")
    old.close()
    return f"sqlite:///{path}"


async def old_redis(server: RedisServer, sent=EVENTS) -> str:
    """Leave the keys that an older version left; return the URL."""
    store = open_redis_store(server, lambda: NOW, namespace="before")
    await store.append(sent)
    await store.delete("u:gone")
    client = store._client
    for key in await client.keys("recserve:store:2:*"):
        await client.rename(key, key.replace(b":2:before:", b":1:"))
    await client.delete("recserve:store:names")
    await store.aclose()
    return server.url


async def ids(store: EventStore) -> set[str]:
    return {one.id async for part in store.scan() for one in part}


async def opened(url: str, namespace: str) -> EventStore:
    return await open_event_store(Settings(store_url=url, store_namespace=namespace))


@pytest.fixture(params=["sqlite", "redis"])
async def older(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store of an older version."""
    if request.param == "sqlite":
        return old_sqlite(tmp_path / "store.sqlite")
    return await old_redis(request.getfixturevalue("redis_server"))


async def test_the_first_bundle_gets_the_events_and_that_is_said_once(
    older: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):  # and keeps them
        films = await opened(older, "films")
        assert await ids(films) == {"1", "2", "3"}
        ann = await films.read("u:ann")
        assert ann.events == tuple(EVENTS[:2])
        assert ann.version != b""
        assert (await films.read("u:gone")).deleted
        await films.aclose()
    assert caplog.text.count("they belong to 'films' from now on") == 1

    shop = await opened(older, "shop")
    assert await ids(shop) == set()
    assert not (await shop.read("u:gone")).deleted
    assert await shop.append([event("1", item="c")]) == (True,)
    await shop.delete("u:bob")
    assert await shop.namespaces() == ["films", "shop"]
    films = await opened(older, "films")
    assert (await films.read("u:ann")).events == tuple(EVENTS[:2])
    assert await films.append([event("4")]) == (True,)
    assert await ids(films) == {"1", "2", "3", "4"}
    assert await ids(shop) == {"1"}
    assert caplog.text.count("from now on") == 1
    for store in (films, shop):
        await store.aclose()


async def test_attributes_alone_are_taken_over(redis_server: RedisServer, tmp_path: Path) -> None:
    for url in (old_sqlite(tmp_path / "x.sqlite", []), await old_redis(redis_server, [])):
        films = await opened(url, "films")
        assert (await films.read("u:gone")).deleted
        await films.aclose()


async def test_a_namespace_without_events_beside_others_is_said(
    redis_server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for url in (f"sqlite:///{tmp_path}/store.sqlite", redis_server.url):
        films = await opened(url, "films")
        await (await opened(url, "shop")).aclose()
        assert "no events of" not in caplog.text
        await films.append(EVENTS)
        await films.aclose()
        await (await opened(url, "shop")).aclose()
        said = "no events of 'shop', but of 'films': --bundle or RECSERVE_STORE_NAMESPACE chooses"
        assert caplog.text.count(said) == 1
        caplog.clear()


async def test_the_journal_of_an_older_file_can_be_opened_first(tmp_path: Path) -> None:
    url = old_sqlite(tmp_path / "store.sqlite")
    journal = open_journal(Settings(store_url=url), "films")
    await journal.append([("a", None)])
    films = await opened(url, "films")
    assert await ids(films) == {"1", "2", "3"}
    assert await journal.newest() == 1
    await films.aclose()
    await journal.aclose()


async def test_a_file_whose_change_fails_stays_as_it_was(tmp_path: Path) -> None:
    """The old tables are in the file until the new ones are complete."""
    path = tmp_path / "store.sqlite"
    old_sqlite(path)
    broken = sqlite3.connect(path, isolation_level=None)
    broken.execute("CREATE VIEW older_users AS SELECT 1")  # a name in the way
    with pytest.raises(Exception, match="cannot be opened"):
        SqliteEventStore(path, namespace="films")
    assert broken.execute("SELECT count(*) FROM events").fetchone() == (3,)
    broken.execute("DROP VIEW older_users")
    broken.close()
    films = SqliteEventStore(path, namespace="films")
    assert await ids(films) == {"1", "2", "3"}
    await films.aclose()


OPEN = """
import asyncio, sys
from app.core.settings import Settings
from app.serving.stores.opening import open_event_store

async def count(url, namespace):
    sys.stdin.read()  # until both are here
    store = await open_event_store(Settings(store_url=url, store_namespace=namespace))
    print(sum([len(part) async for part in store.scan()]))
    await store.aclose()

asyncio.run(count(*sys.argv[1:]))
"""


@pytest.mark.process
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_two_processes_at_once_take_it_over_once(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    many = [event(f"e{n}", f"u:{n % 500}", time=NOW + n) for n in range(20_000)]
    if kind == "sqlite":
        url = old_sqlite(tmp_path / "store.sqlite", many)
    else:
        url = asyncio.run(old_redis(request.getfixturevalue("redis_server"), many))
    both = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, url, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("films", "films", "shop")
    ]
    for process in both:
        process.stdin.close()
        process.stdin = None
    answers = [process.communicate(timeout=60) for process in both]
    said = "".join(err for _, err in answers)
    films, again, shop = (int(out) for out, _ in answers)

    assert [process.returncode for process in both] == [0, 0, 0], said
    assert said.count("from now on") == 1
    assert films == again
    assert sorted((films, shop)) == [0, 20_000]
