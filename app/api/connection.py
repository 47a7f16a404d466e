"""One connection: `POST /recommend` is replied to from here, all else goes the way of ASGI.

What is there at once (a cached answer, a refusal under a rush) needs no task, no messages and no
second turn of the event loop: those cost more than the work itself. What has to wait goes on in a
task from where it first waits.

Only the plain case is taken: a small body of declared length, HTTP/1.1, nothing before it in the
pipeline, a caller who reads. The rest is left to the server and the framework, whose route answers
the same. Speaks HTTP for the server's class that it extends; knows nothing of what is asked.
"""

import asyncio
from collections.abc import Awaitable, Coroutine, Generator
from functools import partial
from types import coroutine
from typing import Any, Final

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from app.api.direct import DIRECT, ROUTE, Direct
from app.api.reply import Reply, header, id_of

_URL: Final = ROUTE.encode()
_MOST_DIGITS: Final = 9


class _Exchange(RequestResponseCycle):
    """One request that is replied to from here: what the server wants to know of any."""

    direct: Direct
    task: asyncio.Task[None] | None = None
    request_id = ""


class Connection(HttpToolsProtocol):
    """The server's protocol, with a short way for one route."""

    _exchange: _Exchange | None = None  # the one under way

    def on_headers_complete(self) -> None:
        """Begin a request: ours, or the server's."""
        # From the application's lifespan, through whatever the server wraps around it.
        direct: Direct | None = self.app_state.get(DIRECT)
        if direct is None or not self._is_plain(direct):
            super().on_headers_complete()
            return
        self._exchange = self.cycle = _Exchange(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        self._exchange.direct = direct

    def on_message_complete(self) -> None:
        """Reply to a whole request of ours, at once if that is possible."""
        super().on_message_complete()
        exchange = self._exchange
        if exchange is None or exchange is not self.cycle:
            return
        exchange.request_id = id_of(self.headers)
        work = exchange.direct.reply(bytes(exchange.body), exchange.request_id)
        try:
            waits_for = work.send(None)
        except StopIteration as done:
            self._send(exchange, done.value)
            return
        exchange.task = task = self.loop.create_task(
            self._finish(exchange, _go_on(work, waits_for))
        )
        self.tasks.add(task)
        task.add_done_callback(partial(self._done, work))

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the work that nobody waits for any more."""
        super().connection_lost(exc)
        if self._exchange is not None and self._exchange.task is not None:
            self._exchange.task.cancel()

    def _is_plain(self, direct: Direct) -> bool:
        parser, cycle = self.parser, self.cycle
        if self.url != _URL or parser.get_method() != b"POST":
            return False
        if parser.get_http_version() != "1.1" or parser.should_upgrade():
            return False
        size = header(self.headers, b"content-length")
        return (
            size is not None
            and size.isdigit()
            and len(size) <= _MOST_DIGITS
            and int(size) <= min(HIGH_WATER_LIMIT, direct.max_body_bytes)
            and not self.expect_100_continue
            and not self.flow.write_paused
            and (cycle is None or cycle.response_complete)
        )

    async def _finish(self, exchange: _Exchange, rest: Awaitable[Reply]) -> None:
        self._send(exchange, await rest)

    def _done(self, work: Coroutine[Any, Any, Reply], task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        work.close()  # cancelled before its first turn, the task has not told the work
        if task.cancelled() and not self.transport.is_closing():
            self.transport.close()

    def _send(self, exchange: _Exchange, reply: Reply) -> None:
        self._exchange = None
        exchange.response_started = exchange.response_complete = True
        if exchange.disconnected or self.transport.is_closing():
            return
        parts = [STATUS_LINE[reply.status]]
        for name, value in (*self.server_state.default_headers, *reply.headers):
            parts += (name, b": ", value, b"\r\n")
        parts += (b"x-request-id: ", exchange.request_id.encode(), b"\r\n")
        parts.append(b"\r\n" if exchange.keep_alive else b"connection: close\r\n\r\n")
        parts.append(reply.body)
        self.transport.write(b"".join(parts))
        if not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()


@coroutine
def _go_on(work: Coroutine[Any, Any, Reply], waits_for: object) -> Generator[Any, Any, Reply]:
    """Take work that has begun to its end, from what it waits for."""
    try:
        while True:
            try:
                yield waits_for
            except BaseException as error:  # noqa: BLE001 - a cancellation belongs to the work
                waits_for = work.throw(error)
            else:
                waits_for = work.send(None)
    except StopIteration as done:
        reply: Reply = done.value
        return reply
