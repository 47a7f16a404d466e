"""Which bodies are refused before they are parsed, during overload, and which never are."""

import pytest

from app.api.fast_path import OverloadGate
from app.core.errors import OverloadedError
from app.core.lane import Lane
from app.domain.request import DEFAULT_BUDGET_MS


class Capacity:
    """An engine that takes new work, or takes none."""

    def __init__(self) -> None:
        self.free = True
        self.checks = 0
        self.budgets: list[int] = []

    def check_capacity(self, _lane: Lane, budget_ms: int) -> None:
        self.checks += 1
        self.budgets.append(budget_ms)
        if not self.free:
            raise OverloadedError("cannot be done in time", retry_after_ms=7)


def test_a_new_body_is_refused_while_the_engine_takes_no_work_and_no_longer():
    capacity = Capacity()
    gate = OverloadGate(capacity.check_capacity)
    capacity.free = False
    for _ in range(2):  # a refused body is not remembered
        with pytest.raises(OverloadedError):
            gate.check(b'{"query":"new"}')

    capacity.free = True
    gate.check(b'{"query":"new"}')


def test_a_body_that_was_let_through_passes_without_a_check_of_the_capacity():
    capacity = Capacity()
    gate = OverloadGate(capacity.check_capacity)
    gate.check(b'{"query":"hot"}')
    capacity.free = False

    gate.check(b'{"query":"hot"}')
    assert capacity.checks == 1


@pytest.mark.parametrize(
    "body",
    [
        b'{"query":"a","max_stale_ms":5}',
        b'{"min_catalogue":3}',
        b'{"budget_ms":5,"min_catalogue":3}',
        b'{"budget_ms":"5"}',
        b'{"budget_ms":5,"budget_ms":10000}',
        b'{"filter":{"budget_ms":5}}',
        b'{"budget_ms":10000,"filter":{"year":1999}}',
        b'{"query":"a,\\"budget_ms\\":5,"}',
        b'{"budget_ms":123456}',
    ],
)
def test_a_body_is_read_where_only_a_parser_can_tell_how_long_it_may_wait(body: bytes):
    capacity = Capacity()
    capacity.free = False

    OverloadGate(capacity.check_capacity).check(body)
    assert capacity.checks == 0


@pytest.mark.parametrize(
    ("body", "budget_ms"),
    [
        (b'{"query":"a"}', DEFAULT_BUDGET_MS),
        (b'{"budget_ms":10000}', 10_000),
        (b'{"query":"a", "budget_ms" : 2000 , "k":3}', 2000),
        (b'{"query":"a,","budget_ms":2000}', 2000),
        (b'{"query":"a","budget_ms":20}', DEFAULT_BUDGET_MS),
        (b'{"query":"a","budget_ms":0}', DEFAULT_BUDGET_MS),
    ],
)
def test_the_capacity_is_asked_for_the_longer_one_of_the_budget_and_the_usual_one(
    body: bytes, budget_ms: int
):
    capacity = Capacity()
    capacity.free = False

    with pytest.raises(OverloadedError):
        OverloadGate(capacity.check_capacity).check(body)
    assert capacity.budgets == [budget_ms]


def test_it_forgets_the_bodies_that_came_longest_ago():
    capacity = Capacity()
    gate = OverloadGate(capacity.check_capacity, max_remembered=2)
    for body in (b"1", b"2", b"3", b"4", b"3"):
        gate.check(body)
    capacity.free = False

    gate.check(b"3")
    gate.check(b"4")
    for body in (b"1", b"2"):
        with pytest.raises(OverloadedError):
            gate.check(body)
