"""Groups of items and users, by hand."""

import numpy as np
import pytest

from app.evaluation.fairness.groups import (
    MISSING,
    OTHERS,
    attribute_groups,
    field_groups,
    popularity_parts,
    thirds,
)


def test_head_middle_and_tail_hold_a_third_of_all_events_each() -> None:
    # 12 events: the first item has 4 of them, the next two 4, the rest 4.
    parts = popularity_parts(np.array([2.0, 4.0, 1.0, 2.0, 1.0, 1.0, 1.0, 0.0]))
    assert parts.labels == ("head", "middle", "tail")
    assert parts.weights.argmax(axis=1).tolist() == [1, 0, 2, 1, 2, 2, 2, 2]
    assert parts.weights.sum(axis=1).tolist() == [1.0] * 8


def test_without_events_all_items_are_tail() -> None:
    assert popularity_parts(np.zeros(3)).weights.argmax(axis=1).tolist() == [2, 2, 2]


def test_an_item_with_several_values_counts_for_each_in_part() -> None:
    groups = field_groups("genre", [["a", "b", "a"], ["b"], "c", True, None, []])
    assert groups.labels == ("b", "a", "c", "true", MISSING)
    assert groups.weights.tolist() == [
        [0.5, 0.5, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 0, 1],
    ]
    assert groups.members("a").tolist() == [1, 0, 0, 0, 0, 0]


def test_rare_values_are_one_group() -> None:
    groups = field_groups("x", [*["common"] * 2, *map(str, range(24))])
    assert len(groups.labels) == 21
    assert groups.labels[0] == "common"
    assert groups.labels[-1] == OTHERS
    assert groups.weights[:, -1].sum() == 24 - 19


def test_thirds_keep_equal_values_together_and_leave_out_what_is_unknown() -> None:
    groups = thirds("activity", np.array([1, 1, 1, 2, 5, 9, np.nan]))
    assert [(group.by, group.label, group.members.tolist()) for group in groups] == [
        ("activity", "lower third", [True, True, True, False, False, False, False]),
        ("activity", "middle third", [False, False, False, True, False, False, False]),
        ("activity", "upper third", [False, False, False, False, True, True, False]),
    ]
    assert [group.label for group in thirds("same", np.array([3.0, 3.0]))] == ["lower third"]
    assert thirds("nothing", np.array([np.nan])) == []


def test_users_are_grouped_by_their_attributes_where_enough_share_one() -> None:
    users = [(("age", n), ("country", "NZ" if n < 12 else "IS")) for n in range(30)]
    groups = attribute_groups([*users, (("country", "TV"),), ()])
    assert [(group.by, group.label, int(group.members.sum())) for group in groups] == [
        ("age", "lower third", 10),
        ("age", "middle third", 10),
        ("age", "upper third", 10),
        ("country", "IS", 18),
        ("country", "NZ", 12),
    ]
    assert attribute_groups([(), ()]) == []


@pytest.mark.parametrize("n", [1, 2])
def test_few_users_make_groups_of_what_there_is(n: int) -> None:
    groups = thirds("activity", np.arange(n, dtype=np.float64))
    assert sum(int(group.members.sum()) for group in groups) == n
