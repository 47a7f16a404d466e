"""The state of a user: the events in the bundle, then those in the event store.

`UserStates` reads it: the version in one cheap trip, the whole state in another. The functions
below say what a state means for a request. This module knows neither caches nor the engine.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from app.core.errors import StoreError
from app.core.store_ports import EventStore, UserStore
from app.core.types import Attributes, SeenItem, StoredUser
from app.domain.event_rules import EventRule
from app.domain.request import SeenRule
from app.domain.request_parts import MAX_HISTORY
from app.serving.breaker import Breaker
from app.serving.current_engine import CurrentEngine
from app.serving.turn import in_a_task

T = TypeVar("T")

_NOBODY: Final = StoredUser()
_MOST_OF_BUDGET: Final = 1 / 2
"""Largest share of the time left that a read of a request may take: the rest is for an answer
without user state."""


@dataclass(frozen=True, slots=True)
class UserState:
    """A user at one moment.

    Attributes:
        frozen: items of the newest positive events of the bundle, oldest first, without kinds or
            times; empty where the user was deleted.
        frozen_seen: all items of positive events of the bundle.
        stored: what happened since, and its version.
        attributes: who the user is: what was put last, else what the bundle knows.
    """

    frozen: tuple[str, ...] = ()
    stored: StoredUser = _NOBODY
    frozen_seen: frozenset[str] = frozenset()
    attributes: Attributes = ()


@dataclass(frozen=True, slots=True)
class Taste:
    """What a state says of a user's taste.

    Events that have faded do not count.

    Attributes:
        history: items taken, oldest first, the newest 200.
        disliked: items whose newest event with a sign is negative, oldest first.
        valid_until: unix seconds at which the next event fades; infinite if none will.
    """

    history: tuple[str, ...] = ()
    disliked: tuple[str, ...] = ()
    valid_until: float = math.inf


class UserStates:
    """Reads what users did. All methods belong to one event loop."""

    def __init__(
        self,
        current: CurrentEngine,
        events: EventStore,
        timeout_s: float,
        breaker: Breaker,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the bundle of `current`, and `events`.

        Args:
            current: the bundle that is served.
            events: the store.
            timeout_s: longest time of a read.
            breaker: keeps reads away from a store that fails or is too slow, for a while: answers
                without user state then cost no wait.
            clock: monotonic seconds; deadlines are on it.
        """
        self.events = events
        self._current = current
        self._timeout_s = timeout_s
        self._breaker = breaker
        self._clock = clock

    @property
    def rules(self) -> Mapping[str, EventRule]:
        """What each kind of event means now; a kind without a rule means nothing."""
        return self._current.loaded.rules

    async def version(self, user: str, deadline: float = math.inf) -> bytes:
        """Return the version of a user's state; it differs after every change.

        `deadline`: of the caller, monotonic seconds.

        Raises:
            StoreError: it cannot be read, not in time, or failed a moment ago.
        """
        return await self._in_time(lambda: self.events.version(user), deadline)

    async def read(
        self,
        user: str,
        rule: SeenRule,
        kinds: Collection[str] = (),
        *,
        deadline: float = math.inf,
    ) -> UserState:
        """Return a user's state: events with a sign, all items that `rule` calls seen, attributes.

        Args:
            user: a key made by `user_key`.
            rule: which events make an item one that was seen.
            kinds: kinds of events that are read beside those with a sign.
            deadline: of the caller, monotonic seconds.

        Raises:
            StoreError: it cannot be read, not in time, or failed a moment ago.
        """
        return await self._in_time(lambda: self._read(user, rule, kinds), deadline)

    async def read_all(self, user: str) -> UserState:
        """Return a user's state with events of all kinds, their counts, and the attributes.

        Raises:
            StoreError: it cannot be read.
        """
        stored = await self.events.read(user)
        return await _layered(self._current.loaded.users, user, stored, with_seen=False)

    async def _in_time(self, read: Callable[[], Awaitable[T]], deadline: float) -> T:
        await in_a_task()
        permit = self._breaker.permit()
        if permit is None:
            raise StoreError("user state could not be read a moment ago")
        limit_s = min(self._timeout_s, _MOST_OF_BUDGET * (deadline - self._clock()))
        try:
            async with asyncio.timeout(limit_s):
                state = await read()
        except TimeoutError as error:
            if limit_s < self._timeout_s / 2:
                self._breaker.abandoned(permit)  # the caller had little time: no fault of the store
            else:
                self._breaker.failed(permit)
            raise StoreError("user state cannot be read in time") from error
        except StoreError:
            self._breaker.failed(permit)
            raise
        except BaseException:
            self._breaker.abandoned(permit)
            raise
        self._breaker.succeeded(permit)
        return state

    async def _read(self, user: str, rule: SeenRule, more: Collection[str]) -> UserState:
        while True:
            loaded = self._current.loaded
            kinds = list(dict.fromkeys((*_kinds_with_a_sign(loaded.rules), *more)))
            stored = await self.events.read(user, kinds, seen=_seen_kinds(rule, loaded.rules))
            state = await _layered(loaded.users, user, stored, with_seen=rule.everything)
            # If another bundle took over meanwhile, its rules may ask for other events.
            if loaded is self._current.loaded:
                return state


