"""`SharedBudgets` in memory: what several accounts share in one test."""

from collections.abc import Callable, Sequence

from app.core.budget_port import Spent
from app.core.errors import StoreError


class MemoryBudgets:
    """Budgets on a clock.

    Attributes:
        down: it fails as a Redis that is down does.
        calls: how often it was asked.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Know no budget yet. `clock`: seconds."""
        self.down = False
        self.calls = 0
        self._clock = clock
        self._levels: dict[str, tuple[float, float]] = {}

    async def settle(self, spent: Sequence[Spent]) -> list[float]:
        """Take what was spent off each budget, and return what is left."""
        self.calls += 1
        if self.down:
            raise StoreError("it is down")
        return [self._settled(each) for each in spent]

    async def aclose(self) -> None:
        """Do nothing."""

    def _settled(self, spent: Spent) -> float:
        now = self._clock()
        level, at = self._levels.get(spent.name, (float(spent.burst), now))
        level = min(float(spent.burst), level + (now - at) * spent.rate) - spent.units
        self._levels[spent.name] = level, now
        return level
