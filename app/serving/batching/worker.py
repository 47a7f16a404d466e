"""Worker threads: each runs blocking calls for the event loop, one after the other.

`Worker` is what the batcher and others see, and `WorkerThread` is the real one. Whoever needs a
worker gets a function that starts one (`NewThread`), so a simulation can supply others: `Threads`
names all that a service starts, and the `Slot` for which one of them waits.

`WorkerThread` is a daemon thread and not an executor: an executor joins its threads at exit, so
one call that never returns would keep the process alive.
"""

import asyncio
import contextlib
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, TypeVar

B = TypeVar("B")

_LOWER_PRIORITY: Final = 10
"""Added to the niceness of a background thread."""
_MAX_NICENESS: Final = 19
_log = logging.getLogger(__name__)


class ThreadDiedError(RuntimeError):
    """The thread has ended and runs no more calls."""


class Worker(Protocol):
    """Runs blocking calls one after the other, outside of the event loop."""

    @property
    def busy(self) -> bool:
        """Whether a call runs or waits to run, even if nobody waits for its result."""
        ...

    @property
    def has_waiting_call(self) -> bool:
        """Whether a call waits behind the one that runs."""
        ...

    @property
    def ended(self) -> bool:
        """Whether the last call has run: the worker was stopped, or died."""
        ...

    @property
    def alive(self) -> bool:
        """Whether the worker takes calls. Cheap: it is read for every request."""
        ...

    async def run(self, call: Callable[[], B]) -> B | Exception:
        """Run a call. An exception that it raises is returned, not raised.

        Raises:
            ThreadDiedError: the worker is dead, or dies in this call.
        """
        ...

    def hand(self, call: Callable[[], B], ended: Callable[[B | Exception], None]) -> None:
        """Run a call after those before it, and report its outcome. Any thread may use this.

        `ended` is called on the event loop, with what the call returned or raised, or with
        ThreadDiedError if the call killed the worker, or the worker ended before it.
        """
        ...

    def stop(self) -> None:
        """End the worker after the calls that it was given. Idempotent."""
        ...

    async def wait_ended(self) -> None:
        """Return once the worker has ended."""
        ...


NewThread: TypeAlias = Callable[[str], Worker]
"""Starts a worker of that name; `WorkerThread` and `background_thread` are two."""


class Slot(Protocol):
    """What one thread holds at a time; `threading.Semaphore` is one. Any thread may release it."""

    def acquire(self, blocking: bool = True) -> bool:
        """Take the slot, and wait for it if `blocking`; return whether it was taken."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...


class WorkerThread:
    """A `Worker` that is one daemon thread.

    Anything that is not an `Exception` (SystemExit, say) ends the thread.
    """

    def __init__(self, name: str, *, background: bool = False) -> None:
        """Start the thread; must be made and used inside the running event loop.

        Args:
            name: of the thread, as the system shows it.
            background: whether the thread leaves the cores to other threads that need them.
        """
        self._background = background
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None]] | None]
        self._jobs = queue.SimpleQueue()
        self._ended = asyncio.Event()
        self._lock = threading.Lock()
        self._calls = 0
        self._alive = True
        self._over = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

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
        return self._ended.is_set()

    @property
    def alive(self) -> bool:
        """See `Worker`. A flag of our own: asking the system would cost every request."""
        return self._alive

    async def run(self, call: Callable[[], B]) -> B | Exception:
        """See `Worker`."""
        if not self.alive:
            raise ThreadDiedError("the thread is dead")
        answer: asyncio.Future[B | Exception] = self._loop.create_future()
        self.hand(call, partial(_set, answer))
        outcome = await answer
        if isinstance(outcome, ThreadDiedError):
            raise outcome
        return outcome

    def hand(self, call: Callable[[], B], ended: Callable[[B | Exception], None]) -> None:
        """See `Worker`."""
        with self._lock:
            if not self._over:
                self._calls += 1
                self._jobs.put((call, ended))
                return
        self._post(ended, ThreadDiedError("the thread has ended"))

    def stop(self) -> None:
        """See `Worker`."""
        self._jobs.put(None)

    async def wait_ended(self) -> None:
        """See `Worker`."""
        await self._ended.wait()

    def _work(self) -> None:
        # Linux gives each thread its own priority. Elsewhere this would slow the whole process.
        if self._background and sys.platform == "linux":
            thread_id = threading.get_native_id()
            niceness = os.getpriority(os.PRIO_PROCESS, thread_id) + _LOWER_PRIORITY
            os.setpriority(os.PRIO_PROCESS, thread_id, min(niceness, _MAX_NICENESS))
        try:
            while self._run_next():
                pass
        finally:
            self._alive = False
            self._refuse_the_rest()
            self._post(self._ended.set)

    def _refuse_the_rest(self) -> None:
        """Report to all calls that will never run: somebody waits for them."""
        with self._lock:
            self._over = True
            while not self._jobs.empty():
                job = self._jobs.get_nowait()
                if job is not None:
                    self._calls -= 1
                    self._post(job[1], ThreadDiedError("the thread has ended"))

    def _run_next(self) -> bool:
        """Run one call and report its outcome; return False if the thread must end."""
        job = self._jobs.get()
        if job is None:
            return False
        call, ended = job
        del job
        try:
            outcome: object = call()
        except Exception as error:  # noqa: BLE001 - reported to the caller
            outcome = error
        except BaseException as error:  # noqa: BLE001 - logged; the owner learns of it at once
            _log.critical("the thread %s died", self._thread.name, exc_info=error)
            # Before the report: whoever gets it must not see this call as running.
            self._alive = False
            self._count_down()
            self._post(ended, ThreadDiedError("the thread died"))
            return False
        # Before the report: the caller of a call that closed an engine relies on the engine being
        # freed, and `call` may refer to it.
        del call
        self._count_down()
        # An error refers to this frame, so this frame must not refer to the error. The event loop
        # may run the report before the next line here, so the report empties the list itself.
        report = [partial(ended, outcome)]
        del outcome, ended
        self._post(_pop_and_call, report)
        return True

    def _count_down(self) -> None:
        with self._lock:
            self._calls -= 1

    def _post(self, callback: Callable[..., object], *arguments: object) -> None:
        # The loop may be closed by the time a stuck call returns; then nobody waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)


def background_thread(name: str) -> WorkerThread:
    """Start a thread that leaves the cores to other threads that need them."""
    return WorkerThread(name, background=True)


@dataclass(frozen=True, slots=True)
class Threads:
    """How a service starts its threads; the defaults are real ones.

    Attributes:
        for_passes: starts a thread for engine passes.
        in_background: starts one that leaves the cores to those.
        new_slot: makes a slot that is free.
    """

    for_passes: NewThread = WorkerThread
    in_background: NewThread = background_thread
    new_slot: Callable[[], Slot] = threading.Semaphore


REAL_THREADS: Final = Threads()


def _pop_and_call(report: list[Callable[[], object]]) -> None:
    report.pop()()


def _set(answer: "asyncio.Future[B]", value: B) -> None:
    if not answer.done():
        answer.set_result(value)
