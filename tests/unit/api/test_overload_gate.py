"""What is refused unread under a rush, and what never is."""

import pytest

from app.api.fast_path import OverloadGate
from app.core.errors import OverloadedError


class Door:
    """An engine that takes new work, or does not."""

    def __init__(self) -> None:
        self.open = True
        self.asked = 0

    def check_capacity(self) -> None:
        self.asked += 1
        if not self.open:
            raise OverloadedError("cannot be done in time", retry_after_ms=7)


def test_a_new_body_is_refused_while_the_engine_takes_no_work_and_no_longer():
    door = Door()
    rush = OverloadGate(door.check_capacity)
    door.open = False
    for _ in range(2):  # being refused makes nobody known
        with pytest.raises(OverloadedError):
            rush.check(b'{"query":"new"}')

    door.open = True
    rush.check(b'{"query":"new"}')


def test_a_body_that_was_let_through_is_read_again_without_asking():
    door = Door()
    rush = OverloadGate(door.check_capacity)
    rush.check(b'{"query":"hot"}')
    door.open = False

    rush.check(b'{"query":"hot"}')
    assert door.asked == 1


@pytest.mark.parametrize(
    "body",
    [b'{"budget_ms":10000}', b'{"query":"a","max_stale_ms":5}', b'{"min_catalogue":3}'],
)
def test_a_body_that_says_something_about_time_is_always_read(body: bytes):
    door = Door()
    door.open = False

    OverloadGate(door.check_capacity).check(body)
    assert door.asked == 0


def test_it_forgets_the_bodies_that_came_least_lately():
    door = Door()
    rush = OverloadGate(door.check_capacity, most=2)
    for body in (b"1", b"2", b"3", b"4", b"3"):
        rush.check(body)
    door.open = False

    rush.check(b"3")
    rush.check(b"4")
    for body in (b"1", b"2"):
        with pytest.raises(OverloadedError):
            rush.check(body)
