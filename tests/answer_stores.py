"""The three stores of kept answers behind one way to open them: any number on one store."""

from collections.abc import Callable
from pathlib import Path

from app.core.answer_port import AnswerBounds, AnswerStore
from app.serving.stores.redis_answers import RedisAnswerStore
from app.serving.stores.redis_client import RedisLimits, open_client
from app.serving.stores.sqlite_answers import SqliteAnswerStore
from app.testing.answer_store import MemoryAnswers, MemoryAnswerStore
from tests.redis_server import RedisServer

OpenAnswers = Callable[..., AnswerStore]
LIFE_S = 3600.0
MOST_BYTES = 1 << 20


def in_memory() -> OpenAnswers:
    store: dict[str, MemoryAnswers] = {}

    def opened(
        namespace: str = "films", life_s: float = LIFE_S, most_bytes: int = MOST_BYTES
    ) -> AnswerStore:
        return MemoryAnswerStore(namespace, store, life_s=life_s, most_bytes=most_bytes)

    return opened


def in_sqlite(folder: Path) -> OpenAnswers:
    path = folder / "new" / "store.sqlite"

    def opened(
        namespace: str = "films", life_s: float = LIFE_S, most_bytes: int = MOST_BYTES
    ) -> AnswerStore:
        return SqliteAnswerStore(path, namespace, AnswerBounds(life_s, most_bytes))

    return opened


def in_redis(server: RedisServer) -> OpenAnswers:
    limits = RedisLimits(0.0, 10.0, 8)

    def opened(
        namespace: str = "films", life_s: float = LIFE_S, most_bytes: int = MOST_BYTES
    ) -> AnswerStore:
        client = open_client(server.url, limits)
        return RedisAnswerStore(client, namespace, AnswerBounds(life_s, most_bytes))

    return opened
