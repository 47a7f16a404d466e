"""The three journals behind one way to open them: any number on one store."""

from collections.abc import Callable
from pathlib import Path

from app.core.store_ports import Journal
from app.serving.stores.redis_client import RedisLimits, open_client
from app.serving.stores.redis_journal import RedisJournal
from app.serving.stores.sqlite_journal import SqliteJournal
from app.testing.journal import MemoryChanges, MemoryJournal
from tests.redis_server import RedisServer

OpenJournal = Callable[..., Journal]


def in_memory() -> OpenJournal:
    store: dict[str, MemoryChanges] = {}
    return lambda catalogue="films", **rest: MemoryJournal(catalogue, store, **rest)


def in_sqlite(folder: Path) -> OpenJournal:
    path = folder / "new" / "store.sqlite"
    return lambda catalogue="films", **rest: SqliteJournal(path, catalogue, **rest)


def in_redis(server: RedisServer) -> OpenJournal:
    limits = RedisLimits(0.0, 10.0, 8)
    return lambda catalogue="films", **rest: RedisJournal(
        open_client(server.url, limits), catalogue, **rest
    )
