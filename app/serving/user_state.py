"""What is known of a user right now: what the bundle froze, then what the event store holds.

`UserStates` reads it, in one trip to the event store; the functions below say what it means for a
request. Knows neither caches nor the engine.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from app.core.errors import StoreError
from app.core.ports import EventStore, UserStore
from app.core.types import Event, StoredUser
from app.domain.event_rules import EventRule
from app.domain.request import MAX_HISTORY, SeenRule
from app.serving.current_engine import CurrentEngine
from app.serving.turn import in_a_task

_NOBODY: Final = StoredUser()


@dataclass(frozen=True, slots=True)
class UserState:
    """A user at one moment.

    `frozen`: items of positive events from the bundle, oldest first, without kinds or times; empty
    where the user was deleted. `stored`: what happened since, and its version.
    """

    frozen: tuple[str, ...] = ()
    stored: StoredUser = _NOBODY

    def __bool__(self) -> bool:
        """Tell whether it says anything."""
        return bool(self.frozen or self.stored.events)


STRANGER: Final = UserState()


@dataclass(frozen=True, slots=True)
class Taste:
    """What a state says of a user's taste.

    `history`: items taken, oldest first, the newest 200. `disliked`: items whose newest event that
    says anything is negative, oldest first. What has faded says nothing.
    """

    history: tuple[str, ...] = ()
    disliked: tuple[str, ...] = ()


class UserStates:
    """Reads users."""

    def __init__(self, current: CurrentEngine, events: EventStore, timeout_s: float) -> None:
        """Join what came with the engine with `events`; a read takes at most `timeout_s`."""
        self.events = events
        self._current = current
        self._timeout_s = timeout_s

    @property
    def rules(self) -> Mapping[str, EventRule]:
        """What each kind of event says now; a kind without a rule says nothing."""
        return self._current.loaded.rules

    async def read(self, user: str, also: Iterable[str] = ()) -> UserState:
        """Return a user's state: events that say something, and those of the kinds in `also`.

        Raises:
            StoreError: it cannot be read, or not in time.
        """
        await in_a_task()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._read(user, tuple(also))
        except TimeoutError as error:
            raise StoreError("user state cannot be read in time") from error

    async def read_all(self, user: str) -> UserState:
        """Return a user's state with events of all kinds, and their counts. Raises StoreError."""
        stored = await self.events.read(user)
        return await _layered(self._current.loaded.users, user, stored)

    async def _read(self, user: str, also: tuple[str, ...]) -> UserState:
        while True:
            loaded = self._current.loaded
            kinds = tuple(dict.fromkeys((*_telling(loaded.rules), *also)))
            state = await _layered(loaded.users, user, await self.events.read(user, kinds))
            # If another bundle took over meanwhile, its rules may ask for other events.
            if loaded is self._current.loaded:
                return state


async def _layered(frozen: UserStore, user: str, stored: StoredUser) -> UserState:
    users = stored.merged if stored.deleted else (user, *stored.merged)
    parts = [await frozen.history(name) for name in users]
    return UserState(tuple(item for part in parts for item in part)[-MAX_HISTORY:], stored)


def taste_of(state: UserState, rules: Mapping[str, EventRule], now: float) -> Taste:
    """Return what a user took and what they turned away from; the newest event of an item counts.

    An item of the bundle's history that has stored events is where those put it, nowhere if they
    have all faded: an event log that was exported and built from would count twice.

    Args:
        state: of the user.
        rules: what each kind of event says, and for how long.
        now: unix seconds.
    """
    since = {kind: rule.telling_since(now) for kind, rule in rules.items()}
    spoke: set[str] = set()
    signs: dict[str, int] = {}
    taken: list[str] = []
    for event in state.stored.events:
        sign = _sign(event, rules)
        if not sign:
            continue
        spoke.add(event.item)
        if event.time >= since[event.kind]:
            signs.pop(event.item, None)  # so that the newest is the last
            signs[event.item] = sign
            if sign > 0:
                taken.append(event.item)
    before = [item for item in state.frozen if item not in spoke]
    history = (*before, *(item for item in taken if signs[item] > 0))
    disliked = tuple(item for item, sign in signs.items() if sign < 0)
    return Taste(history[-MAX_HISTORY:], disliked[-MAX_HISTORY:])


def seen(
    state: UserState, rule: SeenRule, rules: Mapping[str, EventRule], now: float
) -> frozenset[str]:
    """Return the items that a rule calls seen. `now`: unix seconds.

    What the bundle holds has neither kind nor time: it counts where the rule asks for neither.
    """
    since = float("-inf") if rule.within_s is None else now - rule.within_s
    found = {
        event.item
        for event in state.stored.events
        if event.time >= since
        and (_sign(event, rules) > 0 if rule.events is None else event.kind in rule.events)
    }
    return frozenset(found.union(state.frozen) if rule.everything else found)


def _telling(rules: Mapping[str, EventRule]) -> list[str]:
    """Return the kinds of events that say something."""
    return [kind for kind, rule in rules.items() if rule.weight or rule.positive_from is not None]


def _sign(event: Event, rules: Mapping[str, EventRule]) -> int:
    rule = rules.get(event.kind)
    return 0 if rule is None else rule.sign(event.value)
