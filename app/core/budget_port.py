"""The port of budgets that several processes share: each says what it spent, and learns the sum."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Spent(NamedTuple):
    """What one process has spent of a budget since it said so last.

    Attributes:
        name: of the budget, the same in all processes.
        units: that were spent, ≥ 0.
        rate: units that come back in a second.
        burst: most units at once.
    """

    name: str
    units: float
    rate: float
    burst: int


class SharedBudgets(Protocol):
    """The budgets of all processes together."""

    async def settle(self, spent: Sequence[Spent]) -> list[float]:
        """Take what was spent off each budget, and return how many units are left of it.

        A budget that is not known is full. Below 0, so many units are owed.

        Raises:
            StoreError: it cannot be reached now; whether anything was taken off is not known.
        """
        ...

    async def aclose(self) -> None:
        """Close it. Idempotent."""
        ...
