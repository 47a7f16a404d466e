"""One connection of a caller: how much it may send, how long it may take, how many there may be.

The server library reads headers of any size, waits for ever for what a caller does not send, and
takes any number of connections. Here

- the first line, the headers and their number have limits: 414 and 431;
- headers and body have to arrive in time (408), and a connection may be idle for so long only;
- of too many connections, one that waits for its caller is closed: the one that waits longest;
- a request names exactly one host, speaks HTTP/1.1 or 1.0, and has a body of a known length or in
  chunks, never both (400): two readers of one connection must not differ in where a request ends;
- an unsound request is refused after the answers to those before it;
- when the process is about to end, each connection ends with its next answer, which says so;
- an offer to speak another protocol (`Upgrade`) is not taken: the request is answered as it is.

All this holds for every route. It runs in the parser's callbacks, so a request pays little for it.
"""

import asyncio
import resource
from typing import ClassVar, Final

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.api.problems import problem_reply
from app.core.errors import (
    AppError,
    ConnectionLimitError,
    HeadTooLargeError,
    InvalidRequestError,
    ReceiveTimeoutError,
    TargetTooLongError,
)
from app.core.life import Life
from app.serving.response import fresh_id

LIFE: Final = "life"
"""The key of the `Life` of the process in the state of the application's lifespan."""

MAX_TARGET: Final = 16_384
"""Most bytes of the path and what follows it: a filter may stand there."""

MAX_HEAD: Final = 32_768
"""Most bytes of the first line and all headers together."""

MAX_HEADERS: Final = 100

_NEVER: Final = float("inf")
_SPOKEN: Final = ("1.1", "1.0")
_AROUND: Final = 8
"""Most bytes around a body in chunks, for each byte of it: its smallest chunks need five."""
_KEPT_FILES: Final = 128
"""Files that the process itself needs, of those that the system lets it open."""

_UPGRADE_HEADERS: Final = frozenset({b"connection", b"upgrade", b"http2-settings"})
_UNSOUND: Final = "this is not a sound HTTP request"


def _most_connections() -> int:
    most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(64, min(4096, most_files - _KEPT_FILES))


class _Dropped(list[tuple[bytes, bytes]]):
    """Takes the headers that follow a body in chunks: nobody reads them, so none is kept."""

    def append(self, header: tuple[bytes, bytes]) -> None:
        """Keep nothing."""


