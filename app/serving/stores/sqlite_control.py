"""The embedded store of rules and scenarios: `ControlStore` in the file of the event store."""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from app.core.control_port import KEPT_VERSIONS, ControlEntry, ControlKind, ControlState
from app.serving.stores.sqlite_file import PATIENCE_S, SqliteFile

R = TypeVar("R")

_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS control_numbers (namespace TEXT PRIMARY KEY, newest INTEGER)",
    """CREATE TABLE IF NOT EXISTS control (
        namespace TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, since INTEGER NOT NULL,
        version INTEGER NOT NULL, put_at REAL NOT NULL, text TEXT NOT NULL,
        PRIMARY KEY (namespace, kind, name, version)) WITHOUT ROWID""",
)
_COUNT: Final = """INSERT INTO control_numbers VALUES (?, ?)
    ON CONFLICT (namespace) DO UPDATE SET newest = newest + excluded.newest"""
_NEWEST: Final = """SELECT kind, name, since, version, put_at, text
    FROM control AS one WHERE namespace = ?1 AND version = (
    SELECT max(version) FROM control AS other WHERE other.namespace = ?1
    AND other.kind = one.kind AND other.name = one.name) ORDER BY since"""
_VERSIONS: Final = """SELECT kind, name, since, version, put_at, text FROM control
    WHERE namespace = ? AND kind = ? AND name = ? ORDER BY version DESC"""
_OLD: Final = """DELETE FROM control WHERE namespace = ?1 AND kind = ?2 AND name = ?3
    AND version NOT IN (SELECT version FROM control WHERE namespace = ?1 AND kind = ?2
    AND name = ?3 ORDER BY version DESC LIMIT ?4)"""


class SqliteControlStore:
    """`ControlStore` of one namespace in one file. Belongs to the event loop that made it."""

    def __init__(self, path: Path, namespace: str, *, patience_s: float = PATIENCE_S) -> None:
        """Open or make the file, its folder included.

        Args:
            path: of the file; other stores may be in it.
            namespace: its name.
            patience_s: how long to wait while another process writes.

        Raises:
            StoreError: it cannot be opened, or is not a file of this service.
        """
        self._namespace = namespace
        self._file = SqliteFile(
            path, _TABLES, "the store of rules and scenarios", patience_s=patience_s
        )

    def __repr__(self) -> str:
        return f"<SqliteControlStore of {self._namespace}>"

    @property
    def alive(self) -> bool:
        """Whether the thread that writes is alive."""
        return self._file.alive

    async def number(self) -> int:
        """Return the number of the newest change."""
        return await self._file.reading(partial(_number, namespace=self._namespace))

    async def read(self) -> ControlState:
        """Return everything."""
        return await self._file.reading(partial(_read, namespace=self._namespace))

    async def put(
        self, kind: ControlKind, texts: Sequence[tuple[str, str]], now: float
    ) -> tuple[ControlEntry, ...]:
        """Store entries; return once they are on the disk."""
        if not texts:
            return ()
        return await self._write(partial(_put, kind=kind, texts=texts, now=now), len(texts))

    async def delete(self, kind: ControlKind, name: str | None) -> int:
        """Delete one entry, or all."""
        return await self._write(partial(_delete, kind=kind, name=name))

    async def versions(self, kind: ControlKind, name: str) -> tuple[ControlEntry, ...]:
        """Return the kept versions."""
        return await self._file.reading(
            partial(_versions, namespace=self._namespace, kind=kind, name=name)
        )

    async def aclose(self) -> None:
        """Finish the waiting writes, then close the file. Idempotent."""
        await self._file.aclose()

    async def _write(self, work: Callable[[sqlite3.Connection, str], R], size: int = 1) -> R:
        return await self._file.written(lambda connection: work(connection, self._namespace), size)


def _put(
    connection: sqlite3.Connection,
    namespace: str,
    *,
    kind: ControlKind,
    texts: Sequence[tuple[str, str]],
    now: float,
) -> tuple[ControlEntry, ...]:
    connection.execute(_COUNT, (namespace, len(texts)))
    first = _number(connection, namespace) - len(texts) + 1
    put = []
    for version, (name, text) in enumerate(texts, start=first):
        before = _versions(connection, namespace, kind, name)
        since = before[0].since if before else version
        entry = ControlEntry(kind, name, since, version, now, text)
        connection.execute(
            "INSERT INTO control VALUES (?, ?, ?, ?, ?, ?, ?)",
            (namespace, kind, name, since, version, now, text),
        )
        connection.execute(_OLD, (namespace, kind, name, KEPT_VERSIONS[kind]))
        put.append(entry)
    return tuple(put)


def _delete(
    connection: sqlite3.Connection, namespace: str, *, kind: ControlKind, name: str | None
) -> int:
    # NULL = all of the kind.
    chosen = "FROM control WHERE namespace = ?1 AND kind = ?2 AND (?3 IS NULL OR name = ?3)"
    arguments = (namespace, kind, name)
    (gone,) = connection.execute(f"SELECT count(DISTINCT name) {chosen}", arguments).fetchone()
    if gone:
        connection.execute(f"DELETE {chosen}", arguments)
        connection.execute(_COUNT, (namespace, 1))
    return int(gone)


def _number(connection: sqlite3.Connection, namespace: str) -> int:
    row = connection.execute(
        "SELECT newest FROM control_numbers WHERE namespace = ?", (namespace,)
    ).fetchone()
    return 0 if row is None else int(row[0])


def _read(connection: sqlite3.Connection, namespace: str) -> ControlState:
    rows = connection.execute(_NEWEST, (namespace,)).fetchall()
    entries = tuple([ControlEntry(*row) for row in rows])
    return ControlState(_number(connection, namespace), entries)


def _versions(
    connection: sqlite3.Connection, namespace: str, kind: ControlKind, name: str
) -> tuple[ControlEntry, ...]:
    rows = connection.execute(_VERSIONS, (namespace, kind, name)).fetchall()
    return tuple([ControlEntry(*row) for row in rows])
