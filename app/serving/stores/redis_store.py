"""The shared event store: one Redis that keeps what it is told, seen by all processes.

Each call is one script and one round trip, so every change and every read is of one moment. It is
durable if Redis is: `appendonly yes`, `appendfsync always`, `noeviction`; `warnings` looks. Uses
commands of Redis ≤ 6.2 only.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from app.core.errors import StoreError
from app.core.ports import MOST_MERGED, NEWEST_EVENTS
from app.core.types import Event, Retention, SeenItem, StoredUser
from app.serving.stores import redis_scripts as scripts
from app.serving.stores.seen import united
from app.serving.stores.user_hash import hashed_user

R = TypeVar("R")

_NAME: Final = "the event store"
_PREFIX: Final = b"recserve:store:1:"
_SCAN: Final = 1000
_POLL_S: Final = 0.05
_SAFE: Final = (
    ("appendonly", "yes", "a crash of Redis loses acknowledged events"),
    ("appendfsync", "always", "a power cut loses up to a second or two of acknowledged events"),
    ("maxmemory-policy", "noeviction", "Redis may throw events away"),
)

_log = logging.getLogger(__name__)


class RedisEventStore:
    """`EventStore` over a client made by `open_client`; owns and closes it."""

    def __init__(
        self,
        client: Redis,
        retention: Retention | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Wrap a client; nothing is connected yet. `clock`: unix seconds."""
        self._client = client
        self._retention = retention or Retention()
        self._clock = clock
        self._append = client.register_script(scripts.APPEND)
        self._read = client.register_script(scripts.READ)
        self._merge = client.register_script(scripts.MERGE)
        self._delete = client.register_script(scripts.DELETE)
        self._trim = client.register_script(scripts.TRIM)

    def __repr__(self) -> str:
        return "<RedisEventStore>"

    async def append(self, events: Sequence[Event]) -> tuple[bool, ...]:
        """Keep events; returns once Redis has them as safely as it is set up to."""
        keep, oldest = self._limits()
        arguments: list[Any] = [keep, oldest, _epoch()]
        for event in events:
            head = (hashed_user(event.user), event.kind, event.id, repr(event.time))
            arguments += (*head, _packed(event))
        return tuple(map(bool, await self._run(self._append, arguments)))

    async def version(self, user: str) -> bytes:
        """Return the version of a user."""
        with translated(_NAME):
            reply: Any = await self._client.hmget(_user_key(user), ["epoch", "n"])
        epoch, n = reply
        return b"" if epoch is None else epoch + b":" + n

    async def read(
        self, user: str, kinds: Sequence[str] | None = None, *, seen: Sequence[str] = ()
    ) -> StoredUser:
        """Return what is held of a user."""
        _, oldest = self._limits()
        head = [hashed_user(user), oldest, NEWEST_EVENTS, int(kinds is None), len(seen)]
        reply = await self._run(self._read, [*head, *seen, *(kinds or ())])
        (epoch, n, deleted, merged), counts, found, remembered = reply
        if epoch is None:
            return StoredUser()
        members = sorted(
            zip(found[::2], map(_unpacked, found[::2], found[1::2]), strict=True),
            key=lambda pair: (pair[1].time, pair[0]),
        )
        pairs = zip(counts[::2], counts[1::2], strict=True)
        stored = StoredUser(
            version=epoch + b":" + n,
            events=tuple(event for _, event in members),
            counts={kind.decode(): count for kind, count in pairs if count},
            deleted=deleted is not None,
            merged=tuple((merged or b"").decode().split("\n")) if merged else (),
            seen={
                kind.decode(): _seen_items(events, dropped, float(oldest))
                for kind, events, dropped in remembered
            },
        )
        return self._retention.dated(stored)

    async def merge(self, session: str, user: str) -> int:
        """Make a session's events those of a user."""
        who = (hashed_user(session), hashed_user(user), user)
        arguments = [*who, *self._limits(), _epoch(), _epoch(), session, MOST_MERGED]
        return int(await self._run(self._merge, arguments))

    async def delete(self, user: str) -> int:
        """Forget a user."""
        return int(await self._run(self._delete, [hashed_user(user), _epoch()]))

    async def compact(self) -> int:
        """Drop what is over the limits, then have Redis write its files anew."""
        gone = 0
        prefix = _PREFIX + b"u:"
        users = self._client.scan_iter(match=prefix + b"*", count=_SCAN)
        with translated(_NAME):
            async for key in users:
                user = key.removeprefix(prefix)
                gone += int(await self._run(self._trim, [user, *self._limits()]))
            await self._rewrite()
        return gone

    async def scan(self) -> AsyncIterator[list[Event]]:
        """Yield all events in no order."""
        cursor = 0
        while True:
            with translated(_NAME):
                reply: Any = await self._client.hscan(_PREFIX + b"events", cursor, count=_SCAN)
            cursor, found = reply
            if found:
                yield [_event(event_id, value) for event_id, value in found.items()]
            if cursor == 0:
                return

    async def warnings(self) -> list[str]:
        """Return what in Redis's set-up loses events; asking may be forbidden, then nothing.

        Raises:
            StoreError: it does not answer.
        """
        with translated(_NAME), contextlib.suppress(ResponseError):
            found = [
                (name, wanted, meaning, (await self._client.config_get(name)).get(name))
                for name, wanted, meaning in _SAFE
            ]
            return [
                f"{name} is {value}, not {wanted}: {meaning}"
                for name, wanted, meaning, value in found
                if value != wanted
            ]
        return []

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._client.aclose()

    def _limits(self) -> tuple[int, str]:
        oldest = self._retention.oldest(self._clock())
        return self._retention.per_kind, repr(oldest) if oldest > float("-inf") else "-inf"

    async def _run(self, script: Callable[..., Awaitable[Any]], arguments: Sequence[Any]) -> Any:  # noqa: ANN401 - a reply
        with translated(_NAME):
            return await script(args=[_PREFIX, *arguments])

    async def _rewrite(self) -> None:
        """Write the files that Redis keeps without what was deleted, and wait for them."""
        if (await self._client.info("persistence"))["aof_enabled"]:
            await self._client.bgrewriteaof()
        with contextlib.suppress(ResponseError):  # where CONFIG is forbidden
            if (await self._client.config_get("save")).get("save"):
                await self._client.bgsave(schedule=True)
        while await self._rewriting():  # noqa: ASYNC110 - Redis tells only when asked
            await asyncio.sleep(_POLL_S)

    async def _rewriting(self) -> bool:
        state = await self._client.info("persistence")
        names = ("aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress")
        return any(state[name] for name in names)


