"""The three stores of learned intents behind one way to open them: any number on one store."""

from collections.abc import Callable
from pathlib import Path

from app.core.store_ports import IntentStore
from app.domain.use_counts import MOST_LEARNED
from app.serving.stores.redis_client import RedisLimits, open_client
from app.serving.stores.redis_intents import RedisIntentStore
from app.serving.stores.sqlite_intents import SqliteIntentStore
from app.testing.intent_store import MemoryIntentStore, MemoryNamespace
from tests.redis_server import RedisServer

OpenIntents = Callable[..., IntentStore]


def in_memory() -> OpenIntents:
    store: dict[str, MemoryNamespace] = {}

    def opened(namespace: str = "films", most: int = MOST_LEARNED) -> IntentStore:
        return MemoryIntentStore(namespace, store, most=most)

    return opened


def in_sqlite(folder: Path) -> OpenIntents:
    path = folder / "new" / "store.sqlite"

    def opened(namespace: str = "films", most: int = MOST_LEARNED) -> IntentStore:
        return SqliteIntentStore(path, namespace, most=most)

    return opened


def in_redis(server: RedisServer) -> OpenIntents:
    limits = RedisLimits(0.0, 10.0, 8)

    def opened(namespace: str = "films", most: int = MOST_LEARNED) -> IntentStore:
        return RedisIntentStore(open_client(server.url, limits), namespace, most=most)

    return opened
