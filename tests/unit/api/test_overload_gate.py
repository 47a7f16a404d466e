"""Which bodies are refused before they are parsed, during overload, and which never are."""

import pytest

from app.api.fast_path import OverloadGate
from app.core.errors import OverloadedError
from app.core.lane import Lane


class Capacity:
    """An engine that takes new work, or takes none."""

    def __init__(self) -> None:
        self.free = True
        self.checks = 0

    def check_capacity(self, _lane: Lane) -> None:
        self.checks += 1
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
    [b'{"budget_ms":10000}', b'{"query":"a","max_stale_ms":5}', b'{"min_catalogue":3}'],
)
def test_a_body_that_says_something_about_time_is_always_read(body: bytes):
    capacity = Capacity()
    capacity.free = False

    OverloadGate(capacity.check_capacity).check(body)
    assert capacity.checks == 0


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
