"""Events and users in SQLite: functions on a connection, each called within a transaction.

The row of a user is named by a hash, so that a deletion can be remembered without the user's id.
This module knows neither threads nor when a transaction ends.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from app.core.ports import MOST_MERGED, NEWEST_EVENTS
from app.core.types import Attributes, Event, SeenItem, StoredUser
from app.domain.named_values import read_back, written
from app.serving.stores.seen import united
from app.serving.stores.user_identity import hashed_user

TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS events (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, user TEXT NOT NULL, kind TEXT NOT NULL,
        time REAL NOT NULL, item TEXT NOT NULL, value REAL, recommendation TEXT,
        query TEXT NOT NULL DEFAULT '', context TEXT NOT NULL DEFAULT '')""",
    "CREATE INDEX IF NOT EXISTS events_of_user ON events (user, kind, time, seq)",
    # Items of events that were dropped because there were too many of their kind.
    """CREATE TABLE IF NOT EXISTS seen (
        user TEXT NOT NULL, kind TEXT NOT NULL, item TEXT NOT NULL, time REAL NOT NULL, value REAL,
        PRIMARY KEY (user, kind, item)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS users (
        hash TEXT PRIMARY KEY, epoch BLOB NOT NULL, n INTEGER NOT NULL,
        deleted INTEGER NOT NULL DEFAULT 0, merged TEXT NOT NULL DEFAULT '[]') WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS attributes (
        hash TEXT PRIMARY KEY, user TEXT NOT NULL, named TEXT NOT NULL) WITHOUT ROWID""",
)
NEWER_COLUMNS: Final = (
    ("events", "query", "TEXT NOT NULL DEFAULT ''"),
    ("events", "context", "TEXT NOT NULL DEFAULT ''"),
)
"""Columns that files of older versions do not have: table, name, declaration."""

_INSERT: Final = """INSERT INTO events
    (id, user, item, kind, time, value, recommendation, query, context)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"""
_NEWEST: Final = """SELECT
    seq, id, user, item, kind, time, value, recommendation, query, context
    FROM events WHERE user = ? AND kind = ? AND time >= ? ORDER BY time DESC, seq DESC LIMIT ?"""
_USER: Final = """SELECT epoch, n, deleted, merged, named
    FROM users LEFT JOIN attributes USING (hash) WHERE hash = ?"""
_NAMED_AFTER: Final = """SELECT user, named, hash FROM attributes
    WHERE hash > ? ORDER BY hash LIMIT ?"""
_SEEN_IN: Final = "SELECT item, time, value FROM {} WHERE user = ? AND kind = ? AND time >= ?"
_REMEMBER: Final = """INSERT INTO seen (user, kind, item, time, value)
    SELECT ?, kind, item, max(time), max(value) FROM {rows} GROUP BY kind, item
    ON CONFLICT (user, kind, item) DO UPDATE SET time = max(time, excluded.time),
        value = coalesce(max(value, excluded.value), value, excluded.value)"""
_BEYOND_LIMIT: Final = """SELECT seq FROM events WHERE user = ? AND kind = ?
    ORDER BY time DESC, seq DESC LIMIT -1 OFFSET ?"""
_AFTER: Final = """SELECT
    seq, id, user, item, kind, time, value, recommendation, query, context
    FROM events WHERE seq > ? ORDER BY seq LIMIT ?"""


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """Which events are stored: the newest `per_kind` of each user and kind, from `oldest` on.

    `oldest`: unix seconds.
    """

    per_kind: int
    oldest: float


def append(
    connection: sqlite3.Connection,
    events: Sequence[Event],
    *,
    limits: RetentionLimits,
    new_epoch: Callable[[], bytes],
) -> tuple[bool, ...]:
    """Insert the events that are new; return which ones are.

    They are counted in the versions of their users, and events beyond the limits are dropped.
    """
    inserted = tuple(_insert(connection, event) for event in events)
    fresh = [event for event, new in zip(events, inserted, strict=True) if new]
    for user, n in Counter(event.user for event in fresh).items():
        _count_changes(connection, user, n=n, epoch=new_epoch())
    for user, kind in {(event.user, event.kind) for event in fresh}:
        _trim(connection, user, kind, limits=limits)
    return inserted


