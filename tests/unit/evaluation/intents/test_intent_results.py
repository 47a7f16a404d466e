"""Answers judged by the label of their query: what is right passes, and each fault is found."""

from typing import Any

import pytest

from app.evaluation.intents.labels import LabelledQuery
from app.evaluation.intents.results import (
    JudgedCatalogue,
    date_key,
    judge,
    mentions,
    number_key,
)

COLOURS = ["red", "blue", "black", "green"]


def item(number: int) -> dict[str, Any]:
    return {
        "title": f"Thing {number}",
        "categories": ["Toys"] if number <= 15 else ["Lamps"],
        "price": number,
        "published_at": 2000 + number,
        "colour": COLOURS[number % 4],
        **({"material": "wood"} if number == 3 else {}),
    }


ITEMS: dict[str, Any] = {str(number): item(number) for number in range(1, 21)}
SHOP = JudgedCatalogue(
    ITEMS,
    {"newest": date_key, "cheapest": number_key("price", -1), "dearest": number_key("price", 1)},
)


def wrong(answer: list[int], *intents: dict[str, Any]) -> tuple[str, str] | None:
    query = LabelledQuery("q", "shop", "…", "en", False, "open", intents)
    judged = judge(query, SHOP, [str(number) for number in answer])
    return None if judged is None else (judged.all_demands, judged.firm_demands)


def test_ten_items_that_meet_everything_are_right():
    toys = {"values": [["categories", "Toys"]]}
    assert wrong(list(range(1, 11)), toys) == ("", "")
    assert wrong([*range(1, 10), 16], toys) == (
        "item 10 ('Thing 16') does not meet the demands",
        "item 10 ('Thing 16') does not meet the demands",
    )


def test_where_fewer_than_ten_meet_everything_they_come_first():
    lamps = {"values": [["categories", "Lamps"]]}
    assert wrong([16, 17, 18, 19, 20, 1, 2, 3, 4, 5], lamps) == ("", "")
    assert wrong([16, 17, 18, 19, 1, 20, 2, 3, 4, 5], lamps) is not None
    assert wrong([16, 17, 18, 19, 1, 20, 2, 3, 4, 5], lamps) != ("", "")
    assert wrong([16, 17, 18, 19], lamps) == ("4 items, not 5",) * 2


@pytest.mark.parametrize(
    "intent",
    [
        {"ranges": [["price", None, 10]]},
        {"ranges": [["published_at", "2001-01-01", "2010-12-31"]]},
        {"not_ranges": [["price", 11, 99]]},
        {"not_values": [["categories", "Lamps"]]},
    ],
)
def test_bounds_and_negations_are_judged(intent: dict[str, Any]):
    assert wrong(list(range(1, 11)), intent) == ("", "")
    assert wrong(list(range(11, 21)), intent) != ("", "")


def test_the_order_of_a_sort_and_what_it_leaves_out_are_judged():
    cheapest = {"sort": "cheapest"}
    assert wrong(list(range(1, 11)), cheapest) == ("", "")
    assert wrong([2, 1, *range(3, 11)], cheapest) == ("not in the order of the sort",) * 2
    assert wrong(list(range(2, 12)), cheapest) == ("not the first ones of the sort",) * 2
    # With words left over the most relevant ones are sorted, not all.
    assert wrong(list(range(2, 12)), {**cheapest, "residual": "small"}) == ("", "")


def test_a_count_says_how_many_come_back():
    five = {"count": 5, "values": [["categories", "Toys"]]}
    assert wrong([1, 2, 3, 4, 5], five) == ("", "")
    assert wrong(list(range(1, 11)), five) == ("10 items, not 5",) * 2


def test_a_title_comes_first_whatever_follows():
    title = {"first": ["Thing 7"], "residual": "thing 7"}
    assert wrong([7, 1, 2], title) == ("", "")
    assert wrong([1, 7, 2], title) == ("the first is 'Thing 1', not the title",) * 2
    assert wrong([], title) == ("no items",) * 2


def test_a_disliked_item_does_not_come_back():
    assert wrong(list(range(2, 12)), {"dislike": ["Thing 1"]}) == ("", "")
    assert wrong(list(range(1, 11)), {"dislike": ["Thing 1"]}) == (
        "a disliked item came back",
        "a disliked item came back",
    )


def test_a_value_that_only_ranks_is_no_firm_demand():
    wooden = {"values": [["material", "wood"]]}  # one item of twenty has a material
    assert wrong(list(range(4, 14)), wooden)[1] == ""  # type: ignore[index]
    assert wrong(list(range(4, 14)), wooden)[0] != ""  # type: ignore[index]
    left = {"values": [["categories", "Toys"]], "residual": "wooden"}
    assert wrong(list(range(11, 21)), left)[1] == ""  # type: ignore[index]


def test_the_alternative_that_is_met_counts_and_one_without_demands_is_always_met():
    red, toys = {"values": [["colour", "red"]]}, {"values": [["categories", "Toys"]]}
    assert wrong(list(range(1, 11)), red, toys) == ("", "")
    assert wrong(list(range(1, 11)), red, {"residual": "red"}) is None
    assert wrong(list(range(1, 11)), {"tone": ["sad"], "residual": ""}) is None
    assert wrong(list(range(1, 11)), {"sort": "popular"}) is None  # nothing is more popular here


@pytest.mark.parametrize(
    ("title", "word", "expected"),
    [
        ("Ice cream with sugar", "sugar", True),
        ("Sugar-free ice cream", "sugar", False),
        ("Ice cream, no added sugar", "sugar", False),
        ("Sugarcane", "sugar", False),
        ("含糖的冰淇淋", "糖", True),
        ("不含糖的冰淇淋", "糖", False),
    ],
)
def test_an_item_that_says_it_is_without_something_does_not_mention_it(
    title: str, word: str, expected: bool
):
    assert mentions({"title": title}, word) is expected
