"""Events and users in SQLite: functions on a connection, each called within a transaction.

Each function works in one namespace; the tables are in `sqlite_tables`. The row of a user is named
by a hash, so that a deletion can be remembered without the user's id. This module knows neither
threads nor when a transaction ends.
"""

import math
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from app.core.store_ports import MOST_KINDS, MOST_MERGED, NEWEST_EVENTS
from app.core.types import Attributes, Event, SeenItem, StoredUser
from app.domain.named_values import read_back, written
from app.serving.stores.seen import united
from app.serving.stores.user_identity import hashed_user

_INSERT: Final = """INSERT INTO events
    (namespace, id, user, item, kind, time, value, recommendation, query, context)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (namespace, id) DO NOTHING"""
_NEWEST: Final = """SELECT
    seq, id, user, item, kind, time, value, recommendation, query, context
    FROM events WHERE namespace = ? AND user = ? AND kind = ? AND time >= ?
    ORDER BY time DESC, seq DESC LIMIT ?"""
_USER: Final = """SELECT epoch, n, deleted, merged, named
    FROM users LEFT JOIN attributes USING (namespace, hash) WHERE namespace = ? AND hash = ?"""
_NAMED_AFTER: Final = """SELECT user, named, hash FROM attributes
    WHERE namespace = ? AND hash > ? ORDER BY hash LIMIT ?"""
_SEEN_IN: Final = """SELECT item, time, value FROM {}
    WHERE namespace = ? AND user = ? AND kind = ? AND time >= ?"""
# It leaps from kind to kind in the index, past their events: DISTINCT would read them all.
_KINDS_IN: Final = """WITH RECURSIVE kinds(kind) AS (
    SELECT min(kind) FROM {table} WHERE namespace = ? AND user = ?
    UNION ALL SELECT (SELECT min(kind) FROM {table}
        WHERE namespace = ? AND user = ? AND kind > kinds.kind) FROM kinds WHERE kind NOT NULL)
    SELECT kind FROM kinds WHERE kind NOT NULL"""
_SOME: Final = "SELECT 1 FROM events WHERE namespace = ? AND user = ? AND kind = ? LIMIT ?"
_LATEST: Final = "SELECT kind, max(time) FROM events WHERE namespace = ? AND user = ? GROUP BY kind"
_DROP_KIND: Final = "DELETE FROM {} WHERE namespace = ? AND user = ? AND kind = ?"
_REMEMBER: Final = """INSERT INTO seen (namespace, user, kind, item, time, value)
    SELECT ?, ?, kind, item, max(time), max(value) FROM {rows} GROUP BY kind, item
    ON CONFLICT (namespace, user, kind, item) DO UPDATE SET time = max(time, excluded.time),
        value = coalesce(max(value, excluded.value), value, excluded.value)"""
_BEYOND_LIMIT: Final = """SELECT seq FROM events WHERE namespace = ? AND user = ? AND kind = ?
    ORDER BY time DESC, seq DESC LIMIT -1 OFFSET ?"""
# `+` keeps SQLite from the index by namespace: its rows would have to be sorted for every page.
_AFTER: Final = """SELECT
    seq, id, user, item, kind, time, value, recommendation, query, context
    FROM events WHERE seq > ? AND +namespace = ? ORDER BY seq LIMIT ?"""
_NAMESPACES: Final = """WITH RECURSIVE names (name) AS (
    SELECT min(namespace) FROM events
    UNION ALL SELECT (SELECT min(namespace) FROM events WHERE namespace > name) FROM names
    WHERE name IS NOT NULL) SELECT name FROM names WHERE name IS NOT NULL"""
_COUNT: Final = """INSERT INTO users (namespace, hash, epoch, n) VALUES (?, ?, ?, ?)
    ON CONFLICT (namespace, hash) DO UPDATE SET n = n + excluded.n"""
