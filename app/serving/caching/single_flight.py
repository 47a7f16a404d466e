"""Identical requests in flight share one computation.

Knows neither the cache nor the engine: a key, what begins a computation and what finishes it, a
deadline. Entries live only while a computation runs, so nothing here needs a bound of its own.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Generic, TypeAlias, TypeVar

from app.core.errors import DeadlineExceededError, NotReadyError
from app.core.telemetry import Metrics

R = TypeVar("R")
S = TypeVar("S")

Begin: TypeAlias = Callable[[], asyncio.Future[S]]
Finish: TypeAlias = Callable[[S], R]


@dataclass(frozen=True, slots=True)
class Shared(Generic[R]):
    """The outcome of a computation for one caller.

    `leader`: this caller's own work made the value; otherwise the request was coalesced.
    """

    value: R
    leader: bool


class _Flight:
    """One computation, and who waits for it, in order: one future a caller.

    No task of its own: each costs turns of the event loop, which is what is short under load.
    """

    __slots__ = ("begun", "callers", "error", "landed", "trace", "value")

    def __init__(self, begun: "asyncio.Future[Any]") -> None:
        self.begun = begun
        self.callers: dict[asyncio.Future[None], None] = {}
        self.landed = False
        self.value: Any = None
        self.error: BaseException | None = None
        self.trace: TracebackType | None = None

    def land(self, value: object, error: BaseException | None) -> None:
        self.landed, self.value, self.error = True, value, error
        self.trace = None if error is None else error.__traceback__
        for caller in self.callers:
            _wake(caller)


def _wake(caller: "asyncio.Future[None]") -> None:
    if not caller.done():
        caller.set_result(None)


class SingleFlight(Generic[R]):
    """Runs one computation per key at a time, whoever asks for it.

    The computation belongs to no caller: it goes on when its leader leaves, and is cancelled when
    everybody has left. An error reaches the callers of that flight and nobody after them.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        """Count followers in `metrics.coalesced`; deadlines are on `clock`, monotonic seconds."""
        self._metrics = metrics
        self._clock = clock
        self._flights: dict[bytes, _Flight] = {}

    def __repr__(self) -> str:
        callers = sum(len(flight.callers) for flight in self._flights.values())
        return f"<SingleFlight {len(self._flights)} flights, {callers} callers>"

    def flying(self, key: bytes) -> bool:
        """Whether `run` would join a computation, not start one; not if it has just ended."""
        flight = self._flights.get(key)
        return flight is not None and not flight.begun.done()

    async def run(
        self, key: bytes, deadline: float, begin: Begin[S], finish: Finish[S, R]
    ) -> Shared[R]:
        """Join the computation under `key`, or `begin` one as its leader.

        `finish` makes the value out of what was begun, once for all callers. `deadline` is this
        caller's own. If the leader ran out of *its* time, a follower that still has some starts
        over, once; those that do so together share again.

        Raises:
            DeadlineExceededError: the deadline passed first.
            NotReadyError: closed meanwhile.
            Exception: whatever `begin`, what it began, or `finish` raised.
        """
        if not self.flying(key):
            self._start(key, begin, finish)
            return Shared(await self._wait(key, deadline), leader=True)
        self._metrics.coalesced.inc()
        try:
            return Shared(await self._wait(key, deadline), leader=False)
        except DeadlineExceededError:
            if self._clock() >= deadline:
                raise
        leader = not self.flying(key)
        if leader:
            self._start(key, begin, finish)
        return Shared(await self._wait(key, deadline), leader)

    async def aclose(self) -> None:
        """Cancel all computations; their callers get NotReadyError. Idempotent."""
        for flight in self._flights.values():
            flight.begun.cancel()
        await asyncio.sleep(0)  # they are told in a turn of the loop

    def _start(self, key: bytes, begin: Begin[S], finish: Finish[S, R]) -> None:
        flight = self._flights[key] = _Flight(begin())
        flight.begun.add_done_callback(partial(self._landed, key, flight, finish))

    def _landed(
        self, key: bytes, flight: _Flight, finish: Finish[S, R], begun: "asyncio.Future[S]"
    ) -> None:
        self._forget(key, flight)
        if begun.cancelled():
            flight.land(None, NotReadyError("the service is stopping"))
        elif (failed := begun.exception()) is not None:
            flight.land(None, failed)
        else:
            try:
                flight.land(finish(begun.result()), None)
            except Exception as error:  # noqa: BLE001 - it belongs to the callers
                trace = error.__traceback__  # without this frame, which holds the flight
                flight.land(None, error.with_traceback(trace.tb_next if trace else None))

    def _forget(self, key: bytes, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    async def _wait(self, key: bytes, deadline: float) -> R:
        """Wait for a flight without owning it; the last caller to leave cancels it."""
        flight = self._flights[key]
        loop = asyncio.get_running_loop()
        caller: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(max(0.0, deadline - self._clock()), _wake, caller)
        flight.callers[caller] = None
        try:
            await caller
        finally:
            timer.cancel()
            del flight.callers[caller]
            if not flight.callers and not flight.begun.done():
                self._forget(key, flight)
                flight.begun.cancel()
        try:
            if not flight.landed:
                raise DeadlineExceededError("the time budget ran out")
            if flight.error is not None:
                # From where it arose: not through all who were told before.
                raise flight.error.with_traceback(flight.trace)
            value: R = flight.value
            return value
        finally:
            # A raised error holds this frame: it shall not hold the flight, which holds the error.
            del flight
