"""A budget: a token bucket that says how many milliseconds are missing when it refuses.

    level   rises by `rate` a second up to `burst`; what is spent is taken off it

A call that costs more than `burst` is let through by a full bucket and leaves a debt. So a large
batch is never refused for ever, and the lasting rate is kept all the same.
"""

import math
import time
from collections.abc import Callable
from typing import Final

from app.core.errors import RateLimitedError

_ROUNDING: Final = 1e-6
"""So much may be missing: sums of seconds are not exact."""


class Budget:
    """What one key may still spend. Belongs to one event loop.

    Attributes:
        name: of the budget, as callers read it.
        rate: units that come back in a second.
        burst: most units at once.
        unshared: units that were spent and are not yet known to the other processes.
        policy: the budget as the header `RateLimit-Policy` names it.
    """

    __slots__ = ("_at", "_clock", "_head", "_level", "burst", "name", "policy", "rate", "unshared")

    def __init__(
        self, name: str, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin full. `clock`: monotonic seconds."""
        self.name, self.rate, self.burst = name, rate, burst
        self.unshared = 0.0
        window_s = max(1, round(burst / rate))
        self.policy = f'"{name}";q={burst};w={window_s}'.encode()
        self._head = f'"{name}";r='.encode()
        self._clock = clock
        self._at = clock()
        self._level = float(burst)

    def __repr__(self) -> str:
        return f"<Budget {self.name} {self._level:.1f} of {self.burst}, {self.rate:g} a second>"

    def spend(self, cost: int = 1, paid: int = 0) -> None:
        """Spend some units.

        Args:
            cost: how many.
            paid: how many the same call has spent already.

        Raises:
            RateLimitedError: they are not there; nothing was spent.
        """
        now = self._clock()
        level = self._level + (now - self._at) * self.rate
        if level > self.burst:
            level = float(self.burst)
        self._at = now
        needed = cost if cost + paid <= self.burst else self.burst - paid
        if level + _ROUNDING < needed:
            self._level = level
            raise RateLimitedError(
                f"the budget of {self.name} is spent: {self.rate:g} a second, "
                f"at most {self.burst} at once",
                retry_after_ms=math.ceil((needed - level) / self.rate * 1e3),
            )
        self._level = level - cost
        self.unshared += cost

    def allows(self) -> bool:
        """Spend one unit if it is there, and tell whether it was."""
        try:
            self.spend()
        except RateLimitedError:
            return False
        return True

    @property
    def left(self) -> float:
        """How many units were there after the last call; below 0 = so many are owed."""
        return self._level

    @property
    def state(self) -> bytes:
        """What is left, and in how many seconds more is there, as the header `RateLimit` says."""
        level = self._level
        if level >= self.burst:
            next_s = 0
        elif level >= 0.0 and self.rate >= 1.0:
            next_s = 1
        else:
            next_s = math.ceil((max(0.0, math.floor(level)) + 1 - level) / self.rate)
        return b"%b%d;t=%d" % (self._head, max(0.0, level), next_s)

    def lower(self, level: float) -> None:
        """Take over a lower level: other processes have spent units of the same key.

        What is owed is bounded by a burst and a second, so that a wrong level blocks nobody for
        long.
        """
        least = -(self.burst + self.rate)
        now = self._clock()
        mine = min(float(self.burst), self._level + (now - self._at) * self.rate)
        self._at = now
        self._level = min(mine, max(level, least))