_FORGET: Final = """INSERT INTO users (namespace, hash, epoch, n, deleted) VALUES (?, ?, ?, 0, 1)
    ON CONFLICT (namespace, hash) DO UPDATE SET
    epoch = excluded.epoch, n = 0, deleted = 1, merged = '[]'"""


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """Which events are stored: the newest `per_kind` of each user and kind, from `oldest` on.

    `oldest`: unix seconds.
    """

    per_kind: int
    oldest: float


def append(
    connection: sqlite3.Connection,
    namespace: str,
    events: Sequence[Event],
    *,
    limits: RetentionLimits,
    new_epoch: Callable[[], bytes],
) -> tuple[bool, ...]:
    """Insert the events that are new; return which ones are.

    They are counted in the versions of their users, and events beyond the limits are dropped.
    """
    inserted = tuple(_insert(connection, namespace, event) for event in events)
    fresh = [event for event, new in zip(events, inserted, strict=True) if new]
    for user, n in Counter(event.user for event in fresh).items():
        _count_changes(connection, namespace, user, n=n, epoch=new_epoch())
    with_new_kinds = dict[str, None]()
    for (user, kind), n in Counter((event.user, event.kind) for event in fresh).items():
        _trim(connection, namespace, user, kind, limits=limits)
        some = connection.execute(_SOME, (namespace, user, kind, n + 1)).fetchall()
        if len(some) <= n:  # a kind that the user had no event of
            with_new_kinds[user] = None
    for user in with_new_kinds:
        _limit_kinds(connection, namespace, user)
    return inserted


def _limit_kinds(connection: sqlite3.Connection, namespace: str, user: str) -> None:
    """Drop all events of the kinds that a user has too many of."""
    kinds = _kinds_of(connection, namespace, user)
    if len(kinds) <= MOST_KINDS:
        return
    newest: dict[str, float] = dict(connection.execute(_LATEST, (namespace, user)).fetchall())
    oldest_first = sorted(kinds, key=lambda kind: (newest.get(kind, -math.inf), kind))
    for kind in oldest_first[:-MOST_KINDS]:
        for table in ("events", "seen"):
            connection.execute(_DROP_KIND.format(table), (namespace, user, kind))


