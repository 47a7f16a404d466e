"""The language model over HTTP: `LanguageModel` and `TextModel` at an OpenAI-compatible endpoint.

One call is one `POST …/chat/completions`. To `ask` demands JSON by schema; to `write` asks for a
stream of text. A server that refuses that is asked once more in the plainest way, with the schema
in words, and from then on only so.

The server is not trusted: no redirect is followed, no more than `MAX_BYTES` of an answer are read,
a call ends with its timeout, and compressed answers are refused. The key is in no log or message.
"""

import asyncio
import re
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import httpx
import orjson

from app.core.errors import LanguageModelError, UsageError
from app.core.settings import Settings
from app.core.types import ModelAnswer, ModelQuestion, TextQuestion
from app.language_model.chat_stream import TextReader
from app.language_model.loop_thread import LoopThread

MAX_BYTES: Final = 262_144
"""Most bytes of an answer that are read."""

_PATH: Final = "/chat/completions"
_MAX_CONNECTIONS: Final = 8
_REFUSES_SCHEMA: Final = frozenset({400, 404, 415, 422, 501})
_MAX_PAUSE_S: Final = 3600.0
_MAX_TOKENS: Final = 10_000_000
_FENCED: Final = re.compile(r"\A\s*```[a-z]*\s*\n(.*)\n\s*```\s*\Z", re.DOTALL)


class HttpLanguageModel:
    """Both ports at an endpoint. Belongs to no event loop: its calls have a thread."""

    def __init__(self, url: str, model: str, key: str | None, timeout_s: float) -> None:
        """Connect nothing yet.

        Args:
            url: base URL, such as https://host/v1; without a path, /v1 is added.
            model: its name at the endpoint.
            key: is sent as a bearer token; None = none.
            timeout_s: longest time of one call.

        Raises:
            UsageError: the URL names no host.
        """
        self._url, self._model, self._timeout_s = _address(url), model, timeout_s
        self._headers = {"Accept-Encoding": "identity"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._plain = self._plain_text = False
        self._closed = threading.Event()
        self._client: httpx.AsyncClient | None = None
        self._thread = LoopThread("recserve-llm")

    def __repr__(self) -> str:
        return f"<HttpLanguageModel {self}>"

    def __str__(self) -> str:
        """Return which model it is, and where, for the log."""
        return f"{self._model} at {urlsplit(self._url).netloc.rpartition('@')[2]}"

    async def ask(self, question: ModelQuestion) -> ModelAnswer:
        """Return the model's answer. Raises `LanguageModelError`."""
        if self._closed.is_set():
            raise _failed("is closed", "unreachable")
        try:
            return await self._thread.run(lambda: self._ask(question))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed.is_set() and not (task and task.cancelling()):
                raise _failed("is closed", "unreachable") from None
            raise

    async def write(self, question: TextQuestion) -> AsyncGenerator[str, None]:
        """Yield what the model writes. Raises `LanguageModelError`."""
        if self._closed.is_set():
            raise _failed("is closed", "unreachable")
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def put(piece: str) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        call = asyncio.ensure_future(self._thread.run(lambda: self._write(question, put)))
        call.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            if call.cancelled():  # nobody but `aclose` cancels it before it is awaited
                raise _failed("is closed", "unreachable")
            await call
        finally:
            call.cancel()

    async def aclose(self) -> None:
        """End the running calls, close all connections and the thread. Idempotent."""
        if self._closed.is_set():
            return
        self._closed.set()
        await self._thread.run(self._close_client)
        await self._thread.aclose()

    async def _close_client(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _ask(self, question: ModelQuestion) -> ModelAnswer:
        try:
            async with asyncio.timeout(self._timeout_s):
                if not self._plain:
                    status, answer = await self._call(_by_schema(self._model, question))
                    if answer is not None:
                        return answer
                    if status not in _REFUSES_SCHEMA:
                        raise _refused(status)
                status, answer = await self._call(_plainly(self._model, question))
        except (TimeoutError, httpx.HTTPError) as error:
            raise _unanswered(error) from error
        if answer is None:
            raise _refused(status)
        self._plain = True
        return answer

    async def _call(self, body: Mapping[str, Any]) -> tuple[int, ModelAnswer | None]:
        """Return the status, and the answer if the server has not refused the request."""
        read = bytearray()
        status = await self._read(body, read.extend)
        return status, _answer(bytes(read)) if status == 200 else None

    async def _write(self, question: TextQuestion, put: Callable[[str], None]) -> None:
        reader = TextReader(put)
        try:
            async with asyncio.timeout(self._timeout_s):
                status = 0
                if not self._plain_text:
                    status = await self._read(_streamed(self._model, question), reader.take)
                    if status not in _REFUSES_SCHEMA | {200}:
                        raise _refused(status)
                if status != 200:
                    body = _plainly_streamed(self._model, question)
                    if (status := await self._read(body, reader.take)) != 200:
                        raise _refused(status)
                    self._plain_text = True
        except (TimeoutError, httpx.HTTPError) as error:
            raise _unanswered(error) from error
        if not reader.complete():
            raise _failed("breaks its text off", "wrong_json")

    async def _read(self, body: Mapping[str, Any], take: Callable[[bytes], object]) -> int:
        """Call the endpoint; hand over what it sends with status 200, and return the status."""
        request = self._opened().stream(
            "POST", self._url, content=orjson.dumps(body), headers=self._headers
        )
        async with request as response:
            status = response.status_code
            if status == 429:
                raise _failed("is asked too often", "refused", _pause_s(response))
            if 300 <= status < 400:
                raise _failed("answers with a redirect", "redirected")
            if status != 200:
                return status
            if response.headers.get("content-encoding", "identity") != "identity":
                raise _failed("compresses its answers", "wrong_json")
            size = 0
            async for part in response.aiter_raw():
                size += len(part)
                if size > MAX_BYTES:
                    raise _failed("sends too much", "too_large")
                take(part)
            return status

    def _opened(self) -> httpx.AsyncClient:
        # Made at the first call and in the thread: to read the certificates takes long.
        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=self._timeout_s,
                follow_redirects=False,
                limits=httpx.Limits(max_connections=_MAX_CONNECTIONS),
            )
        return self._client


def open_language_model(settings: Settings) -> HttpLanguageModel:
    """Return the language model of the settings.

    Raises:
        UsageError: they name none, the URL names no host, or the file of the key cannot be read.
    """
    if settings.llm_url is None:
        raise UsageError("no language model is set: name its endpoint in RECSERVE_LLM_URL")
    return HttpLanguageModel(
        settings.llm_url, settings.llm_model, _key_of(settings), settings.llm_timeout_ms / 1e3
    )


def check_language_model(settings: Settings) -> None:
    """Check what the settings say of a language model, if they name one; it is not asked.

    Raises:
        UsageError: as `open_language_model`.
    """
    if settings.llm_url is not None:
        _address(settings.llm_url)
        _key_of(settings)


def _key_of(settings: Settings) -> str | None:
    if settings.llm_api_key is not None:
        return settings.llm_api_key.get_secret_value().strip() or None
    path: Path | None = settings.llm_api_key_file
    if path is None:
        return None
    try:
        key = path.read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise UsageError("the file of llm_api_key_file cannot be read") from error
    if not key or not key.isascii() or not key.isprintable():
        raise UsageError("the file of llm_api_key_file does not contain one key")
    return key


def _address(url: str) -> str:
    """Return the address that is called.

    >>> _address("http://host:1/v1/"), _address("http://host")
    ('http://host:1/v1/chat/completions', 'http://host/v1/chat/completions')
    """
    parts = urlsplit(url)
    if not parts.hostname:
        raise UsageError("llm_url names no host")
    path = parts.path.rstrip("/") or "/v1"
    path = path if path.endswith(_PATH) else path + _PATH
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def _by_schema(model: str, question: ModelQuestion) -> dict[str, Any]:
    """Return a request whose answer has to fit the schema."""
    return {
        "model": model,
        "messages": _messages(question.instructions, question.text),
        "temperature": 0,
        "max_tokens": question.max_tokens,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": question.schema},
        },
    }