def _insert(connection: sqlite3.Connection, event: Event) -> bool:
    row = (
        event.id,
        event.user,
        event.item,
        event.kind,
        event.time,
        event.value,
        event.recommendation,
        event.query,
        written(event.context).decode() if event.context else "",
    )
    return connection.execute(_INSERT, row).rowcount == 1


def _count_changes(connection: sqlite3.Connection, user: str, n: int, epoch: bytes) -> None:
    """Raise the version of a user by `n` changes; a new user gets `epoch`."""
    connection.execute(
        "INSERT INTO users (hash, epoch, n) VALUES (?, ?, ?) "
        "ON CONFLICT (hash) DO UPDATE SET n = n + excluded.n",
        (hashed_user(user), epoch, n),
    )


def _trim(connection: sqlite3.Connection, user: str, kind: str, limits: RetentionLimits) -> None:
    """Drop the events of a user and kind that are beyond the limits."""
    per_kind = limits.per_kind
    connection.execute(
        "DELETE FROM events WHERE user = ? AND kind = ? AND time < ?", (user, kind, limits.oldest)
    )
    rows = connection.execute(_BEYOND_LIMIT, (user, kind, per_kind)).fetchall()
    if rows:
        remember = _REMEMBER.format(rows=f"events WHERE seq IN ({_BEYOND_LIMIT})")
        connection.execute(remember, (user, user, kind, per_kind))
        connection.executemany("DELETE FROM events WHERE seq = ?", rows)


def version(connection: sqlite3.Connection, user: str) -> bytes:
    """Return the version of a user, which differs after every change; b"" for an unknown user."""
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
    """Return the stored state of a user. The transaction of the caller makes it consistent."""
    row = connection.execute(_USER, (hashed_user(user),)).fetchone()
    if row is None:
        return StoredUser()
    epoch, n, deleted, merged, named = row
    counts: dict[str, int] = {}
    if kinds is None:
        kinds = counts = dict(
            connection.execute(
                "SELECT kind, count(*) FROM events WHERE user = ? AND time >= ? GROUP BY kind",
                (user, oldest),
            ).fetchall()
        )
    rows = []
    for kind in kinds:
        rows += connection.execute(_NEWEST, (user, kind, oldest, NEWEST_EVENTS)).fetchall()
    rows.sort(key=lambda row: (row[5], row[0]))  # time, then seq
    events = tuple(map(_event, rows))
    return StoredUser(
        version=_version(epoch, n),
        events=events,
        counts=counts,
        deleted=bool(deleted),
        merged=tuple(orjson.loads(merged)),
        seen={kind: _seen(connection, user, kind=kind, oldest=oldest) for kind in seen},
        attributes=None if named is None else read_back(named),
    )


def _event(row: tuple[Any, ...]) -> Event:
    """Return the event of a row as `_NEWEST` and `_AFTER` return it."""
    _, *fields, context = row
    fields.append(read_back(context) if context else ())
    return Event(*fields)


def _seen(connection: sqlite3.Connection, user: str, kind: str, oldest: float) -> list[SeenItem]:
    """Return the seen items of one kind, each once, from stored and from dropped events."""
    stored, dropped = (
        connection.execute(_SEEN_IN.format(table), (user, kind, oldest)).fetchall()
        for table in ("events", "seen")
    )
    return united(map(SeenItem._make, dropped), map(SeenItem._make, stored))


