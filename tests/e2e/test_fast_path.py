"""The fast path on a real uvicorn server with real sockets, and what it leaves to FastAPI."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn

from app.api.connection import Connection
from app.api.fast_path import FastPathProtocol
from app.api.server import create_app
from app.bootstrap import Service, wire
from app.core.settings import Settings
from app.core.telemetry import Metrics
from app.testing.control_store import MemoryControlStore
from app.testing.event_store import MemoryEventStore
from app.testing.fakes import GatedEngine, MemoryUserStore
from app.testing.journal import MemoryJournal
from tests.redis_server import free_port

pytestmark = pytest.mark.e2e

_PATIENCE_S = 10


class Reply:
    """One HTTP response, taken apart."""

    def __init__(self, head: bytes, body: bytes) -> None:
        status, *lines = head.decode().split("\r\n")
        self.status = int(status.split()[1])
        self.headers = dict(line.split(": ", 1) for line in lines)
        self.body = body

    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


class Caller:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *parts: bytes) -> None:
        """Send parts one by one, each as a segment of its own."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            await asyncio.sleep(0.01)

    async def reply(self) -> Reply:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), _PATIENCE_S)
        reply = Reply(head[:-4], b"")
        if "content-length" in reply.headers:
            reply.body = await self.reader.readexactly(int(reply.headers["content-length"]))
        return reply

    async def closed(self) -> bool:
        return await asyncio.wait_for(self.reader.read(), _PATIENCE_S) == b""


class Running:
    """The server, its engine, its metrics."""

    def __init__(self, server: uvicorn.Server, port: int, engine: GatedEngine) -> None:
        self.server, self.port, self.engine = server, port, engine
        self.metrics: Metrics
        self.callers: list[Caller] = []

    async def call(self) -> Caller:
        self.callers.append(Caller(*await asyncio.open_connection("127.0.0.1", self.port)))
        return self.callers[-1]

    def counted(self, status: int, route: str = "/recommend") -> float:
        labels = {"route": route, "status": str(status)}
        return self.metrics.registry.get_sample_value("recserve_requests_total", labels) or 0.0

    async def until(self, what: Any) -> None:
        for _ in range(_PATIENCE_S * 100):
            if what():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it never came to that")


@asynccontextmanager
async def running(
    *, keep_alive_s: int = 5, protocol: type[Connection] = FastPathProtocol, **settings: Any
) -> AsyncIterator[Running]:
    engine, port = GatedEngine(), free_port()
    engine.release()

    @asynccontextmanager
    async def open_service(settings: Settings, metrics: Metrics) -> AsyncIterator[Service]:
        users, events = MemoryUserStore({"u:7": ["i1"]}), MemoryEventStore()
        async with wire(
            settings,
            metrics,
            engine,
            users,
            None,
            events=events,
            journal=MemoryJournal("films"),
            control=MemoryControlStore(),
        ) as service:
            found.metrics = metrics
            yield service

    app = create_app(Settings(**settings), open_service)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            port=port,
            http=protocol,
            ws="none",
            log_config=None,
            timeout_graceful_shutdown=5,
            timeout_keep_alive=keep_alive_s,
        )
    )
    found = Running(server, port, engine)
    serving = asyncio.create_task(server.serve())
    try:
        await found.until(lambda: server.started)
        engine.hold()
        yield found
    finally:
        engine.release()
        for caller in found.callers:
            caller.writer.close()
            with suppress(ConnectionError):
                await caller.writer.wait_closed()
        server.should_exit = True
        await serving


