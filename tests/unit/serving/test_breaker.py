"""The breaker as a state machine on a clock that stands still."""

import pytest

from app.serving.breaker import Breaker
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock) -> Breaker:
    return Breaker(failures=3, pause_s=10.0, clock=clock)


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.failed(breaker.permit())


def test_opens_after_failures_in_a_row(breaker):
    fail(breaker, 2)
    assert not breaker.open
    fail(breaker)
    assert breaker.open
    assert breaker.permit() is None


def test_a_success_between_starts_the_count_again(breaker):
    fail(breaker, 2)
    breaker.succeeded(breaker.permit())
    fail(breaker, 2)
    assert not breaker.open


def test_lets_one_probe_through_after_the_pause(breaker, clock):
    fail(breaker, 3)
    clock.advance(9.9)
    assert breaker.permit() is None
    clock.advance(0.1)
    assert breaker.permit() is not None
    assert breaker.permit() is None


def test_a_probe_that_succeeds_closes(breaker, clock):
    fail(breaker, 3)
    clock.advance(10.0)
    breaker.succeeded(breaker.permit())
    assert not breaker.open
    fail(breaker, 2)
    assert not breaker.open


def test_a_probe_that_fails_opens_for_another_pause(breaker, clock):
    fail(breaker, 3)
    clock.advance(10.0)
    fail(breaker)
    assert breaker.permit() is None
    clock.advance(10.0)
    assert breaker.permit() is not None


def test_a_probe_whose_caller_gave_up_is_made_again(breaker, clock):
    fail(breaker, 3)
    clock.advance(10.0)
    breaker.abandoned(breaker.permit())
    assert breaker.open
    assert breaker.permit() is not None


def test_calls_from_before_the_change_no_longer_count(breaker, clock):
    early = [breaker.permit() for _ in range(4)]
    fail(breaker, 3)
    clock.advance(10.0)
    probe = breaker.permit()
    breaker.succeeded(early[0])
    breaker.failed(early[1])
    breaker.abandoned(early[2])
    assert breaker.open
    assert breaker.permit() is None  # the probe is still out
    breaker.succeeded(probe)
    breaker.failed(early[3])
    assert repr(breaker) == "<Breaker closed, 0 failures>"


def test_pauses_grow_up_to_the_longest(clock) -> None:
    breaker = Breaker(1, 10.0, clock, longest_pause_s=35.0)
    fail(breaker)
    for pause_s in (10.0, 20.0, 35.0, 35.0):
        clock.advance(pause_s - 0.1)
        assert breaker.permit() is None
        clock.advance(0.2)
        fail(breaker)
    clock.advance(36.0)
    breaker.succeeded(breaker.permit())
    fail(breaker)
    clock.advance(10.1)
    assert breaker.permit() is not None
