"""The endpoint of a language model, against a server that lies in every way we could think of."""

import asyncio
import gzip
import logging
from collections.abc import Awaitable
from pathlib import Path

import orjson
import pytest

from app.core.errors import LanguageModelError, UsageError
from app.core.logs import configure_logging
from app.core.settings import Settings
from app.core.types import ModelQuestion
from app.language_model.endpoint import (
    MAX_BYTES,
    HttpLanguageModel,
    check_language_model,
    open_language_model,
)
from tests.chat_server import Answer, ChatRequest, ChatServer, chat, chatting, http

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
QUESTION = ModelQuestion("Count.", "one", SCHEMA, max_tokens=77)


async def failure(answer: Answer, timeout_s: float = 10.0) -> tuple[LanguageModelError, ChatServer]:
    """Ask a server once, and return why that failed."""
    async with chatting(answer) as server:
        model = HttpLanguageModel(server.url, "m", "very-secret", timeout_s)
        try:
            with pytest.raises(LanguageModelError) as failed:
                await model.ask(QUESTION)
        finally:
            await model.aclose()
        return failed.value, server


async def test_a_call_demands_json_by_schema() -> None:
    async with chatting(lambda _: chat({"a": 1}, prompt_tokens=5, completion_tokens=2)) as server:
        model = HttpLanguageModel(server.url, "tiny", "very-secret", 10.0)
        answer = await model.ask(QUESTION)
        await model.aclose()
    assert (answer.content, answer.prompt_tokens, answer.answer_tokens) == ({"a": 1}, 5, 2)
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer very-secret"
    assert request.body == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "Count."},
            {"role": "user", "content": "one"},
        ],
        "temperature": 0,
        "max_tokens": 77,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA},
        },
    }


async def test_a_server_without_schemas_is_asked_plainly_from_then_on() -> None:
    def answer(request: ChatRequest) -> bytes:
        return http(400, b"no such format") if request.by_schema else chat('```json\n{"a": 2}\n```')

    async with chatting(answer) as server:
        model = HttpLanguageModel(server.url, "m", None, 10.0)
        assert [(await model.ask(QUESTION)).content for _ in range(2)] == [{"a": 2}] * 2
        await model.aclose()
    assert [request.by_schema for request in server.requests] == [True, False, False]
    plain = server.requests[1]
    assert "authorization" not in plain.headers
    assert plain.body["messages"][0]["content"] == (
        "Count.\n\nAnswer with one JSON object of this schema:\n" + orjson.dumps(SCHEMA).decode()
    )
    assert sorted(plain.body) == ["max_completion_tokens", "messages", "model"]


async def test_a_refusal_of_both_ways_is_forgotten() -> None:
    error, server = await failure(lambda _: http(422, b"no"))
    assert (error.reason, len(server.requests)) == ("refused", 2)


@pytest.mark.parametrize("status", [401, 403, 500, 503])
async def test_other_refusals_are_not_repeated(status: int) -> None:
    error, server = await failure(lambda _: http(status, b"very-secret is wrong"))
    assert error.message == f"the language model answers with status {status}"
    assert (error.reason, len(server.requests)) == ("refused", 1)


async def test_how_long_to_wait_is_read_and_bounded() -> None:
    for said, understood in [("7", 7.0), ("999999999", 3600.0), ("soon", 0.0), ("-1", 0.0)]:
        error, server = await failure(lambda _, s=said: http(429, b"", f"retry-after: {s}"))
        assert (error.reason, error.retry_after_s) == ("refused", understood)
        assert len(server.requests) == 1


async def test_no_redirect_is_followed() -> None:
    async with chatting(lambda _: chat({"a": 1})) as target:
        for status in (301, 302, 303, 307, 308):
            moved = http(status, b"", f"location: {target.url}/chat/completions")
            error, server = await failure(lambda _, moved=moved: moved)
            assert (error.reason, len(server.requests)) == ("redirected", 1)
        assert target.requests == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"<html>",
        b"\xff\xfe",
        b'{"choices": []}',
        b'{"choices": {}}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": {"content": null}}]}',
        b'{"choices": [{"message": {"content": 7}}]}',
        b'{"choices": [{"message": {"content": "[1]"}}]}',
        b'{"choices": [{"message": {"content": "{\\"a\\": 1"}}]}',
        b'{"choices": [{"message": {"content": "Sure! {}"}}]}',
        b'{"choices": ' + b"[" * 100_000,
        b'{"choices": [{"message": {"content": "' + b"[" * 100_000 + b'"}}]}',
    ],
    ids=lambda body: repr(body[:40]),
)
async def test_what_is_no_object_is_wrong_json(body: bytes) -> None:
    error, _ = await failure(lambda _: http(200, body))
    assert (error.reason, error.message) == (
        "wrong_json",
        "the language model sends no JSON object",
    )


