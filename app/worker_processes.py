"""Several processes that serve on one socket, and the one that starts and watches them.

- A worker that ends is replaced. One that cannot even start stops all: the next could not either.
- SIGTERM and SIGINT stop all workers in order. A second signal kills them.
- SIGHUP replaces them one after the other: each old one stops once the new one answers.

Workers are spawned, never forked: libraries with threads do not survive a fork.
"""

import logging
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Final, TypeAlias

_SPAWN: Final = multiprocessing.get_context("spawn")
_START_S: Final = 600.0
"""Longest time in which a worker gets ready that replaces another one."""

Work: TypeAlias = Callable[[Sequence[socket.socket], Connection], None]
"""What a worker does: it serves, says by any message that it answers, and exits with its code."""

_log = logging.getLogger(__name__)


class _Worker:
    """One worker process."""

    def __init__(self, work: Work, sockets: Sequence[socket.socket]) -> None:
        self.messages, theirs = _SPAWN.Pipe(duplex=False)
        self.process: SpawnProcess = _SPAWN.Process(target=work, args=(sockets, theirs))
        self.process.start()
        theirs.close()
        self._ready = False

    @property
    def ready(self) -> bool:
        """Whether it has ever answered."""
        try:
            if not self._ready and self.messages.poll():
                self.messages.recv_bytes()
                self._ready = True
        except EOFError:  # it has ended
            pass
        return self._ready

    @property
    def ended(self) -> bool:
        return self.process.exitcode is not None

    def signal(self, number: int) -> None:
        if not self.ended and self.process.pid is not None:
            os.kill(self.process.pid, number)


class Workers:
    """Starts and watches worker processes. Belongs to the main thread, which gets signals."""

    def __init__(
        self, work: Work, sockets: Sequence[socket.socket], n: int, longest_stop_s: float
    ) -> None:
        """Prepare.

        Args:
            work: what each worker does; a function of a module.
            sockets: on which all of them listen.
            n: how many workers there are.
            longest_stop_s: after so many seconds a worker that was to stop is killed.
        """
        self._work, self._sockets, self._n = work, sockets, n
        self._longest_stop_s = longest_stop_s
        self._workers: list[_Worker] = []
        self._signals: list[int] = []
        self._woken, self._wake = os.pipe()
        self._stop_signal: int | None = None

    def run(self) -> int:
        """Serve until a signal stops it; return the exit code of the process.

        Raises:
            SystemExit: a second signal came.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        self._workers = [self._start() for _ in range(self._n)]
        failed = False
        while self._stop_signal is None and not failed:
            self._sleep([worker.process.sentinel for worker in self._workers])
            failed = not self._replace_ended()
            if signal.SIGHUP in self._signals:
                self._signals.clear()
                self._replace_all()
        clean = self._stop_all()
        return 0 if clean and not failed else 1

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._signals.append(number)
        elif self._stop_signal is None:
            self._stop_signal = number
        else:
            for worker in self._workers:
                worker.process.kill()
            raise SystemExit(128 + number)
        os.write(self._wake, b"s")

    def _start(self) -> _Worker:
        return _Worker(self._work, self._sockets)

    def _sleep(self, until: Sequence[int | Connection], seconds: float | None = None) -> None:
        """Wait until a signal comes, a process ends, or the time is over."""
        if self._woken in wait([*until, self._woken], seconds):
            os.read(self._woken, 1)

    def _replace_ended(self) -> bool:
        """Start a worker for each that has ended; return False if one could not start."""
        for position, worker in enumerate(self._workers):
            if not worker.ended or self._stop_signal is not None:
                continue
            if not worker.ready and (worker.process.exitcode or 0) >= 0:  # nobody killed it
                _log.error("worker %d could not start", worker.process.pid)
                return False
            _log.warning("worker %d ended; another one is started", worker.process.pid)
            self._workers[position] = self._start()
        return True

    def _replace_all(self) -> None:
        """Replace the workers one after the other, while the others serve."""
        for position, old in enumerate(self._workers):
            new = self._start()
            deadline = time.monotonic() + _START_S
            while not (new.ready or new.ended or self._stop_signal or time.monotonic() > deadline):
                self._sleep([new.messages], 1.0)
            if not new.ready:
                new.process.kill()
                if self._stop_signal is None:
                    _log.error("a new worker did not start; the others go on")
                return
            self._workers[position] = new
            old.signal(signal.SIGUSR1)
            self._join(old)

    def _stop_all(self) -> bool:
        """Stop all workers; return whether each ended in order."""
        for worker in self._workers:
            worker.signal(self._stop_signal or signal.SIGTERM)
        for each in self._sockets:  # once the last worker has closed its own, nobody listens
            each.close()
        for worker in self._workers:
            self._join(worker)
        # One that was still starting had nothing to end in order.
        return all(worker.process.exitcode == 0 for worker in self._workers if worker.ready)

    def _join(self, worker: _Worker) -> None:
        worker.process.join(self._longest_stop_s)
        if not worker.ended:
            _log.error("worker %d does not stop; it is killed", worker.process.pid)
            worker.process.kill()
            worker.process.join()
