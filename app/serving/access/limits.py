"""What a key may spend, and how urgent its requests are: the fields that `recserve keys add` sets.

A budget is a token bucket: `rate` units come back in a second, and at most `burst` are there at
once. One request costs one unit, a call that holds several costs as many. Texts and learned queries
have a budget of their own, because a language model works on them.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Priority: TypeAlias = Literal["interactive", "bulk", "admin"]
"""How urgent requests are: somebody waits; a program works through a list; an operator."""

PRIORITIES: Final[tuple[Priority, ...]] = ("interactive", "bulk", "admin")

LOWEST_RATE: Final = 0.001
HIGHEST_RATE: Final = 1_000_000.0
HIGHEST_BURST: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """Budgets of one key, or of all callers without one.

    Attributes:
        rate: units that come back in a second; None = no limit.
        burst: most units at once; None = what comes back in a second, at least one.
        language_rate: the same for the language features; None = no limit of their own.
    """

    rate: float | None = None
    burst: int | None = None
    language_rate: float | None = None


NO_LIMITS: Final = KeyLimits()


def burst_of(rate: float, burst: int | None = None) -> int:
    """Return the most units at once.

    >>> burst_of(100.0), burst_of(0.2), burst_of(100.0, 250)
    (100, 1, 250)
    """
    return max(1, math.ceil(rate)) if burst is None else burst
