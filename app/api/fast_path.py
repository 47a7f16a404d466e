"""The fast path: `POST /recommend` from the server's parser to the reply's bytes, without ASGI.

**What it is for.** Most requests are answered from the cache, or refused during overload. That is
so little work that the messages, middleware and routing of ASGI and FastAPI cost more than it does.

**Which requests take it.** The plain ones (`FastPathProtocol._is_plain`): `POST /recommend` over
HTTP/1.1, under each prefix (`app.api.paths`), with a small body of declared length, not compressed
and without `Expect`, if no other request of the same connection is under way and the caller reads
what it is sent.

**What falls back to FastAPI.** All other requests: other routes, chunked, large or compressed
bodies, pipelined requests, HTTP/1.0. There the route in `app.api.routes` answers the same, so the
application also runs under any other ASGI server.

**The life of one request.**

    headers complete   it is plain: a `_Cycle` takes the place of the server's own
    body complete      `RecommendEndpoint.reply` runs right there, in the parser's callback:
                       `OverloadGate` ─▶ validate ─▶ recommender ─▶ `Reply`
    it has to wait     it is continued by a callback of what it waits for, or in a task
    reply              status, headers and body are written to the socket in one piece
    connection lost    the work is cancelled; the request counts as 499

Every failure becomes a JSON problem in `RecommendEndpoint.reply`. Only there and in the recommender
is anything decided; the protocol knows HTTP and nothing of what is asked.

**The overload gate.** The gate remembers the newest bodies that it has accepted. While the engine
takes no new work, it refuses every other body before that is parsed. So the interpreter is left to
the engine's passes. A remembered body is always read: its answer may be cached, or it may be in
flight. A body with `max_stale_ms` or `min_catalogue` is always read too, because other rules may
hold for it. A time budget is found without a parser, and counts where it is longer than the usual
one. A shorter one does not: it must not keep a request from an answer that is cached. All this has
a cost: during overload a new body gets 429 even if it is invalid, or if its answer is cached under
another spelling of the same request.

**Why the coroutine is driven by hand.** A task for each request would be simpler. But its first
step runs one turn of the event loop later, and in each turn the loop may have to wait for the
interpreter, which the passes hold. So `FastPathProtocol._step` runs the coroutine itself. A task is
made only for what needs one (`app.serving.turn.in_a_task`) and for cancelling. By hand against a
task for each request, Python 3.11, two cores shared with other work, medians of 60 alternating
rounds of `python -m loadtest.scenarios.fast_path_ways`, two runs:

    cached answers, 1 connection       1.09 and 1.23 × requests/s, 0.89 and 0.90 × loop time
    cached answers, 32 connections     1.02 and 0.99 × requests/s, 0.96 and 0.99 × loop time
    uncached answers, 8 connections    1.25 and 1.12 × requests/s, 0.93 and 0.94 × loop time

Loop time is the processor time of the event loop's thread per request.
"""

import asyncio
import re
from collections.abc import Callable, Coroutine
from functools import partial
from time import perf_counter
from typing import Any, Final

from uvicorn._types import HTTPScope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    RequestResponseCycle,
)

from app.api.access import RECOMMEND
from app.api.charging import bound, rate_headers
from app.api.connection import Connection
from app.api.cors import Cors
from app.api.pages import NO_SNIFFING, is_foreign
from app.api.paths import spellings
from app.api.problems import problem_reply, translate
from app.api.read_requests import ReadRequests
from app.api.reply import CALLER_LEFT, Headers, Outcomes, Reply, answer_reply, header, id_of
from app.api.request_log import Answered, RequestLog
from app.bootstrap import Service
from app.core.caller import Caller
from app.core.lane import OPEN_LANE, Lane
from app.domain.request import DEFAULT_BUDGET_MS, RecommendRequest
from app.serving.access.key_ring import KeyRing

ROUTE: Final = "/recommend"
ENDPOINT: Final = "recommend_endpoint"
"""The key of the `RecommendEndpoint` in the state of the application's lifespan."""

_MAX_DIGITS: Final = 9
_MAX_REMEMBERED: Final = 65_536
_NO_REPLY: Final = Reply(0, [], b"")
_LAST_HEADERS: Final = b"%b: %b\r\nx-request-id: " % NO_SNIFFING
_ALWAYS_READ: Final = (b"max_stale_ms", b"min_catalogue")
# In a string of JSON, a backslash stands before each quote: there this finds nothing.
_BUDGET: Final = re.compile(rb'[{,]\s*"budget_ms"\s*:\s*([0-9]{1,5})\s*(?=[,}])')


