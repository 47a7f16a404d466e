"""A SQLite file for an event loop: one thread writes to it, another one reads.

All waiting writes are committed together (group commit), so one write to the disk acknowledges many
calls. The event loop never waits for the disk. Several processes may open the same file. If the
writing thread dies, which no failed write does by itself, all writes that wait fail at once, and
`alive` says so. This module does not know what the file contains: the caller supplies the tables
and the work.
"""

import asyncio
import contextlib
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

from app.core.errors import OverloadedError, StoreError, StoreFullError

R = TypeVar("R")

MOST_WAITING: Final = 50_000
PATIENCE_S: Final = 5.0

_FORMAT: Final = 2
"""Format 1 had events and users without a namespace."""
_UPGRADE_MS: Final = 120_000
"""How long to wait while another process brings the file to this format."""
_CHECKPOINT_PAGES: Final = 4000
_MAX_ROWS_PER_COMMIT: Final = 5000
_RETRY_MS: Final = 250
_LOCK_POLL_S: Final = 0.001

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    """One write and its promise. `size`: rows. `autocommit`: not inside a transaction."""

    work: Callable[[sqlite3.Connection], Any]
    answer: asyncio.Future[Any]
    size: int
    autocommit: bool


@dataclass(frozen=True, slots=True)
class _Tables:
    """What a file has; see `SqliteFile`."""

    statements: Sequence[str]
    upgrade: Callable[[sqlite3.Connection], str | None] | None


