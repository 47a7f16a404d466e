"""Events and users in SQLite, as plain functions on a connection; each runs in a transaction.

A user's own row is named by a hash, so that a deleted user is remembered as deleted, but not by
name. This module knows neither threads nor when a transaction ends.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

import orjson

from app.core.ports import MOST_MERGED, NEWEST_EVENTS
from app.core.types import Event, SeenItem, StoredUser
from app.serving.stores.seen import united
from app.serving.stores.user_hash import hashed_user

TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS events (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, user TEXT NOT NULL, kind TEXT NOT NULL,
        time REAL NOT NULL, item TEXT NOT NULL, value REAL, recommendation TEXT)""",
    "CREATE INDEX IF NOT EXISTS events_of_user ON events (user, kind, time, seq)",
    # What was seen in events that are no longer kept, because there are too many of their kind.
    """CREATE TABLE IF NOT EXISTS seen (
        user TEXT NOT NULL, kind TEXT NOT NULL, item TEXT NOT NULL, time REAL NOT NULL, value REAL,
        PRIMARY KEY (user, kind, item)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS users (
        hash TEXT PRIMARY KEY, epoch BLOB NOT NULL, n INTEGER NOT NULL,
        deleted INTEGER NOT NULL DEFAULT 0, merged TEXT NOT NULL DEFAULT '[]') WITHOUT ROWID""",
)
_INSERT: Final = """INSERT INTO events (id, user, item, kind, time, value, recommendation)
    VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"""
_NEWEST: Final = """SELECT id, user, item, kind, time, value, recommendation, seq FROM events
    WHERE user = ? AND kind = ? AND time >= ? ORDER BY time DESC, seq DESC LIMIT ?"""
_SEEN_IN: Final = "SELECT item, time, value FROM {} WHERE user = ? AND kind = ? AND time >= ?"
_REMEMBER: Final = """INSERT INTO seen (user, kind, item, time, value)
    SELECT ?, kind, item, max(time), max(value) FROM {rows} GROUP BY kind, item
    ON CONFLICT (user, kind, item) DO UPDATE SET time = max(time, excluded.time),
        value = coalesce(max(value, excluded.value), value, excluded.value)"""
_OVER: Final = """SELECT seq FROM events WHERE user = ? AND kind = ?
    ORDER BY time DESC, seq DESC LIMIT -1 OFFSET ?"""
_AFTER: Final = """SELECT id, user, item, kind, time, value, recommendation, seq FROM events
    WHERE seq > ? ORDER BY seq LIMIT ?"""


def append(
    connection: sqlite3.Connection, events: Sequence[Event], per_kind: int, oldest: float
) -> tuple[bool, ...]:
    """Insert what is new, count it in the users' versions, drop what is over the limits."""
    fresh = tuple(_insert(connection, event) for event in events)
    added: dict[str, int] = {}
    for event, new in zip(events, fresh, strict=True):
        if new:
            added[event.user] = added.get(event.user, 0) + 1
    for user, n in added.items():
        _changed(connection, user, n)
    for user, kind in {(e.user, e.kind) for e, new in zip(events, fresh, strict=True) if new}:
        _trim(connection, user, kind, per_kind, oldest)
    return fresh


def _insert(connection: sqlite3.Connection, event: Event) -> bool:
    row = (
        *(event.id, event.user, event.item, event.kind),
        *(event.time, event.value, event.recommendation),
    )
    return connection.execute(_INSERT, row).rowcount == 1


def _changed(connection: sqlite3.Connection, user: str, n: int) -> None:
    connection.execute(
        "INSERT INTO users (hash, epoch, n) VALUES (?, randomblob(8), ?) "
        "ON CONFLICT (hash) DO UPDATE SET n = n + excluded.n",
        (hashed_user(user), n),
    )


def _trim(
    connection: sqlite3.Connection, user: str, kind: str, per_kind: int, oldest: float
) -> None:
    connection.execute(
        "DELETE FROM events WHERE user = ? AND kind = ? AND time < ?", (user, kind, oldest)
    )
    over = connection.execute(_OVER, (user, kind, per_kind)).fetchall()
    if over:
        remember = _REMEMBER.format(rows=f"events WHERE seq IN ({_OVER})")
        connection.execute(remember, (user, user, kind, per_kind))
        connection.executemany("DELETE FROM events WHERE seq = ?", over)


def version(connection: sqlite3.Connection, user: str) -> bytes:
    """Return what differs after every change of a user; b"" for one who was never there."""
    row = connection.execute(
        "SELECT epoch, n FROM users WHERE hash = ?", (hashed_user(user),)
    ).fetchone()
    return b"" if row is None else _version(*row)


def _version(epoch: bytes, n: int) -> bytes:
    return epoch + b":%d" % n


