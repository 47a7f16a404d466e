"""The three event stores behind one way to open them, on one clock that tests move."""

from collections.abc import Callable
from pathlib import Path

from app.core.store_ports import EventStore
from app.core.types import Event, Retention
from app.serving.stores.redis_client import RedisLimits, open_client
from app.serving.stores.redis_store import RedisEventStore
from app.serving.stores.sqlite_store import SqliteEventStore
from app.testing.event_store import MemoryEvents, MemoryEventStore
from tests.redis_server import RedisServer

NOW = 1_700_000_000.0
RETENTION = Retention(per_kind=300, max_age_s=1_000_000.0)

OpenStore = Callable[..., EventStore]
"""Opens the store of a namespace: `opened("films")`. All are in the one place of the test."""


def event(name: str, user: str = "u:ann", item: str = "a", kind: str = "click", **rest) -> Event:
    return Event(name, user, item, kind, rest.pop("time", NOW), **rest)


def open_redis_store(
    server: RedisServer,
    clock: Callable[[], float],
    retention: Retention = RETENTION,
    namespace: str = "films",
) -> RedisEventStore:
    client = open_client(server.url, RedisLimits(0.0, 10.0, 8))
    return RedisEventStore(client, retention, clock, namespace=namespace)


def in_redis(
    server: RedisServer, clock: Callable[[], float], retention: Retention = RETENTION
) -> OpenStore:
    return lambda namespace="films": open_redis_store(server, clock, retention, namespace)


def in_sqlite(
    folder: Path, clock: Callable[[], float], retention: Retention = RETENTION
) -> OpenStore:
    path = folder / "new" / "store.sqlite"
    return lambda namespace="films": SqliteEventStore(path, retention, clock, namespace=namespace)


def in_memory(clock: Callable[[], float], retention: Retention = RETENTION) -> OpenStore:
    spaces: dict[str, MemoryEvents] = {}
    return lambda namespace="films": MemoryEventStore(
        retention, clock, namespace=namespace, spaces=spaces
    )


def content(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
