"""Budgets that several processes share: reconciled beside the path, so no request waits for it.

Each process lets requests through by its own budgets. Ten times a second it says what it has spent,
and learns what all of them have; then it lowers its own budgets to that. So together `n` processes
let through, in a time of `t` seconds, at most

    burst + rate * t + (n - 1) * (burst + rate * 0.1)

The last part is what the others do not know of yet. It is owed then, so the lasting rate is that of
one process. While the shared budgets cannot be reached, each process keeps its limits for itself.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from app.core.budget_port import SharedBudgets, Spent
from app.core.errors import StoreError
from app.core.tallies import Counter
from app.serving.access.accounts import Accounts
from app.serving.access.budget import Budget

SETTLE_S: Final = 0.1
PAUSE_S: Final = 1.0
"""After a failure."""

_MOST_AT_ONCE: Final = 500

_log = logging.getLogger(__name__)


async def settle_for_ever(
    accounts: Accounts,
    shared: SharedBudgets,
    errors: Counter,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Reconcile the budgets that are in use, for ever. `errors`: counts what failed."""
    failed, in_use = False, dict[str, Budget]()
    while True:
        await sleep(PAUSE_S if failed else SETTLE_S)
        in_use |= accounts.take_used()
        in_use = {name: budget for name, budget in in_use.items() if budget.used}
        used = list(in_use.items())
        try:
            for start in range(0, len(used), _MOST_AT_ONCE):
                await _settle(used[start : start + _MOST_AT_ONCE], shared)
        except StoreError as error:
            errors.inc()
            if not failed:
                _log.warning(
                    "limits of keys hold for each process alone, until this ends: %s", error.message
                )
            failed = True
        else:
            if failed and used:
                _log.info("limits of keys hold for all processes together again")
            failed = failed and not used


async def _settle(used: list[tuple[str, Budget]], shared: SharedBudgets) -> None:
    """Reconcile some budgets. Raises `StoreError`; then what was spent is told the next time."""
    spent = [Spent(name, each.take_unshared(), each.rate, each.burst) for name, each in used]
    try:
        levels = await shared.settle(spent)
    except BaseException:
        for (_, budget), told in zip(used, spent, strict=True):
            budget.give_back_unshared(told.units)
        raise
    for (_, budget), level in zip(used, levels, strict=True):
        budget.lower(level)
