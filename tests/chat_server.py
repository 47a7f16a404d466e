"""A real HTTP server that answers `POST /v1/chat/completions` as well or badly as a test wants."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

Answer = Callable[["ChatRequest"], "bytes | Awaitable[bytes]"]


@dataclass(frozen=True)
class ChatRequest:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    writer: asyncio.StreamWriter = field(repr=False)

    @property
    def system(self) -> str:
        return self.body["messages"][0]["content"]

    @property
    def user(self) -> str:
        return self.body["messages"][-1]["content"]

    @property
    def by_schema(self) -> bool:
        return "response_format" in self.body


class ChatServer:
    """Answers each request with the bytes that a test returns; `requests` has them all."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.requests: list[ChatRequest] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read(reader, writer)) is not None:
                self.requests.append(request)
                answer = self._answer(request)
                writer.write(answer if isinstance(answer, bytes) else await answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> ChatRequest | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return ChatRequest(first.split(" ")[1], headers, orjson.loads(body), writer)


def http(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chat(content: Any, **usage: int) -> bytes:
    """The answer of a sound server; content that is no text is sent as JSON."""
    text = content if isinstance(content, str) else orjson.dumps(content).decode()
    reply = {"choices": [{"message": {"role": "assistant", "content": text}}], "usage": usage}
    return http(200, orjson.dumps(reply), "content-type: application/json")


def event(data: Any) -> bytes:
    """One server-sent event with JSON, or with a text as it is."""
    text = data if isinstance(data, str) else orjson.dumps(data).decode()
    return f"data: {text}\n\n".encode()


def piece(text: str) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


async def streamed(request: ChatRequest, *pieces: bytes | Awaitable[bytes]) -> bytes:
    """Send a stream of raw pieces, each by itself, then close the connection."""
    request.writer.write(STREAM_HEAD)
    for part in pieces:
        request.writer.write(part if isinstance(part, bytes) else await part)
        await request.writer.drain()
    request.writer.close()
    return b""


@asynccontextmanager
async def chatting(answer: Answer) -> AsyncIterator[ChatServer]:
    chat_server = ChatServer(answer)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        tasks.add(task)
        await chat_server.serve(reader, writer)
        tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    chat_server.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield chat_server
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
