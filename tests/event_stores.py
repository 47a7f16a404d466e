"""The three event stores behind one way to open them, on one clock that tests move."""

from collections.abc import Callable
from pathlib import Path

from app.core.ports import EventStore
from app.core.types import Event, Retention
from app.serving.stores.redis_client import RedisLimits, open_client
from app.serving.stores.redis_store import RedisEventStore
from app.serving.stores.sqlite_store import SqliteEventStore
from app.testing.event_store import MemoryEventStore
from tests.redis_server import RedisServer

NOW = 1_700_000_000.0
RETENTION = Retention(per_kind=300, max_age_s=1_000_000.0)

OpenStore = Callable[[], EventStore]


def event(name: str, user: str = "u:ann", item: str = "a", kind: str = "click", **rest) -> Event:
    return Event(name, user, item, kind, rest.pop("time", NOW), **rest)


def open_redis_store(
    server: RedisServer, clock: Callable[[], float], retention: Retention = RETENTION
) -> RedisEventStore:
    client = open_client(server.url, RedisLimits(0.0, 10.0, 8))
    return RedisEventStore(client, retention, clock)


def open_sqlite_store(
    folder: Path, clock: Callable[[], float], retention: Retention = RETENTION
) -> SqliteEventStore:
    return SqliteEventStore(folder / "new" / "store.sqlite", retention, clock)


def open_memory_store(
    clock: Callable[[], float], retention: Retention = RETENTION
) -> MemoryEventStore:
    return MemoryEventStore(retention, clock)


def content(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