class SqliteFile:
    """A SQLite file with some tables. Belongs to the event loop that made it.

    Attributes:
        commits: transactions committed so far.
        waiting: rows that wait to be written.
    """

    def __init__(  # noqa: PLR0913 - clock and threads are injected
        self,
        path: Path,
        tables: Sequence[str],
        name: str,
        *,
        upgrade: Callable[[sqlite3.Connection], str | None] | None = None,
        most_waiting: int = MOST_WAITING,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open or make the file, its folder included.

        Args:
            path: of the file.
            tables: statements that make missing tables and indexes.
            name: what it contains, for messages, such as "the event store".
            upgrade: brings these tables of an older file to the newest format, before missing
                ones are made; returns what to say about it. It is called once for a file.
            most_waiting: most rows that wait to be written; more are refused.
            patience_s: how long to wait while another process writes.
            clock: monotonic seconds, for that wait.
            sleep: blocks the writing thread for some seconds, for that wait.

        Raises:
            StoreError: it cannot be opened, or is not a file of this service.
        """
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._most_waiting = most_waiting
        self._patience_s = patience_s
        self._clock, self._sleep = clock, sleep
        self._closed, self._alive = False, True
        self.waiting = 0
        self.commits = 0
        made = _Tables(tables, upgrade)
        self._write = _connect(path, made, name=name, patience_s=patience_s)
        self._read = _connect(path, made, name=name, patience_s=patience_s)
        self._read.execute("PRAGMA query_only = 1")
        self._reader = ThreadPoolExecutor(1, "recserve-store-read")
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # The log of SQLite stays the same file for as long as a connection is open.
        self._identities = {each: _identity(each) for each in (path, Path(f"{path}-wal"))}
        self._writer = threading.Thread(target=self._run, name="recserve-store-write", daemon=True)
        self._writer.start()

    @property
    def alive(self) -> bool:
        """Whether the writing thread is alive, or was ended by `aclose`."""
        return self._alive

    async def written(
        self, work: Callable[[sqlite3.Connection], R], size: int = 1, *, autocommit: bool = False
    ) -> R:
        """Do work in a transaction; return its result once it is on the disk.

        Args:
            work: runs in the writing thread; if it raises, its changes are undone.
            size: rows it writes.
            autocommit: not inside a transaction.

        Raises:
            StoreError: the work failed, the file is closed, or it was removed or replaced.
            StoreFullError: the disk is full.
            OverloadedError: too many rows wait to be written.
        """
        if self._closed:
            raise StoreError(f"{self._name} is closed")
        if not self._alive:
            raise self._dead()
        if self.waiting + size > self._most_waiting:
            raise OverloadedError(f"{self._name} has too much to write", retry_after_ms=_RETRY_MS)
        job = _Job(work=work, answer=self._loop.create_future(), size=size, autocommit=autocommit)
        self.waiting += size
        self._jobs.put(job)
        result: R = await job.answer
        return result

    async def reading(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Do work that only reads; it sees the file as of one moment.

        Raises:
            StoreError: the work failed, or the file is closed.
        """
        if self._closed:
            raise StoreError(f"{self._name} is closed")
        try:
            return await self._loop.run_in_executor(self._reader, self._at_one_moment, work)
        except (sqlite3.Error, UnicodeError) as error:
            raise StoreError(f"{self._name} cannot be read") from error

    async def aclose(self) -> None:
        """Finish the waiting writes, then close the file. Idempotent."""
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
        jobs: list[_Job] = []
        try:
            while jobs := self._next_jobs():
                self._post(self._deliver, jobs, self._committed(jobs))
                jobs = []
        except BaseException as error:  # noqa: BLE001 - whoever waits must learn of it
            _log.critical("the thread that writes %s died", self._name, exc_info=error)
            self._alive = False
            self._post(self._abandon, jobs)

    def _post(self, callback: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _abandon(self, jobs: list[_Job]) -> None:
        """Fail what was being written, and all that waits."""
        while not self._jobs.empty():
            if (job := self._jobs.get()) is not None:
                jobs.append(job)
        for job in jobs:
            self.waiting -= job.size
            if not job.answer.done():
                job.answer.set_exception(self._dead())

    def _dead(self) -> StoreError:
        return StoreError(f"{self._name} cannot be written: its thread has died")

    def _next_jobs(self) -> list[_Job]:
        """Return all waiting jobs, after waiting for at least one; an empty list means: close."""
        jobs: list[_Job] = []
        size = 0
        while size < _MAX_ROWS_PER_COMMIT:
            try:
                job = self._jobs.get(block=not jobs)
            except queue.Empty:
                break
            if job is None:
                if jobs:
                    self._jobs.put(None)  # close after these jobs
                break
            jobs.append(job)
            size += job.size
        return jobs

    def _committed(self, jobs: Sequence[_Job]) -> list[Any]:
        """Do the work of all jobs; one result or exception each."""
        results: list[Any] = []
        try:
            self._check_files()
            for job in jobs:
                self._begin(job)
                results.append(self._result_of(job))
            if self._write.in_transaction:
                self._write.execute("COMMIT")
                self.commits += 1
        except Exception as error:  # noqa: BLE001 - all callers must be answered
            _log.error("%s could not be written", self._name, exc_info=error)
            if self._write.in_transaction:
                with contextlib.suppress(sqlite3.Error):  # the disk may fail here too
                    self._write.execute("ROLLBACK")
            results = [error] * len(jobs)
        return results

    def _check_files(self) -> None:
        """Raise unless the files have the same names as when they were opened.

        A file that was removed or replaced can still be written by those who have it open, and
        nobody ever finds what they write. Moving it back mends this, a start as well.
        """
        for path, identity in self._identities.items():
            if _identity(path) != identity:
                raise StoreError(f"{path.name} was removed or replaced: put it back, or restart")

    def _begin(self, job: _Job) -> None:
        """Begin or commit a transaction, as the job needs."""
        if job.autocommit and self._write.in_transaction:
            self._write.execute("COMMIT")
        elif not job.autocommit and not self._write.in_transaction:
            self._lock()

    def _lock(self) -> None:
        """Begin a transaction that may write, once no other process is in one.

        This polls every millisecond. SQLite's own wait soon polls every 100 ms only: if another
        process writes most of the time, it would wait for seconds.
        """
        deadline = self._clock() + self._patience_s
        self._write.execute("PRAGMA busy_timeout = 0")
        try:
            while not self._locked(deadline):
                self._sleep(_LOCK_POLL_S)
        finally:
            self._write.execute(f"PRAGMA busy_timeout = {int(1000 * self._patience_s)}")

    def _locked(self, deadline: float) -> bool:
        try:
            self._write.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or self._clock() > deadline:
                raise
            return False
        return True

    def _result_of(self, job: _Job) -> Any:  # noqa: ANN401 - a result, or an exception
        """Do the work of one job; if it fails, only this job is undone."""
        if job.autocommit:
            return job.work(self._write)
        self._write.execute("SAVEPOINT job")
        try:
            result = job.work(self._write)
        except Exception as error:
            if not self._write.in_transaction:  # the disk is full: all of it is undone already
                raise
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
                job.answer.set_exception(self._failure(result))
            else:
                job.answer.set_result(result)

    def _failure(self, cause: Exception) -> StoreError:
        if isinstance(cause, StoreError):
            return cause
        failure = StoreError(f"{self._name} cannot be written")
        code = getattr(cause, "sqlite_errorcode", 0)  # only an error of SQLite itself has one
        if code & 0xFF == sqlite3.SQLITE_FULL:
            failure = StoreFullError(f"{self._name} cannot be written: it has no room")
        failure.__cause__ = cause
        return failure


def _identity(path: Path) -> tuple[int, int] | None:
    """Return device and number of a file; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _connect(path: Path, tables: _Tables, name: str, patience_s: float) -> sqlite3.Connection:
    """Open the file with full durability, and make missing tables."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the folder of {path.name} (data_dir, or store_url) cannot be made: {error.strerror}"
        ) from error
    try:
        connection = sqlite3.connect(
            path, timeout=patience_s, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise StoreError(f"{name} {path.name} cannot be opened") from error
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: a commit returns once its part of the write-ahead log is on the disk.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        _make_patiently(connection, tables, patience_s)
    except sqlite3.Error as error:
        connection.close()
        raise StoreError(f"{name} {path.name} cannot be opened: {error}") from error
    except StoreError:
        connection.close()
        raise
    return connection


def _make_patiently(connection: sqlite3.Connection, tables: _Tables, patience_s: float) -> None:
    """Make the tables. If the file is of an older format, another process may upgrade it now."""
    if _format_of(connection) < _FORMAT:
        connection.execute(f"PRAGMA busy_timeout = {_UPGRADE_MS}")
    _make(connection, tables)
    connection.execute(f"PRAGMA busy_timeout = {int(1000 * patience_s)}")


def _make(connection: sqlite3.Connection, tables: _Tables) -> None:
    connection.execute("BEGIN IMMEDIATE")
    version, said = _format_of(connection), None
    if version > _FORMAT:
        connection.execute("ROLLBACK")
        raise StoreError(f"the file has format {version}, this version reads {_FORMAT}")
    if tables.upgrade is not None and version < _FORMAT:
        said = tables.upgrade(connection)
    for statement in tables.statements:
        connection.execute(statement)
    if version == 0 or tables.upgrade is not None:
        connection.execute(f"PRAGMA user_version = {_FORMAT}")
    connection.execute("COMMIT")
    if said is not None:
        _log.warning("%s", said)


def _format_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
