"""Threads of the simulation: each is a greenlet, and only one runs at a time.

A call in such a thread runs until it sleeps in virtual time or waits for a slot; then the event
loop goes on. So blocking code runs as it is, and the seed decides who is first.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Final, TypeVar

from greenlet import GreenletExit, getcurrent, greenlet

from app.serving.batching.worker import ThreadDiedError, Threads
from loadtest.simulation.virtual_time import VirtualLoop

B = TypeVar("B")

_SWITCH_S: Final = 0.0002
"""Most seconds that it takes to wake a thread, or to report to the event loop."""


class BlockedLoopError(BaseException):
    """Blocking code ran on the event loop."""


class SimulatedThreads:
    """All threads of one simulated process. `real` has what `app.bootstrap.wire` wants."""

    def __init__(self, loop: VirtualLoop, draws: Random) -> None:
        """Run on `loop`, in an order by `draws`."""
        self.loop, self._draws = loop, draws
        self._hub = getcurrent()
        self._reports: deque[Callable[[], object]] = deque()
        self.real = Threads(self._start, self._start, self._slot)

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass in the thread that calls this."""
        me = self.current()
        self.loop.call_later(seconds, me.switch)
        self._hub.switch()

    def current(self) -> greenlet:
        """Return the running thread."""
        me = getcurrent()
        if me is self._hub:
            raise BlockedLoopError("blocking code ran on the event loop")
        return me

    def pause(self) -> None:
        """Leave the running thread until somebody switches to it."""
        self._hub.switch()

    def report(self, report: Callable[[], object]) -> None:
        """Tell the event loop something, a moment later and in order."""
        self._reports.append(report)
        self.loop.call_later(self.moment(), self._deliver)

    def _deliver(self) -> None:
        self._reports.popleft()()

    def moment(self) -> float:
        """Return how long it takes to wake somebody: often no time at all."""
        return max(0.0, self._draws.uniform(-_SWITCH_S, _SWITCH_S))

    def _start(self, name: str) -> "SimulatedWorker":
        return SimulatedWorker(self, name)

    def _slot(self) -> "SimulatedSlot":
        return SimulatedSlot(self)


class SimulatedSlot:
    """A slot that the threads of a simulation wait for, in order."""

    def __init__(self, threads: SimulatedThreads) -> None:
        self._threads = threads
        self._free = True
        self._waiting: deque[greenlet] = deque()

    def acquire(self, blocking: bool = True) -> bool:
        """See `app.serving.batching.worker.Slot`."""
        if self._free:
            self._free = False
            return True
        if blocking:
            self._waiting.append(self._threads.current())
            self._threads.pause()
        return blocking

    def release(self) -> None:
        """See `app.serving.batching.worker.Slot`."""
        if self._waiting:
            self._threads.loop.call_soon(self._waiting.popleft().switch)
        else:
            self._free = True


_Job = tuple[Callable[[], Any], Callable[[Any], None]]


class SimulatedWorker:
    """A `Worker` that is one greenlet.

    Attributes:
        name: of the thread.
    """

    def __init__(self, threads: SimulatedThreads, name: str) -> None:
        self.name = name
        self._threads = threads
        self._jobs: deque[_Job | None] = deque()
        self._calls = 0
        self._alive = True
        self._over = False
        self._idle = True
        self._done = threads.loop.create_future()
        self._greenlet = greenlet(self._work)

    @property
    def busy(self) -> bool:
        """See `Worker`."""
        return self._calls > 0

    @property
    def has_waiting_call(self) -> bool:
        """See `Worker`."""
        return self._calls > 1

    @property
    def ended(self) -> bool:
        """See `Worker`."""
        return self._done.done()

    @property
    def alive(self) -> bool:
        """See `Worker`."""
        return self._alive

    async def run(self, call: Callable[[], B]) -> B | Exception:
        """See `Worker`."""
        if not self.alive:
            raise ThreadDiedError("the thread is dead")
        answer = self._threads.loop.create_future()

        def _set(value: object) -> None:
            if not answer.done():
                answer.set_result(value)

        self.hand(call, _set)
        outcome = await answer
        if isinstance(outcome, ThreadDiedError):
            raise outcome
        return outcome

    def hand(self, call: Callable[[], B], ended: Callable[[B | Exception], None]) -> None:
        """See `Worker`."""
        if self._over:
            self._threads.report(lambda: ended(ThreadDiedError("the thread has ended")))
            return
        self._calls += 1
        self._put((call, ended))

    def stop(self) -> None:
        """See `Worker`."""
        self._put(None)

    async def wait_ended(self) -> None:
        """See `Worker`."""
        if not self._done.done():
            # Whoever waits may be cancelled, and others wait as well.
            waiter = self._threads.loop.create_future()
            self._done.add_done_callback(lambda _: waiter.done() or waiter.set_result(None))
            await waiter

    def _put(self, job: _Job | None) -> None:
        self._jobs.append(job)
        if self._idle and not self._greenlet.dead:
            self._idle = False
            self._threads.loop.call_later(self._threads.moment(), self._greenlet.switch)

    def _work(self) -> None:
        while self._run_next():
            pass
        self._alive, self._over = False, True
        for job in self._jobs:
            if job is not None:
                self._calls -= 1
                self._threads.report(partial(job[1], ThreadDiedError("the thread has ended")))
        self._threads.report(lambda: self._done.done() or self._done.set_result(None))

    def _run_next(self) -> bool:
        """Run one call and report its outcome; return False if the thread must end."""
        while not self._jobs:
            self._idle = True
            self._threads.pause()
        job = self._jobs.popleft()
        if job is None:
            return False
        call, ended = job
        try:
            outcome: Any = call()
        except Exception as error:  # noqa: BLE001 - reported to the caller
            outcome = error
        except (GreenletExit, BlockedLoopError):
            raise
        except BaseException:  # noqa: BLE001 - the thread dies of it
            self._alive = False
            self._calls -= 1
            self._threads.report(lambda: ended(ThreadDiedError("the thread died")))
            return False
        self._calls -= 1
        self._threads.report(lambda: ended(outcome))
        return True
