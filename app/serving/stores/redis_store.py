"""The shared event store: `EventStore` in one Redis that all processes use.

Each call is one script and one round trip, so every change and every read is atomic. The store is
durable if Redis is configured so: `appendonly yes`, `appendfsync always`, `noeviction`. `warnings`
checks this. Only commands of Redis ≤ 6.2 are used.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import orjson
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from app.core.errors import StoreError, StoreFullError
from app.core.store_ports import MOST_MERGED, NEWEST_EVENTS
from app.core.types import Attributes, Event, Retention, SeenItem, StoredUser
from app.domain.named_values import read_back, written
from app.serving.breaker import Breaker
from app.serving.stores import redis_scripts as scripts
from app.serving.stores.redis_client import address_of, cause_of
from app.serving.stores.redis_namespaces import filled_namespaces, open_namespace
from app.serving.stores.seen import united
from app.serving.stores.user_identity import hashed_user, random_epoch

R = TypeVar("R")

_NAME: Final = "the event store"
_SCAN: Final = 1000
_FIELDS: Final = 7
"""Values that are stored of an event with a context, which is the last."""
_POLL_S: Final = 0.05
_FULL: Final = "OOM command not allowed"
"""What a Redis without room says, also where a script has met it."""
_FAILURES: Final = 5
_PAUSE_S: Final = 2.0
"""After so many failed writes in a row, writes are refused at once for so long."""
_DURABLE_CONFIG: Final = (
    ("appendonly", "yes", "a crash of Redis loses acknowledged events"),
    ("appendfsync", "always", "a power cut loses up to a second or two of acknowledged events"),
    ("maxmemory-policy", "noeviction", "Redis may throw events away"),
)

_log = logging.getLogger(__name__)


class RedisEventStore:
    """`EventStore` of one namespace over a client made by `open_client`; owns and closes it."""

    def __init__(  # noqa: PLR0913 - clock and breaker are injected
        self,
        client: Redis,
        retention: Retention | None = None,
        clock: Callable[[], float] = time.time,
        *,
        namespace: str = "",
        new_epoch: Callable[[], bytes] = random_epoch,
        breaker: Breaker | None = None,
    ) -> None:
        """Wrap a client; nothing is connected yet.

        Args:
            client: made by `open_client`.
            retention: how long events are stored.
            clock: unix seconds.
            namespace: whose events these are; what an older version has stored becomes its.
            new_epoch: makes 8 bytes that are never the same again.
            breaker: keeps writes away from a Redis that fails; None = one of its own. Without it
                each write would wait for the whole time limit.
        """
        self._breaker = breaker or Breaker(_FAILURES, _PAUSE_S)
        self._client, self._namespace = client, namespace
        self._opened: bytes | None = None  # the prefix of all keys
        self._retention = retention or Retention()
        self._clock = clock
        self._new_epoch = new_epoch
        self._append = client.register_script(scripts.APPEND)
        self._read = client.register_script(scripts.READ)
        self._merge = client.register_script(scripts.MERGE)
        self._put_attributes = client.register_script(scripts.PUT_ATTRIBUTES)
        self._undo = client.register_script(scripts.UNDO)
        self._delete = client.register_script(scripts.DELETE)
        self._trim = client.register_script(scripts.TRIM)

    def __repr__(self) -> str:
        return f"<RedisEventStore of {self._namespace}>"

    @property
    def alive(self) -> bool:
        """True: it has no thread, and a Redis that is down may come back."""
        return True

    async def append(self, events: Sequence[Event]) -> tuple[bool, ...]:
        """Store events; return once Redis has them as durably as it is configured to."""
        per_kind, oldest = self._limits()
        arguments: list[Any] = [per_kind, oldest, self._epoch()]
        for event in events:
            user = hashed_user(event.user)
            arguments += (user, event.kind, event.id, repr(event.time), _packed(event))
        return tuple(map(bool, await self._changed(self._append, arguments)))

    async def version(self, user: str) -> bytes:
        """Return the version of a user."""
        with translated(_NAME, self._client):
            key = await self._prefix() + b"u:" + hashed_user(user).encode()
            reply: Any = await self._client.hmget(key, ["epoch", "n"])
        epoch, n = reply
        return b"" if epoch is None else epoch + b":" + n

    async def read(
        self, user: str, kinds: Sequence[str] | None = None, *, seen: Sequence[str] = ()
    ) -> StoredUser:
        """Return the stored state of a user."""
        _, oldest = self._limits()
        arguments: list[Any] = [hashed_user(user), oldest, NEWEST_EVENTS]
        arguments += [int(kinds is None), len(seen)]
        arguments += seen
        arguments += kinds or ()
        reply = await self._run(self._read, arguments)
        (epoch, n, deleted, merged, named), counts, rows, seen_by_kind = reply
        if epoch is None:
            return StoredUser()
        members = sorted(
            zip(rows[::2], map(_unpacked, rows[::2], rows[1::2]), strict=True),
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
                kind.decode(): _seen_items(values, dropped, float(oldest))
                for kind, values, dropped in seen_by_kind
            },
            attributes=None if named is None else read_back(named.partition(b"\n")[2]),
        )
        return self._retention.dated(stored)

    async def merge(self, session: str, user: str) -> int:
        """Give a session's events to a user."""
        per_kind, oldest = self._limits()
        arguments = [
            hashed_user(session),
            hashed_user(user),
            user,
            per_kind,
            oldest,
            self._epoch(),
            self._epoch(),
            session,
            MOST_MERGED,
        ]
        return int(await self._changed(self._merge, arguments))

    async def delete(self, user: str) -> int:
        """Delete a user."""
        return int(await self._changed(self._delete, [hashed_user(user), self._epoch()]))

    async def undo(self, event_id: str) -> bool:
        """Delete one event."""
        while True:
            with translated(_NAME, self._client):
                reply: Any = self._client.hget(await self._prefix() + b"events", event_id)
                value: bytes | None = await reply
            if value is None:
                return False
            user = value.partition(b"\n")[0].decode()
            # A session may become a user meanwhile: then the event has another owner.
            if await self._changed(self._undo, [hashed_user(user), user, event_id]):
                return True

    async def put_attributes(self, user: str, attributes: Attributes) -> None:
        """Store the attributes of a user."""
        named = user.encode() + b"\n" + written(attributes)
        await self._changed(self._put_attributes, [hashed_user(user), self._epoch(), named])

    async def scan_attributes(self) -> AsyncIterator[list[tuple[str, Attributes]]]:
        """Yield all users with attributes in no order."""
        cursor = 0
        while True:
            with translated(_NAME, self._client):
                users_of = await self._prefix() + b"u:*"
                cursor, keys = await self._client.scan(cursor, match=users_of, count=_SCAN)
                pipe = self._client.pipeline(transaction=False)
                for key in keys:
                    pipe.hget(key, "attributes")
                found: list[bytes | None] = await pipe.execute() if keys else []
            users = [named.partition(b"\n") for named in found if named is not None]
            if users:
                yield [(user.decode(), read_back(named)) for user, _, named in users]
            if cursor == 0:
                return

    async def compact(self) -> int:
        """Drop events beyond the retention, then let Redis rewrite its files."""
        dropped = 0
        with translated(_NAME, self._client):
            prefix = await self._prefix() + b"u:"
            async for key in self._client.scan_iter(match=prefix + b"*", count=_SCAN):
                user = key.removeprefix(prefix)
                dropped += int(await self._run(self._trim, [user, *self._limits()]))
            await self._rewrite()
        return dropped

    async def scan(self) -> AsyncIterator[list[Event]]:
        """Yield all events in no order."""
        cursor = 0
        while True:
            with translated(_NAME, self._client):
                events = await self._prefix() + b"events"
                reply: Any = await self._client.hscan(events, cursor, count=_SCAN)
            cursor, values = reply
            if values:
                yield [_event(event_id, value) for event_id, value in values.items()]
            if cursor == 0:
                return

    async def namespaces(self) -> list[str]:
        """Return the names of the namespaces that hold events."""
        with translated(_NAME, self._client):
            await self._prefix()
            return await filled_namespaces(self._client)

    async def warnings(self) -> list[str]:
        """Return which settings of Redis can lose events; nothing if CONFIG is forbidden.

        Raises:
            StoreError: it does not answer.
        """
        with translated(_NAME, self._client), contextlib.suppress(ResponseError):
            lines = []
            for name, durable, risk in _DURABLE_CONFIG:
                value = (await self._client.config_get(name)).get(name)
                if value != durable:
                    lines.append(f"{name} is {value}, not {durable}: {risk}")
            return lines
        return []

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._client.aclose()

    def _epoch(self) -> str:
        return self._new_epoch().hex()

    def _limits(self) -> tuple[int, str]:
        oldest = self._retention.oldest(self._clock())
        return self._retention.per_kind, repr(oldest) if oldest > float("-inf") else "-inf"

    async def _changed(
        self, script: Callable[..., Awaitable[Any]], arguments: Sequence[Any]
    ) -> Any:  # noqa: ANN401 - a reply
        """Run a script that writes, unless writes failed a moment ago."""
        permit = self._breaker.permit()
        if permit is None:
            raise StoreError(f"{_NAME} could not be written a moment ago")
        try:
            reply = await self._run(script, arguments)
        except StoreError as error:
            # A Redis that refuses has answered: it costs no wait.
            answered = isinstance(error.__cause__, ResponseError)
            (self._breaker.succeeded if answered else self._breaker.failed)(permit)
            raise
        except BaseException:
            self._breaker.abandoned(permit)
            raise
        self._breaker.succeeded(permit)
        return reply

    async def _run(self, script: Callable[..., Awaitable[Any]], arguments: Sequence[Any]) -> Any:  # noqa: ANN401 - a reply
        with translated(_NAME, self._client):
            return await script(args=[await self._prefix(), *arguments])

    async def _prefix(self) -> bytes:
        """Return the prefix of all keys. It is asked for once, when Redis is there."""
        if self._opened is None:
            self._opened = await open_namespace(self._client, self._namespace)
        return self._opened

    async def _rewrite(self) -> None:
        """Let Redis rewrite its files without deleted values, and wait for that."""
        if (await self._client.info("persistence"))["aof_enabled"]:
            await self._client.bgrewriteaof()
        with contextlib.suppress(ResponseError):  # where CONFIG is forbidden
            if (await self._client.config_get("save")).get("save"):
                await self._client.bgsave(schedule=True)
        while await self._rewriting():  # noqa: ASYNC110 - Redis sends no notice
            await asyncio.sleep(_POLL_S)

    async def _rewriting(self) -> bool:
        state = await self._client.info("persistence")
        names = ("aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress")
        return any(state[name] for name in names)


