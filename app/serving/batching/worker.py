"""One thread that runs blocking calls in turn for the event loop.

A daemon thread of our own rather than an executor: an executor joins its threads at exit, so a
call that never returns would keep the process alive. Does not know what it runs.
"""

import asyncio
import contextlib
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

B = TypeVar("B")

_NICE: Final = 10
_NICEST: Final = 19
_log = logging.getLogger(__name__)


class ThreadDiedError(RuntimeError):
    """The thread has ended; it runs nothing any more."""


class WorkerThread:
    """Runs calls in one daemon thread, one after the other.

    Anything that is not an `Exception` (SystemExit, say) ends the thread.
    """

    def __init__(self, name: str, *, stands_back: bool = False) -> None:
        """Start the thread; must be made and used inside the running event loop.

        `stands_back`: whether it leaves the cores to other threads that want them.
        """
        self._stands_back = stands_back
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None]] | None]
        self._jobs = queue.SimpleQueue()
        self._ended = asyncio.Event()
        self._lock = threading.Lock()
        self._calls = 0
        self._alive = True
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a call runs or waits to run, whether or not anybody waits for it."""
        return self._calls > 0

    @property
    def awaited(self) -> bool:
        """Whether a call waits behind the one that runs."""
        return self._calls > 1

    @property
    def ended(self) -> bool:
        """Whether the thread has run its last call, by `stop` or by dying."""
        return self._ended.is_set()

    @property
    def alive(self) -> bool:
        """Whether the thread takes calls: asked for every request, so not asked of the system."""
        return self._alive

    async def run(self, call: Callable[[], B]) -> B | Exception:
        """Run a call; an exception it raises is returned, not raised.

        Raises:
            ThreadDiedError: the thread is dead or dies in this call.
        """
        if not self.alive:
            raise ThreadDiedError("the thread is dead")
        answer: asyncio.Future[B | Exception] = self._loop.create_future()
        self.hand(call, partial(_set, answer))
        outcome = await answer
        if isinstance(outcome, ThreadDiedError):
            raise outcome
        return outcome

    def hand(self, call: Callable[[], B], ended: Callable[[B | Exception], None]) -> None:
        """Run a call after those before it, and tell its outcome; may be called in any thread.

        `ended` is called on the event loop, with what the call returned or raised, or with
        ThreadDiedError if it killed the thread. Of a dead thread nothing is heard any more.
        """
        with self._lock:
            self._calls += 1
        self._jobs.put((call, ended))

    def stop(self) -> None:
        """End the thread after the calls it was given. Idempotent."""
        self._jobs.put(None)

    async def wait_ended(self) -> None:
        """Return once the thread has ended."""
        await self._ended.wait()

    def _work(self) -> None:
        # Linux gives each thread its own priority; elsewhere the whole process would stand back.
        if self._stands_back and sys.platform == "linux":
            thread_id = threading.get_native_id()
            niceness = min(os.getpriority(os.PRIO_PROCESS, thread_id) + _NICE, _NICEST)
            os.setpriority(os.PRIO_PROCESS, thread_id, niceness)
        try:
            while self._turn():
                pass
        finally:
            self._alive = False
            self._post(self._ended.set)

    def _turn(self) -> bool:
        """Run one call and hand over its outcome; False if the thread must not go on."""
        job = self._jobs.get()
        if job is None:
            return False
        call, ended = job
        del job
        try:
            outcome: object = call()
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            outcome = error
        except BaseException as error:  # noqa: BLE001 - logged; the owner learns of it at once
            _log.critical("the thread %s died", self._thread.name, exc_info=error)
            # Before anybody is told: who asks `busy` then must not be told of a call that is over.
            self._alive = False
            self._done()
            self._post(ended, ThreadDiedError("the thread died"))
            return False
        del call  # whoever is told that an engine was closed may count on its being let go
        self._done()
        self._post(ended, outcome)
        del outcome, ended  # an error holds this frame, which would hold the error
        return True

    def _done(self) -> None:
        with self._lock:
            self._calls -= 1

    def _post(self, callback: Callable[..., object], *arguments: object) -> None:
        # The loop may be closed by the time a stuck call returns; then nobody waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)


def background_thread(name: str) -> WorkerThread:
    """Start a thread that leaves the cores to the threads that want them."""
    return WorkerThread(name, stands_back=True)


def _set(answer: "asyncio.Future[B]", value: B) -> None:
    if not answer.done():
        answer.set_result(value)
