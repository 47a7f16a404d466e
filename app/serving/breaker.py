"""A circuit breaker: after repeated failures, leave a dependency alone for a while.

A plain state machine on an injected clock. Knows nothing of what it guards.
"""

import time
from collections.abc import Callable
from typing import NewType

Permit = NewType("Permit", int)
"""Permission for one call; worthless once the state has changed."""


class Breaker:
    """Closed until `failures` calls in a row have failed; then open for `pause_s` seconds.

    After the pause one call at a time is let through as a probe: its success closes the breaker,
    its failure opens it for another pause.

    Every permit must be given back by exactly one of `succeeded`, `failed`, `abandoned`. Calls that
    started before the last change of state no longer count.
    """

    def __init__(
        self, failures: int, pause_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = failures
        self._pause_s = pause_s
        self._clock = clock
        self._failures = 0
        self._opened: float | None = None
        self._probing = False
        self._state = 0

    def __repr__(self) -> str:
        return f"<Breaker {'open' if self.open else 'closed'}, {self._failures} failures>"

    @property
    def open(self) -> bool:
        """Whether calls are being held back (a probe may be out)."""
        return self._opened is not None

    def permit(self) -> Permit | None:
        """Return a permit for one call, or None: leave the dependency alone."""
        if self._opened is not None:
            if self._probing or self._clock() - self._opened < self._pause_s:
                return None
            self._probing = True
            self._state += 1
        return Permit(self._state)

    def succeeded(self, permit: Permit) -> None:
        """Give back the permit of a call that came through."""
        if permit != self._state:
            return
        self._failures = 0
        if self._opened is not None:
            self._opened = None
            self._probing = False
            self._state += 1

    def failed(self, permit: Permit) -> None:
        """Give back the permit of a call that failed."""
        if permit != self._state:
            return
        self._failures += 1
        if self._failures >= self._limit:
            self._opened = self._clock()
            self._probing = False
            self._state += 1

    def abandoned(self, permit: Permit) -> None:
        """Give back the permit of a call that was given up: that says nothing of its chances."""
        if permit == self._state:
            self._probing = False