def merge(
    connection: sqlite3.Connection,
    session: str,
    user: str,
    *,
    limits: RetentionLimits,
    new_epoch: Callable[[], bytes],
) -> int:
    """Give a session's events to a user, then delete the session."""
    kinds = connection.execute("SELECT DISTINCT kind FROM events WHERE user = ?", (session,))
    touched = [kind for (kind,) in kinds.fetchall()]
    remember = _REMEMBER.format(rows="seen WHERE user = ?")
    connection.execute(remember, (user, session))
    moved = connection.execute("UPDATE events SET user = ? WHERE user = ?", (user, session))
    for kind in touched:
        _trim(connection, user, kind, limits=limits)
    names = dict.fromkeys((*_merged(connection, user), *_merged(connection, session), session))
    _count_changes(connection, user, n=1, epoch=new_epoch())
    connection.execute(
        "UPDATE users SET merged = ? WHERE hash = ?",
        (orjson.dumps(list(names)[-MOST_MERGED:]).decode(), hashed_user(user)),
    )
    delete(connection, session, new_epoch())
    return moved.rowcount


def _merged(connection: sqlite3.Connection, user: str) -> list[str]:
    sql = "SELECT merged FROM users WHERE hash = ?"
    row = connection.execute(sql, (hashed_user(user),)).fetchone()
    return [] if row is None else list(orjson.loads(row[0]))


def delete(connection: sqlite3.Connection, user: str, epoch: bytes) -> int:
    """Delete a user's events and attributes; a hash stays, marked as deleted, with a new epoch."""
    gone = connection.execute("DELETE FROM events WHERE user = ?", (user,)).rowcount
    connection.execute("DELETE FROM seen WHERE user = ?", (user,))
    connection.execute("DELETE FROM attributes WHERE hash = ?", (hashed_user(user),))
    connection.execute(
        "INSERT INTO users (hash, epoch, n, deleted) VALUES (?, ?, 0, 1) ON CONFLICT "
        "(hash) DO UPDATE SET epoch = excluded.epoch, n = 0, deleted = 1, merged = '[]'",
        (hashed_user(user), epoch),
    )
    return gone


def put_attributes(
    connection: sqlite3.Connection, user: str, attributes: Attributes, epoch: bytes
) -> None:
    """Store the attributes of a user in place of those before; a new user gets `epoch`."""
    connection.execute(
        "INSERT OR REPLACE INTO attributes (hash, user, named) VALUES (?, ?, ?)",
        (hashed_user(user), user, written(attributes).decode()),
    )
    _count_changes(connection, user, n=1, epoch=epoch)


def attributes_after(
    connection: sqlite3.Connection, last: str, n: int
) -> tuple[list[tuple[str, Attributes]], str]:
    """Return users and attributes behind the hash `last`, at most `n`, and the newest hash."""
    rows = connection.execute(_NAMED_AFTER, (last, n)).fetchall()
    return [(user, read_back(named)) for user, named, _ in rows], rows[-1][2] if rows else last


def expire(connection: sqlite3.Connection, limits: RetentionLimits) -> int:
    """Drop the events of all users that are beyond the limits; return how many there were."""
    dropped = connection.execute("DELETE FROM events WHERE time < ?", (limits.oldest,)).rowcount
    connection.execute("DELETE FROM seen WHERE time < ?", (limits.oldest,))
    crowded = connection.execute(
        "SELECT user, kind, count(*) FROM events GROUP BY user, kind HAVING count(*) > ?",
        (limits.per_kind,),
    ).fetchall()
    for user, kind, n in crowded:
        _trim(connection, user, kind, limits=limits)
        dropped += n - limits.per_kind
    return dropped


def vacuum(connection: sqlite3.Connection) -> None:
    """Rewrite the file without deleted values, and empty its log. Not within a transaction."""
    connection.execute("VACUUM")
    (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise sqlite3.OperationalError("a reader is active: the log still contains deleted values")


def after(connection: sqlite3.Connection, seq: int, n: int) -> tuple[list[Event], int]:
    """Return up to `n` events after `seq`, in the order they came, and the `seq` of the last."""
    rows = connection.execute(_AFTER, (seq, n)).fetchall()
    return [_event(row) for row in rows], rows[-1][0] if rows else seq
