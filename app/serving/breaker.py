"""The circuit breaker: it keeps calls away from a server that fails, for a while."""

import time
from collections.abc import Callable
from typing import NewType

Permit = NewType("Permit", int)
"""Permission for one call. It no longer counts once the breaker has changed its state."""


class Breaker:
    """A circuit breaker: it opens after `failures` failed calls in a row, for `pause_s` seconds.

    While it is open, no calls are permitted. After the pause, one call at a time is permitted as a
    probe. If the probe succeeds, the breaker closes; if it fails, the breaker stays open for
    another pause. Each pause is twice as long as the one before, up to `longest_pause_s`.

    Every permit must be given back by exactly one of `succeeded`, `failed`, `abandoned`. Calls that
    started before the last change of state no longer count.
    """

    def __init__(
        self,
        failures: int,
        pause_s: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        longest_pause_s: float | None = None,
    ) -> None:
        """Start closed. `clock`: monotonic seconds. `longest_pause_s`: None = all are alike."""
        self._limit = failures
        self._first_pause_s = self._pause_s = pause_s
        self._longest_pause_s = pause_s if longest_pause_s is None else longest_pause_s
        self._clock = clock
        self._failures = 0
        self._opened: float | None = None
        self._probing = False
        self._state = 0

    def __repr__(self) -> str:
        return f"<Breaker {'open' if self.open else 'closed'}, {self._failures} failures>"

    @property
    def open(self) -> bool:
        """Whether calls are refused; one probe may be running all the same."""
        return self._opened is not None

    def permit(self) -> Permit | None:
        """Return a permit for one call; None if the call must not be made."""
        if self._opened is not None:
            if self._probing or self._clock() - self._opened < self._pause_s:
                return None
            self._probing = True
            self._state += 1
        return Permit(self._state)

    def succeeded(self, permit: Permit) -> None:
        """Give back the permit of a call that succeeded."""
        if permit != self._state:
            return
        self._failures = 0
        if self._opened is not None:
            self._opened = None
            self._pause_s = self._first_pause_s
            self._probing = False
            self._state += 1

    def failed(self, permit: Permit) -> None:
        """Give back the permit of a call that failed."""
        if permit != self._state:
            return
        self._failures += 1
        if self._failures >= self._limit:
            if self._opened is not None:
                self._pause_s = min(2 * self._pause_s, self._longest_pause_s)
            self._opened = self._clock()
            self._probing = False
            self._state += 1

    def abandoned(self, permit: Permit) -> None:
        """Give back the permit of a call that was cancelled: it counts neither way."""
        if permit == self._state:
            self._probing = False
