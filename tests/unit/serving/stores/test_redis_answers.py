"""Kept answers in Redis: everything expires by itself."""

from app.core.answer_port import AnswerBounds, GivenAnswer
from app.serving.stores.redis_answers import RedisAnswerStore
from app.serving.stores.redis_client import RedisLimits, open_client
from tests.redis_server import RedisServer

NOW = 1_800_000_000.0


async def test_every_key_expires(redis_server: RedisServer) -> None:
    client = open_client(redis_server.url, RedisLimits(0.0, 10.0, 8))
    store = RedisAnswerStore(client, "a:*", AnswerBounds(3600.0, 1 << 20))
    answer = GivenAnswer("id", NOW, "u:7", b"head", b"request", b"tail")
    await store.put([answer], {b"request": b"{}", b"tail": b"}"}, NOW)
    await store.erase(["u:8"], NOW)
    keys = await client.keys("recserve:answers:1:a%3A%2A:*")
    lives = [await client.ttl(key) for key in keys]
    # The answer, two bodies, the user's answers, the erased user, and three of the namespace.
    assert len(keys) == 8
    assert all(3590 <= life <= 3600 for life in lives)
    await store.aclose()
