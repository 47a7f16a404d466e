"""The embedded store of kept answers: `AnswerStore` in the SQLite file of the event store.

A body is used by answers of one user only, and remembers when it was last used. Answers leave in
the order in which they were given. So a body is needed by nobody once its last use is older than
the oldest answer that is left, and nothing has to be counted.
"""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

from app.core.answer_port import (
    ANSWER_BYTES,
    BODY_BYTES,
    TOMBSTONE_S,
    AnswerBounds,
    GivenAnswer,
    KeptAnswer,
)
from app.serving.stores.sqlite_file import PATIENCE_S, SqliteFile
from app.serving.stores.user_identity import hashed_user

_TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS kept_answers (
        namespace TEXT NOT NULL, id TEXT NOT NULL, given_at REAL NOT NULL, user TEXT NOT NULL,
        head BLOB NOT NULL, request BLOB NOT NULL, tail BLOB NOT NULL,
        UNIQUE (namespace, id))""",
    "CREATE INDEX IF NOT EXISTS kept_answers_by_time ON kept_answers (namespace, given_at)",
    "CREATE INDEX IF NOT EXISTS kept_answers_of_user ON kept_answers (namespace, user)",
    """CREATE TABLE IF NOT EXISTS kept_bodies (
        namespace TEXT NOT NULL, digest BLOB NOT NULL, user TEXT NOT NULL, used_at REAL NOT NULL,
        body BLOB NOT NULL, UNIQUE (namespace, digest))""",
    "CREATE INDEX IF NOT EXISTS kept_bodies_by_time ON kept_bodies (namespace, used_at)",
    "CREATE INDEX IF NOT EXISTS kept_bodies_of_user ON kept_bodies (namespace, user)",
    """CREATE TABLE IF NOT EXISTS kept_erased (
        namespace TEXT NOT NULL, user TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (namespace, user)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS kept_bytes (
        namespace TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID""",
    *(
        f"""CREATE TRIGGER IF NOT EXISTS {table}_{name} AFTER {what} ON {table} BEGIN
        UPDATE kept_bytes SET n = n {sign} ({size}) WHERE namespace = {row}.namespace; END"""  # noqa: S608 - our own names
        for name, what, sign, row in (("come", "INSERT", "+", "new"), ("go", "DELETE", "-", "old"))
        for table, size in (
            ("kept_answers", f"{ANSWER_BYTES} + length({row}.head)"),
            ("kept_bodies", f"{BODY_BYTES} + length({row}.body)"),
        )
    ),
)
# One statement for all rows: the interpreter's lock changes hands at every step of a statement, and
# the event loop would have to wait for it that often.
_ADD_ANSWERS: Final = ("INSERT OR IGNORE INTO kept_answers VALUES", "(?1, ?, ?, ?, ?, ?, ?)", "")
_ADD_BODIES: Final = (
    "INSERT INTO kept_bodies VALUES",
    "(?1, ?, ?, ?, ?)",
    "ON CONFLICT (namespace, digest) DO UPDATE SET used_at = max(used_at, excluded.used_at)",
)
_READ: Final = """SELECT given_at, head, request.body, tail.body FROM kept_answers AS answer
    JOIN kept_bodies AS request
        ON request.namespace = answer.namespace AND request.digest = answer.request
    JOIN kept_bodies AS tail ON tail.namespace = answer.namespace AND tail.digest = answer.tail
    WHERE answer.namespace = ? AND answer.id = ? AND given_at > ?"""
_NEWEST_OF_OLDEST: Final = """SELECT max(given_at) FROM (
    SELECT given_at FROM kept_answers WHERE namespace = ? ORDER BY given_at LIMIT ?)"""
_MOST_ROWS: Final = 1000
"""Of a statement, which may have 32,766 values."""


class SqliteAnswerStore:
    """`AnswerStore` of one namespace in one file. Belongs to the event loop that made it."""

    def __init__(
        self, path: Path, namespace: str, bounds: AnswerBounds, *, patience_s: float = PATIENCE_S
    ) -> None:
        """Open or make the file, its folder included.

        Args:
            path: of the file; other stores may be in it.
            namespace: its name.
            bounds: how much is kept, and for how long.
            patience_s: how long to wait while another process writes.

        Raises:
            StoreError: it cannot be opened, or is not a file of this service.
        """
        self._namespace, self._bounds = namespace, bounds
        self._file = SqliteFile(path, _TABLES, "the store of answers", patience_s=patience_s)

    def __repr__(self) -> str:
        return f"<SqliteAnswerStore of {self._namespace}>"

    async def put(
        self, answers: Sequence[GivenAnswer], bodies: Mapping[bytes, bytes], now: float
    ) -> int:
        """Keep answers; return once they are on the disk."""

        def put(connection: sqlite3.Connection) -> int:
            room = _Room(connection, self._namespace)
            kept = room.add(answers, bodies, now)
            room.keep_to(self._bounds, now)
            return kept

        return await self._file.written(put, len(answers) + 1)

    async def read(self, answer_id: str, now: float) -> KeptAnswer | None:
        """Return an answer."""
        wanted = (self._namespace, answer_id, now - self._bounds.life_s)

        def read(connection: sqlite3.Connection) -> KeptAnswer | None:
            row = connection.execute(_READ, wanted).fetchone()
            return None if row is None else KeptAnswer(*row)

        return await self._file.reading(read)

    async def erase(self, users: Collection[str], now: float) -> int:
        """Erase the answers of some users."""
        hashes = [hashed_user(user) for user in users]

        def erase(connection: sqlite3.Connection) -> int:
            return _Room(connection, self._namespace).erase(hashes, now)

        return await self._file.written(erase)

    async def clear(self) -> None:
        """Erase everything in the namespace."""
        await self._file.written(partial(_clear, namespace=self._namespace))

    async def aclose(self) -> None:
        """Finish the waiting writes, then close the file. Idempotent."""
        await self._file.aclose()


class _Room:
    """What one namespace holds, within one transaction."""

    def __init__(self, connection: sqlite3.Connection, namespace: str) -> None:
        self._connection, self._namespace = connection, namespace

    def add(self, answers: Sequence[GivenAnswer], bodies: Mapping[bytes, bytes], now: float) -> int:
        self._execute("INSERT OR IGNORE INTO kept_bytes VALUES (?, 0)")
        self._execute("DELETE FROM kept_erased WHERE namespace = ? AND at <= ?", now - TOMBSTONE_S)
        erased = dict(
            self._execute("SELECT user, at FROM kept_erased WHERE namespace = ?").fetchall()
        )
        hashes = {each.user: hashed_user(each.user) if each.user else "" for each in answers}
        kept = [each for each in answers if each.given_at > erased.get(hashes[each.user], 0.0)]
        rows, used = [], dict[bytes, tuple[str, float]]()
        for each in kept:
            user = hashes[each.user]
            for digest in (each.request, each.tail):
                last = used.get(digest)
                if last is None or last[1] < each.given_at:
                    used[digest] = user, each.given_at
            rows.append((each.id, each.given_at, user, each.head, each.request, each.tail))
        self._add(_ADD_ANSWERS, rows)
        self._add(_ADD_BODIES, [(digest, *use, bodies[digest]) for digest, use in used.items()])
        return len(kept)

    def _add(self, statement: tuple[str, str, str], rows: Sequence[tuple[object, ...]]) -> None:
        begin, row, end = statement
        for start in range(0, len(rows), _MOST_ROWS):
            some = rows[start : start + _MOST_ROWS]
            values = chain.from_iterable(some)
            self._execute(f"{begin} {', '.join([row] * len(some))} {end}", *values)

    def keep_to(self, bounds: AnswerBounds, now: float) -> None:
        """Drop what is too old, then the oldest until the rest is small enough."""
        self._drop_until(now - bounds.life_s)
        n = 1
        while self._size() > bounds.most_bytes:
            last = self._execute(_NEWEST_OF_OLDEST, n).fetchone()[0]
            if last is None:
                return
            self._drop_until(last)
            n *= 2

    def erase(self, users: Sequence[str], now: float) -> int:
        erased = 0
        for user in users:
            self._execute("INSERT OR REPLACE INTO kept_erased VALUES (?, ?, ?)", user, now)
            erased += self._execute(
                "DELETE FROM kept_answers WHERE namespace = ? AND user = ?", user
            ).rowcount
            self._execute("DELETE FROM kept_bodies WHERE namespace = ? AND user = ?", user)
        return erased

    def _drop_until(self, last: float) -> None:
        self._execute("DELETE FROM kept_answers WHERE namespace = ? AND given_at <= ?", last)
        self._execute("DELETE FROM kept_bodies WHERE namespace = ? AND used_at <= ?", last)

    def _size(self) -> int:
        return int(self._execute("SELECT n FROM kept_bytes WHERE namespace = ?").fetchone()[0])

    def _execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        """Execute a statement whose first parameter is the namespace."""
        return self._connection.execute(statement, (self._namespace, *values))


def _clear(connection: sqlite3.Connection, namespace: str) -> None:
    for table in ("kept_answers", "kept_bodies", "kept_erased"):
        connection.execute(f"DELETE FROM {table} WHERE namespace = ?", (namespace,))  # noqa: S608 - ours
