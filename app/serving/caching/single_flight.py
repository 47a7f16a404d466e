"""Single flight: identical requests in flight share one computation.

A computation has a key. `begin` starts it and returns a future, and `finish` turns the result of
that future into the value for all callers. Each caller has a deadline of its own. An entry exists
only while its computation runs, so the table needs no limit. This module knows neither the cache
nor the engine.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Final, Generic, TypeAlias, TypeVar

from app.core.errors import DeadlineExceededError, NotReadyError
from app.core.telemetry import Metrics

R = TypeVar("R")
S = TypeVar("S")

Begin: TypeAlias = Callable[[], asyncio.Future[S]]
Finish: TypeAlias = Callable[[S], R]


_TICK_S: Final = 0.001
"""How much earlier than at its deadline a timer may ring."""


@dataclass(frozen=True, slots=True)
class Shared(Generic[R]):
    """The value of a computation for one caller.

    `leader`: whether this caller started the computation; otherwise the request was coalesced.
    """

    value: R
    leader: bool


class _Flight:
    """One computation, and the callers that wait for it, in order: one future per caller.

    A flight has no task of its own: a task costs turns of the event loop, and the event loop is
    what limits the service under load.
    """

    __slots__ = ("callers", "computation", "deadline", "done", "error", "traceback", "value")

    def __init__(self, computation: "asyncio.Future[Any]", deadline: float) -> None:
        self.computation, self.deadline = computation, deadline  # the deadline of the leader
        self.callers: dict[asyncio.Future[None], None] = {}
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None
        self.traceback: TracebackType | None = None

    def succeed(self, value: object) -> None:
        """Set the value, and wake all callers."""
        self.value = value
        self._finish()

    def fail(self, error: BaseException) -> None:
        """Set the error, and wake all callers."""
        self.error, self.traceback = error, error.__traceback__
        self._finish()

    def _finish(self) -> None:
        self.done = True
        for caller in self.callers:
            _wake(caller)


def _wake(caller: "asyncio.Future[None]") -> None:
    if not caller.done():
        caller.set_result(None)


class SingleFlight(Generic[R]):
    """Runs at most one computation per key at a time.

    A computation belongs to no single caller. It continues if its leader goes away, and is
    cancelled when no caller is left. An error reaches the callers of this computation, and no later
    caller.
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
        """Return whether `run` would join a computation that is still running."""
        flight = self._flights.get(key)
        return flight is not None and not flight.computation.done()

    async def run(
        self, key: bytes, deadline: float, begin: Begin[S], finish: Finish[S, R]
    ) -> Shared[R]:
        """Join the computation of `key`, or start it as its leader.

        If the leader's deadline passes first, a follower whose own deadline has not passed starts
        over. Followers that start over at the same time share one computation again. They do so
        again only if its leader had less time than they, so each computation is worth a try.

        Args:
            key: equal for identical requests.
            deadline: of this caller, in monotonic seconds.
            begin: starts the computation.
            finish: makes the value from its result, once for all callers.

        Raises:
            DeadlineExceededError: the deadline passed first.
            NotReadyError: `aclose` was called meanwhile.
            Exception: whatever `begin`, the computation, or `finish` raised.
        """
        joined = 0
        while self.flying(key):
            leader_has_until = self._flights[key].deadline
            joined += 1
            if joined == 1:
                self._metrics.coalesced.inc()
            try:
                return Shared(await self._wait(key, deadline), leader=False)
            except DeadlineExceededError:
                now = self._clock()
                if now >= deadline or (joined > 1 and now < leader_has_until - _TICK_S):
                    raise
        self._start(key, deadline, begin, finish)
        return Shared(await self._wait(key, deadline), leader=True)

    async def aclose(self) -> None:
        """Cancel all computations; their callers get NotReadyError. Idempotent."""
        for flight in self._flights.values():
            flight.computation.cancel()
        await asyncio.sleep(0)  # callers are woken in the next turn of the event loop

    def _start(self, key: bytes, deadline: float, begin: Begin[S], finish: Finish[S, R]) -> None:
        flight = self._flights[key] = _Flight(begin(), deadline)
        flight.computation.add_done_callback(partial(self._computed, key, flight, finish))

    def _computed(
        self,
        key: bytes,
        flight: _Flight,
        finish: Finish[S, R],
        computation: "asyncio.Future[S]",
    ) -> None:
        self._forget(key, flight)
        if computation.cancelled():
            flight.fail(NotReadyError("the service is stopping"))
        elif (failure := computation.exception()) is not None:
            flight.fail(failure)
        else:
            try:
                flight.succeed(finish(computation.result()))
            except Exception as error:  # noqa: BLE001 - it belongs to the callers
                # Without this frame, which refers to the flight and so to the error itself.
                traceback = error.__traceback__
                flight.fail(error.with_traceback(traceback.tb_next if traceback else None))

    def _forget(self, key: bytes, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    async def _wait(self, key: bytes, deadline: float) -> R:
        """Wait for a computation; the last caller that goes away cancels it."""
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
            if not flight.callers and not flight.computation.done():
                self._forget(key, flight)
                flight.computation.cancel()
        try:
            if not flight.done:
                raise DeadlineExceededError("the time budget ran out")
            if flight.error is not None:
                # The error is shared: each caller starts from its original traceback, without the
                # frames of the callers before.
                raise flight.error.with_traceback(flight.traceback)
            value: R = flight.value
            return value
        finally:
            # A raised error refers to this frame, which must not refer back to it by the flight.
            del flight