async def _layered(
    frozen: UserStore, user: str, stored: StoredUser, *, with_seen: bool
) -> UserState:
    """Return the state of a user: from the bundle, with merged sessions, and from the store."""
    users = stored.merged if stored.deleted else (user, *stored.merged)
    histories = [await frozen.history(name) for name in users]
    history = tuple(item for each in histories for item in each)[-MAX_HISTORY:]
    attributes = await _attributes(frozen, user, stored)
    if not with_seen:
        return UserState(history, stored, attributes=attributes)
    seen = [await frozen.seen(name) for name in users]
    return UserState(history, stored, frozenset().union(*seen), attributes)


async def _attributes(frozen: UserStore, user: str, stored: StoredUser) -> Attributes:
    """Return the attributes of a user: from the store, else from the bundle."""
    if stored.attributes is not None:
        return stored.attributes
    return () if stored.deleted else await frozen.attributes(user)


def taste_of(state: UserState, rules: Mapping[str, EventRule], now: float) -> Taste:
    """Return what a user took, and what they turned away from.

    The newest event of an item decides. The events of an item in the store replace those in the
    bundle, also if they have all faded: otherwise events that were exported, and built into a
    bundle, would count twice.

    Args:
        state: of the user.
        rules: what each kind of event means, and for how long.
        now: unix seconds.
    """
    since = {kind: rule.telling_since(now) for kind, rule in rules.items()}
    with_a_sign: set[str] = set()
    signs: dict[str, int] = {}
    taken: list[str] = []
    valid_until = math.inf
    for event in state.stored.events:
        sign = _sign(event.kind, event.value, rules)
        if not sign:
            continue
        with_a_sign.add(event.item)
        if event.time >= since[event.kind]:
            signs.pop(event.item, None)  # so that the newest is the last
            signs[event.item] = sign
            if sign > 0:
                taken.append(event.item)
            valid_until = min(valid_until, event.time + now - since[event.kind])
    before = [item for item in state.frozen if item not in with_a_sign]
    history = (*before, *(item for item in taken if signs[item] > 0))
    disliked = tuple(item for item, sign in signs.items() if sign < 0)
    return Taste(history[-MAX_HISTORY:], disliked[-MAX_HISTORY:], valid_until)


def seen_items(
    state: UserState, rule: SeenRule, rules: Mapping[str, EventRule], now: float
) -> tuple[frozenset[str], float]:
    """Return the items that a rule calls seen, and until when: unix seconds, or infinite.

    Events in the bundle have neither kind nor time; they count if the rule names neither.

    Args:
        state: of the user.
        rule: which events count.
        rules: what each kind of event means.
        now: unix seconds.
    """
    seen: set[str] = set()
    within = math.inf if rule.within_s is None else rule.within_s
    oldest = math.inf
    for kind, remembered in state.stored.seen.items():
        if rule.events is not None:
            items = remembered if kind in rule.events else ()
        else:
            items = _positive(remembered, rules.get(kind))
        if rule.within_s is not None:
            items = [item for item in items if item.time >= now - within]
            oldest = min(oldest, min((item.time for item in items), default=math.inf))
        seen.update([item.item for item in items])
    if rule.everything:
        seen |= state.frozen_seen
    return frozenset(seen), oldest + within


def _positive(items: Sequence[SeenItem], rule: EventRule | None) -> Sequence[SeenItem]:
    """Return the items with a positive event of one kind."""
    if rule is None or rule.weight <= 0:
        return ()
    if rule.positive_from is None:
        return items
    return [item for item in items if rule.sign(item.value) > 0]


def _kinds_with_a_sign(rules: Mapping[str, EventRule]) -> list[str]:
    return [kind for kind, rule in rules.items() if rule.weight or rule.positive_from is not None]


def _seen_kinds(rule: SeenRule, rules: Mapping[str, EventRule]) -> tuple[str, ...]:
    """Return the kinds of events that can make an item seen."""
    if rule.events is not None:
        return rule.events
    return tuple(kind for kind, each in rules.items() if each.weight > 0)


def _sign(kind: str, value: float | None, rules: Mapping[str, EventRule]) -> int:
    rule = rules.get(kind)
    return 0 if rule is None else rule.sign(value)