class OverloadGate:
    """Refuses bodies that look like new work while the engine takes none.

    It remembers the hashes of the newest bodies that it accepted. Belongs to one event loop.
    """

    def __init__(
        self, check_capacity: Callable[[Lane, int], None], max_remembered: int = _MAX_REMEMBERED
    ) -> None:
        """Make a gate that has accepted nothing yet.

        Args:
            check_capacity: raises an `AppError` while the engine takes no new work of a lane that
                has a time budget of so many milliseconds.
            max_remembered: hashes in one set. There are two: when the newer set is full, it takes
                the place of the older one, which is forgotten.
        """
        self._check_capacity = check_capacity
        self._max_remembered = max_remembered
        self._newer: set[int] = set()
        self._older: set[int] = set()

    def check(self, body: bytes, lane: Lane = OPEN_LANE) -> None:
        """Accept a body and remember it, or refuse it.

        Raises:
            AppError: what `check_capacity` raised.
        """
        mark = hash(body)
        if mark in self._newer:
            return
        if mark not in self._older and (budget_ms := _budget_of(body)) is not None:
            self._check_capacity(lane, budget_ms)
        self._newer.add(mark)
        if len(self._newer) >= self._max_remembered:
            self._older, self._newer = self._newer, set()


def _budget_of(body: bytes) -> int | None:
    """Return the time budget to refuse a body by, in ms; None if only a parser can tell.

    >>> _budget_of(b'{"query":"a"}'), _budget_of(b'{"query":"a", "budget_ms": 5000}')
    (1000, 5000)
    >>> _budget_of(b'{"query":"a", "budget_ms": 50}')
    1000
    >>> _budget_of(b'{"filter":{"budget_ms":50}}'), _budget_of(b'{"min_catalogue":3}')
    (None, None)
    """
    if any(map(body.__contains__, _ALWAYS_READ)):
        return None
    if b"budget_ms" not in body:
        return DEFAULT_BUDGET_MS
    found = _BUDGET.findall(body)
    # In an inner object it may be the name of a field of the items.
    if len(found) != 1 or body.count(b"{") != 1:
        return None
    return max(DEFAULT_BUDGET_MS, int(found[0]))


class RecommendEndpoint:
    """Turns a body of `POST /recommend` into a reply. Belongs to one event loop."""

    def __init__(
        self,
        service: Service,
        outcomes: Outcomes,
        cors: Cors | None = None,
        log: RequestLog | None = None,
        ring: KeyRing | None = None,
    ) -> None:
        """Answer with a service.

        Args:
            service: answers.
            outcomes: counts requests.
            cors: who may read replies from other origins; None = nobody.
            log: where requests are logged; None = nowhere.
            ring: says who may call, and how often; None = everybody may.
        """
        self.ring = ring
        self._recommend = service.recommender.recommend
        self._gate = OverloadGate(service.recommender.check_capacity)
        self._requests = ReadRequests()
        self._outcomes = outcomes
        self.max_body_bytes = service.settings.max_body_bytes
        self.urls = spellings(ROUTE, service.settings.root_path or "")
        self.cors = cors
        self._log = log

    async def reply(
        self, body: bytes, request_id: str, caller: Caller, authorization: bytes | None = None
    ) -> Reply:
        """Return the reply to a body; every failure is a JSON problem.

        Args:
            body: JSON.
            request_id: stands in the reply.
            caller: as far as the connection tells; the key may bind it.
            authorization: value of that header; None without it.

        It may be started outside a task. If it is cancelled, the caller has left, and the request
        is counted so.
        """
        start = perf_counter()
        status, reply, account = CALLER_LEFT, _NO_REPLY, None
        try:
            if self.ring is not None:
                key = self.ring.check(authorization, RECOMMEND)
                account = self.ring.accounts.by_id[key.id]
                if account.requests is not None:
                    account.requests.spend()
                caller = bound(caller.address, key, account)
            self._gate.check(body, caller.lane)
            request = self._requests.read(body)
            reply = answer_reply(await self._recommend(request, caller))
        except Exception as error:  # noqa: BLE001 - the last line of defence: no trace is sent
            reply = problem_reply(translate(error, RecommendRequest), request_id)
            status = reply.status
        else:
            status = 200
        finally:
            end = perf_counter()
            seconds = end - start
            self._outcomes.count(ROUTE, status, seconds)
            if account is not None and reply is not _NO_REPLY:
                reply.headers.extend(rate_headers(account))
            log = self._log
            # The method is called for few requests only: a call for each would be felt.
            if (
                log is not None
                and (end >= log.wake or seconds >= log.slow_s)
                and log.wants(end, seconds)
            ):
                log.write(
                    Answered(request_id, "POST", ROUTE, status, seconds, reply.headers, reply.body)
                )
        return reply


class _Cycle(RequestResponseCycle):
    """One request on the fast path, in the place of the server's own record of it.

    Attributes:
        work: what makes the reply, until it has ended or a task has taken it over.
        task: runs the work, if a task does.
    """

    endpoint: RecommendEndpoint
    request_id: str
    cors_headers: Headers = []  # noqa: RUF012 - replaced, never altered
    work: Coroutine[Any, Any, Reply] | None = None
    task: asyncio.Task[Reply] | None = None

    def begin(self, scope: HTTPScope, endpoint: RecommendEndpoint, *, keep_alive: bool) -> None:
        """Start the next request of the connection: making a new cycle would cost more."""
        self.scope, self.endpoint, self.keep_alive = scope, endpoint, keep_alive
        self.more_body, self.task = True, None
        self.response_started = self.response_complete = False