def _plainly(model: str, question: ModelQuestion) -> dict[str, Any]:
    """Return a request that any server understands: the schema is a part of the instructions."""
    schema = orjson.dumps(question.schema).decode()
    told = f"{question.instructions}\n\nAnswer with one JSON object of this schema:\n{schema}"
    return {
        "model": model,
        "messages": _messages(told, question.text),
        # Newer servers refuse `max_tokens` and a temperature; older ones ignore this.
        "max_completion_tokens": question.max_tokens,
    }


def _streamed(model: str, question: TextQuestion) -> dict[str, Any]:
    """Return a request for a stream of text that is the same each time."""
    return {
        "model": model,
        "messages": _messages(question.instructions, question.text, question.examples),
        "temperature": 0,
        "max_tokens": question.max_tokens,
        "stream": True,
    }


def _plainly_streamed(model: str, question: TextQuestion) -> dict[str, Any]:
    """Return a request for a stream of text that any server understands."""
    return {
        "model": model,
        "messages": _messages(question.instructions, question.text, question.examples),
        "max_completion_tokens": question.max_tokens,
        "stream": True,
    }


def _messages(
    instructions: str, text: str, examples: Sequence[tuple[str, str]] = ()
) -> list[dict[str, str]]:
    said = [("system", instructions)]
    for asked, answered in examples:
        said += [("user", asked), ("assistant", answered)]
    said.append(("user", text))
    return [{"role": role, "content": content} for role, content in said]


def _answer(body: bytes) -> ModelAnswer:
    try:
        reply = orjson.loads(body)
        text = reply["choices"][0]["message"]["content"]
        fenced = _FENCED.match(text)
        content = orjson.loads(fenced[1] if fenced else text)
    except (ValueError, TypeError, LookupError) as error:
        raise _failed("sends no JSON object", "wrong_json") from error
    if not isinstance(content, dict):
        raise _failed("sends no JSON object", "wrong_json")
    usage = reply.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return ModelAnswer(
        content, _tokens(usage.get("prompt_tokens")), _tokens(usage.get("completion_tokens"))
    )


def _tokens(said: object) -> int:
    return said if type(said) is int and 0 <= said <= _MAX_TOKENS else 0


def _pause_s(response: httpx.Response) -> float:
    said = response.headers.get("retry-after", "")
    return min(float(said), _MAX_PAUSE_S) if said.isascii() and said.isdigit() else 0.0


def _unanswered(error: Exception) -> LanguageModelError:
    if isinstance(error, TimeoutError):
        return _failed("does not answer in time", "timeout")
    reason = "timeout" if isinstance(error, httpx.TimeoutException) else "unreachable"
    return _failed("cannot be reached", reason)


def _refused(status: int) -> LanguageModelError:
    return _failed(f"answers with status {status}", "refused")


def _failed(what: str, reason: str, retry_after_s: float = 0.0) -> LanguageModelError:
    return LanguageModelError(
        f"the language model {what}", reason=reason, retry_after_s=retry_after_s
    )
