"""Precision and recall of intents: a right intent has no error, and every swap costs."""

from dataclasses import replace
from typing import Any

import pytest

from app.evaluation.intents.demands import Demands, demands_of_label
from app.evaluation.intents.labels import NOW, LabelledQuery
from app.evaluation.intents.scoring import ALL, QueryScore, score, table_of

NEUTRAL = frozenset({"movies", "the"})

FULL: dict[str, Any] = {
    "sort": "newest",
    "ranges": [["published_at", "1990-01-01", "1999-12-31"], ["price", None, 50]],
    "values": [["categories", "Comedy"]],
    "not_values": [["categories", "Horror"]],
    "without": ["sugar"],
    "like": ["Heat"],
    "dislike": ["Alien"],
    "tone": ["light"],
    "count": 5,
    "residual": "space robots",
}
SWAPS: dict[str, Any] = {
    "sort": ("sort", "oldest"),
    "dates": ("ranges", [["published_at", "1980-01-01", "1989-12-31"], ["price", None, 50]]),
    "numbers": ("ranges", [["published_at", "1990-01-01", "1999-12-31"], ["price", 50, None]]),
    "values": ("values", [["categories", "War"]]),
    "negated values": ("not_values", [["categories", "War"]]),
    "without": ("without", ["salt"]),
    "like": ("like", ["Casino"]),
    "dislike": ("dislike", ["Casino"]),
    "tone": ("tone", ["sad"]),
    "count": ("count", 6),
    "residual": ("residual", "deep sea"),
}


def demands(intent: dict[str, Any]) -> Demands:
    return demands_of_label(intent, NOW.date(), NEUTRAL)


def label(*intents: dict[str, Any], language: str = "en", adversarial: bool = False) -> Any:
    return LabelledQuery("q", "shop", "…", language, adversarial, "open", intents)


def scored(found: dict[str, Any], *wanted: dict[str, Any], **of: Any) -> QueryScore:
    return score(label(*wanted, **of), [demands(each) for each in wanted], demands(found))


def test_an_intent_that_says_what_the_label_says_has_no_error():
    right = scored(FULL, FULL)
    assert right.errors == 0
    table = table_of([right])
    assert {
        (table.tally(ALL, name).precision, table.tally(ALL, name).recall) for name in SWAPS
    } == {(1.0, 1.0)}
    assert (table.tally(ALL, ALL).found, table.tally(ALL, ALL).wanted) == (11, 11)
    assert table.understood == {ALL: 1, "en": 1}


@pytest.mark.parametrize("name", SWAPS)
def test_a_swapped_demand_lowers_precision_and_recall_of_its_field_only(name: str):
    key, other = SWAPS[name]
    table = table_of([scored({**FULL, key: other}, FULL)])
    figures = {each: table.tally(ALL, each) for each in SWAPS}
    assert {each for each, tally in figures.items() if tally.precision < 1} == {name}
    assert {each for each, tally in figures.items() if tally.recall < 1} == {name}
    assert table.tally(ALL, ALL).precision == pytest.approx(10 / 11)
    assert table.understood == {ALL: 0, "en": 0}


@pytest.mark.parametrize("name", SWAPS)
def test_a_missing_demand_lowers_recall_an_extra_one_precision(name: str):
    key, _ = SWAPS[name]
    less = {each: value for each, value in FULL.items() if each != key}
    missing = table_of([scored(less, FULL)]).tally(ALL, name)
    assert (missing.precision, missing.recall) == (1.0, 0.0)
    extra = table_of([scored(FULL, less)]).tally(ALL, name)
    assert (extra.precision, extra.recall) == (0.0, 1.0)


def test_the_alternative_that_fits_best_counts():
    tone = {"tone": ["scary"], "residual": ""}
    genre = {"values": [["categories", "Horror"]], "residual": ""}
    assert scored(genre, tone, genre).errors == 0
    assert scored(tone, tone, genre).errors == 0
    assert scored({"tone": ["sad"]}, tone, genre).errors == 2


def test_half_of_the_words_left_is_half_right():
    tally = scored({"residual": "space"}, {"residual": "space robots"}).tallies["residual"]
    assert (tally.precision, tally.recall) == (1.0, 0.5)
    tally = scored({"residual": "space robots now"}, {"residual": "space"}).tallies["residual"]
    assert (tally.precision, tally.recall) == (pytest.approx(1 / 3), 1.0)


def test_filler_is_neither_right_nor_wrong():
    assert scored({"residual": "the movies"}, {"residual": ""}).errors == 0
    assert scored({"residual": ""}, {"residual": "the movies"}).tallies["residual"].wanted == 0


def test_preferred_values_that_stand_for_a_tone_are_no_error():
    values = frozenset({("categories", "children")})
    both = demands({"tone": ["kids"], "values": [["categories", "Children"]]})
    preferred = replace(both, preferred=values)
    kids, sad = demands({"tone": ["kids"]}), demands({"tone": ["sad"]})
    assert score(label({}), [kids], preferred).errors == 0
    assert score(label({}), [kids], both).errors == 1
    assert score(label({}), [sad], preferred).errors == 3


def test_the_table_counts_each_language_and_the_hard_ones():
    table = table_of(
        [
            scored({"count": 1}, {"count": 1}),
            scored({"count": 1}, {"count": 2}, language="zh", adversarial=True),
        ]
    )
    assert table.groups() == [ALL, "adversarial", "en", "zh"]
    assert [table.tally(group, "count").recall for group in table.groups()] == [0.5, 0, 1, 0]
    assert table.queries == {ALL: 2, "en": 1, "zh": 1, "adversarial": 1}
    assert table.shown()["zh"]["fields"]["count"] == {
        "precision": 0.0,
        "recall": 0.0,
        "found": 1,
        "wanted": 1,
    }
