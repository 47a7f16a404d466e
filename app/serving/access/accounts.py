"""What each key may still spend. An account outlives changes of the file of keys."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from app.core.lane import OPEN_LANE, Lane
from app.serving.access.budget import Budget
from app.serving.access.keys import NO_KEY, ApiKey
from app.serving.access.limits import NO_LIMITS, KeyLimits, Priority, burst_of

REQUESTS: Final = "requests"
LANGUAGE: Final = "language"


def _nothing(_key_id: str, _budget: str) -> None:
    pass


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """What a key may spend, or all callers without a key together.

    Attributes:
        key_id: of the key; "" = callers without one.
        priority: how urgent its requests are.
        limits: from which its budgets were made.
        requests: its budget of requests; None = no limit.
        language: its budget of the language features; None = no limit.
        lane: in which its requests wait.
    """

    key_id: str = ""
    priority: Priority = "interactive"
    limits: KeyLimits = NO_LIMITS
    requests: Budget | None = None
    language: Budget | None = None
    lane: Lane = OPEN_LANE

    def budgets(self) -> Iterator[Budget]:
        """Yield the budgets that it has."""
        if self.requests is not None:
            yield self.requests
        if self.language is not None:
            yield self.language


class Accounts:
    """One account for each key of the file, and one for all callers without a key.

    Attributes:
        by_id: id of a key, "" = without one -> account.
    """

    def __init__(
        self,
        keys: Iterable[ApiKey] = (),
        limits: KeyLimits = NO_LIMITS,
        clock: Callable[[], float] = time.monotonic,
        on_refused: Callable[[str, str], None] = _nothing,
        *,
        strangers_lane: Lane = OPEN_LANE,
    ) -> None:
        """Open accounts.

        Args:
            keys: that are valid.
            limits: of all callers without a key, together.
            clock: monotonic seconds.
            on_refused: is called with key and budget when something is refused.
            strangers_lane: in which callers without a key wait.
        """
        self._clock, self._on_refused = clock, on_refused
        self._used: dict[str, Budget] = {}
        self.by_id = {"": self._opened(NO_KEY, limits, strangers_lane)}
        self.replace(keys)

    def replace(self, keys: Iterable[ApiKey]) -> None:
        """Have accounts for these keys and no others; what was spent stays spent."""
        accounts = {"": self.by_id[""]}
        for key in keys:
            before = self.by_id.get(key.id)
            same = before is not None and before.limits == key.limits
            if before is None or not same or before.priority != key.priority:
                lane = Lane(key.id, key.priority == "interactive")
                before = self._opened(key, key.limits, lane, before if same else None)
            accounts[key.id] = before
        self.by_id = accounts
        held = {budget for each in accounts.values() for budget in each.budgets()}
        for name in [name for name, budget in self._used.items() if budget not in held]:
            del self._used[name]

    def take_used(self) -> dict[str, Budget]:
        """Return the budgets that were used since the last call, by the name that they share."""
        used = dict(self._used)
        self._used.clear()
        return used

    def _opened(
        self, key: ApiKey, limits: KeyLimits, lane: Lane, before: Account | None = None
    ) -> Account:
        """Return a new account; with the budgets of the one before, if there is one."""
        if before is not None:
            requests, language = before.requests, before.language
        else:
            requests = self._budget(key.id, REQUESTS, limits.rate, limits.burst)
            language = self._budget(key.id, LANGUAGE, limits.language_rate, None)
        return Account(key.id, key.priority, limits, requests, language, lane)

    def _budget(
        self, key_id: str, name: str, rate: float | None, burst: int | None
    ) -> Budget | None:
        if rate is None:
            return None
        return Budget(
            name,
            rate,
            burst_of(rate, burst),
            self._clock,
            on_used=partial(self._used.__setitem__, f"{key_id or 'anonymous'}:{name}"),
            on_refused=partial(self._on_refused, key_id),
        )
