"""A fake of the port `EventStore`, for tests and load tests only."""

import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace

from app.core.errors import StoreError
from app.core.store_ports import MOST_KINDS, MOST_MERGED, NEWEST_EVENTS
from app.core.types import Attributes, Event, Retention, SeenItem, StoredUser


@dataclass(slots=True)
class _User:
    epoch: str = field(default_factory=lambda: secrets.token_hex(8))
    n: int = 0
    events: list[Event] = field(default_factory=list)
    seen: dict[tuple[str, str], SeenItem] = field(default_factory=dict)  # of dropped events
    deleted: bool = False
    merged: tuple[str, ...] = ()
    attributes: Attributes | None = None

    @property
    def version(self) -> bytes:
        return f"{self.epoch}:{self.n}".encode()


@dataclass(slots=True)
class MemoryEvents:
    """The ids of the stored events of one namespace, and its users."""

    ids: set[str] = field(default_factory=set)
    users: dict[str, _User] = field(default_factory=dict)


class MemoryEventStore:
    """An `EventStore` in dictionaries. Those with the same `spaces` share what is stored.

    Attributes:
        reads: the users that were read, in order.
        down: whether every call raises `StoreError`.
    """

    def __init__(
        self,
        retention: Retention | None = None,
        clock: Callable[[], float] = time.time,
        *,
        namespace: str = "",
        spaces: dict[str, MemoryEvents] | None = None,
    ) -> None:
        """Keep the events of a namespace in `spaces`, or in a store of its own."""
        self.reads: list[str] = []
        self.down = False
        self._retention = retention or Retention()
        self._clock = clock
        self._spaces = {} if spaces is None else spaces
        own = self._spaces.setdefault(namespace, MemoryEvents())
        self._ids, self._users = own.ids, own.users

    def __repr__(self) -> str:
        return f"<MemoryEventStore {len(self._users)} users, {len(self._ids)} events>"

    @property
    def alive(self) -> bool:
        """True: it has no thread."""
        return True

    async def append(self, events: Sequence[Event]) -> tuple[bool, ...]:
        """Store new events."""
        self._check()
        fresh = []
        for event in events:
            fresh.append(event.id not in self._ids)
            if fresh[-1]:
                self._ids.add(event.id)
                self._add(event)
        for user in {event.user for event in events}:
            self._trim(user)
            self._limit_kinds(user)
        return tuple(fresh)

    async def version(self, user: str) -> bytes:
        """Return the version of a user."""
        self._check()
        held = self._users.get(user)
        return b"" if held is None else held.version

    async def read(
        self, user: str, kinds: Sequence[str] | None = None, *, seen: Sequence[str] = ()
    ) -> StoredUser:
        """Return a user's events and version."""
        self._check()
        self.reads.append(user)
        held = self._users.get(user)
        if held is None:
            return StoredUser()
        oldest = self._retention.oldest(self._clock())
        live = [event for event in held.events if event.time >= oldest]
        counts = Counter(event.kind for event in live) if kinds is None else Counter[str]()
        wanted = counts if kinds is None else kinds
        newest = {
            event.id
            for kind in wanted
            for event in [e for e in live if e.kind == kind][-NEWEST_EVENTS:]
        }
        events = tuple(event for event in live if event.id in newest)
        every = dict(held.seen)
        for event in live:
            _remember(every, event.kind, SeenItem(event.item, event.time, event.value))
        return self._retention.dated(
            StoredUser(
                version=held.version,
                events=events,
                counts=counts,
                deleted=held.deleted,
                merged=held.merged,
                seen={
                    kind: [one for (k, _), one in every.items() if k == kind and one.time >= oldest]
                    for kind in seen
                },
                attributes=held.attributes,
            )
        )

    async def merge(self, session: str, user: str) -> int:
        """Move a session's events to a user."""
        self._check()
        moved = self._users.pop(session, _User())
        merged = (*moved.merged, session)
        for event in moved.events:
            self._add(replace(event, user=user))
        self._users[session] = _User(deleted=True)
        target = self._users.setdefault(user, _User())
        for (kind, _), one in moved.seen.items():
            _remember(target.seen, kind, one)
        self._trim(user)
        self._limit_kinds(user)
        target.n += 1
        target.merged = tuple(dict.fromkeys((*target.merged, *merged)))[-MOST_MERGED:]
        return len(moved.events)

    async def delete(self, user: str) -> int:
        """Delete a user."""
        self._check()
        gone = self._users.pop(user, _User()).events
        self._ids -= {event.id for event in gone}
        self._users[user] = _User(deleted=True)
        return len(gone)

    async def undo(self, event_id: str) -> bool:
        """Delete one event."""
        self._check()
        for held in self._users.values():
            left = [event for event in held.events if event.id != event_id]
            if len(left) < len(held.events):
                held.events, held.n = left, held.n + 1
                self._ids.remove(event_id)
                return True
        return False

    async def put_attributes(self, user: str, attributes: Attributes) -> None:
        """Store the attributes of a user."""
        self._check()
        held = self._users.setdefault(user, _User())
        held.n += 1
        held.attributes = attributes

    async def scan_attributes(self) -> AsyncIterator[list[tuple[str, Attributes]]]:
        """Yield all users with attributes, in one list."""
        self._check()
        named = [(user, held.attributes) for user, held in self._users.items()]
        yield [(user, some) for user, some in named if some is not None]

    async def compact(self) -> int:
        """Drop the events that retention does not keep."""
        self._check()
        return sum(self._trim(user) for user in list(self._users))

    async def scan(self) -> AsyncIterator[list[Event]]:
        """Yield the events of each user, in a list."""
        self._check()
        for user in list(self._users.values()):
            yield list(user.events)

    async def namespaces(self) -> list[str]:
        """Return the names of the namespaces that hold events."""
        self._check()
        return sorted(name for name, space in self._spaces.items() if space.ids)

    async def aclose(self) -> None:
        """Do nothing."""

    def _check(self) -> None:
        if self.down:
            raise StoreError("the event store cannot be read or written")

    def _add(self, event: Event) -> None:
        user = self._users.setdefault(event.user, _User())
        user.n += 1
        user.events.append(event)
        user.events.sort(key=lambda stored: stored.time)  # stable: equal times keep their order

    def _limit_kinds(self, user: str) -> None:
        held = self._users.get(user, _User())
        newest = {event.kind: event.time for event in held.events}  # the last one is the newest
        gone = sorted(newest, key=lambda kind: (newest[kind], kind))[: -MOST_KINDS or None]
        self._ids -= {event.id for event in held.events if event.kind in gone}
        held.events = [event for event in held.events if event.kind not in gone]
        held.seen = {key: one for key, one in held.seen.items() if key[0] not in gone}

    def _trim(self, user: str) -> int:
        held = self._users.get(user, _User())
        oldest, places = self._retention.oldest(self._clock()), Counter[str]()
        kept: list[Event] = []
        for event in reversed(held.events):
            places[event.kind] += 1
            if event.time < oldest:
                continue
            if places[event.kind] <= self._retention.per_kind:
                kept.append(event)
            else:
                _remember(held.seen, event.kind, SeenItem(event.item, event.time, event.value))
        held.seen = {key: one for key, one in held.seen.items() if one.time >= oldest}
        gone = len(held.events) - len(kept)
        self._ids -= {event.id for event in held.events} - {event.id for event in kept}
        held.events = kept[::-1]
        return gone


def _remember(seen: dict[tuple[str, str], SeenItem], kind: str, one: SeenItem) -> None:
    """Add what was seen: the newest time and the highest value of an item stay."""
    old = seen.get((kind, one.item), one)
    values = [each.value for each in (one, old) if each.value is not None]
    newest, highest = max(one.time, old.time), max(values, default=None)
    seen[kind, one.item] = SeenItem(one.item, newest, highest)
