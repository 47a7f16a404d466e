"""The language model is down, slow, lying, endless: no request is answered otherwise for it.

A real HTTP client talks to a real server that misbehaves. The same requests go to a service without
any model, and the answers are compared.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.language_model.endpoint import HttpLanguageModel
from tests.chat_server import ChatRequest, chat, chatting, http
from tests.intent_rig import learning_rig, weak_engine
from tests.recommender_rig import Rig, rig, settled

QUERIES = [f"query {n}" for n in range(6)]
OWN = ("recommendation_id", "timings_ms", "cache", "x_cache", "batch_size", "next_cursor")
"""What differs between two answers anyway."""


def silent(_: ChatRequest) -> Awaitable[bytes]:
    return asyncio.get_running_loop().create_future()


async def endless(request: ChatRequest) -> bytes:
    request.writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        request.writer.write(b"1\r\n \r\n" * 500)
        await request.writer.drain()


async def dropping(request: ChatRequest) -> bytes:
    request.writer.close()
    return b""


TROUBLES: dict[str, Callable[[ChatRequest], bytes | Awaitable[bytes]]] = {
    "silent": silent,
    "endless": endless,
    "dropping": dropping,
    "no HTTP": lambda _: b"\x00\xff" * 100,
    "500": lambda _: http(500, b"<html>"),
    "401": lambda _: http(401, b"{}"),
    "429": lambda _: http(429, b"", "retry-after: 3600"),
    "redirect": lambda _: http(307, b"", "location: http://127.0.0.1:1/v1/chat/completions"),
    "no JSON": lambda _: http(200, b"Sure! Here is your intent."),
    "JSON of another kind": lambda _: http(200, b"[[]]"),
    "text": lambda _: chat("I cannot help with that."),
    "a list": lambda _: chat([1, 2]),
    "wrong types": lambda _: chat({"sort": 7, "filters": [], "like": {}, "count": "many"}),
    "unknown names": lambda _: chat({"filters": {"id": {"any": ["i7"]}}, "residual_text": ""}),
    "impossible": lambda _: chat({"filters": {"n": {"gte": 10**9}}}),
    "nothing": lambda _: chat({}),
    "deep": lambda _: chat({"filters": _deep(400)}),
    "large": lambda _: chat({"residual_text": "", "tone": ["x" * 200_000]}),
}  # fmt: skip


def _deep(n: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"n": {"gte": 1}}
    for _ in range(n):
        inner = {"$and": [inner]}
    return inner


async def answers(r: Rig) -> list[dict[str, Any]]:
    """Ask every query as four users, two at a time."""
    found = []
    for user in ("ann", "bob", "cid", "dan"):
        for query in QUERIES:
            pair = await asyncio.gather(*[r.get(query=query, user_id=user, k=k) for k in (3, 10)])
            found += [{k: v for k, v in each.items() if k not in OWN} for each in pair]
    return found


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
async def test_no_answer_differs(
    trouble: Callable[[ChatRequest], bytes | Awaitable[bytes]],
) -> None:
    async with rig(engine=weak_engine()) as r:
        expected = await answers(r)
    async with chatting(trouble) as server:
        model = HttpLanguageModel(server.url, "m", "very-secret", 0.5)
        async with learning_rig(model) as r:
            assert await answers(r) == expected
            await settled(lambda: len(server.requests) > 0)
            await settled(lambda: r.metric("llm_calls_in_flight") == 0)
            # Also after whatever the server said has been checked.
            assert await answers(r) == expected
            assert r.metric("intents_used_total") == 0
            assert r.metric("intents_learned_total") == 0
            assert r.service.ready


async def test_an_endpoint_that_is_not_there_is_left_alone() -> None:
    async with chatting(silent) as server:
        url = server.url
    async with rig(engine=weak_engine()) as r:
        expected = await answers(r)
    async with learning_rig(HttpLanguageModel(url, "m", None, 0.5)) as r:
        assert await answers(r) == expected
        await settled(lambda: r.metric("llm_breaker_open") == 1)
        assert r.metric("llm_calls_total", result="unreachable") in {3, 4}
        assert await answers(r) == expected


async def test_requests_are_answered_while_calls_hang() -> None:
    async with chatting(silent) as server:
        model = HttpLanguageModel(server.url, "m", None, 600.0)
        async with learning_rig(model, llm_min_callers=1, llm_timeout_ms=600_000) as r:
            await r.get(query="hangs")
            await settled(lambda: len(server.requests) == 1)
            got = await answers(r)
            await settled(lambda: len(server.requests) == 2)
            assert len(got) == 48
            assert r.metric("llm_calls_in_flight") == 2
            assert r.metric("degraded_total", reason="encoder") == 0
        # Stopping waited for nothing: the calls were cancelled.
