"""The tables of events and users in SQLite, and how those of an older file are brought to them.

Until format 2 of the file the tables had no namespace: all bundles shared the events. What an older
file holds goes to the namespace of the first store that opens it.
"""

import sqlite3
from typing import Final

from app.serving.stores.namespaces import adopted

TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS events (
        seq INTEGER PRIMARY KEY, namespace TEXT NOT NULL, id TEXT NOT NULL, user TEXT NOT NULL,
        kind TEXT NOT NULL, time REAL NOT NULL, item TEXT NOT NULL, value REAL,
        recommendation TEXT, query TEXT NOT NULL DEFAULT '', context TEXT NOT NULL DEFAULT '',
        UNIQUE (namespace, id))""",
    "CREATE INDEX IF NOT EXISTS events_of_user ON events (namespace, user, kind, time, seq)",
    # Items of events that were dropped because there were too many of their kind.
    """CREATE TABLE IF NOT EXISTS seen (
        namespace TEXT NOT NULL, user TEXT NOT NULL, kind TEXT NOT NULL, item TEXT NOT NULL,
        time REAL NOT NULL, value REAL,
        PRIMARY KEY (namespace, user, kind, item)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS users (
        namespace TEXT NOT NULL, hash TEXT NOT NULL, epoch BLOB NOT NULL, n INTEGER NOT NULL,
        deleted INTEGER NOT NULL DEFAULT 0, merged TEXT NOT NULL DEFAULT '[]',
        PRIMARY KEY (namespace, hash)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS attributes (
        namespace TEXT NOT NULL, hash TEXT NOT NULL, user TEXT NOT NULL, named TEXT NOT NULL,
        PRIMARY KEY (namespace, hash)) WITHOUT ROWID""",
)
_NAMES: Final = ("events", "seen", "users", "attributes")


def adopt(connection: sqlite3.Connection, namespace: str) -> str | None:
    """Give all rows of an older file to a namespace, within the transaction of the caller.

    Returns what to say about it; None if there was nothing.
    """
    older = {name: columns for name in _NAMES if (columns := _columns(connection, name))}
    if not older:
        return None
    connection.execute("DROP INDEX IF EXISTS events_of_user")
    for name in older:
        connection.execute(f"ALTER TABLE {name} RENAME TO older_{name}")
    for statement in TABLES:
        connection.execute(statement)
    moved = 0
    for name, columns in older.items():
        names = ", ".join(columns)
        copied = connection.execute(
            f"INSERT INTO {name} (namespace, {names}) SELECT ?, {names} FROM older_{name}",  # noqa: S608 - our own names
            (namespace,),
        )
        moved += copied.rowcount
        connection.execute(f"DROP TABLE older_{name}")
    return adopted(namespace) if moved else None


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})").fetchall()]
