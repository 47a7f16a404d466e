"""The embedded event store: `EventStore` over one SQLite file. The SQL is in `sqlite_events`."""

import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from app.core.types import Attributes, Event, Retention, StoredUser
from app.serving.stores import sqlite_events as sql
from app.serving.stores.sqlite_file import MOST_WAITING, PATIENCE_S, SqliteFile
from app.serving.stores.sqlite_tables import TABLES, adopt
from app.serving.stores.user_identity import random_epoch

_SCAN_ROWS: Final = 1000


class SqliteEventStore:
    """`EventStore` of one namespace in one file. Belongs to the event loop that made it."""

    def __init__(  # noqa: PLR0913 - clock and threads are injected
        self,
        path: Path,
        retention: Retention | None = None,
        clock: Callable[[], float] = time.time,
        *,
        namespace: str = "",
        new_epoch: Callable[[], bytes] = random_epoch,
        most_waiting: int = MOST_WAITING,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Open or make the file, its folder included.

        Args:
            path: of the file.
            retention: how long events are stored.
            clock: unix seconds.
            namespace: whose events these are; what a file of an older version holds becomes its.
            new_epoch: makes 8 bytes that are never the same again.
            most_waiting: most events that wait to be written; more are refused.
            patience_s: how long to wait while another process writes.

        Raises:
            StoreError: it cannot be opened, or is not a file of this service.
        """
        self._retention = retention or Retention()
        self._clock = clock
        self._new_epoch = new_epoch
        self._path, self._namespace = path, namespace
        self._file = SqliteFile(
            path,
            TABLES,
            "the event store",
            upgrade=partial(adopt, namespace=namespace),
            most_waiting=most_waiting,
            patience_s=patience_s,
        )

    def __repr__(self) -> str:
        name, waiting = self._path.name, self._file.waiting
        return f"<SqliteEventStore {name} of {self._namespace}, {waiting} events waiting>"

    @property
    def alive(self) -> bool:
        """Whether the thread that writes is alive."""
        return self._file.alive

    async def append(self, events: Sequence[Event]) -> tuple[bool, ...]:
        """Store events; return once they are on the disk."""
        rows, namespace = tuple(events), self._namespace

        def append(connection: sqlite3.Connection) -> tuple[bool, ...]:
            return sql.append(
                connection, namespace, rows, limits=self._limits(), new_epoch=self._new_epoch
            )

        return await self._file.written(append, len(rows))

    async def version(self, user: str) -> bytes:
        """Return the version of a user."""
        return await self._file.reading(partial(sql.version, namespace=self._namespace, user=user))

    async def read(
        self, user: str, kinds: Sequence[str] | None = None, *, seen: Sequence[str] = ()
    ) -> StoredUser:
        """Return the stored state of a user."""
        oldest = self._retention.oldest(self._clock())
        read = partial(
            sql.read, namespace=self._namespace, user=user, kinds=kinds, seen=seen, oldest=oldest
        )
        return self._retention.dated(await self._file.reading(read))

    async def merge(self, session: str, user: str) -> int:
        """Give a session's events to a user."""

        def merge(connection: sqlite3.Connection) -> int:
            return sql.merge(
                connection,
                self._namespace,
                session,
                user,
                limits=self._limits(),
                new_epoch=self._new_epoch,
            )

        return await self._file.written(merge)

    async def delete(self, user: str) -> int:
        """Delete a user."""
        delete = partial(sql.delete, namespace=self._namespace, user=user, epoch=self._new_epoch())
        return await self._file.written(delete)

    async def undo(self, event_id: str) -> bool:
        """Delete one event."""
        undo = partial(
            sql.undo, namespace=self._namespace, event_id=event_id, epoch=self._new_epoch()
        )
        return await self._file.written(undo)

    async def put_attributes(self, user: str, attributes: Attributes) -> None:
        """Store the attributes of a user."""
        put = partial(
            sql.put_attributes,
            namespace=self._namespace,
            user=user,
            attributes=attributes,
            epoch=self._new_epoch(),
        )
        await self._file.written(put)

    async def scan_attributes(self) -> AsyncIterator[list[tuple[str, Attributes]]]:
        """Yield all users with attributes in no order."""
        last = ""
        while True:
            page = partial(sql.attributes_after, namespace=self._namespace, last=last, n=_SCAN_ROWS)
            users, last = await self._file.reading(page)
            if not users:
                return
            yield users

    async def compact(self) -> int:
        """Drop events beyond the retention, then rewrite the file; writes wait meanwhile."""
        gone = await self._file.written(
            lambda connection: sql.expire(connection, self._namespace, self._limits())
        )
        await self._file.written(sql.vacuum, autocommit=True)
        return gone

    async def scan(self) -> AsyncIterator[list[Event]]:
        """Yield all events in the order they came."""
        seq = 0
        while True:
            page = partial(sql.after, namespace=self._namespace, seq=seq, n=_SCAN_ROWS)
            events, seq = await self._file.reading(page)
            if not events:
                return
            yield events

    async def namespaces(self) -> list[str]:
        """Return the names of the namespaces that hold events."""
        return await self._file.reading(sql.namespaces)

    async def aclose(self) -> None:
        """Finish the waiting writes, then close the file. Idempotent."""
        await self._file.aclose()

    def _limits(self) -> sql.RetentionLimits:
        """Return what is stored now. It is computed when a write runs, not when it is queued."""
        return sql.RetentionLimits(
            per_kind=self._retention.per_kind, oldest=self._retention.oldest(self._clock())
        )