class FastPathProtocol(Connection):
    """The server's protocol for one connection, with the fast path for one route."""

    _current: _Cycle | None = None  # the request on the fast path that is under way
    _reusable: _Cycle | None = None
    _caller: Caller | None = None

    def begin_request(self) -> None:
        """Begin a request: on the fast path, or the server's way."""
        # The server hands over the state of the application's lifespan.
        endpoint: RecommendEndpoint | None = self.app_state.get(ENDPOINT)
        if endpoint is None or not self._is_plain(endpoint):
            super().begin_request()
            return
        if self._reusable is None:
            self._reusable = self._new_cycle()
        self._current = self.cycle = self._reusable
        keep_alive = self.parser.should_keep_alive() and not self._ends
        self._current.begin(self.scope, endpoint, keep_alive=keep_alive)

    def on_message_complete(self) -> None:
        """Reply to a request on the fast path: at once, if that is possible."""
        super().on_message_complete()
        cycle = self._current
        if cycle is not None and cycle is self.cycle:
            cycle.request_id = id_of(self.headers)
            if cycle.endpoint.cors is not None:
                cycle.cors_headers = cycle.endpoint.cors.headers(self.headers)
            body, cycle.body = bytes(cycle.body), bytearray()  # an idle connection holds no body
            if self._caller is None:
                self._caller = Caller(self.client[0] if self.client else "")
            endpoint = cycle.endpoint
            key = None if endpoint.ring is None else header(self.headers, b"authorization")
            cycle.work = endpoint.reply(body, cycle.request_id, self._caller, key)
            self._step(cycle)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the work that nobody waits for any more."""
        super().connection_lost(exc)
        cycle, self._current = self._current, None
        if cycle is None:
            return
        if cycle.work is not None:
            self._continue_in_task(cycle, cycle.work)  # only a task can cancel it where it waits
        if cycle.task is not None:
            cycle.task.cancel()

    def _new_cycle(self) -> _Cycle:
        return _Cycle(
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

    def _is_plain(self, endpoint: RecommendEndpoint) -> bool:
        """Tell whether the request whose headers were read can take the fast path."""
        parser, cycle = self.parser, self.cycle
        if self.url not in endpoint.urls or parser.get_method() != b"POST":
            return False
        if parser.get_http_version() != "1.1":
            return False
        size, from_page = None, False
        for name, value in self.headers:
            if name == b"content-length":
                size = value
            elif name == b"content-encoding":
                return False
            elif name == b"origin":
                from_page = True
        return (
            size is not None
            and size.isdigit()
            and len(size) <= _MAX_DIGITS
            and int(size) <= min(HIGH_WATER_LIMIT, endpoint.max_body_bytes)
            and not self.expect_100_continue
            and not self.flow.write_paused
            and (cycle is None or cycle.response_complete)
            and not (from_page and is_foreign(self.headers, endpoint.cors))
        )

    def _step(self, cycle: _Cycle, _awaited: object = None) -> None:
        """Run the work to its end, or until it has to wait: then go on when that is over."""
        work = cycle.work
        if work is None:
            return  # the caller has left meanwhile
        try:
            awaited = work.send(None)
        except StopIteration as end:
            cycle.work = None
            self._send(cycle, end.value)
            return
        if awaited is None:  # from `in_a_task`
            self._continue_in_task(cycle, work)
        else:
            awaited.add_done_callback(partial(self._step, cycle))

    def _continue_in_task(self, cycle: _Cycle, work: Coroutine[Any, Any, Reply]) -> None:
        cycle.work, cycle.task = None, self.loop.create_task(work)
        cycle.task.add_done_callback(partial(self._task_done, cycle))

    def _task_done(self, cycle: _Cycle, task: asyncio.Task[Reply]) -> None:
        if not task.cancelled():
            self._send(cycle, task.result())
        else:
            self.transport.close()  # whoever cancelled it: no reply will come

    def _send(self, cycle: _Cycle, reply: Reply) -> None:
        self._current = None
        cycle.response_started = cycle.response_complete = True
        if cycle.disconnected or self.transport.is_closing():
            return
        parts = [STATUS_LINE[reply.status]]
        for name, value in (
            *self.server_state.default_headers,
            *reply.headers,
            *cycle.cors_headers,
        ):
            parts += (name, b": ", value, b"\r\n")
        parts += (_LAST_HEADERS, cycle.request_id.encode(), b"\r\n")
        parts.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        parts.append(reply.body)
        self.transport.write(b"".join(parts))
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()