def post(body: bytes, *headers: str, path: str = "/recommend", version: str = "1.1") -> bytes:
    lines = [
        f"POST {path} HTTP/{version}",
        "host: test",
        f"content-length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def ask(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


async def test_a_waiting_request_is_answered_and_then_at_once_from_the_cache() -> None:
    async with running() as server:
        server.engine.release()
        caller = await server.call()
        await caller.send(post(ask(query="a"), "x-request-id: mine"))
        first = await caller.reply()
        await caller.send(post(ask(query="a")))
        second = await caller.reply()

        assert (first.status, first.headers["x-cache"]) == (200, "miss")
        assert first.headers["x-request-id"] == "mine"
        assert first.headers["content-type"] == "application/json"
        assert "date" in first.headers
        assert (second.status, second.headers["x-cache"]) == (200, "hit")
        assert len(second.headers["x-request-id"]) == 32
        assert first.json()["items"] == second.json()["items"] != []
        assert server.counted(200) == 2


async def test_a_request_in_pieces_is_whole_only_with_its_last() -> None:
    async with running() as server:
        server.engine.release()
        caller = await server.call()
        whole = post(ask(query="in pieces", k=2))
        await caller.send(*(whole[n : n + 7] for n in range(0, len(whole), 7)))

        assert len((await caller.reply()).json()["items"]) == 2


@pytest.mark.parametrize("first", [ask(query="waits"), ask(k=0)], ids=["waiting", "at once"])
async def test_pipelined_requests_are_answered_in_their_order(first: bytes) -> None:
    async with running() as server:
        caller, passes = await server.call(), len(server.engine.batches)
        others = (post(ask(query="b", k=1)), b"GET /livez HTTP/1.1\r\nhost: t\r\n\r\n")
        await caller.send(post(first) + b"".join(others) + post(ask(query="c", k=3)))
        await server.until(lambda: len(server.engine.batches) > passes)
        server.engine.release()
        replies = [await caller.reply() for _ in range(4)]

        assert replies[0].status == (422 if b'"k": 0' in first else 200)
        assert len(replies[1].json()["items"]) == 1
        assert replies[2].json() == {"status": "ok"}
        assert len(replies[3].json()["items"]) == 3


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (post(ask(k=1), path="/recommend?x=1"), 200),
        (post(b" " * 2000), 413),
        (post(b" " * 70_000), 413),
        (post(b"", path="/nowhere"), 404),
        (b"GET /recommend HTTP/1.1\r\nhost: t\r\n\r\n", 405),
        (b"POST /recommend HTTP/1.1\r\nhost: t\r\n\r\n", 422),
        (
            b"POST /recommend HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n"
            b'7\r\n{"k":1}\r\n0\r\n\r\n',
            200,
        ),
    ],
)
async def test_what_is_not_plain_is_answered_all_the_same(sent: bytes, status: int) -> None:
    async with running(max_body_bytes=1024) as server:
        server.engine.release()
        caller = await server.call()
        await caller.send(sent)

        reply = await caller.reply()
        assert reply.status == status
        assert reply.headers["x-request-id"]


async def test_a_caller_that_expects_a_go_ahead_gets_it() -> None:
    async with running() as server:
        server.engine.release()
        caller = await server.call()
        body = ask(query="a", k=1)
        await caller.send(post(body, "expect: 100-continue")[: -len(body)])
        ahead = await caller.reply()
        await caller.send(body)

        assert ahead.status == 100
        assert (await caller.reply()).status == 200


@pytest.mark.parametrize(
    "last",
    [post(ask(k=1), "connection: close"), post(ask(k=1), version="1.0")],
    ids=["close", "1.0"],
)
async def test_the_connection_is_closed_where_the_caller_says_so(last: bytes) -> None:
    async with running() as server:
        server.engine.release()
        caller = await server.call()
        await caller.send(post(ask(k=1)))
        assert "connection" not in (await caller.reply()).headers
        await caller.send(last)
        reply = await caller.reply()

        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert await caller.closed()


async def test_bad_input_is_a_problem_and_the_connection_goes_on() -> None:
    async with running() as server:
        server.engine.release()
        caller = await server.call()
        for body, field in (
            (b"{", None),
            (ask(k=0), "k"),
            (ask(quary="x"), "quary"),
            (ask(budget_ms=0), "budget_ms"),
        ):
            await caller.send(post(body, "x-request-id: r"))
            reply = await caller.reply()
            error = reply.json()["error"]
            assert (reply.status, error["code"]) == (422, "invalid_request")
            assert error.get("field") == field
            assert error["request_id"] == reply.headers["x-request-id"] == "r"
        await caller.send(post(ask(k=1)))

        assert (await caller.reply()).status == 200
        assert server.counted(422) == 4


async def test_refusals_say_when_to_come_again() -> None:
    async with running(max_pending_requests=1, max_batch_requests=1) as server:
        callers = [await server.call() for _ in range(8)]
        for n, caller in enumerate(callers):
            await caller.send(post(ask(query=f"q {n}", budget_ms=10_000)))
        refused = await callers[-1].reply()
        server.engine.release()

        assert refused.status == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["retry_after_ms"] >= 1


async def test_the_work_for_a_caller_that_leaves_is_dropped() -> None:
    async with running() as server:
        staying, leaving = await server.call(), await server.call()
        await staying.send(post(ask(query="stays", budget_ms=10_000)))
        await leaving.send(post(ask(query="leaves", budget_ms=10_000)))
        leaving.writer.close()
        await server.until(lambda: server.counted(499) == 1)
        dropped = server.metrics.registry.get_sample_value("recserve_dropped_total")
        server.engine.release()

        assert dropped == 1
        assert (await staying.reply()).status == 200