@contextlib.contextmanager
def translated(name: str, client: Redis) -> Iterator[None]:
    """Turn errors of a Redis into a `StoreError`, and log where it is and why it failed.

    `name`: of the store, such as "the event store". One Redis has several, so the log names none.
    """
    try:
        yield
    except (RedisError, OSError, TimeoutError, UnicodeError) as error:
        _log.warning(
            "the store at %s cannot be used: %s. Until it can, events and changes of items get "
            "503, and answers lack user state",
            *(address_of(client), cause_of(error)),
        )
        if isinstance(error, OutOfMemoryError) or _FULL in str(error):
            raise StoreFullError(f"{name} cannot be written: it has no room") from error
        raise StoreError(f"{name} cannot be read or written") from error


def _seen_items(events: Sequence[bytes], dropped: Sequence[bytes], oldest: float) -> list[SeenItem]:
    """Return the seen items of one kind, each once, from stored and from dropped events.

    Args:
        events: stored events, packed.
        dropped: in turn an item, and its newest time and highest value in dropped events.
        oldest: unix seconds; items of dropped events that are older are left out.
    """
    stored = []
    for whole in events:
        item, _, time, value, *_ = orjson.loads(whole.partition(b"\n")[2])
        stored.append(SeenItem(item, time, value))
    older = []
    for name, text in zip(dropped[::2], dropped[1::2], strict=True):
        time_text, _, value_text = text.partition(b" ")
        value = float(value_text) if value_text else None
        older.append(SeenItem(name.decode(), float(time_text), value))
    return united((item for item in older if item.time >= oldest), stored)


def _packed(event: Event) -> bytes:
    rest: tuple[Any, ...] = (event.item, event.kind, event.time, event.value, event.recommendation)
    if event.query or event.context:  # most events have neither, and need no room for it
        rest = (*rest, event.query)
    if event.context:
        rest = (*rest, dict(event.context))
    return event.user.encode() + b"\n" + orjson.dumps(rest)


def _unpacked(member: bytes, value: bytes) -> Event:
    return _event(member[16:], value)


def _event(event_id: bytes, value: bytes) -> Event:
    user, _, rest = value.partition(b"\n")
    fields = orjson.loads(rest)
    if len(fields) == _FIELDS:
        fields[-1] = tuple(fields[-1].items())
    return Event(event_id.decode(), user.decode(), *fields)
