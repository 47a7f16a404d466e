"""What is true, written down as it happens, apart from the service: the checks compare with it.

States have times. A read that began at one moment and ended at another may have seen any state that
was there in between, and no other.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Generic, TypeVar

V = TypeVar("V")


class Timeline(Generic[V]):
    """The states of one thing, each from a moment on."""

    def __init__(self, first: V) -> None:
        self._times = [float("-inf")]
        self._states = [first]

    def add(self, time: float, state: V) -> None:
        """Have another state from now on."""
        self._times.append(time)
        self._states.append(state)

    @property
    def newest(self) -> V:
        """The state now."""
        return self._states[-1]

    def between(self, start: float, end: float) -> list[V]:
        """Return the states that there were from `start` to `end`, the newest first."""
        first = bisect_right(self._times, start) - 1
        # A change at the very moment at which a call begins may come before or after it.
        while first > 0 and self._times[first] == start:
            first -= 1
        last = bisect_right(self._times, end)
        return self._states[first:last][::-1]


@dataclass(slots=True)
class Ledger:
    """What was wrong, and what was done.

    Attributes:
        wrong: what was found to be wrong, one line each.
        lines: what happened, if it is traced.
        traced: whether it is.
    """

    wrong: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    traced: bool = False

    def complain(self, rule: str, detail: str) -> None:
        """Note that a rule is broken."""
        self.wrong.append(f"{rule}: {detail}")
        self.tell(0.0, f"WRONG {rule}: {detail}")

    def tell(self, time: float, line: str) -> None:
        """Note what happened."""
        if self.traced:
            self.lines.append(f"{time:10.4f}  {line}" if time else f"{'':10}  {line}")
