"""The embedded journal of catalogue changes: `Journal` in the SQLite file of the event store."""

import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import orjson

from app.core.store_ports import MOST_CHANGED, journal_full
from app.core.types import Change
from app.serving.stores.sqlite_file import MOST_WAITING, PATIENCE_S, SqliteFile

_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS journals (catalogue TEXT PRIMARY KEY, newest INTEGER NOT NULL)",
    """CREATE TABLE IF NOT EXISTS changes (
        catalogue TEXT NOT NULL, seq INTEGER NOT NULL, item TEXT NOT NULL, record BLOB NOT NULL,
        UNIQUE (catalogue, item), UNIQUE (catalogue, seq))""",
)
_COUNT: Final = """INSERT INTO journals (catalogue, newest) VALUES (?, ?)
    ON CONFLICT (catalogue) DO UPDATE SET newest = newest + excluded.newest"""
_NEWEST: Final = "SELECT newest FROM journals WHERE catalogue = ?"
_N_ITEMS: Final = "SELECT count(*) FROM changes WHERE catalogue = ?"
_UPSERT: Final = """INSERT INTO changes (catalogue, seq, item, record) VALUES (?, ?, ?, ?)
    ON CONFLICT (catalogue, item) DO UPDATE SET seq = excluded.seq, record = excluded.record"""
_AFTER: Final = """SELECT seq, item, record FROM changes
    WHERE catalogue = ? AND seq > ? ORDER BY seq LIMIT ?"""


class SqliteJournal:
    """`Journal` of one catalogue in one file. Belongs to the event loop that made it."""

    def __init__(
        self,
        path: Path,
        catalogue: str,
        *,
        most_items: int = MOST_CHANGED,
        most_waiting: int = MOST_WAITING,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Open or make the file, its folder included.

        Args:
            path: of the file; an event store and other journals may be in it.
            catalogue: its name.
            most_items: most items with a change.
            most_waiting: most changes that wait to be written; more are refused.
            patience_s: how long to wait while another process writes.

        Raises:
            StoreError: it cannot be opened, or is not a file of this service.
        """
        self._catalogue, self._most_items = catalogue, most_items
        self._file = SqliteFile(
            path, _TABLES, "the journal", most_waiting=most_waiting, patience_s=patience_s
        )

    def __repr__(self) -> str:
        return f"<SqliteJournal of {self._catalogue}, {self._file.waiting} changes waiting>"

    @property
    def alive(self) -> bool:
        """Whether the thread that writes is alive."""
        return self._file.alive

    async def append(
        self, changes: Sequence[tuple[str, Mapping[str, object] | None]]
    ) -> tuple[Change, ...]:
        """Store changes; return once they are on the disk."""
        packed = [(item, orjson.dumps(record)) for item, record in changes]
        first = await self._file.written(
            partial(_append, catalogue=self._catalogue, packed=packed, most_items=self._most_items),
            len(packed),
        )
        return tuple(
            Change(seq, item, record) for seq, (item, record) in enumerate(changes, start=first)
        )

    async def after(self, seq: int, limit: int) -> tuple[Change, ...]:
        """Return the stored changes after a number."""
        return await self._file.reading(
            partial(_after, catalogue=self._catalogue, seq=seq, limit=limit)
        )

    async def newest(self) -> int:
        """Return the highest number ever given."""
        return await self._file.reading(partial(_newest, catalogue=self._catalogue))

    async def aclose(self) -> None:
        """Finish the waiting writes, then close the file. Idempotent."""
        await self._file.aclose()


def _append(
    connection: sqlite3.Connection,
    catalogue: str,
    packed: Sequence[tuple[str, bytes]],
    most_items: int,
) -> int:
    """Write changes, return the number of the first. Raises `StoreFullError`."""
    if not packed:
        return 0
    connection.execute(_COUNT, (catalogue, len(packed)))
    first = _newest(connection, catalogue) - len(packed) + 1
    rows = [
        (catalogue, seq, item, record) for seq, (item, record) in enumerate(packed, start=first)
    ]
    connection.executemany(_UPSERT, rows)
    # There are no more items than numbers were given: so they are counted late, or never.
    if rows[-1][1] > most_items:
        n_items: int = connection.execute(_N_ITEMS, (catalogue,)).fetchone()[0]
        if n_items > most_items:
            raise journal_full(most_items)
    return first


def _newest(connection: sqlite3.Connection, catalogue: str) -> int:
    row = connection.execute(_NEWEST, (catalogue,)).fetchone()
    return 0 if row is None else int(row[0])


def _after(
    connection: sqlite3.Connection, catalogue: str, seq: int, limit: int
) -> tuple[Change, ...]:
    rows = connection.execute(_AFTER, (catalogue, seq, limit)).fetchall()
    return tuple(Change(number, item, orjson.loads(record)) for number, item, record in rows)
