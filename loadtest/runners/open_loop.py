"""An open-loop load generator: requests are sent at a constant rate, however slow the answers are.

    python -m loadtest.runners.open_loop --port 8000 --rate 500 --seconds 10 --bodies FILE

A time counts from the moment at which the request was *due*, so a service that stalls cannot hide
it (no coordinated omission). `late_p99_ms` says how late the generator itself sent its requests; if
it is not small, the other figures mean nothing.
"""

import argparse
import asyncio
import json
import math
import random
import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

import uvloop

_TICK_S: Final = 0.001
_PATIENCE_S: Final = 12.0
_RAMP_S: Final = 1.0
_LENGTH: Final = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_DEGRADED: Final = re.compile(rb"x-degraded: ", re.IGNORECASE)
_RETRY: Final = re.compile(rb'"retry_after_ms":(\d+)')


@dataclass(frozen=True, slots=True)
class Offer:
    """The offered load: requests a second, seconds, and the deadline of an answer.

    `arrivals`: even = at a constant pace; random = a Poisson process of the same rate.
    """

    rate: float
    seconds: float
    deadline_ms: float = 1000
    connections: int = 2048  # more than the number of requests that a service lets wait
    arrivals: str = "even"

    def due(self) -> list[float]:
        """Return when each request is due, in seconds since the start, in order."""
        number = int(self.rate * self.seconds)
        if self.arrivals == "even":
            return [n / self.rate for n in range(number)]
        chance = random.Random(number)
        # Given their number, the times of a Poisson process are uniform.
        return sorted(chance.uniform(0.0, self.seconds) for _ in range(number))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One answer; times in seconds since the start. Status 0: the connection was lost."""

    due: float
    sent: float
    answered: float
    status: int
    degraded: bool = False
    retry_after_ms: int | None = None


@dataclass(frozen=True)
class Report:
    """The figures of a run without its first second.

    `goodput_per_s`: answers with status 200 within the deadline. `p50_ms`, `p99_ms`: of answers
    with status 200 that are not degraded; None if there are none.
    """

    offered_per_s: float
    goodput_per_s: float
    undegraded_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    degraded_p99_ms: float | None
    refused_per_s: float
    refused_p99_ms: float | None
    retry_after_p50_ms: float | None
    timed_out: int
    errors: int
    late_p99_ms: float


def message(body: bytes, path: str = "/recommend") -> bytes:
    """Return the bytes of a POST request."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def answer_in(data: bytes) -> tuple[int, bool, int | None] | None:
    r"""Return status, degraded and `retry_after_ms` of a response; None if it is incomplete.

    >>> answer_in(b"HTTP/1.1 200 OK\r\nX-Degraded: encoder\r\nContent-Length: 2\r\n\r\n{}")
    (200, True, None)
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = data[: end + 2]
    length = _LENGTH.search(head)
    if len(data) - end - 4 < (int(length[1]) if length else 0):
        return None
    retry = _RETRY.search(data, end) if head[9:12] == b"429" else None
    return int(head[9:12]), bool(_DEGRADED.search(head)), int(retry[1]) if retry else None


def percentile(values: Iterable[float], percent: float) -> float | None:
    """Return the smallest value that at least `percent` of the values do not exceed.

    >>> percentile([3.0, 1.0, 2.0], 50), percentile([], 99)
    (2.0, None)
    """
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def report(outcomes: Sequence[Outcome], offered: Offer) -> Report:
    """Return the figures of a run without its first second."""
    seconds = offered.seconds
    ramp = min(_RAMP_S, seconds / 4)
    window = seconds - ramp
    due = [o for o in outcomes if ramp <= o.due < seconds]
    good = [
        o
        for o in outcomes
        if o.status == 200
        and ramp <= o.answered < seconds
        and (o.answered - o.due) * 1e3 <= offered.deadline_ms
    ]

    def times(status: int, *, degraded: bool = False) -> list[float]:
        return [
            (o.answered - o.due) * 1e3 for o in due if o.status == status and o.degraded == degraded
        ]

    retries = [o.retry_after_ms for o in due if o.retry_after_ms is not None]
    return Report(
        offered_per_s=offered.rate,
        goodput_per_s=len(good) / window,
        undegraded_per_s=sum(not o.degraded for o in good) / window,
        p50_ms=percentile(times(200), 50),
        p99_ms=percentile(times(200), 99),
        degraded_p99_ms=percentile(times(200, degraded=True), 99),
        refused_per_s=len(times(429)) / window,
        refused_p99_ms=percentile(times(429), 99),
        retry_after_p50_ms=median(retries) if retries else None,
        timed_out=len(times(504)),
        errors=sum(o.status not in (200, 429, 504) for o in due),
        late_p99_ms=percentile(((o.sent - o.due) * 1e3 for o in due), 99) or 0.0,
    )


class _Connection(asyncio.Protocol):
    """One connection with at most one request at a time."""

    def __init__(self, run: "_Run") -> None:
        self._run = run
        self._data = b""
        self._due = self._sent = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def send(self, due: float, data: bytes) -> None:
        self._due, self._sent = due, self._run.now()
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if (answer := answer_in(self._data)) is not None:
            self._data = b""
            self._run.done(self, Outcome(self._due, self._sent, self._run.now(), *answer))

    def connection_lost(self, _error: Exception | None) -> None:
        self._run.lost(self, Outcome(self._due, self._sent, self._run.now(), 0))


class _Run:
    """The state of one run."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.idle: list[_Connection] = []
        self.busy: set[_Connection] = set()
        self.waiting: deque[tuple[float, bytes]] = deque()
        self._start = perf_counter()

    def now(self) -> float:
        return perf_counter() - self._start

    def begin(self) -> None:
        self._start = perf_counter()

    def flush(self) -> None:
        while self.waiting and self.idle:
            connection = self.idle.pop()
            self.busy.add(connection)
            connection.send(*self.waiting.popleft())

    def done(self, connection: _Connection, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.busy.discard(connection)
        self.idle.append(connection)

    def lost(self, connection: _Connection, outcome: Outcome) -> None:
        if connection in self.busy:
            self.busy.discard(connection)
            self.outcomes.append(outcome)
        elif connection in self.idle:
            self.idle.remove(connection)


async def offer(host: str, port: int, messages: Sequence[bytes], offered: Offer) -> list[Outcome]:
    """Send messages at the offered rate, in a cycle; return when all are answered."""
    run, loop = _Run(), asyncio.get_running_loop()
    rate, seconds = offered.rate, offered.seconds
    for _ in range(min(offered.connections, int(rate * seconds) + 1)):
        _, connection = await loop.create_connection(lambda: _Connection(run), host, port)
        run.idle.append(connection)
    due = zip(offered.due(), cycle(messages), strict=False)
    run.begin()
    upcoming = next(due, None)
    while upcoming is not None:
        now = run.now()
        while upcoming is not None and upcoming[0] <= now:
            run.waiting.append(upcoming)
            upcoming = next(due, None)
        run.flush()
        await asyncio.sleep(_TICK_S)
    while (run.waiting or run.busy) and run.now() < seconds + _PATIENCE_S:
        run.flush()
        await asyncio.sleep(_TICK_S)
    for connection in [*run.idle, *run.busy]:
        connection.transport.abort()
    await asyncio.sleep(0)
    return run.outcomes


def measure(port: int, bodies: Sequence[bytes], offered: Offer, host: str = "127.0.0.1") -> Report:
    """Offer a constant rate to `POST /recommend` and return the figures."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        messages = [message(body) for body in bodies]
        outcomes = runner.run(offer(host, port, messages, offered))
    return report(outcomes, offered)


def main() -> None:
    """Measure once and print the report."""
    parser = argparse.ArgumentParser("python -m loadtest.runners.open_loop", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="requests per second")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--skip", type=int, default=0, help="bodies to leave out")
    parser.add_argument("--bodies", type=Path, required=True, help="a JSON body per line")
    options = parser.parse_args()
    bodies = options.bodies.read_bytes().splitlines()[options.skip :]
    result = measure(options.port, bodies, Offer(options.rate, options.seconds))
    print(json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
