"""One SQLite file behind an event loop: a thread that writes, a thread that reads.

Writes that wait are committed together, so that one trip to the disk acknowledges many calls; the
event loop never waits for the disk. Several processes may open the same file. What is in it is not
known here: tables and work come from who opens it.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from app.core.errors import OverloadedError, StoreError

R = TypeVar("R")

MOST_WAITING: Final = 50_000
PATIENCE_S: Final = 5.0

_FORMAT: Final = 1
_CHECKPOINT_PAGES: Final = 4000
_MOST_TOGETHER: Final = 5000
_RETRY_MS: Final = 250
_LOOK_AGAIN_S: Final = 0.001

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    """One write and who waits for it. `size`: rows. `alone`: not inside a transaction."""

    work: Callable[[sqlite3.Connection], Any]
    answer: asyncio.Future[Any]
    size: int
    alone: bool


class SqliteFile:
    """A file of one kind of tables. Belongs to the event loop that made it.

    Attributes:
        commits: trips to the disk so far.
        waiting: rows that wait to be written.
    """

    def __init__(
        self,
        path: Path,
        tables: Sequence[str],
        name: str,
        *,
        most_waiting: int = MOST_WAITING,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Open or make the file, its folder included.

        Args:
            path: of the file.
            tables: statements that make what is missing in it.
            name: what it holds, for messages: "the event store".
            most_waiting: rows that may wait to be written; more are refused.
            patience_s: how long to wait while another process writes.

        Raises:
            StoreError: it cannot be opened, or is no store of ours.
        """
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._most_waiting = most_waiting
        self._patience_s = patience_s
        self._closed = False
        self.waiting = 0
        self.commits = 0
        self._write = _connect(path, tables, name, patience_s)
        self._read = _connect(path, tables, name, patience_s)
        self._read.execute("PRAGMA query_only = 1")
        self._reader = ThreadPoolExecutor(1, "recserve-store-read")
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._run, name="recserve-store-write", daemon=True)
        self._writer.start()

    async def written(
        self, work: Callable[[sqlite3.Connection], R], size: int = 1, *, alone: bool = False
    ) -> R:
        """Do work in a transaction; return its result once that is on the disk.

        Args:
            work: runs in the writing thread; if it raises, what it did is undone.
            size: rows it writes.
            alone: not inside a transaction.

        Raises:
            StoreError: it could not be done, or the file is closed.
            OverloadedError: too much is waiting.
        """
        if self._closed:
            raise StoreError(f"{self._name} is closed")
        if self.waiting + size > self._most_waiting:
            raise OverloadedError(f"{self._name} has too much to write", retry_after_ms=_RETRY_MS)
        job = _Job(work, self._loop.create_future(), size, alone)
        self.waiting += size
        self._jobs.put(job)
        result: R = await job.answer
        return result

    async def reading(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Return the result of work that sees the file as of one moment.

        Raises:
            StoreError: it could not be done, or the file is closed.
        """
        if self._closed:
            raise StoreError(f"{self._name} is closed")
        try:
            return await self._loop.run_in_executor(self._reader, self._at_one_moment, work)
        except (sqlite3.Error, UnicodeError) as error:
            raise StoreError(f"{self._name} cannot be read") from error

    async def aclose(self) -> None:
        """Finish what waits, then close the file. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        await asyncio.to_thread(self._writer.join)
        await asyncio.to_thread(self._reader.shutdown)
        self._read.close()
        self._write.close()

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
            _log.error("%s could not be written", self._name, exc_info=error)
            if self._write.in_transaction:
                self._write.execute("ROLLBACK")
            results = [error] * len(jobs)
        return results

    def _begin(self, job: _Job) -> None:
        """Be in a transaction, or out of it, as the job needs."""
        if job.alone and self._write.in_transaction:
            self._write.execute("COMMIT")
        elif not job.alone and not self._write.in_transaction:
            self._lock()

    def _lock(self) -> None:
        """Begin a transaction that may write, as soon as nobody else is in one.

        SQLite itself looks only every 100 ms after a while: where another writer is always busy,
        and the file free for moments only, it would wait for seconds.
        """
        deadline = time.monotonic() + self._patience_s
        self._write.execute("PRAGMA busy_timeout = 0")
        try:
            while not self._locked(deadline):
                time.sleep(_LOOK_AGAIN_S)
        finally:
            self._write.execute(f"PRAGMA busy_timeout = {int(1000 * self._patience_s)}")

    def _locked(self, deadline: float) -> bool:
        try:
            self._write.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            return False
        return True

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
            self.waiting -= job.size
            if job.answer.done():
                continue
            if isinstance(result, Exception):
                failure = StoreError(f"{self._name} cannot be written")
                failure.__cause__ = result
                job.answer.set_exception(failure)
            else:
                job.answer.set_result(result)


def _connect(path: Path, tables: Sequence[str], name: str, patience_s: float) -> sqlite3.Connection:
    """Open the file with full durability, and make what is missing in it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"the folder of {path.name} cannot be made") from error
    try:
        connection = sqlite3.connect(
            path, timeout=patience_s, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise StoreError(f"{name} {path.name} cannot be opened") from error
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: a commit returns once its part of the log is on the disk.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        _make(connection, tables)
    except sqlite3.Error as error:
        connection.close()
        raise StoreError(f"{name} {path.name} cannot be opened: {error}") from error
    except StoreError:
        connection.close()
        raise
    return connection


def _make(connection: sqlite3.Connection, tables: Sequence[str]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found not in {0, _FORMAT}:
        connection.execute("ROLLBACK")
        raise StoreError(f"the file has format {found}, this version reads {_FORMAT}")
    for statement in tables:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {_FORMAT}")
    connection.execute("COMMIT")
