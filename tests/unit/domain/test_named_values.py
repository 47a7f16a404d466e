"""What attributes of a user may be, and what is wrong with others."""

import pytest

from app.domain.named_values import WrongValue, attributes_of, read_back, shown, written

VALUES = {
    "name": " Ann ",
    "age": 31,
    "height": 1.5,
    "new": False,
    "likes": ["b", " a", "", "b"],
    "blank": " ",
    "null": None,
    "none": [],
    "国": "nz",
}
PARSED = (
    ("age", 31.0),
    ("height", 1.5),
    ("likes", ("b", "a")),
    ("name", "Ann"),
    ("new", False),
    ("国", "nz"),
)


def test_values_are_typed_sorted_and_without_the_missing_ones():
    assert attributes_of(VALUES) == PARSED
    assert [type(value) for _, value in attributes_of(VALUES)] == [
        *(float, float, tuple, str, bool, str),
    ]


def test_a_store_and_a_caller_get_all_of_it():
    assert read_back(written(PARSED)) == PARSED
    assert shown(PARSED) == {
        "age": 31,
        "height": 1.5,
        "likes": ["b", "a"],
        "name": "Ann",
        "new": False,
        "国": "nz",
    }
    assert type(shown(PARSED)["age"]) is int
    assert shown((("n", 1e300),)) == {"n": 1e300}


@pytest.mark.parametrize(
    ("values", "name", "reason"),
    [
        ({"a": {}}, "a", "a is neither text, number, true, false nor a list of texts"),
        ({"a": [1]}, "a", "a is not a list of texts"),
        ({"a": ["x"] * 17}, "a", "a has more than 16 texts"),
        ({"a": "x" * 257}, "a", "a is longer than 256 characters"),
        ({"a": ["x" * 257]}, "a", "a is longer than 256 characters"),
        ({"a": float("inf")}, "a", "a is not a finite number"),
        ({"a": 10**400}, "a", "a is not a finite number"),
        ({"id": "7"}, "id", "id is the id of the user, and no attribute"),
        ({" ": 1}, None, "a name has 1 to 64 characters"),
        ({"a\n": 1}, None, "none of them a control character"),
        ({"a ": 1}, None, "no blank at either end"),
        ({"": 1}, None, "a name has 1 to 64 characters"),
        ({"x" * 65: 1}, None, "a name has 1 to 64 characters"),
        ({f"a{n}": n for n in range(17)}, None, "there are more than 16 names"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_wrong_is_named(values, name, reason):
    with pytest.raises(WrongValue, match=reason) as caught:
        attributes_of(values)
    assert caught.value.name == name


def test_the_bounds_are_within():
    values = {f"{n}".rjust(64, "x"): ["y" * 256] * 16 for n in range(16)}
    assert len(attributes_of(values)) == 16