@contextlib.contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn trouble with the Redis that holds `name` ("the event store") into a `StoreError`."""
    try:
        yield
    except (RedisError, OSError, TimeoutError, UnicodeError) as error:
        _log.warning("%s does not answer: %r", name, error)
        raise StoreError(f"{name} cannot be read or written") from error


def _user_key(user: str) -> bytes:
    return _PREFIX + b"u:" + hashed_user(user).encode()


def _seen_items(events: Sequence[bytes], dropped: Sequence[bytes], oldest: float) -> list[SeenItem]:
    """Return every item of one kind once: of the events that are kept, and of dropped ones."""
    kept = []
    for whole in events:
        item, _, time, value, _ = orjson.loads(whole.partition(b"\n")[2])
        kept.append(SeenItem(item, time, value))
    older = []
    for name, text in zip(dropped[::2], dropped[1::2], strict=True):
        time_text, _, value_text = text.partition(b" ")
        value = float(value_text) if value_text else None
        older.append(SeenItem(name.decode(), float(time_text), value))
    return united((item for item in older if item.time >= oldest), kept)


def _epoch() -> str:
    return secrets.token_hex(8)


def _packed(event: Event) -> bytes:
    rest = (event.item, event.kind, event.time, event.value, event.recommendation)
    return event.user.encode() + b"\n" + orjson.dumps(rest)


def _unpacked(member: bytes, value: bytes) -> Event:
    return _event(member[16:], value)


def _event(event_id: bytes, value: bytes) -> Event:
    user, _, rest = value.partition(b"\n")
    return Event(event_id.decode(), user.decode(), *orjson.loads(rest))
