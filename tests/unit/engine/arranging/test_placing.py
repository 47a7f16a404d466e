"""Promoted shares and pins, on lists of numbers."""

import numpy as np

from app.engine.arranging.placing import Placed, free_places, in_places
from app.engine.rules.applied import Pin, PromotedShare

LIST = [Placed(row, 1.0 - row / 100) for row in range(20)]


def promotion(name: str, share: float, rows: set[int]) -> PromotedShare:
    return PromotedShare(name, share, np.array([row not in rows for row in range(20)]))


def promoted(items: list[Placed], size: int, promotions: list[PromotedShare]) -> list[Placed]:
    return in_places(items, size, promotions, {})


def pinned(pins: tuple[Pin, ...]) -> dict[int, Placed]:
    return {pin.place: Placed(pin.row, 0.2, f"pin:{pin.rule}") for pin in pins}


def shown(items: list[Placed]) -> list[str]:
    return [f"{item.row}{item.by and ' ' + item.by}" for item in items]


def test_each_prefix_has_its_share() -> None:
    rows = {15, 16, 17, 18, 19}
    items = promoted(LIST, 10, [promotion("a", 0.3, rows)])
    assert [item.row for item in items] == [0, 1, 2, 15, 3, 4, 16, 5, 6, 17]
    for n in range(1, 11):
        assert sum(item.row in rows for item in items[:n]) >= n * 3 // 10
    assert [item.by for item in items if item.row in rows] == ["promotion:a"] * 3
    assert [item.score for item in items] == [1.0 - item.row / 100 for item in items]


def test_what_is_there_already_counts() -> None:
    items = promoted(LIST, 10, [promotion("a", 0.2, {1, 19})])
    assert shown(items)[9] == "19 promotion:a"
    assert [item.row for item in items[:9]] == list(range(9))
    assert [item.row for item in promoted(LIST, 10, [promotion("a", 0.2, {0, 1})])] == list(
        range(10)
    )


def test_a_share_of_everything_leaves_room_for_nothing_else() -> None:
    items = promoted(LIST, 3, [promotion("a", 1.0, {7, 9})])
    assert shown(items) == ["7 promotion:a", "9 promotion:a", "0"]


def test_two_promotions_share_the_places() -> None:
    one, other = promotion("a", 0.5, {10, 11, 12}), promotion("b", 0.5, {12, 13, 14})
    items = promoted(LIST, 4, [one, other])
    # 12 counts for both.
    assert shown(items) == ["0", "10 promotion:a", "12 promotion:b", "13 promotion:b"]


def test_a_list_may_be_shorter_than_wanted() -> None:
    assert [item.row for item in promoted(LIST[:2], 10, [promotion("a", 0.5, {1})])] == [0, 1]
    assert promoted([], 10, [promotion("a", 0.5, {1})]) == []


def test_pins_get_a_place_each() -> None:
    pins = [Pin("a", 7, 2), Pin("b", 8, 2), Pin("c", 9, 3), Pin("d", 7, 1), Pin("e", 6, 9)]
    assert free_places(pins, 5) == (Pin("a", 7, 2), Pin("b", 8, 3), Pin("c", 9, 4))


def test_pinned_items_stand_at_their_places() -> None:
    pins = free_places([Pin("a", 7, 4), Pin("b", 8, 1)], 5)
    items = in_places(LIST[:5], 5, [], pinned(pins))
    assert shown(items) == ["8 pin:b", "0", "1", "7 pin:a", "2"]
    assert items[0].score == 0.2
    # A list that is too short has them at its end.
    assert shown(in_places(LIST[:1], 5, [], pinned(pins))) == ["8 pin:b", "0", "7 pin:a"]
    assert shown(in_places([], 5, [], pinned(pins))) == ["8 pin:b", "7 pin:a"]


def test_pins_take_no_place_of_a_promotion() -> None:
    pins = free_places([Pin("a", 7, 2), Pin("b", 8, 4)], 4)
    items = in_places(LIST[:6], 4, [promotion("p", 0.5, {5, 8})], pinned(pins))
    assert shown(items) == ["0", "7 pin:a", "5 promotion:p", "8 pin:b"]
