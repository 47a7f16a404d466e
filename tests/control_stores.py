"""The three stores of rules and scenarios behind one way to open them: any number on one store."""

from collections.abc import Callable
from pathlib import Path

from app.core.control_port import ControlStore
from app.serving.stores.redis_client import RedisLimits, open_client
from app.serving.stores.redis_control import RedisControlStore
from app.serving.stores.sqlite_control import SqliteControlStore
from app.testing.control_store import MemoryControl, MemoryControlStore
from tests.redis_server import RedisServer

OpenControl = Callable[..., ControlStore]


def in_memory() -> OpenControl:
    store: dict[str, MemoryControl] = {}
    return lambda namespace="films": MemoryControlStore(namespace, store)


def in_sqlite(folder: Path) -> OpenControl:
    path = folder / "new" / "store.sqlite"
    return lambda namespace="films": SqliteControlStore(path, namespace)


def in_redis(server: RedisServer) -> OpenControl:
    limits = RedisLimits(0.0, 10.0, 8)
    return lambda namespace="films": RedisControlStore(open_client(server.url, limits), namespace)
