"""Text from the endpoint of a language model: what is asked, and servers that do it badly."""

import asyncio
from contextlib import aclosing

import pytest

from app.core.errors import LanguageModelError
from app.core.types import TextQuestion
from app.language_model.endpoint import HttpLanguageModel
from tests.chat_server import Answer, ChatRequest, chat, chatting, event, http, piece, streamed

QUESTION = TextQuestion("Tell.", "one", max_tokens=77)
END = event("[DONE]")


async def test_a_stream_is_asked_for_once_plainly_if_it_must_be() -> None:
    async def answer(request: ChatRequest) -> bytes:
        if "temperature" in request.body:
            return http(400, b"{}")
        return await streamed(request, piece("A."), END)

    async with chatting(answer) as server:
        model = HttpLanguageModel(server.url, "m", None, 10.0)
        for _ in range(2):
            assert [each async for each in model.write(QUESTION)] == ["A."]
        await model.aclose()
    asked = [request.body for request in server.requests]
    messages = [{"role": "system", "content": "Tell."}, {"role": "user", "content": "one"}]
    plain = {"model": "m", "messages": messages, "max_completion_tokens": 77, "stream": True}
    full = {"model": "m", "messages": messages, "temperature": 0, "max_tokens": 77, "stream": True}
    assert asked == [full, plain, plain]


async def test_a_server_without_streams_is_read_too() -> None:
    async with chatting(lambda _: chat("All of it.")) as server:
        model = HttpLanguageModel(server.url, "m", None, 10.0)
        assert [each async for each in model.write(QUESTION)] == ["All of it."]
        await model.aclose()


async def _hang(request: ChatRequest) -> bytes:
    await asyncio.Event().wait()
    return b""


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda _: http(429, b"{}", "retry-after: 7"), "refused"),
        (lambda _: http(403, b"{}"), "refused"),
        (lambda _: http(302, b"", "location: http://other"), "redirected"),
        (lambda _: http(200, b"\x1f", "content-encoding: gzip"), "wrong_json"),
        (lambda _: http(200, b"data: {\n\n"), "wrong_json"),
        (lambda _: http(200, piece("half")), "wrong_json"),
        (lambda _: http(200, piece("much" * 100) * 700), "too_large"),
        (_hang, "timeout"),
    ],
)
async def test_a_bad_server_fails_with_a_reason(answer: Answer, reason: str) -> None:
    async with chatting(answer) as server:
        model = HttpLanguageModel(server.url, "m", "very-secret", 0.5)
        with pytest.raises(LanguageModelError) as failed:
            _ = [each async for each in model.write(QUESTION)]
        await model.aclose()
    assert failed.value.reason == reason
    assert "very-secret" not in failed.value.message


async def test_closing_the_model_ends_a_text_under_way() -> None:
    async def answer(request: ChatRequest) -> bytes:
        return await streamed(request, piece("a"), _hang(request))

    async with chatting(answer) as server:
        model = HttpLanguageModel(server.url, "m", None, 60.0)
        async with aclosing(model.write(QUESTION)) as text:
            assert await anext(text) == "a"
            await model.aclose()
            with pytest.raises(LanguageModelError) as failed:
                await anext(text)
        assert failed.value.reason == "unreachable"