class Connection(HttpToolsProtocol):
    """The server's protocol for one connection, with limits.

    Attributes:
        head_s: seconds in which the headers have to be here, from their first byte on.
        body_s: seconds in which the body has to be here, from the end of the headers on.
        look_s: it looks at its time that often: a timer for each request would cost more.
        most_connections: most that are open at the same time, in one process.
    """

    head_s: ClassVar = 10.0
    body_s: ClassVar = 30.0
    look_s: ClassVar = 2.0
    most_connections: ClassVar = _most_connections()

    _since = 0.0  # when the present state began, on the clock of the loop
    _limit_s = _NEVER  # how long it may last
    _timer: asyncio.TimerHandle | None = None
    _in_head = _in_message = _in_chunks = False
    _ends = False  # with the next answer
    _upgrading = False
    _answering: RequestResponseCycle | None = None  # which others wait behind, if any do
    _n_head = 0  # bytes of the head in segments before the present one
    _n_segment = 0
    _n_around = 0  # bytes after the head that are not of the body
    _refusal: AppError | None = None
    _afterwards: AppError | None = None  # the refusal that follows the answers still to be given

    @property
    def waits_since(self) -> float:
        """When it began to wait for its caller, on the clock of the loop; inf while it works."""
        if self._limit_s == _NEVER or self.transport.is_closing():
            return _NEVER
        answers = self._in_head and self.cycle is not None and not self.cycle.response_complete
        return _NEVER if answers else self._since

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; with too many connections, another one is closed, or else this one."""
        super().connection_made(transport)
        life: Life | None = self.app_state.get(LIFE)
        self._ends = life is not None and life.stopping
        self._wait(self.timeout_keep_alive)
        self._look()
        if len(self.connections) > self.most_connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._leave()
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()

    def end_with_next_answer(self) -> None:
        """Say `Connection: close` in the answer to the newest request, or to the next one."""
        self._ends = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """End at once if there is no request, else with its answer."""
        self.end_with_next_answer()
        if not self._in_message and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Read a segment."""
        self._n_segment = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on_without_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self.send_400_response("")
            return
        if self._in_message:  # most requests come in one segment, and none of this is for them
            self._go_on(len(data))

    def _go_on(self, size: int) -> None:
        """Wait for the rest of a request, after a segment of `size` bytes that did not end it."""
        if self._limit_s == _NEVER:
            self._wait(self.head_s if self._in_head else self.body_s)
        if self._in_head:
            self._n_head += size
            if self._n_head > MAX_HEAD:
                self.refuse(self._too_large())
            return
        self._n_around += size
        if self._n_around > MAX_HEAD:
            self.refuse(HeadTooLargeError("there is too much around the chunks of the body"))

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the library's own words
        """Refuse what is no sound HTTP request, or beyond a limit."""
        self.refuse(self._refusal or InvalidRequestError(_UNSOUND), bad_bytes=True)

    def refuse(self, error: AppError, *, bad_bytes: bool = False) -> None:
        """Send a problem in JSON, and hang up. `bad_bytes`: the status is 400, not 422.

        Where earlier requests still have no answer, this comes after theirs.
        """
        if self._owes_answers():
            self._afterwards = error
            self.flow.pause_reading()
            return
        if self._may_write() and not self.transport.is_closing():
            reply = problem_reply(error, fresh_id())
            status = 400 if bad_bytes and reply.status == 422 else reply.status
            head = b"".join(b"%b: %b\r\n" % header for header in reply.headers)
            line = b"HTTP/1.1 %d %b\r\n" % (status, _PHRASES[status])
            self.transport.write(b"%b%bconnection: close\r\n\r\n%b" % (line, head, reply.body))
        self._leave()
        self.transport.close()

    def on_message_begin(self) -> None:
        """Begin the head of a request."""
        super().on_message_begin()
        self._in_head = self._in_message = True
        self._n_head = self._n_around = 0
        self._limit_s, self._in_chunks = _NEVER, False

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._n_around -= _AROUND * len(body)
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_headers_complete(self) -> None:
        """Check the head, and begin the request. Raises `AppError`, which ends in a refusal."""
        self._check_head()
        self._in_head, self._limit_s = False, _NEVER
        if self.parser.should_upgrade():
            self._upgrading = True  # the parser stops here: see `data_received`
        else:
            self.begin_request()
            if self._in_chunks:
                self.headers = _Dropped()

    def begin_request(self) -> None:
        """Begin a request whose head is here."""
        before = self.cycle
        super().on_headers_complete()
        if len(self.pipeline) == 1 and self._answering is None:
            self._answering = before
        if self._ends:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """End the request; from now on the connection waits for our answer."""
        self._in_message = False
        self._limit_s = _NEVER
        if not self._upgrading:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, for as long as a connection may be idle.

        One timer serves the connection from its first moment on: the server's own way cancels one
        and starts another for every request.
        """
        if self.pipeline or self.transport.is_closing():
            self._answering = self.pipeline[-1][0] if self.pipeline else None
            super().on_response_complete()
            return
        self._answering = None
        self.server_state.total_requests += 1
        if self._afterwards is not None:
            self.refuse(self._afterwards, bad_bytes=True)
            return
        self.flow.resume_reading()
        if not self._in_message:
            self._wait(self.timeout_keep_alive)

    def _leave(self) -> None:
        """Let all requests of the connection know that nobody reads their answers any more.

        The server's own way tells only the newest one. Another one would write to a connection that
        is closed, which fails, and would count as a fault of ours.
        """
        for cycle in (self.cycle, self._answering, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self._answering = None
        self.pipeline.clear()

    def _wait(self, seconds: float) -> None:
        """Give the caller so many seconds from now on."""
        self._since, self._limit_s = self.loop.time(), seconds

    def _look(self) -> None:
        """Close the connection if its caller takes too long, else look again later."""
        left_s = self._since + self._limit_s - self.loop.time()
        if left_s > 0:
            self._timer = self.loop.call_later(min(left_s, self.look_s), self._look)
        elif self._in_message:
            self.refuse(ReceiveTimeoutError("the request did not arrive in time"))
        else:
            self.timeout_keep_alive_handler()

    def _make_room(self) -> None:
        """Close the connection that has waited longest for its caller; if all work, this one."""
        others = (
            each for each in self.connections if isinstance(each, Connection) and each is not self
        )
        oldest = min(others, key=lambda each: each.waits_since, default=self)
        if oldest is self or oldest.waits_since == _NEVER:
            self.refuse(ConnectionLimitError("too many connections are open"))
        else:
            oldest.transport.close()

    def _owes_answers(self) -> bool:
        """Tell whether earlier requests wait for their answers, and not the one that is refused."""
        before = not self._in_message or self._in_head
        return before and self.cycle is not None and not self.cycle.response_complete

    def _may_write(self) -> bool:
        """Tell whether what is written now is read as the answer to the present request."""
        cycle = self.cycle
        if self._in_message and not self._in_head:
            return cycle is not None and not cycle.response_started and not self.pipeline
        return cycle is None or bool(cycle.response_complete)

    def _check_head(self) -> None:
        if len(self.url) > MAX_TARGET or len(self.headers) > MAX_HEADERS:
            self._raise(self._too_large())
        # The exact size is needed only where a segment, or several, might be larger.
        if self._n_head + self._n_segment > MAX_HEAD:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > MAX_HEAD:
                self._raise(self._too_large())
        version, hosts, coding = self.parser.get_http_version(), 0, None
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
            elif name == b"transfer-encoding":
                coding = value
        plain = hosts == 1 and coding is None and version == "1.1" and self.url[:1] == b"/"
        if not plain:
            self._check_framing(version, hosts, coding)

    def _check_framing(self, version: str, hosts: int, coding: bytes | None) -> None:
        """Refuse a head that others may read differently; few requests come here."""
        if version not in _SPOKEN:
            self._raise(InvalidRequestError("HTTP/1.1 is spoken here, and HTTP/1.0"))
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            self._raise(InvalidRequestError("a request names one host, in one header Host"))
        self._in_chunks = coding is not None and coding.strip().lower() == b"chunked"
        if coding is not None and not (self._in_chunks and version == "1.1"):
            self._raise(InvalidRequestError("a body may come in chunks, and in no other coding"))
        if self.parser.get_method() == b"CONNECT":
            self._raise(InvalidRequestError("this is no proxy: it does not take CONNECT"))

    def _raise(self, error: AppError) -> None:
        self._refusal = error
        raise error

    def _too_large(self) -> AppError:
        if len(self.url) > MAX_TARGET:
            return TargetTooLongError(f"the address may have at most {MAX_TARGET:,} bytes")
        return HeadTooLargeError(
            f"there may be at most {MAX_HEADERS} headers, with {MAX_HEAD:,} bytes together"
        )

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """Read the same request again as if it had offered no other protocol, and then the rest."""
        parts = [self.parser.get_method(), b" ", self.url, b" HTTP/"]
        parts += (self.parser.get_http_version().encode(), b"\r\n")
        for name, value in self.headers:
            if name not in _UPGRADE_HEADERS:
                parts += (name, b": ", value, b"\r\n")
        # Nothing may follow it: who offered another protocol may begin to speak it.
        parts += (b"connection: close\r\n\r\n", rest)
        self._upgrading = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as the library does
        self.data_received(b"".join(parts))


_PHRASES: Final = {
    400: b"Bad Request",
    408: b"Request Timeout",
    414: b"URI Too Long",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}
