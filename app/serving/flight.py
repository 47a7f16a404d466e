"""Identical requests in flight share one computation.

Knows neither the cache nor the engine: a key, a coroutine function, a deadline. Entries live only
while a computation runs, so nothing here needs a bound of its own.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from app.errors import DeadlineExceededError, NotReadyError, OverloadedError
from app.telemetry import Metrics

R = TypeVar("R")

Work: TypeAlias = Callable[[], Coroutine[Any, Any, R]]


@dataclass(frozen=True, slots=True)
class Shared(Generic[R]):
    """The outcome of a computation for one caller.

    `leader`: this caller's own work made the value; otherwise the request was coalesced.
    """

    value: R
    leader: bool


class _Flight(Generic[R]):
    """One computation in its own task, and who waits for it, in order: one future a caller."""

    __slots__ = ("callers", "task")

    def __init__(self, task: asyncio.Task[R]) -> None:
        self.task = task
        self.callers: dict[asyncio.Future[None], None] = {}

    def wake(self) -> None:
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
        self._flights: dict[bytes, _Flight[R]] = {}
        self._tasks: set[asyncio.Task[R]] = set()

    def __repr__(self) -> str:
        callers = sum(len(flight.callers) for flight in self._flights.values())
        return f"<SingleFlight {len(self._flights)} flights, {callers} callers>"

    def flying(self, key: bytes) -> bool:
        """Whether `run` would join a computation, not start one."""
        return self._joinable(key) is not None

    async def run(self, key: bytes, deadline: float, work: Work[R]) -> Shared[R]:
        """Join the computation under `key`, or start `work` as its leader.

        `deadline` is this caller's own. If the leader was refused or ran out of *its* time, a
        follower that still has time starts over, once; those that do so together share again.

        Raises:
            DeadlineExceededError: the deadline passed first.
            NotReadyError: closed meanwhile.
            Exception: whatever the work raised.
        """
        flight = self._joinable(key)
        if flight is None:
            return Shared(await self._wait(key, self._start(key, work), deadline), leader=True)
        self._metrics.coalesced.inc()
        try:
            return Shared(await self._wait(key, flight, deadline), leader=False)
        except (OverloadedError, DeadlineExceededError):
            if self._clock() >= deadline:
                raise
        again = self._joinable(key)
        leader = again is None
        return Shared(await self._wait(key, again or self._start(key, work), deadline), leader)

    async def aclose(self) -> None:
        """Cancel all computations; their callers get NotReadyError. Idempotent."""
        self._flights.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _joinable(self, key: bytes) -> _Flight[R] | None:
        """Return the flight under `key`, unless it has ended: its error is not for newcomers."""
        flight = self._flights.get(key)
        return None if flight is None or flight.task.done() else flight

    def _start(self, key: bytes, work: Work[R]) -> _Flight[R]:
        flight = _Flight(asyncio.create_task(work(), name="recserve-flight"))
        self._flights[key] = flight
        self._tasks.add(flight.task)  # held: the loop itself keeps only a weak reference
        flight.task.add_done_callback(lambda task: self._landed(key, flight, task))
        return flight

    def _landed(self, key: bytes, flight: _Flight[R], task: asyncio.Task[R]) -> None:
        self._forget(key, flight)
        self._tasks.discard(task)
        flight.wake()
        if not task.cancelled():
            task.exception()  # read it: the last caller may have left since

    def _forget(self, key: bytes, flight: _Flight[R]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    async def _wait(self, key: bytes, flight: _Flight[R], deadline: float) -> R:
        """Wait for a flight without owning it; the last caller to leave cancels it."""
        # By hand: `asyncio.wait` for one task costs as much as the rest of a flight.
        loop = asyncio.get_running_loop()
        caller: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(max(0.0, deadline - self._clock()), _wake, caller)
        flight.callers[caller] = None
        try:
            await caller
        finally:
            timer.cancel()
            del flight.callers[caller]
            if not flight.callers and not flight.task.done():
                self._forget(key, flight)
                flight.task.cancel()
        if not flight.task.done():
            raise DeadlineExceededError("the time budget ran out")
        if flight.task.cancelled():
            raise NotReadyError("the service is stopping")
        return flight.task.result()
