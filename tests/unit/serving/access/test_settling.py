"""Budgets of several processes on one virtual clock: what they let through together."""

import asyncio
import random

import pytest
from prometheus_client import CollectorRegistry

from app.core.telemetry import Metrics
from app.serving.access.accounts import Accounts
from app.serving.access.budget import Budget
from app.serving.access.limits import KeyLimits
from app.serving.access.settling import SETTLE_S, settle_for_ever
from app.testing.budgets import MemoryBudgets
from tests.clock import Clock
from tests.turns import Turns

_RATE, _BURST = 100.0, 50


class _Process:
    """One process: its accounts, and its loop, which a test turns."""

    def __init__(self, clock: Clock, shared: MemoryBudgets) -> None:
        self.accounts = Accounts(limits=KeyLimits(_RATE, _BURST), clock=clock)
        self.turns = Turns()
        metrics = Metrics(CollectorRegistry())
        self.errors = metrics.limit_errors
        self.task = asyncio.create_task(
            settle_for_ever(self.accounts, shared, self.errors, self.turns.sleep)
        )

    @property
    def budget(self) -> Budget:
        budget = self.accounts.by_id[""].requests
        assert budget is not None
        return budget

    def let_through(self, calls: int) -> int:
        return sum(self.budget.allows() for _ in range(calls))


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("seed", range(3))
async def test_processes_keep_the_limit_together(n: int, seed: int) -> None:
    clock, chance = Clock(), random.Random(seed)
    shared = MemoryBudgets(clock)
    processes = [_Process(clock, shared) for _ in range(n)]
    for each in processes:
        await each.turns.first()
    through, seconds = 0, 30.0
    for _ in range(round(seconds / SETTLE_S)):
        for each in processes:
            through += each.let_through(chance.choice((0, 20, 100)))
        clock.advance(SETTLE_S)
        for each in processes:
            await each.turns.next()
    stated = _BURST + _RATE * seconds + (n - 1) * (_BURST + _RATE * SETTLE_S)
    assert _RATE * seconds * 0.8 <= through <= stated
    for each in processes:
        each.task.cancel()


async def test_who_comes_second_learns_what_the_first_has_spent() -> None:
    clock = Clock()
    shared = MemoryBudgets(clock)
    one, two = _Process(clock, shared), _Process(clock, shared)
    await one.turns.first()
    await two.turns.first()
    assert one.let_through(100) == 50
    assert two.let_through(1) == 1
    await one.turns.next()
    await two.turns.next()
    assert two.let_through(100) == 0
    clock.advance(0.05)
    assert two.let_through(100) == 4  # the one that was owed is paid first
    for each in (one, two):
        each.task.cancel()


async def test_nothing_is_asked_while_nothing_is_spent() -> None:
    clock = Clock()
    shared = MemoryBudgets(clock)
    process = _Process(clock, shared)
    await process.turns.first()
    for _ in range(3):
        await process.turns.next()
    assert shared.calls == 0
    process.let_through(1)
    await process.turns.next()
    assert shared.calls == 1
    clock.advance(1.0)
    await process.turns.next()
    assert shared.calls == 1
    process.task.cancel()


async def test_without_the_shared_budgets_each_process_keeps_its_own_limit() -> None:
    clock = Clock()
    shared = MemoryBudgets(clock)
    shared.down = True
    process = _Process(clock, shared)
    await process.turns.first()
    assert process.let_through(1000) == 50
    for _ in range(10):
        clock.advance(1.0)
        await process.turns.next()
        assert process.let_through(1000) == 50
    assert process.errors.value == 10
    # What it has spent meanwhile is told, but not more than a burst of it.
    assert process.budget.unshared == 100
    clock.advance(1.0)
    await process.turns.next()
    assert process.budget.unshared == 50
    shared.down = False
    await process.turns.next()
    assert (process.budget.unshared, process.let_through(100)) == (0, 0)
    clock.advance(0.5)
    assert process.let_through(100) == 50
    process.task.cancel()


async def test_what_is_spent_while_the_answer_comes_is_not_lost() -> None:
    clock = Clock()
    budget = Budget("requests", _RATE, _BURST, clock)
    budget.spend(10)
    assert budget.take_unshared() == 10
    budget.spend(5)
    budget.lower(30.0)  # of all processes, before those 5
    assert (budget.left, budget.unshared) == (25.0, 5.0)
