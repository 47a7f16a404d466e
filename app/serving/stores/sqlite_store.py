"""The embedded event store: `EventStore` over one SQLite file. Does not know SQL."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from app.core.types import Event, Retention, StoredUser
from app.serving.stores import sqlite_events as sql
from app.serving.stores.sqlite_file import MOST_WAITING, PATIENCE_S, SqliteFile

_SCAN_ROWS: Final = 1000


class SqliteEventStore:
    """`EventStore` over one file. Belongs to the event loop that made it."""

    def __init__(
        self,
        path: Path,
        retention: Retention | None = None,
        clock: Callable[[], float] = time.time,
        *,
        most_waiting: int = MOST_WAITING,
        patience_s: float = PATIENCE_S,
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
        self._path = path
        self._file = SqliteFile(
            path, sql.TABLES, "the event store", most_waiting=most_waiting, patience_s=patience_s
        )

    def __repr__(self) -> str:
        return f"<SqliteEventStore {self._path.name}, {self._file.waiting} events waiting>"

    async def append(self, events: Sequence[Event]) -> tuple[bool, ...]:
        """Keep events; returns once they are on the disk."""
        held = tuple(events)
        return await self._file.written(
            lambda connection: sql.append(connection, held, *self._limits()), len(held)
        )

    async def version(self, user: str) -> bytes:
        """Return the version of a user."""
        return await self._file.reading(partial(sql.version, user=user))

    async def read(
        self, user: str, kinds: Sequence[str] | None = None, *, seen: Sequence[str] = ()
    ) -> StoredUser:
        """Return what is held of a user."""
        oldest = self._retention.oldest(self._clock())
        read = partial(sql.read, user=user, kinds=kinds, seen=seen, oldest=oldest)
        return self._retention.dated(await self._file.reading(read))

    async def merge(self, session: str, user: str) -> int:
        """Make a session's events those of a user."""
        return await self._file.written(
            lambda connection: sql.merge(connection, session, user, *self._limits())
        )

    async def delete(self, user: str) -> int:
        """Forget a user."""
        return await self._file.written(partial(sql.delete, user=user))

    async def compact(self) -> int:
        """Drop what is over the limits, then write the file anew; writes wait meanwhile."""
        gone = await self._file.written(lambda connection: sql.expire(connection, *self._limits()))
        await self._file.written(sql.vacuum, alone=True)
        return gone

    async def scan(self) -> AsyncIterator[list[Event]]:
        """Yield all events in the order they came."""
        seq = 0
        while True:
            events, seq = await self._file.reading(partial(sql.after, seq=seq, n=_SCAN_ROWS))
            if not events:
                return
            yield events

    async def aclose(self) -> None:
        """Finish what waits, then close the file. Idempotent."""
        await self._file.aclose()

    def _limits(self) -> tuple[int, float]:
        return self._retention.per_kind, self._retention.oldest(self._clock())
