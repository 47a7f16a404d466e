"""The embedded store of learned intents: `IntentStore` in the SQLite file of the event store."""

import sqlite3
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from app.core.types import Claim, LearnedIntent, LearnedState
from app.domain.use_counts import MOST_LEARNED, added, kept_of, lowest, score_of
from app.serving.stores.sqlite_file import PATIENCE_S, SqliteFile

R = TypeVar("R")

_TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS intent_namespaces (
        namespace TEXT PRIMARY KEY, newest INTEGER NOT NULL, removals INTEGER NOT NULL,
        minute INTEGER NOT NULL, calls INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS intents (
        namespace TEXT NOT NULL, words TEXT NOT NULL, seq INTEGER NOT NULL, intent TEXT NOT NULL,
        learned_at REAL NOT NULL, used_at REAL NOT NULL, uses INTEGER NOT NULL,
        score REAL NOT NULL, UNIQUE (namespace, words), UNIQUE (namespace, seq))""",
    "CREATE INDEX IF NOT EXISTS intents_by_score ON intents (namespace, score)",
    """CREATE TABLE IF NOT EXISTS intent_claims (
        namespace TEXT NOT NULL, words TEXT NOT NULL, until REAL NOT NULL,
        UNIQUE (namespace, words))""",
)
_NAMESPACE: Final = "INSERT OR IGNORE INTO intent_namespaces VALUES (?, 0, 0, 0, 0)"
_NUMBER: Final = """UPDATE intent_namespaces SET newest = newest + 1 WHERE namespace = ?
    RETURNING newest"""
_PUT: Final = """INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (namespace, words) DO UPDATE SET seq = excluded.seq, intent = excluded.intent,
    learned_at = excluded.learned_at, used_at = excluded.used_at, uses = excluded.uses,
    score = excluded.score"""
_LEAST_USED: Final = """DELETE FROM intents WHERE namespace = ?1 AND words IN (
    SELECT words FROM intents WHERE namespace = ?1 AND words != ?2 ORDER BY score LIMIT ?3)"""
_AFTER: Final = """SELECT seq, words, intent, learned_at, used_at, uses FROM intents
    WHERE namespace = ? AND seq > ? ORDER BY seq LIMIT ?"""


class SqliteIntentStore:
    """`IntentStore` of one namespace in one file. Belongs to the event loop that made it."""

    def __init__(
        self,
        path: Path,
        namespace: str,
        *,
        most: int = MOST_LEARNED,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Open or make the file, its folder included.

        Args:
            path: of the file; other stores may be in it.
            namespace: its name.
            most: most intents that are kept.
            patience_s: how long to wait while another process writes.

        Raises:
            StoreError: it cannot be opened, or is not a file of this service.
        """
        self._namespace, self._most = namespace, most
        self._file = SqliteFile(path, _TABLES, "the store of intents", patience_s=patience_s)

    def __repr__(self) -> str:
        return f"<SqliteIntentStore of {self._namespace}>"

    async def put(self, words: str, intent: str, now: float, uses: int = 1) -> LearnedIntent:
        """Store an intent; return once it is on the disk."""
        return await self._write(
            partial(_put, most=self._most, words=words, intent=intent, now=now, uses=uses)
        )

    async def remove(self, words: str | None) -> int:
        """Remove one intent, or all."""
        return await self._write(partial(_remove, words=words))

    async def after(self, seq: int, limit: int) -> tuple[LearnedIntent, ...]:
        """Return the intents after a number."""
        return await self._file.reading(
            partial(_after, namespace=self._namespace, seq=seq, limit=limit)
        )

    async def state(self) -> LearnedState:
        """Return the highest number, and how often some left."""
        return await self._file.reading(partial(_state, namespace=self._namespace))

    async def count(self, uses: Mapping[str, int], now: float) -> None:
        """Count uses."""
        if uses:
            await self._write(partial(_count, uses=dict(uses), now=now))

    async def claim(self, words: str, now: float, lease_s: float, most_per_minute: int) -> Claim:
        """Claim words."""
        return await self._write(
            partial(_claim, words=words, now=now, until=now + lease_s, most=most_per_minute)
        )

    async def aclose(self) -> None:
        """Finish the waiting writes, then close the file. Idempotent."""
        await self._file.aclose()

    async def _write(self, work: Callable[[sqlite3.Connection, str], R]) -> R:
        return await self._file.written(lambda connection: work(connection, self._namespace))


def _put(  # noqa: PLR0913 - one row
    connection: sqlite3.Connection,
    namespace: str,
    *,
    most: int,
    words: str,
    intent: str,
    now: float,
    uses: int,
) -> LearnedIntent:
    connection.execute(_NAMESPACE, (namespace,))
    (seq,) = connection.execute(_NUMBER, (namespace,)).fetchone()
    row = (namespace, words, seq, intent, now, now, uses, score_of(uses, now))
    connection.execute(_PUT, row)
    _end_claim(connection, namespace, words)
    gone = connection.execute(
        "DELETE FROM intents WHERE namespace = ? AND score < ?", (namespace, lowest(now))
    ).rowcount
    # Nobody may open the namespaces of former models and prompts again.
    connection.execute("DELETE FROM intents WHERE score < ?", (lowest(now),))
    counted = connection.execute("SELECT count(*) FROM intents WHERE namespace = ?", (namespace,))
    (held,) = counted.fetchone()
    if held > most:
        gone += connection.execute(_LEAST_USED, (namespace, words, held - kept_of(most))).rowcount
    _note_removals(connection, namespace, gone)
    return LearnedIntent(seq, words, intent, now, now, uses)


def _remove(connection: sqlite3.Connection, namespace: str, *, words: str | None) -> int:
    if words is None:
        done = connection.execute("DELETE FROM intents WHERE namespace = ?", (namespace,))
    else:
        done = connection.execute(
            "DELETE FROM intents WHERE namespace = ? AND words = ?", (namespace, words)
        )
    _note_removals(connection, namespace, done.rowcount)
    return done.rowcount


def _note_removals(connection: sqlite3.Connection, namespace: str, gone: int) -> None:
    if gone:
        connection.execute(
            "UPDATE intent_namespaces SET removals = removals + 1 WHERE namespace = ?",
            (namespace,),
        )


def _count(
    connection: sqlite3.Connection, namespace: str, *, uses: Mapping[str, int], now: float
) -> None:
    for words, more in uses.items():
        row = connection.execute(
            "SELECT score FROM intents WHERE namespace = ? AND words = ?", (namespace, words)
        ).fetchone()
        if row is not None:
            connection.execute(
                """UPDATE intents SET score = ?, uses = uses + ?, used_at = max(used_at, ?)
                WHERE namespace = ? AND words = ?""",
                (added(row[0], score_of(more, now)), more, now, namespace, words),
            )


def _claim(  # noqa: PLR0913 - one row
    connection: sqlite3.Connection,
    namespace: str,
    *,
    words: str,
    now: float,
    until: float,
    most: int,
) -> Claim:
    connection.execute("DELETE FROM intent_claims WHERE until <= ?", (now,))
    for table in ("intents", "intent_claims"):
        query = f"SELECT 1 FROM {table} WHERE namespace = ? AND words = ?"  # noqa: S608 - two names
        if connection.execute(query, (namespace, words)).fetchone():
            return "taken"
    connection.execute(_NAMESPACE, (namespace,))
    minute, calls = connection.execute(
        "SELECT minute, calls FROM intent_namespaces WHERE namespace = ?", (namespace,)
    ).fetchone()
    calls = calls + 1 if minute == now // 60 else 1
    if calls > most:
        return "spent"
    connection.execute(
        "UPDATE intent_namespaces SET minute = ?, calls = ? WHERE namespace = ?",
        (now // 60, calls, namespace),
    )
    connection.execute("INSERT INTO intent_claims VALUES (?, ?, ?)", (namespace, words, until))
    return "granted"


def _end_claim(connection: sqlite3.Connection, namespace: str, words: str) -> None:
    connection.execute(
        "DELETE FROM intent_claims WHERE namespace = ? AND words = ?", (namespace, words)
    )


def _after(
    connection: sqlite3.Connection, namespace: str, seq: int, limit: int
) -> tuple[LearnedIntent, ...]:
    rows = connection.execute(_AFTER, (namespace, seq, limit)).fetchall()
    return tuple([LearnedIntent(*row) for row in rows])


def _state(connection: sqlite3.Connection, namespace: str) -> LearnedState:
    row = connection.execute(
        "SELECT newest, removals FROM intent_namespaces WHERE namespace = ?", (namespace,)
    ).fetchone()
    return LearnedState() if row is None else LearnedState(*row)
