"""One connection: `POST /recommend` is replied to from here, all else goes the way of ASGI.

What is there at once (a cached answer, a refusal under a rush) needs no task, no messages and no
second turn of the event loop: those cost more than the work itself. What has to wait goes on when
what it waits for is there; it gets a task only where it asks for one (`app.serving.turn`).

Only the plain case is taken: a small body of declared length, HTTP/1.1, nothing before it in the
pipeline, a caller who reads. The rest is left to the server and the framework, whose route answers
the same. Speaks HTTP for the server's class that it extends; knows nothing of what is asked.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from time import perf_counter
from typing import Any, Final

from uvicorn._types import HTTPScope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from app.api.problems import problem_reply, translate
from app.api.reply import CALLER_LEFT, Outcomes, Reply, answer_reply, header, id_of
from app.bootstrap import Service
from app.domain.request import RecommendRequest

# Under a rush most requests are refused: most of those are not even read.
#
# A body that went through lately may have an answer in the cache, or work under way to join; any
# other is taken to need the engine. So while the engine takes no new work, it is refused by its
# bytes alone, and the interpreter is left to the passes. What says something about time is always
# read. Knows bodies, not what they mean.

_MOST_REMEMBERED: Final = 65_536


class OverloadGate:
    """Remembers which bodies were let through. Belongs to one event loop."""

    def __init__(self, check_capacity: Callable[[], None], most: int = _MOST_REMEMBERED) -> None:
        """Ask `check_capacity`, which raises under overload; remember `most` bodies twice."""
        self._check_capacity, self._most = check_capacity, most
        self._newer: set[int] = set()
        self._older: set[int] = set()

    def check(self, body: bytes) -> None:
        """Refuse a body that is taken for new work; remember one that is let through.

        Raises:
            AppError: what `check_capacity` raised.
        """
        mark = hash(body)
        if mark in self._newer:
            return
        about_time = b"budget_ms" in body or b"max_stale_ms" in body or b"min_catalogue" in body
        if not about_time and mark not in self._older:
            self._check_capacity()
        self._newer.add(mark)
        if len(self._newer) >= self._most:
            self._older, self._newer = self._newer, set()


# `POST /recommend` from body to reply, without a framework in between.
#
# Most replies are cached answers, or refusals under a rush, and cost little else. Used by
# `app.api.fast_path`; the route of that name in `app.api.routes` says the same through FastAPI.

ROUTE: Final = "/recommend"
DIRECT: Final = "direct"
"""Under what name the state of the application's lifespan holds a `Direct`."""


class Direct:
    """Replies to bodies. All methods belong to one event loop."""

    def __init__(self, service: Service, outcomes: Outcomes) -> None:
        """Let `service` answer; count in `outcomes`."""
        self._recommend = service.recommender.recommend
        self._rush = OverloadGate(service.recommender.check_capacity)
        self._outcomes = outcomes
        self.max_body_bytes = service.settings.max_body_bytes

    async def reply(self, body: bytes, request_id: str) -> Reply:
        """Validate, hand over, and make the reply; every failure is a JSON problem.

        May be begun outside a task. If it is cancelled, the caller has left.
        """
        start = perf_counter()
        status = CALLER_LEFT
        try:
            self._rush.check(body)
            ask = RecommendRequest.model_validate_json(body)
            reply = answer_reply(await self._recommend(ask))
        except Exception as error:  # noqa: BLE001 - the last line of defence: no trace leaves the house
            reply = problem_reply(translate(error), request_id)
            status = reply.status
        else:
            status = 200
        finally:
            self._outcomes.count(ROUTE, status, perf_counter() - start)
        return reply


_URL: Final = ROUTE.encode()
_MOST_DIGITS: Final = 9


class _Exchange(RequestResponseCycle):
    """One request that is replied to from here: what the server wants to know of any, and more."""

    direct: Direct
    request_id: str
    work: Coroutine[Any, Any, Reply] | None = None  # until it has come to its end, or to a task
    task: asyncio.Task[Reply] | None = None

    def begin(self, scope: HTTPScope, direct: Direct, *, keep_alive: bool) -> None:
        """Be as new for the next request of the same connection."""
        self.scope, self.direct, self.keep_alive = scope, direct, keep_alive
        self.more_body, self.task = True, None
        self.response_started = self.response_complete = False


class Connection(HttpToolsProtocol):
    """The server's protocol, with a short way for one route."""

    _exchange: _Exchange | None = None  # the one under way
    _last: _Exchange | None = None  # taken again for the next request
    _idle_timer: asyncio.TimerHandle | None = None
    _idle_since = 0.0

    def on_headers_complete(self) -> None:
        """Begin a request: ours, or the server's."""
        # From the application's lifespan, through whatever the server wraps around it.
        direct: Direct | None = self.app_state.get(DIRECT)
        if direct is None or not self._is_plain(direct):
            super().on_headers_complete()
            return
        if self._last is None:
            self._last = self._new_exchange()
        self._exchange = self.cycle = self._last
        self._exchange.begin(self.scope, direct, keep_alive=self.parser.should_keep_alive())

    def on_message_complete(self) -> None:
        """Reply to a whole request of ours, at once if that is possible."""
        super().on_message_complete()
        exchange = self._exchange
        if exchange is not None and exchange is self.cycle:
            exchange.request_id = id_of(self.headers)
            body, exchange.body = bytes(exchange.body), bytearray()  # not kept while idle
            exchange.work = exchange.direct.reply(body, exchange.request_id)
            self._go_on(exchange)

    def on_response_complete(self) -> None:
        """Be ready for the next request, and see to it that one comes: by one timer all along."""
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._look_if_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the work that nobody waits for any more."""
        super().connection_lost(exc)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if exchange.work is not None:
            # Cancelled as everything is: by a task, at the place where it waits.
            self._into_a_task(exchange, exchange.work)
        if exchange.task is not None:
            exchange.task.cancel()

    def _new_exchange(self) -> _Exchange:
        return _Exchange(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=True,
            on_response=self.on_response_complete,
        )

    def _look_if_idle(self) -> None:
        now, cycle = self.loop.time(), self.cycle
        since = self._idle_since if cycle is None or cycle.response_complete else now
        left = since + self.timeout_keep_alive - now
        if left <= 0:
            self.timeout_keep_alive_handler()
        else:
            self._idle_timer = self.loop.call_later(left, self._look_if_idle)

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

    def _go_on(self, exchange: _Exchange, _waited_for: object = None) -> None:
        """Take the work to its end, or to where it has to wait."""
        work = exchange.work
        if work is None:
            return  # the caller has left
        try:
            waits_for = work.send(None)
        except StopIteration as done:
            exchange.work = None
            self._send(exchange, done.value)
            return
        if waits_for is None:  # it wants a turn, and has a task from there on
            self._into_a_task(exchange, work)
        else:
            waits_for.add_done_callback(partial(self._go_on, exchange))

    def _into_a_task(self, exchange: _Exchange, work: Coroutine[Any, Any, Reply]) -> None:
        exchange.work, exchange.task = None, self.loop.create_task(work)
        exchange.task.add_done_callback(partial(self._done, exchange))

    def _done(self, exchange: _Exchange, task: asyncio.Task[Reply]) -> None:
        if not task.cancelled():
            self._send(exchange, task.result())
        elif not self.transport.is_closing():
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