async def test_numbers_of_tokens_may_be_lies() -> None:
    for usage in ({"prompt_tokens": -5}, {"prompt_tokens": "7"}, {"prompt_tokens": 10**30}):
        body = {"choices": [{"message": {"content": "{}"}}], "usage": usage}
        raw = str(body).replace("'", '"').encode()
        async with chatting(lambda _, raw=raw: http(200, raw)) as server:
            model = HttpLanguageModel(server.url, "m", None, 10.0)
            assert (await model.ask(QUESTION)).prompt_tokens == 0
            await model.aclose()


async def test_too_much_is_not_read() -> None:
    error, _ = await failure(lambda _: http(200, b" " * (MAX_BYTES + 1)))
    assert error.reason == "too_large"


async def test_an_endless_answer_ends() -> None:
    sent = 0

    async def endless(request: ChatRequest) -> bytes:
        nonlocal sent
        request.writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            request.writer.write(b"1000\r\n" + b" " * 4096 + b"\r\n")
            await request.writer.drain()
            sent += 4096

    error, _ = await failure(endless)
    assert error.reason == "too_large"
    assert sent > MAX_BYTES


async def test_compressed_answers_are_refused() -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    error, server = await failure(lambda _: http(200, bomb, "content-encoding: gzip"))
    assert error.reason == "wrong_json"
    assert server.requests[0].headers["accept-encoding"] == "identity"


def _silent(_: ChatRequest) -> Awaitable[bytes]:
    return asyncio.get_running_loop().create_future()


async def _dripping(request: ChatRequest) -> bytes:
    request.writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        request.writer.write(b"x: y\r\n")
        await request.writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("answer", [_silent, _dripping])
async def test_a_slow_answer_ends_with_the_timeout(answer: Answer) -> None:
    error, _ = await failure(answer, timeout_s=0.2)
    assert error.reason in {"timeout", "unreachable"}


async def test_nobody_there() -> None:
    async with chatting(lambda _: b"") as server:
        url = server.url
    model = HttpLanguageModel(url, "m", None, 10.0)
    with pytest.raises(LanguageModelError) as failed:
        await model.ask(QUESTION)
    await model.aclose()
    assert failed.value.reason == "unreachable"


async def test_a_line_that_drops_in_the_middle() -> None:
    async def drop(request: ChatRequest) -> bytes:
        request.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
        await request.writer.drain()
        request.writer.close()
        return b""

    error, _ = await failure(drop)
    assert error.reason == "unreachable"


async def test_closing_ends_a_call_under_way() -> None:
    async with chatting(_silent) as server:
        model = HttpLanguageModel(server.url, "m", None, 60.0)
        call = asyncio.create_task(model.ask(QUESTION))
        async with asyncio.timeout(10):
            while not server.requests:  # noqa: ASYNC110 - what is awaited is the server's list
                await asyncio.sleep(0)
            await model.aclose()
            with pytest.raises(LanguageModelError):
                await call


async def test_the_key_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    configure_logging("debug")
    try:
        caplog.set_level(logging.DEBUG)
        error, _ = await failure(lambda _: http(500, b"very-secret"))
    finally:
        configure_logging("info")
    shown = caplog.text + repr(error) + error.message
    assert "very-secret" not in shown


def test_the_key_comes_from_the_setting_or_from_a_file(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1/v1"
    with pytest.raises(UsageError, match="RECSERVE_LLM_URL"):
        open_language_model(Settings())
    settings = Settings(llm_url=url, llm_api_key="very-secret")
    assert "very-secret" not in repr(settings) + str(settings.model_dump())
    for content in (None, "", "two\nlines", "日"):
        path = tmp_path / "key"
        if content is not None:
            path.write_text(content, "utf-8")
        wrong = Settings(llm_url=url, llm_api_key_file=path)
        for call in (open_language_model, check_language_model):
            with pytest.raises(UsageError, match="llm_api_key_file"):
                call(wrong)
    check_language_model(settings)
    check_language_model(Settings(llm_api_key_file=tmp_path / "missing"))


async def test_the_key_of_a_file_is_sent(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-a-file\n", "utf-8")
    async with chatting(lambda _: chat({})) as server:
        settings = Settings(llm_url=server.url, llm_api_key_file=tmp_path / "key")
        model = open_language_model(settings)
        await model.ask(QUESTION)
        await model.aclose()
    assert server.requests[0].headers["authorization"] == "Bearer from-a-file"


def test_a_url_without_a_host_is_refused() -> None:
    with pytest.raises(UsageError):
        check_language_model(Settings(llm_url="http://"))
    with pytest.raises(UsageError):
        HttpLanguageModel("http://", "m", None, 1.0)
