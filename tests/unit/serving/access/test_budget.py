"""A budget on a clock that a test moves: what it lets through, and when it says to come back."""

import pytest

from app.core.errors import RateLimitedError
from app.serving.access.budget import Budget
from tests.clock import Clock


def _spent(budget: Budget, calls: int) -> int:
    """Return how many of so many calls were let through."""
    return sum(budget.allows() for _ in range(calls))


def test_a_burst_is_let_through_and_then_the_rate() -> None:
    clock = Clock()
    budget = Budget("requests", 10.0, 20, clock)
    assert _spent(budget, 100) == 20
    clock.advance(1.0)
    assert _spent(budget, 100) == 10
    clock.advance(1000.0)
    assert _spent(budget, 100) == 20


@pytest.mark.parametrize("rate", [0.3, 1.0, 7.0, 250.0])
def test_the_lasting_rate_is_kept_in_steps_of_any_size(rate: float) -> None:
    clock = Clock()
    budget = Budget("requests", rate, 5, clock)
    through = 0
    for _ in range(2000):
        through += _spent(budget, 3)
        clock.advance(0.013)
    assert through <= 5 + rate * 2000 * 0.013
    assert through >= min(3 * 2000, rate * 2000 * 0.013 - 1)


def test_who_comes_back_when_told_is_let_through() -> None:
    clock = Clock()
    budget = Budget("requests", 3.0, 7, clock)
    for cost in (7, 5, 3, 1, 7):
        clock.advance(10.0)
        _spent(budget, 7)
        with pytest.raises(RateLimitedError) as refused:
            budget.spend(cost)
        clock.advance((refused.value.retry_after_ms - 2) / 1e3)
        with pytest.raises(RateLimitedError):
            budget.spend(cost)
        clock.advance(0.002)
        budget.spend(cost)


def test_a_refusal_spends_nothing() -> None:
    clock = Clock()
    budget = Budget("requests", 1.0, 10, clock)
    budget.spend(8)
    for _ in range(5):
        with pytest.raises(RateLimitedError) as refused:
            budget.spend(4)
        assert refused.value.retry_after_ms == 2000
    budget.spend(2)
    assert budget.left == 0.0


def test_a_call_larger_than_a_burst_leaves_a_debt() -> None:
    clock = Clock()
    budget = Budget("requests", 10.0, 10, clock)
    budget.spend()
    budget.spend(63, paid=1)  # a batch of 64, of which the edge took the first unit
    assert budget.left == -54.0
    with pytest.raises(RateLimitedError) as refused:
        budget.spend()
    assert refused.value.retry_after_ms == 5500
    clock.advance(5.5)
    budget.spend()


def test_a_large_call_waits_for_a_full_bucket() -> None:
    clock = Clock()
    budget = Budget("requests", 10.0, 10, clock)
    budget.spend(2)
    clock.advance(0.1)
    with pytest.raises(RateLimitedError) as refused:
        budget.spend(64)
    assert refused.value.retry_after_ms == 100
    clock.advance(0.1)
    budget.spend(64)


def test_what_is_left_and_when_more_comes() -> None:
    clock = Clock()
    budget = Budget("requests", 0.5, 3, clock)
    assert budget.policy == b'"requests";q=3;w=6'
    assert (budget.left, budget.state) == (3.0, b'"requests";r=3;t=0')
    budget.spend(2)
    assert (budget.left, budget.state) == (1.0, b'"requests";r=1;t=2')
    clock.advance(1.0)
    budget.spend()
    assert (budget.left, budget.state) == (0.5, b'"requests";r=0;t=1')
    assert budget.unshared == 3.0


def test_a_debt_is_told_as_nothing_left() -> None:
    budget = Budget("requests", 10.0, 10, Clock())
    budget.spend(64)
    assert budget.state == b'"requests";r=0;t=6'
    assert Budget("requests", 100.0, 30, Clock()).policy == b'"requests";q=30;w=1'


def test_a_lower_level_of_others_is_taken_over_and_a_higher_one_is_not() -> None:
    clock = Clock()
    budget = Budget("requests", 10.0, 20, clock)
    budget.lower(1e9)
    assert budget.left == 20.0
    budget.lower(3.0)
    assert budget.left == 3.0
    clock.advance(0.2)
    budget.lower(19.0)
    assert budget.left == pytest.approx(5.0)


def test_a_wrong_level_blocks_for_a_burst_and_a_second_at_most() -> None:
    clock = Clock()
    budget = Budget("requests", 10.0, 20, clock)
    budget.lower(-1e12)
    clock.advance(3.1)
    assert _spent(budget, 5) == 1
