"""What every `TextModel` promises: the fake, and the endpoint over a real HTTP server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest

from app.core.errors import LanguageModelError
from app.core.ports import TextModel
from app.core.types import TextQuestion
from app.language_model.endpoint import HttpLanguageModel
from app.testing.language_model import ScriptedTextModel
from tests.chat_server import ChatRequest, chatting, event, http, piece, streamed

Script = Callable[[str], Sequence[str] | None]
"""What is written about a text, in pieces; None = a failure; "…" = it stops there for ever."""

OpenModel = Callable[[Script], Any]


@pytest.fixture(params=["fake", "http"])
async def open_model(request: pytest.FixtureRequest) -> AsyncIterator[OpenModel]:
    async with AsyncExitStack() as stack:

        async def opened(script: Script) -> tuple[TextModel, asyncio.Queue[str]]:
            """Return a model, and the texts whose writing has ended."""
            ended: asyncio.Queue[str] = asyncio.Queue()
            if request.param == "fake":
                model: TextModel = ScriptedTextModel(lambda asked: _said(script, asked, ended))
            else:

                async def answer(got: ChatRequest) -> bytes:
                    said = script(got.user)
                    if said is None:
                        return http(500, b"{}")
                    try:
                        sent = [_ever(got) if each == "…" else piece(each) for each in said]
                        return await streamed(got, *sent, event("[DONE]"))
                    finally:
                        ended.put_nowait(got.user)

                server = await stack.enter_async_context(chatting(answer))
                model = HttpLanguageModel(server.url, "m", "key", 10.0)
            stack.push_async_callback(model.aclose)
            return model, ended

        yield opened


async def _ever(got: ChatRequest) -> bytes:
    """Write until the other side hangs up."""
    while not got.writer.transport.is_closing():
        got.writer.write(b": \n")
        await got.writer.drain()
        await asyncio.sleep(0.01)
    return b""


async def _said(script: Script, asked: TextQuestion, ended: asyncio.Queue[str]) -> Any:
    said = script(asked.text)
    if said is None:
        raise LanguageModelError("the language model answers with status 500", reason="refused")
    try:
        for each in said:
            if each == "…":
                await asyncio.Event().wait()
            yield each
    finally:
        ended.put_nowait(asked.text)


def about(text: str) -> TextQuestion:
    return TextQuestion("Write.", text)


async def test_pieces_come_in_order_exactly(open_model: OpenModel) -> None:
    pieces = ["A ", "film\n\n", "data: [DONE]", " 太空 ", "\u2028\"'\\", "."]
    model, _ = await open_model(lambda _: pieces)
    assert "".join([each async for each in model.write(about("x"))]) == "".join(pieces)


async def test_texts_at_once_are_their_own(open_model: OpenModel) -> None:
    model, _ = await open_model(lambda text: [text, "!", text])

    async def written(text: str) -> str:
        return "".join([each async for each in model.write(about(text))])

    texts = await asyncio.gather(*(written(f"t{n}") for n in range(20)))
    assert texts == [f"t{n}!t{n}" for n in range(20)]


async def test_a_failure_is_over_with_the_call(open_model: OpenModel) -> None:
    model, _ = await open_model(lambda text: None if text == "bad" else ["good"])
    for _ in range(2):
        with pytest.raises(LanguageModelError) as failed:
            await anext(model.write(about("bad")))
        assert failed.value.reason == "refused"
        assert [each async for each in model.write(about("x"))] == ["good"]


async def test_closing_ends_the_call(open_model: OpenModel) -> None:
    model, ended = await open_model(lambda _: ["first", "…"])
    async with aclosing(model.write(about("long"))) as text:
        assert await anext(text) == "first"
    async with asyncio.timeout(20):
        assert await ended.get() == "long"


async def test_nothing_is_written_after_closing_the_model(open_model: OpenModel) -> None:
    model, _ = await open_model(lambda _: ["x"])
    await model.aclose()
    await model.aclose()
    with pytest.raises(LanguageModelError) as failed:
        await anext(model.write(about("x")))
    assert failed.value.reason == "unreachable"
