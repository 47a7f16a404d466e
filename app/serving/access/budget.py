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


def _nothing(_: object) -> None:
    pass


class Budget:
    """What one key may still spend. Belongs to one event loop.

    Attributes:
        name: of the budget, as callers read it.
        rate: units that come back in a second.
        burst: most units at once.
        unshared: units that were spent and that no other process knows of yet.
        policy: the budget as the header `RateLimit-Policy` names it.
    """

    __slots__ = (
        *("_at", "_clock", "_head", "_level", "_on_refused", "_on_used"),
        *("burst", "name", "policy", "rate", "unshared"),
    )

    def __init__(  # noqa: PLR0913 - its clock and its listeners are injected
        self,
        name: str,
        rate: float,
        burst: int,
        clock: Callable[[], float] = time.monotonic,
        *,
        on_used: Callable[["Budget"], None] = _nothing,
        on_refused: Callable[[str], None] = _nothing,
    ) -> None:
        """Begin full.

        Args:
            name: of the budget, as callers read it.
            rate: units that come back in a second.
            burst: most units at once.
            clock: monotonic seconds.
            on_used: is called with the budget when something is spent, and nothing was unshared.
            on_refused: is called with the name when something is refused.
        """
        self.name, self.rate, self.burst = name, rate, burst
        self.unshared = 0.0
        window_s = max(1, round(burst / rate))
        self.policy = f'"{name}";q={burst};w={window_s}'.encode()
        self._head = f'"{name}";r='.encode()
        self._clock, self._on_used, self._on_refused = clock, on_used, on_refused
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
            self._on_refused(self.name)
            raise RateLimitedError(
                f"the budget of {self.name} is spent: {self.rate:g} a second, "
                f"at most {self.burst} at once",
                retry_after_ms=math.ceil((needed - level) / self.rate * 1e3),
            )
        self._level = level - cost
        if not self.unshared:
            self._on_used(self)
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

    @property
    def used(self) -> bool:
        """Whether it is not full, or something was spent that no other process knows of."""
        return self.unshared > 0 or self._now() < self.burst

    def take_unshared(self) -> float:
        """Return `unshared`, which are known to the others from now on."""
        units, self.unshared = self.unshared, 0.0
        return units

    def give_back_unshared(self, units: float) -> None:
        """Keep units that could not be told to the others; at most a burst of them.

        Otherwise a key would pay, after an hour without them, for what came back in that hour.
        """
        self.unshared = min(float(self.burst), self.unshared + units)

    def lower(self, level: float) -> None:
        """Take over a lower level, from which `unshared` was not yet taken off.

        What is owed is bounded by a burst and a second, so that a wrong level blocks nobody for
        long.
        """
        least = -(self.burst + self.rate)
        self._level = min(self._now(), max(level - self.unshared, least))

    def _now(self) -> float:
        """Return the level, with what has come back meanwhile."""
        now = self._clock()
        self._level = min(float(self.burst), self._level + (now - self._at) * self.rate)
        self._at = now
        return self._level
