"""The decision which requests go together, with numbers instead of time."""

from collections import deque
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.serving.batching.plan import BatchPlan, Limits, PassTimes, max_batch_share, next_batch

LIMITS = Limits(max_requests=4, max_tokens=100, max_pending=1000)


@dataclass(frozen=True)
class WaitingRequest:
    name: str
    cost: int = 1
    deadline: float = 1e9
    abandoned: bool = False
    retry_alone: bool = False
    follows: bool = False


def names(entries) -> str:
    return "".join(entry.name for entry in entries)


def plan(
    *pending: WaitingRequest, now: float = 0.0, rate: float = 0.0
) -> BatchPlan[WaitingRequest]:
    return next_batch(pending, now, LIMITS, LIMITS.max_requests, rate)


def test_nothing_waiting_gives_an_empty_plan():
    assert plan() == BatchPlan((), (), (), 0)


def test_takes_in_order_up_to_the_request_limit():
    assert names(plan(*map(WaitingRequest, "abcdef")).take) == "abcd"


def test_what_was_asked_together_is_not_parted_by_the_share_but_by_the_limit():
    waiting = [WaitingRequest(name, follows=name in "cdef") for name in "abcdef"]
    assert names(next_batch(waiting, 0.0, LIMITS, 1).take) == "a"
    assert names(next_batch(waiting, 0.0, LIMITS, 2).take) == "abcd"
    assert names(next_batch(waiting[1:4], 0.0, LIMITS, 1).take) == "bcd"


def test_stops_at_the_first_that_exceeds_the_tokens_even_if_a_later_one_would_fit():
    got = plan(WaitingRequest("a", 60), WaitingRequest("b", 60), WaitingRequest("c", 1))
    assert (names(got.take), got.tokens) == ("a", 60)


def test_a_request_over_the_budget_goes_by_itself():
    assert names(plan(WaitingRequest("a", 5000), WaitingRequest("b")).take) == "a"
    assert names(plan(WaitingRequest("a"), WaitingRequest("b", 5000)).take) == "a"


def test_the_expired_and_the_left_are_named_and_take_no_room():
    got = plan(
        WaitingRequest("a", 100, abandoned=True),
        WaitingRequest("b", 100, deadline=5.0),
        WaitingRequest("c", 100),
        now=5.0,
    )
    assert (names(got.abandoned), names(got.expired), names(got.take)) == ("a", "b", "c")


def test_one_that_both_left_and_expired_is_left():
    got = plan(WaitingRequest("a", deadline=1.0, abandoned=True), now=2.0)
    assert (names(got.abandoned), names(got.expired)) == ("a", "")


def test_stops_growing_before_the_oldest_deadline_is_missed():
    # 0.1 s per token: 30 tokens end at 3.0, 31 would end at 3.1.
    pending = [
        WaitingRequest("a", 10, deadline=3.0),
        WaitingRequest("b", 20),
        WaitingRequest("c", 1),
    ]
    assert names(plan(*pending, rate=0.1).take) == "ab"


def test_a_deadline_in_the_middle_of_the_batch_counts_too():
    pending = [
        WaitingRequest("a", 10),
        WaitingRequest("b", 20, deadline=3.0),
        WaitingRequest("c", 1),
    ]
    assert names(plan(*pending, rate=0.1).take) == "ab"


def test_a_deadline_that_is_lost_anyway_holds_nothing_back():
    pending = [
        WaitingRequest("a", 10, deadline=0.5),
        WaitingRequest("b", 20),
        WaitingRequest("c", 1),
    ]
    assert names(plan(*pending, rate=0.1).take) == "abc"


def test_a_pass_takes_no_longer_than_it_may_but_is_a_quarter_of_what_it_may_hold_at_least():
    limits = Limits(max_requests=8, max_tokens=100, max_pending=1000)
    pending = [WaitingRequest(name) for name in "abcdefghij"]

    def taken(longest_s: float) -> str:
        return names(next_batch(pending, 5.0, limits, 8, 0.1, longest_s=longest_s).take)

    assert taken(0.45) == "abcd"
    assert taken(0.01) == "ab"
    assert taken(9.0) == "abcdefgh"