def _insert(connection: sqlite3.Connection, namespace: str, event: Event) -> bool:
    row = (
        namespace,
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


def _count_changes(
    connection: sqlite3.Connection, namespace: str, user: str, n: int, epoch: bytes
) -> None:
    """Raise the version of a user by `n` changes; a new user gets `epoch`."""
    connection.execute(_COUNT, (namespace, hashed_user(user), epoch, n))


def _trim(
    connection: sqlite3.Connection, namespace: str, user: str, kind: str, limits: RetentionLimits
) -> None:
    """Drop the events of a user and kind that are beyond the limits."""
    per_kind = limits.per_kind
    connection.execute(
        "DELETE FROM events WHERE namespace = ? AND user = ? AND kind = ? AND time < ?",
        (namespace, user, kind, limits.oldest),
    )
    beyond = (namespace, user, kind, per_kind)
    rows = connection.execute(_BEYOND_LIMIT, beyond).fetchall()
    if rows:
        remember = _REMEMBER.format(rows=f"events WHERE seq IN ({_BEYOND_LIMIT})")
        connection.execute(remember, (namespace, user, *beyond))
        connection.executemany("DELETE FROM events WHERE seq = ?", rows)


def version(connection: sqlite3.Connection, namespace: str, user: str) -> bytes:
    """Return the version of a user, which differs after every change; b"" for an unknown user."""
    row = connection.execute(
        "SELECT epoch, n FROM users WHERE namespace = ? AND hash = ?",
        (namespace, hashed_user(user)),
    ).fetchone()
    return b"" if row is None else _version(*row)


def _version(epoch: bytes, n: int) -> bytes:
    return epoch + b":%d" % n


def read(  # noqa: PLR0913 - each by its name
    connection: sqlite3.Connection,
    namespace: str,
    user: str,
    *,
    kinds: Iterable[str] | None,
    seen: Iterable[str],
    oldest: float,
) -> StoredUser:
    """Return the stored state of a user. The transaction of the caller makes it consistent."""
    row = connection.execute(_USER, (namespace, hashed_user(user))).fetchone()
    if row is None:
        return StoredUser()
    epoch, n, deleted, merged, named = row
    counts: dict[str, int] = {}
    if kinds is None:
        kinds = counts = dict(
            connection.execute(
                "SELECT kind, count(*) FROM events "
                "WHERE namespace = ? AND user = ? AND time >= ? GROUP BY kind",
                (namespace, user, oldest),
            ).fetchall()
        )
    # There are many more rules than kinds that one user has.
    present = _kinds_of(connection, namespace, user)
    rows = []
    for kind in present.intersection(kinds):
        wanted = (namespace, user, kind, oldest, NEWEST_EVENTS)
        rows += connection.execute(_NEWEST, wanted).fetchall()
    rows.sort(key=lambda row: (row[5], row[0]))  # time, then seq
    events = tuple(map(_event, rows))
    return StoredUser(
        version=_version(epoch, n),
        events=events,
        counts=counts,
        deleted=bool(deleted),
        merged=tuple(orjson.loads(merged)),
        seen={
            kind: _seen(connection, namespace, user, kind=kind, oldest=oldest)
            if kind in present
            else []
            for kind in seen
        },
        attributes=None if named is None else read_back(named),
    )


def _kinds_of(connection: sqlite3.Connection, namespace: str, user: str) -> set[str]:
    """Return the kinds of the stored and of the dropped events of a user."""
    owner = (namespace, user, namespace, user)
    return {
        kind
        for table in ("events", "seen")
        for (kind,) in connection.execute(_KINDS_IN.format(table=table), owner)
    }


def _event(row: tuple[Any, ...]) -> Event:
    """Return the event of a row as `_NEWEST` and `_AFTER` return it."""
    _, *fields, context = row
    fields.append(read_back(context) if context else ())
    return Event(*fields)


def _seen(
    connection: sqlite3.Connection, namespace: str, user: str, kind: str, oldest: float
) -> list[SeenItem]:
    """Return the seen items of one kind, each once, from stored and from dropped events."""
    stored, dropped = (
        connection.execute(_SEEN_IN.format(table), (namespace, user, kind, oldest)).fetchall()
        for table in ("events", "seen")
    )
    return united(map(SeenItem._make, dropped), map(SeenItem._make, stored))


def merge(  # noqa: PLR0913 - each by its name
    connection: sqlite3.Connection,
    namespace: str,
    session: str,
    user: str,
    *,
    limits: RetentionLimits,
    new_epoch: Callable[[], bytes],
) -> int:
    """Give a session's events to a user, then delete the session."""
    kinds = connection.execute(
        "SELECT DISTINCT kind FROM events WHERE namespace = ? AND user = ?", (namespace, session)
    )
    touched = [kind for (kind,) in kinds.fetchall()]
    remember = _REMEMBER.format(rows="seen WHERE namespace = ? AND user = ?")
    connection.execute(remember, (namespace, user, namespace, session))
    moved = connection.execute(
        "UPDATE events SET user = ? WHERE namespace = ? AND user = ?", (user, namespace, session)
    )
    for kind in touched:
        _trim(connection, namespace, user, kind, limits=limits)
    _limit_kinds(connection, namespace, user)
    names = dict.fromkeys(
        (*_merged(connection, namespace, user), *_merged(connection, namespace, session), session)
    )
    _count_changes(connection, namespace, user, n=1, epoch=new_epoch())
    connection.execute(
        "UPDATE users SET merged = ? WHERE namespace = ? AND hash = ?",
        (orjson.dumps(list(names)[-MOST_MERGED:]).decode(), namespace, hashed_user(user)),
    )
    delete(connection, namespace, session, new_epoch())
    return moved.rowcount


def _merged(connection: sqlite3.Connection, namespace: str, user: str) -> list[str]:
    sql = "SELECT merged FROM users WHERE namespace = ? AND hash = ?"
    row = connection.execute(sql, (namespace, hashed_user(user))).fetchone()
    return [] if row is None else list(orjson.loads(row[0]))


def delete(connection: sqlite3.Connection, namespace: str, user: str, epoch: bytes) -> int:
    """Delete a user's events and attributes; a hash stays, marked as deleted, with a new epoch."""
    of_user, by_hash = (namespace, user), (namespace, hashed_user(user))
    gone = connection.execute("DELETE FROM events WHERE namespace = ? AND user = ?", of_user)
    connection.execute("DELETE FROM seen WHERE namespace = ? AND user = ?", of_user)
    connection.execute("DELETE FROM attributes WHERE namespace = ? AND hash = ?", by_hash)
    connection.execute(_FORGET, (*by_hash, epoch))
    return gone.rowcount


def undo(connection: sqlite3.Connection, namespace: str, event_id: str, epoch: bytes) -> bool:
    """Delete one event, which is a change of its user; return whether it was there."""
    by_id = (namespace, event_id)
    owner = connection.execute(
        "SELECT user FROM events WHERE namespace = ? AND id = ?", by_id
    ).fetchone()
    if owner is None:
        return False
    connection.execute("DELETE FROM events WHERE namespace = ? AND id = ?", by_id)
    _count_changes(connection, namespace, owner[0], n=1, epoch=epoch)
    return True


def put_attributes(
    connection: sqlite3.Connection, namespace: str, user: str, attributes: Attributes, epoch: bytes
) -> None:
    """Store the attributes of a user in place of those before; a new user gets `epoch`."""
    connection.execute(
        "INSERT OR REPLACE INTO attributes (namespace, hash, user, named) VALUES (?, ?, ?, ?)",
        (namespace, hashed_user(user), user, written(attributes).decode()),
    )
    _count_changes(connection, namespace, user, n=1, epoch=epoch)


def attributes_after(
    connection: sqlite3.Connection, namespace: str, last: str, n: int
) -> tuple[list[tuple[str, Attributes]], str]:
    """Return users and attributes behind the hash `last`, at most `n`, and the newest hash."""
    rows = connection.execute(_NAMED_AFTER, (namespace, last, n)).fetchall()
    return [(user, read_back(named)) for user, named, _ in rows], rows[-1][2] if rows else last


def expire(connection: sqlite3.Connection, namespace: str, limits: RetentionLimits) -> int:
    """Drop the events of all users that are beyond the limits; return how many there were."""
    old = "DELETE FROM {} WHERE namespace = ? AND time < ?"
    too_old = (namespace, limits.oldest)
    dropped = connection.execute(old.format("events"), too_old).rowcount
    connection.execute(old.format("seen"), too_old)
    crowded = connection.execute(
        "SELECT user, kind, count(*) FROM events WHERE namespace = ? "
        "GROUP BY user, kind HAVING count(*) > ?",
        (namespace, limits.per_kind),
    ).fetchall()
    for user, kind, n in crowded:
        _trim(connection, namespace, user, kind, limits=limits)
        dropped += n - limits.per_kind
    return dropped


def vacuum(connection: sqlite3.Connection) -> None:
    """Rewrite the file without deleted values, and empty its log. Not within a transaction."""
    connection.execute("VACUUM")
    (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise sqlite3.OperationalError("a reader is active: the log still contains deleted values")


def after(
    connection: sqlite3.Connection, namespace: str, seq: int, n: int
) -> tuple[list[Event], int]:
    """Return up to `n` events after `seq`, in the order they came, and the `seq` of the last."""
    rows = connection.execute(_AFTER, (seq, namespace, n)).fetchall()
    return [_event(row) for row in rows], rows[-1][0] if rows else seq


def namespaces(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the namespaces that hold events, sorted."""
    return [name for (name,) in connection.execute(_NAMESPACES).fetchall()]
