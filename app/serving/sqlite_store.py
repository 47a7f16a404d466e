"""The embedded event store: one SQLite file, a thread that writes and one that reads.

Writes that wait are committed together, so that one trip to the disk acknowledges many calls; the
event loop never waits for the disk. Several processes may open the same file. Does not know SQL.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from app.errors import OverloadedError, StoreError
from app.serving import sqlite_events as sql
from app.types import Event, Retention, StoredUser

R = TypeVar("R")

_MOST_WAITING: Final = 50_000
_PATIENCE_S: Final = 5.0
_MOST_TOGETHER: Final = 5000
_RETRY_MS: Final = 250
_SCAN_ROWS: Final = 1000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    """One write and who waits for it. `size`: events. `alone`: not inside a transaction."""

    work: Callable[[sqlite3.Connection], Any]
    answer: asyncio.Future[Any]
    size: int
    alone: bool


class SqliteEventStore:
    """`EventStore` over one file. Belongs to the event loop that made it."""

    def __init__(
        self,
        path: Path,
        retention: Retention | None = None,
        clock: Callable[[], float] = time.time,
        *,
        most_waiting: int = _MOST_WAITING,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        """Open or make the file, its folder included.

        Args:
            path: of the file.
            retention: how long events are kept.
            clock: unix seconds.
            most_waiting: events that may wait to be written; more are refused.
            patience_s: how long to wait while another process writes.

        Raises:
            StoreError: it cannot be opened, or is no store of ours.
        """
        self._retention = retention or Retention()
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._most_waiting = most_waiting
        self._waiting = 0
        self._closed = False
        self.commits = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"the folder of {path.name} cannot be made") from error
        self._path = path
        self._write, self._read = sql.connect(path, patience_s), sql.connect(path, patience_s)
        self._read.execute("PRAGMA query_only = 1")
        self._reader = ThreadPoolExecutor(1, "recserve-store-read")
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._run, name="recserve-store-write", daemon=True)
        self._writer.start()

    def __repr__(self) -> str:
        return f"<SqliteEventStore {self._path.name}, {self._waiting} events waiting>"

    async def append(self, events: Sequence[Event]) -> tuple[bool, ...]:
        """Keep events; returns once they are on the disk."""
        held = tuple(events)
        fresh: tuple[bool, ...] = await self._written(
            lambda connection: sql.append(connection, held, *self._limits()), len(held)
        )
        return fresh

    async def read(self, user: str, kinds: Sequence[str] | None = None) -> StoredUser:
        """Return what is held of a user."""
        oldest = self._retention.oldest(self._clock())
        return await self._reading(partial(sql.read, user=user, kinds=kinds, oldest=oldest))

    async def merge(self, session: str, user: str) -> int:
        """Make a session's events those of a user."""
        moved: int = await self._written(
            lambda connection: sql.merge(connection, session, user, *self._limits())
        )
        return moved

    async def delete(self, user: str) -> int:
        """Forget a user."""
        gone: int = await self._written(partial(sql.delete, user=user))
        return gone

    async def compact(self) -> int:
        """Drop what is over the limits, then write the file anew; writes wait meanwhile."""
        gone: int = await self._written(lambda connection: sql.expire(connection, *self._limits()))
        await self._written(sql.vacuum, alone=True)
        return gone

    async def scan(self) -> AsyncIterator[list[Event]]:
        """Yield all events in the order they came."""
        seq = 0
        while True:
            events, seq = await self._reading(partial(sql.after, seq=seq, n=_SCAN_ROWS))
            if not events:
                return
            yield events

    async def aclose(self) -> None:
        """Finish what waits, then close the file."""
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        await asyncio.to_thread(self._writer.join)
        await asyncio.to_thread(self._reader.shutdown)
        self._read.close()
        self._write.close()

    def _limits(self) -> tuple[int, float]:
        return self._retention.per_kind, self._retention.oldest(self._clock())

    async def _written(
        self, work: Callable[[sqlite3.Connection], Any], size: int = 1, *, alone: bool = False
    ) -> Any:  # noqa: ANN401 - whatever the work returns
        if self._closed:
            raise StoreError("the event store is closed")
        if self._waiting + size > self._most_waiting:
            raise OverloadedError("too many events are waiting", retry_after_ms=_RETRY_MS)
        job = _Job(work, self._loop.create_future(), size, alone)
        self._waiting += size
        self._jobs.put(job)
        return await job.answer

    async def _reading(self, work: Callable[[sqlite3.Connection], R]) -> R:
        if self._closed:
            raise StoreError("the event store is closed")
        try:
            return await self._loop.run_in_executor(self._reader, self._at_one_moment, work)
        except (sqlite3.Error, UnicodeError) as error:
            raise StoreError("user state cannot be read") from error

    def _at_one_moment(self, work: Callable[[sqlite3.Connection], R]) -> R:
        self._read.execute("BEGIN")
        try:
            return work(self._read)
        finally:
            self._read.execute("COMMIT")

    def _run(self) -> None:
        """Write until closed. Runs in its own thread."""
        while jobs := self._taken():
            results = self._committed(jobs)
            try:
                self._loop.call_soon_threadsafe(self._deliver, jobs, results)
            except RuntimeError:  # the loop has ended: nobody waits any more
                return

    def _taken(self) -> list[_Job]:
        """Return what waits, or wait for something; empty = close."""
        jobs: list[_Job] = []
        size = 0
        while size < _MOST_TOGETHER:
            try:
                job = self._jobs.get(block=not jobs)
            except queue.Empty:
                break
            if job is None:
                if jobs:
                    self._jobs.put(None)  # first these, then the end
                break
            jobs.append(job)
            size += job.size
        return jobs

    def _committed(self, jobs: Sequence[_Job]) -> list[Any]:
        """Do the work of all jobs; one result or exception each."""
        results: list[Any] = []
        try:
            for job in jobs:
                self._begin(job)
                results.append(self._tried(job))
            if self._write.in_transaction:
                self._write.execute("COMMIT")
                self.commits += 1
        except Exception as error:  # noqa: BLE001 - whoever waits must be answered
            _log.error("the event store could not write", exc_info=error)
            if self._write.in_transaction:
                self._write.execute("ROLLBACK")
            results = [error] * len(jobs)
        return results

    def _begin(self, job: _Job) -> None:
        """Be in a transaction, or out of it, as the job needs."""
        if job.alone and self._write.in_transaction:
            self._write.execute("COMMIT")
        elif not job.alone and not self._write.in_transaction:
            self._write.execute("BEGIN IMMEDIATE")

    def _tried(self, job: _Job) -> Any:  # noqa: ANN401 - a result, or why there is none
        """Do one job's work; if it fails, it alone is undone."""
        if job.alone:
            return job.work(self._write)
        self._write.execute("SAVEPOINT job")
        try:
            result = job.work(self._write)
        except Exception as error:  # noqa: BLE001 - as below
            # Where the disk is full, the whole transaction is gone and this fails too.
            self._write.execute("ROLLBACK TO job")
            result = error
        self._write.execute("RELEASE job")
        return result

    def _deliver(self, jobs: Sequence[_Job], results: Sequence[Any]) -> None:
        for job, result in zip(jobs, results, strict=True):
            self._waiting -= job.size
            if job.answer.done():
                continue
            if isinstance(result, Exception):
                failure = StoreError("user state cannot be written")
                failure.__cause__ = result
                job.answer.set_exception(failure)
            else:
                job.answer.set_result(result)
