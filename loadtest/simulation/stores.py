"""Stores and caches of the simulation: those of `app.testing`, with delays, failures and a record.

What is stored, and when, goes into timelines. The shared cache is the real `RedisCache`; what is
simulated is the Redis behind it.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any, Final, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError

from app.core.answer_port import GivenAnswer, KeptAnswer
from app.core.control_port import ControlEntry, ControlKind, ControlState
from app.core.errors import StoreError
from app.core.types import Attributes, Change, Event, StoredUser
from app.testing.answer_store import MemoryAnswerStore
from app.testing.control_store import MemoryControlStore
from app.testing.event_store import MemoryEventStore
from app.testing.journal import MemoryJournal
from loadtest.simulation.ledger import Timeline
from loadtest.simulation.right import RULES
from loadtest.simulation.troubles import Troubles

V = TypeVar("V")

_SEEN_KINDS: Final = tuple(RULES)


def at_once(call: Coroutine[Any, Any, V]) -> V:
    """Return what a coroutine returns that waits for nothing."""
    try:
        call.send(None)
    except StopIteration as done:
        value: V = done.value
        return value
    raise RuntimeError("it waits")


class SimulatedEvents(MemoryEventStore):
    """An `EventStore` with troubles.

    Attributes:
        stored: the ids of all events that were ever stored.
        users: what was held of each user, and when.
    """

    def __init__(self, troubles: Troubles, clock: Callable[[], float]) -> None:
        super().__init__(clock=clock)
        self._troubles = troubles
        self._time = troubles.time
        self.stored: set[str] = set()
        self.users: dict[str, Timeline[StoredUser]] = defaultdict(lambda: Timeline(StoredUser()))

    async def append(self, events: Sequence[Event]) -> tuple[bool, ...]:
        """See `EventStore`."""
        await self._troubles.before("events")
        fresh = at_once(super().append(events))
        self.stored.update(event.id for event in events)
        self._note(*{event.user for event in events})
        await self._troubles.after("events")
        return fresh

    async def version(self, user: str) -> bytes:
        """See `EventStore`."""
        await self._troubles.before("events")
        version = at_once(super().version(user))
        await self._troubles.after("events")
        return version

    async def read(
        self, user: str, kinds: Sequence[str] | None = None, *, seen: Sequence[str] = ()
    ) -> StoredUser:
        """See `EventStore`."""
        await self._troubles.before("events")
        state = at_once(super().read(user, kinds, seen=seen))
        await self._troubles.after("events")
        return state

    async def merge(self, session: str, user: str) -> int:
        """See `EventStore`."""
        await self._troubles.before("events")
        moved = at_once(super().merge(session, user))
        self._note(session, user)
        await self._troubles.after("events")
        return moved

    async def delete(self, user: str) -> int:
        """See `EventStore`."""
        await self._troubles.before("events")
        gone = at_once(super().delete(user))
        self._note(user)
        await self._troubles.after("events")
        return gone

    async def undo(self, event_id: str) -> bool:
        """See `EventStore`."""
        await self._troubles.before("events")
        done = at_once(super().undo(event_id))
        self._note(*self.users)
        await self._troubles.after("events")
        return done

    async def put_attributes(self, user: str, attributes: Attributes) -> None:
        """See `EventStore`."""
        await self._troubles.before("events")
        at_once(super().put_attributes(user, attributes))
        self._note(user)
        await self._troubles.after("events")

    def held(self, user: str) -> StoredUser:
        """Return all that is held of a user now, without any delay."""
        return at_once(super().read(user, None, seen=_SEEN_KINDS))

    def _note(self, *users: str) -> None:
        for user in users:
            self.users[user].add(self._time(), self.held(user))


class SimulatedJournal(MemoryJournal):
    """A `Journal` with troubles.

    Attributes:
        log: every change that it ever took, in order.
    """

    def __init__(self, troubles: Troubles) -> None:
        super().__init__("films")
        self._troubles = troubles
        self.log: list[Change] = []

    async def append(
        self, changes: Sequence[tuple[str, Mapping[str, object] | None]]
    ) -> tuple[Change, ...]:
        """See `Journal`."""
        await self._troubles.before("journal")
        stored = at_once(super().append(changes))
        self.log += stored
        await self._troubles.after("journal")
        return stored

    async def after(self, seq: int, limit: int) -> tuple[Change, ...]:
        """See `Journal`."""
        await self._troubles.before("journal")
        changes = at_once(super().after(seq, limit))
        await self._troubles.after("journal")
        return changes

    async def newest(self) -> int:
        """See `Journal`."""
        await self._troubles.before("journal")
        newest = at_once(super().newest())
        await self._troubles.after("journal")
        return newest


class SimulatedControl(MemoryControlStore):
    """A `ControlStore` with troubles.

    Attributes:
        states: what it held after each change, by the number of the change.
    """

    def __init__(self, troubles: Troubles) -> None:
        super().__init__()
        self._troubles = troubles
        self.states: dict[int, ControlState] = {0: ControlState(0, ())}

    async def number(self) -> int:
        """See `ControlStore`."""
        await self._troubles.before("rules")
        number = at_once(super().number())
        await self._troubles.after("rules")
        return number

    async def read(self) -> ControlState:
        """See `ControlStore`."""
        await self._troubles.before("rules")
        state = at_once(super().read())
        await self._troubles.after("rules")
        return state

    async def put(
        self, kind: ControlKind, texts: Sequence[tuple[str, str]], now: float
    ) -> tuple[ControlEntry, ...]:
        """See `ControlStore`."""
        await self._troubles.before("rules")
        put = at_once(super().put(kind, texts, now))
        self._note()
        await self._troubles.after("rules")
        return put

    async def delete(self, kind: ControlKind, name: str | None) -> int:
        """See `ControlStore`."""
        await self._troubles.before("rules")
        gone = at_once(super().delete(kind, name))
        self._note()
        await self._troubles.after("rules")
        return gone

    def _note(self) -> None:
        state = at_once(super().read())
        self.states[state.number] = state


class SimulatedAnswers(MemoryAnswerStore):
    """An `AnswerStore` with troubles."""

    def __init__(self, troubles: Troubles) -> None:
        super().__init__()
        self._troubles = troubles

    async def put(
        self, answers: Sequence[GivenAnswer], bodies: Mapping[bytes, bytes], now: float
    ) -> int:
        """See `AnswerStore`."""
        await self._troubles.before("answers")
        kept = at_once(super().put(answers, bodies, now))
        await self._troubles.after("answers")
        return kept

    async def read(self, answer_id: str, now: float) -> KeptAnswer | None:
        """See `AnswerStore`."""
        await self._troubles.before("answers")
        found = at_once(super().read(answer_id, now))
        await self._troubles.after("answers")
        return found

    async def erase(self, users: Collection[str], now: float) -> int:
        """See `AnswerStore`."""
        await self._troubles.before("answers")
        gone = at_once(super().erase(users, now))
        await self._troubles.after("answers")
        return gone


class SimulatedRedis:
    """What `RedisCache` needs of a Redis client: three commands, and an address.

    Attributes:
        values: what is stored.
    """

    connection_pool = SimpleNamespace(connection_kwargs={"host": "simulated"})

    def __init__(self, troubles: Troubles, draws: Random) -> None:
        self.values: dict[bytes, bytes] = {}
        self._troubles, self._draws = troubles, draws

    async def execute_command(self, *command: Any) -> object:
        """Run PING, GETRANGE or SET. Raises what a client raises whose server is down."""
        try:
            await self._troubles.before("cache")
            reply = self._run(*command)
            await self._troubles.after("cache")
        except StoreError as error:
            raise RedisConnectionError("connection refused") from error
        return reply

    async def aclose(self) -> None:
        """Do nothing."""

    def _run(self, name: str, key: bytes = b"", *arguments: Any) -> object:
        if name == "SET":
            self.values[key] = arguments[0]
        if name != "GETRANGE":
            return b"OK"
        if self._troubles.has("cache", "lies") and self.values:
            return self._lie(self.values.get(key, b""))
        return self.values.get(key, b"")

    def _lie(self, truth: bytes) -> bytes:
        """Return the value of another key, a part of the right one, or one with a wrong bit."""
        kind = self._draws.randrange(4)
        if kind == 0 or not truth:
            return self._draws.choice(list(self.values.values()))
        if kind == 1:
            return truth[: self._draws.randrange(len(truth))]
        if kind == 2:
            place = self._draws.randrange(len(truth))
            flipped = truth[place] ^ (1 << self._draws.randrange(8))
            return truth[:place] + bytes([flipped]) + truth[place + 1 :]
        return truth