async def test_a_connection_is_closed_when_it_was_idle_for_so_long_and_no_sooner() -> None:
    async with running(keep_alive_s=1) as server:
        used, waiting = await server.call(), await server.call()
        await waiting.send(post(ask(k=0)), post(ask(query="a", budget_ms=10_000)))
        refused = await waiting.reply()
        now = asyncio.get_running_loop().time
        start = last = now()
        while last < start + 1.5:  # used for longer than it may be idle
            await used.send(post(ask(k=0)))
            assert (await used.reply()).status == 422
            last = now()
        assert await used.closed()
        idle_s = now() - last
        server.engine.release()
        reply = await waiting.reply()  # has waited longer than a connection may be idle

        assert refused.status == 422
        assert 0.9 < idle_s < 5
        assert reply.status == 200
        assert await waiting.closed()


async def test_a_stop_lets_a_waiting_request_be_answered_first() -> None:
    async with running() as server:
        idle, waiting = await server.call(), await server.call()
        await idle.send(b"GET /livez HTTP/1.1\r\nhost: t\r\n\r\n")
        await idle.reply()
        await waiting.send(post(ask(query="a", budget_ms=10_000)))
        server.server.should_exit = True
        assert await idle.closed()
        server.engine.release()
        reply = await waiting.reply()

        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert await waiting.closed()


async def test_work_that_needs_a_task_gets_one() -> None:
    async with running() as server:
        server.engine.release()
        caller = await server.call()
        await caller.send(post(ask(user_id="7", k=5)))
        personal = (await caller.reply()).json()
        await caller.send(post(ask(min_catalogue=10**9, budget_ms=50)))
        ahead = await caller.reply()

        assert personal["degraded"] == []
        assert "i1" not in {item["id"] for item in personal["items"]}
        assert (ahead.status, ahead.json()["error"]["field"]) == (504, "min_catalogue")


@pytest.mark.parametrize(
    "said",
    [
        {"query": "newest crime"},
        {"query": "newest crime", "intent": False},
        {"intent": {"sort": "newest", "filters": {"n": {"gte": 3}}}, "max_per": {"title": 1}},
        {"intent": {"sort": "best"}},
        {"intent": {"filters": {"colour": {"eq": "red"}}}},
        {"max_per": {"colour": 1}},
    ],
    ids=str,
)
async def test_both_ways_answer_alike(said: dict[str, Any]) -> None:
    async with running() as server:
        server.engine.release()
        caller = await server.call()
        replies = []
        for path in ("/recommend", "/recommend?x=1"):
            await caller.send(post(ask(**said), "x-request-id: mine", path=path))
            reply = await caller.reply()
            replies.append((reply.status, reply.json()))
        (fast, one), (slow, other) = replies

        assert fast == slow == (422 if "error" in one else 200)
        own = {"recommendation_id", "cache", "timings_ms"}
        assert {k: v for k, v in one.items() if k not in own} == {
            k: v for k, v in other.items() if k not in own
        }


async def test_during_overload_a_known_body_is_answered_and_a_new_one_refused() -> None:
    async with running(max_pending_requests=1, max_batch_requests=1) as server:
        server.engine.release()
        caller = await server.call()
        await caller.send(post(ask(query="known")))
        first = await caller.reply()
        server.engine.hold()
        waiting = [await server.call() for _ in range(4)]
        for n, each in enumerate(waiting):
            await each.send(post(ask(query=f"waits {n}", budget_ms=10_000)))
        await caller.send(post(ask(query="known")), post(ask(query="new")), post(b"{"))
        known, new, unread = [await caller.reply() for _ in range(3)]
        server.engine.release()

        assert (known.status, known.headers["x-cache"]) == (200, "hit")
        assert known.json()["items"] == first.json()["items"]
        assert new.status == unread.status == 429
        assert new.json()["error"]["code"] == "overloaded"
        assert server.counted(429) >= 2


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"FOO /recommend HTTP/1.1\r\nhost: test\r\n\r\n",
        post(b"{}", "transfer-encoding: chunked"),
    ],
    ids=["no request", "no method", "two lengths"],
)
async def test_what_is_no_sound_request_gets_a_problem_and_the_connection_is_closed(
    sent: bytes,
) -> None:
    async with running() as server:
        caller = await server.call()
        await caller.send(sent)
        reply = await caller.reply()

        assert (reply.status, reply.headers["content-type"]) == (400, "application/json")
        error = reply.json()["error"]
        assert (error["code"], len(error["request_id"])) == ("invalid_request", 32)
        assert error["message"] == "this is not a sound HTTP request"
        assert await caller.closed()