def read(
    connection: sqlite3.Connection,
    user: str,
    kinds: Iterable[str] | None,
    seen: Iterable[str],
    oldest: float,
) -> StoredUser:
    """Return what is held of a user; the caller's transaction makes it one moment."""
    row = connection.execute(
        "SELECT epoch, n, deleted, merged FROM users WHERE hash = ?", (hashed_user(user),)
    ).fetchone()
    if row is None:
        return StoredUser()
    epoch, n, deleted, merged = row
    counts: dict[str, int] = {}
    if kinds is None:
        kinds = counts = dict(
            connection.execute(
                "SELECT kind, count(*) FROM events WHERE user = ? AND time >= ? GROUP BY kind",
                (user, oldest),
            ).fetchall()
        )
    found = []
    for kind in kinds:
        found += connection.execute(_NEWEST, (user, kind, oldest, NEWEST_EVENTS)).fetchall()
    found.sort(key=lambda row: (row[4], row[7]))
    events = tuple(Event(*row[:7]) for row in found)
    return StoredUser(
        version=_version(epoch, n),
        events=events,
        counts=counts,
        deleted=bool(deleted),
        merged=tuple(orjson.loads(merged)),
        seen={kind: _seen(connection, user, kind, oldest) for kind in seen},
    )


def _seen(connection: sqlite3.Connection, user: str, kind: str, oldest: float) -> list[SeenItem]:
    """Return every item of one kind once: of the events that are kept, and of dropped ones."""
    kept, dropped = (
        connection.execute(_SEEN_IN.format(table), (user, kind, oldest)).fetchall()
        for table in ("events", "seen")
    )
    return united(map(SeenItem._make, dropped), map(SeenItem._make, kept))


def merge(
    connection: sqlite3.Connection, session: str, user: str, per_kind: int, oldest: float
) -> int:
    """Give a session's events to a user, then delete the session."""
    kinds = connection.execute("SELECT DISTINCT kind FROM events WHERE user = ?", (session,))
    touched = [kind for (kind,) in kinds.fetchall()]
    remember = _REMEMBER.format(rows="seen WHERE user = ?")
    connection.execute(remember, (user, session))
    moved = connection.execute("UPDATE events SET user = ? WHERE user = ?", (user, session))
    for kind in touched:
        _trim(connection, user, kind, per_kind, oldest)
    names = dict.fromkeys((*_merged(connection, user), *_merged(connection, session), session))
    _changed(connection, user, 1)
    connection.execute(
        "UPDATE users SET merged = ? WHERE hash = ?",
        (orjson.dumps(list(names)[-MOST_MERGED:]).decode(), hashed_user(user)),
    )
    delete(connection, session)
    return moved.rowcount


def _merged(connection: sqlite3.Connection, user: str) -> list[str]:
    row = connection.execute("SELECT merged FROM users WHERE hash = ?", (hashed_user(user),))
    found = row.fetchone()
    return [] if found is None else list(orjson.loads(found[0]))


def delete(connection: sqlite3.Connection, user: str) -> int:
    """Delete a user's events; what stays is a hash that says "deleted"."""
    gone = connection.execute("DELETE FROM events WHERE user = ?", (user,)).rowcount
    connection.execute("DELETE FROM seen WHERE user = ?", (user,))
    connection.execute(
        "INSERT INTO users (hash, epoch, n, deleted) VALUES (?, randomblob(8), 0, 1) ON CONFLICT "
        "(hash) DO UPDATE SET epoch = excluded.epoch, n = 0, deleted = 1, merged = '[]'",
        (hashed_user(user),),
    )
    return gone


def expire(connection: sqlite3.Connection, per_kind: int, oldest: float) -> int:
    """Delete what retention does not keep, of all users."""
    old = connection.execute("DELETE FROM events WHERE time < ?", (oldest,)).rowcount
    connection.execute("DELETE FROM seen WHERE time < ?", (oldest,))
    over = connection.execute(
        "SELECT user, kind, count(*) FROM events GROUP BY user, kind HAVING count(*) > ?",
        (per_kind,),
    ).fetchall()
    for user, kind, n in over:
        _trim(connection, user, kind, per_kind, oldest)
        old += n - per_kind
    return old


def vacuum(connection: sqlite3.Connection) -> None:
    """Write the file anew without what was deleted, and empty the log. Outside a transaction."""
    connection.execute("VACUUM")
    (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise sqlite3.OperationalError("somebody reads: the log still holds deleted values")


def after(connection: sqlite3.Connection, seq: int, n: int) -> tuple[list[Event], int]:
    """Return up to n events in the order they came, from after `seq` on, and the last one's seq."""
    rows = connection.execute(_AFTER, (seq, n)).fetchall()
    return [Event(*row[:7]) for row in rows], rows[-1][7] if rows else seq
