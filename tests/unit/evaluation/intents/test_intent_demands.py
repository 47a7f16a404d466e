"""However an intent writes its filter, the demands are those of the label that says the same."""

from datetime import date
from typing import Any

import pytest

from app.evaluation.intents.demands import (
    Reading,
    demands_of_intent,
    demands_of_label,
    words_of,
)
from app.evaluation.intents.labels import NOW

TODAY = NOW.date()
KINDS = {
    "published_at": "time",
    "categories": "strings",
    "brand": "string",
    "price": "number",
    "ram_gb": "number",
}
TITLES = {"1": "Matrix, The", "2": "Heat"}
NEUTRAL = frozenset({"movies", "the"})
READING = Reading(KINDS, TITLES.get, TODAY, NEUTRAL)

DAYS: dict[str, tuple[str | None, str | None]] = {
    "nineties": ("1990-01-01", "1999-12-31"),
    "before 2000": (None, "1999-12-31"),
    "after 2000": ("2001-01-01", None),
}


def read(filters: dict[str, Any], **others: Any) -> dict[str, frozenset[Any]]:
    return dict(demands_of_intent({"filters": filters, **others}, "", READING).sets)


@pytest.mark.parametrize(
    ("said", "filters"),
    [
        ("nineties", {"published_at": {"gte": 1990, "lt": 2000}}),
        ("nineties", {"published_at": {"gte": "1990-01-01", "lte": "1999-12-31"}}),
        ("nineties", {"published_at": {"gte": 1990, "lte": 1999}}),
        (
            "nineties",
            {"$and": [{"published_at": {"gt": 1989}}, {"published_at": {"lte": 1999}}]},
        ),
        ("before 2000", {"published_at": {"lt": "2000-01-01T00:00:00Z"}}),
        ("before 2000", {"$not": [{"published_at": {"gte": 2000}}]}),
        ("after 2000", {"published_at": {"gt": 2000}}),
        ("after 2000", {"published_at": {"gte": 2001, "lte": "2026-11-30T12:00:00Z"}}),
    ],
)
def test_dates_are_compared_by_day_however_they_are_written(said: str, filters: dict[str, Any]):
    low, high = DAYS[said]
    wanted = demands_of_label({"ranges": [["published_at", low, high]]}, TODAY, NEUTRAL)
    assert read(filters) == wanted.sets


@pytest.mark.parametrize(
    "filters",
    [
        {"$not": [{"published_at": {"gte": 1990, "lt": 2000}}]},
        {"$or": [{"published_at": {"lt": 1990}}, {"published_at": {"gte": 2000}}]},
        {"$not": [{"published_at": {"gte": 1990}, "$and": [{"published_at": {"lt": 2000}}]}]},
    ],
)
def test_what_is_outside_of_a_range_is_no_range(filters: dict[str, Any]):
    label = {"not_ranges": [["published_at", "1990-01-01", "1999-12-31"]]}
    assert read(filters) == demands_of_label(label, TODAY, NEUTRAL).sets
    inside = {"ranges": label["not_ranges"]}
    assert read(filters) != demands_of_label(inside, TODAY, NEUTRAL).sets


def test_two_days_that_touch_are_one_range():
    two = {"$or": [{"published_at": {"eq": 1998}}, {"published_at": {"eq": 1999}}]}
    assert read(two) == {
        "dates": frozenset({("published_at", date(1998, 1, 1), date(1999, 12, 31))})
    }


def test_not_more_than_is_at_most():
    wanted = {"numbers": frozenset({("price", None, 50.0)})}
    assert read({"price": {"lte": 50}}) == wanted
    assert read({"price": {"lt": 50}}) == wanted
    assert read({"$not": [{"price": {"gt": 50}}]}) == wanted


def test_values_count_alike_in_filters_and_in_prefers():
    wanted = {"values": frozenset({("categories", "comedy")})}
    assert read({"categories": {"any": ["Comedy"]}}) == wanted
    assert read({}, prefers={"categories": {"eq": "Comedy"}}) == wanted
    assert read({"categories": {"all": ["Comedy"]}}) == wanted


def test_values_that_only_rank_are_told_apart():
    intent = {
        "filters": {"categories": {"any": ["Comedy"]}},
        "prefers": {"categories": {"any": ["Comedy", "War"]}},
    }
    found = demands_of_intent(intent, "", READING)
    assert found.preferred == {("categories", "war")}
    assert found.of("values") == {("categories", "war"), ("categories", "comedy")}


def test_a_value_that_is_negated_is_not_a_value():
    wanted = {"negated values": frozenset({("categories", "horror"), ("categories", "war")})}
    assert read({"categories": {"not": ["Horror", "War"]}}) == wanted
    assert read({"$not": [{"categories": {"eq": "Horror"}}, {"categories": {"eq": "War"}}]}) == (
        wanted
    )
    label = {"not_values": [["categories", "Horror"], ["categories", "War"]]}
    assert demands_of_label(label, TODAY, NEUTRAL).sets == wanted


def test_a_number_that_is_named_exactly_is_a_range_of_one():
    wanted = {"numbers": frozenset({("ram_gb", 16.0, 16.0)})}
    assert read({"ram_gb": {"eq": 16}}) == wanted
    assert demands_of_label({"ranges": [["ram_gb", 16, 16]]}, TODAY, NEUTRAL).sets == wanted


def test_each_unwanted_word_is_one_demand_also_in_chinese():
    found = read({}, without=["外星人", "Car chases"])
    assert found == {"without": frozenset({"外星人", "car", "chases"})}


def test_ids_become_titles():
    found = read({}, like=["1"], dislike=["2"])
    label = {"like": ["Matrix, The"], "dislike": ["Heat"]}
    assert found == demands_of_label(label, TODAY, NEUTRAL).sets


def test_relevance_and_no_count_are_no_demands():
    assert read({}, sort="relevance", count=None, tone=[], without=[]) == {}
    assert read({}, sort="newest", count=5) == {
        "sort": frozenset({"newest"}),
        "count": frozenset({5}),
    }


def test_words_that_a_span_says_may_be_left():
    intent = {
        "residual_text": "space comedy",
        "spans": [{"start": 6, "end": 12, "means": "categories:Comedy"}],
    }
    found = demands_of_intent(intent, "space comedy", READING)
    assert (found.residual, found.neutral - NEUTRAL) == ({"space", "comedy"}, {"comedy"})


def test_words_are_folded_and_chinese_is_taken_by_character():
    assert words_of("Café, SPACE-time １２") == {"cafe", "space", "time", "12"}
    assert words_of("太空 robots") == {"太", "空", "robots"}