def test_one_that_must_go_alone_does():
    pending = [
        WaitingRequest("a", retry_alone=True),
        WaitingRequest("b", retry_alone=True),
        WaitingRequest("c"),
    ]
    assert names(plan(*pending).take) == "a"
    assert names(plan(*pending[1:]).take) == "b"
    assert names(plan(WaitingRequest("c"), WaitingRequest("a", retry_alone=True)).take) == "c"


entries = st.builds(
    WaitingRequest,
    st.just("x"),
    cost=st.integers(1, 1000),
    deadline=st.floats(0.0, 20.0),
    abandoned=st.booleans(),
    retry_alone=st.booleans(),
)


@given(st.lists(entries, max_size=40), st.integers(0, 9), st.floats(0.0, 20.0), st.floats(0.0, 0.1))
def test_planning_again_and_again_empties_any_queue(pending, running, now, rate):
    pending = [
        WaitingRequest(str(n), e.cost, e.deadline, e.abandoned, e.retry_alone)
        for n, e in enumerate(pending)
    ]
    waiting, seen, taken = deque(pending), [], []
    while waiting:
        most = max_batch_share(len(waiting), running, LIMITS)
        got = next_batch(waiting, now, LIMITS, most, rate)
        named = (*got.take, *got.expired, *got.abandoned)
        assert named, "a plan that names nobody would be asked for ever"
        assert len(got.take) <= most <= LIMITS.max_requests
        assert got.tokens == sum(entry.cost for entry in got.take)
        assert got.tokens <= LIMITS.max_tokens or len(got.take) == 1
        seen += named
        taken += got.take
        waiting = deque(entry for entry in waiting if entry not in named)
    assert sorted(seen, key=pending.index) == pending  # each exactly once
    assert taken == [e for e in pending if not e.abandoned and e.deadline > now]  # in order


def test_callers_who_ask_again_are_split_into_equal_batches():
    """However uneven the batches were, after a few passes each has half of those who ask."""
    waiting, prepared, ranked = 31, 1, 0
    sizes = []
    for _ in range(8):  # a batch is ranked and its callers ask again; the next one is taken
        waiting, ranked = waiting + ranked, prepared
        prepared = min(max_batch_share(waiting, ranked, Limits(64, 1024, 1024)), waiting)
        waiting -= prepared
        sizes.append(prepared)
    assert sizes[2:] == [16] * 6


def test_what_a_pass_costs_is_learned_by_its_size():
    times = PassTimes()
    assert times.seconds(5) == 0.0
    for _ in range(50):
        times.observe(tokens=5, seconds=0.003)
    assert times.seconds(5) == pytest.approx(0.003)
    assert times.seconds(500) == pytest.approx(0.3)  # nothing larger seen yet
    times.observe(tokens=1000, seconds=0.120)
    assert times.seconds(5) == pytest.approx(0.003)
    assert times.seconds(500) == pytest.approx(0.06)  # as the next larger
    assert times.seconds(10_000) == pytest.approx(1.2)  # as passes of the largest


def test_a_pass_that_was_held_up_hardly_counts_but_a_slow_engine_does():
    times = PassTimes()
    times.observe(tokens=5, seconds=0.005)
    times.observe(tokens=5, seconds=2.0)
    assert times.seconds(5) == pytest.approx(0.007)  # 0.8 of it and 0.2 of three times as much
    for _ in range(60):
        times.observe(tokens=5, seconds=0.05)
    assert times.seconds(5) == pytest.approx(0.05, rel=0.01)


def test_tight_deadlines_do_not_cut_a_batch_below_a_quarter_of_what_it_may_hold():
    limits = Limits(max_requests=40, max_tokens=1000, max_pending=1000)
    # Two requests of one second each would be in time.
    waiting = [WaitingRequest(f"{n}", deadline=2.5) for n in range(30)]

    plan = next_batch(waiting, 0.0, limits, 40, seconds_per_token=1.0)

    assert len(plan.take) == 10
