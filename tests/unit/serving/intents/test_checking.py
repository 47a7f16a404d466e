"""What of a language model's answer is kept: only what a caller could have sent as an intent."""

from typing import Any

import orjson
import pytest

from app.core.types import Facets, FieldFacts
from app.domain.intent import intent_of
from app.serving.intents.checking import Checked, checked, shaped, titles_in
from app.serving.intents.facts import CatalogueFacts, count_values
from tests.small_engine import small_engine

FACTS = CatalogueFacts(
    bundle="b1",
    encoder="mini",
    fields={
        "genre": FieldFacts(
            "genre", "strings", 9, distinct=4, values=(("Sci-Fi", 5), ("Horror", 3), ("horror", 1))
        ),
        "brand": FieldFacts("brand", "string", 9, distinct=1, values=(("Zenvo", 9),)),
        "price": FieldFacts("price", "number", 9, low=5, high=100),
        "published_at": FieldFacts("published_at", "time", 9, low=1950, high="2020-06-01"),
        "new": FieldFacts("new", "boolean", 9, distinct=2, values=((True, 5), (False, 4))),
    },
)
TITLED = {"Alien": "i7", "Heat": "i9"}


def said(query: str = "words", **answer: Any) -> dict[str, Any]:
    """What is used of an answer, as an intent's JSON; {} = nothing."""
    text = shaped(answer, query).text
    used = checked(text, FACTS, TITLED).text if text else ""
    return orjson.loads(used) if used else {}


def dropped(**answer: Any) -> tuple[str, ...]:
    return checked(shaped(answer, "words").text, FACTS, TITLED).dropped


def test_a_right_answer_is_used_whole() -> None:
    answer = {
        "sort": "newest",
        "filters": {"genre": {"any": ["Sci-Fi"], "not": ["Horror"]}, "price": {"lt": 50}},
        "prefers": {"brand": {"any": ["Zenvo"]}},
        "without": ["sugar"],
        "like": ["Alien"],
        "dislike": ["Heat"],
        "tone": ["tense"],
        "count": 5,
        "residual_text": "space adventure robots",
        "language": "zh-Hant",
        "confidence": 0.9,
    }
    expected = {**answer, "like": ["i7"], "dislike": ["i9"], "spans": [], "title": False}
    assert said(**answer) == expected
    intent = intent_of(orjson.dumps(expected).decode())
    assert (intent.sort, intent.count, intent.like) == ("newest", 5, ("i7",))


def test_values_get_the_spelling_of_the_catalogue() -> None:
    used = said(filters={"GENRE": {"any": ["sci-fi", "HORROR", "horror"]}, "Brand": "ZENVO"})
    assert used["filters"] == {
        "genre": {"any": ["Sci-Fi", "Horror", "horror"]},
        "brand": {"any": ["Zenvo"]},
    }


@pytest.mark.parametrize(
    ("filters", "kept", "reasons"),
    [
        ({"id": {"any": ["7"]}}, {}, ["unknown_field"]),
        ({"genre": {"any": ["?", "Horror"]}}, {"genre": {"any": ["Horror"]}}, ["unknown_value"]),
        ({"genre": {"any": ["Western"]}}, {}, ["unknown_value"]),
        ({"genre": {"regex": "x"}}, {}, ["unknown_value"]),
        ({"genre": {"regex": ["Horror"]}}, {}, ["wrong_type"]),
        ({"genre": {"any": [7, None, ["Horror"]]}}, {}, ["wrong_type"] * 3),
        ({"genre": {"gte": 7}}, {}, ["wrong_type"]),
        ({"genre": None}, {}, ["wrong_type"]),
        ({"price": {"lt": 5}}, {}, ["impossible"]),
        ({"price": {"gte": 101}}, {}, ["impossible"]),
        ({"price": {"gte": 60, "lte": 50}}, {}, ["impossible"]),
        ({"price": {"gte": "60"}}, {"price": {"gte": 60}}, []),
        ({"price": {"gte": "cheap"}}, {}, ["wrong_type"]),
        ({"price": {"gte": "nan"}}, {}, ["wrong_type"]),
        ({"price": {"gte": True}}, {}, ["wrong_type"]),
        ({"price": {"lte": 10**15}}, {"price": {"lte": 10**15}}, []),
        ({"price": {"eq": 7}}, {"price": {"eq": 7}}, []),
        ({"price": {"any": [7, 1000]}}, {"price": {"any": [7]}}, ["impossible"]),
        ({"published_at": {"gte": 1990}}, {"published_at": {"gte": 1990}}, []),
        ({"published_at": {"gte": "2021-01-01"}}, {}, ["impossible"]),
        ({"published_at": {"gte": "soon"}}, {}, ["wrong_type"]),
        ({"published_at": {"eq": 2020}}, {"published_at": {"eq": 2020}}, []),
        ({"new": {"eq": True}}, {"new": {"eq": True}}, []),
        ({"new": True}, {"new": {"eq": True}}, []),
        ({"new": {"eq": "yes"}}, {}, ["wrong_type"]),
        ({"price": {"exists": True}}, {"price": {"exists": True}}, []),
        (
            {"$or": [{"genre": {"any": ["Horror"]}}, {"x": {"eq": 1}}, "lies", {}]},
            {"$or": [{"genre": {"any": ["Horror"]}}]},
            ["unknown_field"],
        ),
        ({"$not": [{"genre": {"any": ["Western"]}}]}, {}, ["unknown_value"]),
        (
            {"$not": [{"genre": {"any": ["Western"]}, "price": {"lt": 50}}]},
            {},
            ["unknown_value"],
        ),
        ({"$and": 7}, {}, []),
    ],
    ids=repr,
)  # fmt: skip
def test_what_the_catalogue_does_not_have_is_dropped(
    filters: dict[str, Any], kept: dict[str, Any], reasons: list[str]
) -> None:
    assert said(filters=filters, sort="newest")["filters"] == kept
    assert list(dropped(filters=filters, sort="newest")) == reasons


def test_a_filter_that_was_kept_is_one_that_a_caller_may_send() -> None:
    deep: dict[str, Any] = {"genre": {"any": ["Horror"]}}
    for _ in range(50):
        deep = {"$and": [deep]}
    assert said(filters=deep, sort="newest")["filters"] == {}
    many = {"genre": {"any": [f"v{n}" for n in range(10_000)]}}
    assert said(filters=many, sort="newest")["filters"] == {}
    wide = {"genre": {"any": ["Horror"] * 100}}
    assert said(filters=wide, sort="newest")["filters"] == {"genre": {"any": ["Horror"]}}


def test_words_that_are_no_value_are_searched_by() -> None:
    used = said(
        filters={"genre": {"any": ["Robots"], "not": ["Zombies"]}, "era": {"any": ["baroque"]}}
    )
    assert used["residual_text"] == "Robots"


def test_titles_that_nobody_knows_are_dropped_and_ids_are_no_titles() -> None:
    answer = {"like": ["Alien", "i9", "9", "No Such Film"], "residual_text": "x"}
    assert said(**answer)["like"] == ["i7"]
    assert dropped(**answer) == ("unknown_title",) * 3
    assert titles_in(shaped(answer, "words").text) == ("Alien", "i9", "9", "No Such Film")


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"sort": "relevance", "residual_text": "", "filters": {}},
        {"sort": ["newest"], "filters": [], "like": 7, "count": "5", "residual_text": None},
        {"sort": "; DROP TABLE", "tone": ["evil"], "count": 0, "confidence": 7},
        {"count": True},
        {"count": 101},
        {"ids": ["7"], "exclude": ["8"], "k": 100, "items": [{"id": "1"}], "candidates": ["1"]},
        {"residual_text": "Words"},
        {"residual_text": " words\n", "language": "en", "confidence": 1},
        {"filters": {"genre": {"any": ["\ud800"]}}},
    ],
    ids=repr,
)
def test_what_says_nothing_is_nothing(answer: dict[str, Any]) -> None:
    assert shaped(answer, "words") == Checked("", ("plain",))


def test_if_nothing_is_left_the_parser_keeps_the_word() -> None:
    text = shaped({"filters": {"genre": {"not": ["Western"]}}}, "words").text
    assert checked(text, FACTS, {}).dropped == ("unknown_value", "empty")
    assert checked(text, FACTS, {}).text == ""


def test_what_no_words_of_the_query_say_is_dropped() -> None:
    query = "5 NEW scary ones"
    answer = {
        "quotes": {"sort": "new", "genre": "scary", "price": "cheap", "tone": "", "count": "5"},
        "sort": "newest",
        "filters": {"genre": {"any": ["Horror"]}, "price": {"lt": 9}, "brand": {"any": ["Zenvo"]}},
        "tone": ["scary"],
        "count": 5,
    }
    shape = shaped(answer, query)
    assert shape.dropped == ("unquoted",) * 3
    used = said(query, **answer)
    assert (used["sort"], used["count"], used["tone"]) == ("newest", 5, [])
    assert used["filters"] == {"genre": {"any": ["Horror"]}}
    assert used["spans"] == [
        {"start": 0, "end": 1, "means": "count:5"},
        {"start": 2, "end": 5, "means": "sort:newest"},
        {"start": 6, "end": 11, "means": "genre"},
    ]


@pytest.mark.parametrize("quotes", [{}, {"sort": "x" * 9999}, {"sort": 7}, {"sort": None}])
def test_quotes_that_are_none_drop_the_demand(quotes: dict[str, Any]) -> None:
    answer = {"sort": "newest", "quotes": quotes, "residual_text": "robots"}
    assert said("newest words", **answer)["sort"] == "relevance"


@pytest.mark.parametrize("quotes", [None, [], "newest", 7])
def test_a_model_that_does_not_quote_is_believed(quotes: object) -> None:
    answer = {"sort": "newest", "quotes": quotes}
    assert said("newest words", **answer)["sort"] == "newest"


def test_spans_of_letters_that_change_their_length_are_left_out() -> None:
    used = said("İ newest", sort="newest", quotes={"sort": "newest"})
    assert (used["sort"], used["spans"]) == ("newest", [])


def test_texts_are_bounded_and_clean() -> None:
    used = said(residual_text="a\x00b\u202ec\ud800\n d" + "x" * 5000, without=["w" * 999] * 50)
    assert used["residual_text"].startswith("a b c d")
    assert len(used["residual_text"]) == 512
    assert used["without"] == ["w" * 200]
    assert said(without=[f"w{n}" for n in range(50)])["without"] == [f"w{n}" for n in range(8)]
    assert said(sort="newest", language="<b>", confidence=float("nan"))["confidence"] == 0.7


def test_the_facts_come_from_the_catalogue() -> None:
    engine = small_engine()
    facts = CatalogueFacts.of(engine, count_values(engine))
    assert facts.kinds == {"categories": "strings", "year": "number"}
    assert facts.range("year") == (1977.0, 2020.0)
    assert facts.spelling("categories", "HORROR") == "horror"
    assert facts.spelling("categories", "western") is None
    assert (facts.field("Year"), facts.field("title")) == ("year", None)


def test_fields_without_values_or_with_too_many_are_no_demands() -> None:
    engine = small_engine()
    facets = Facets(
        2,
        (
            FieldFacts("empty", "string", 0, distinct=0),
            FieldFacts("sku", "string", 10**6, distinct=10**6, values=(("a", 1),)),
            FieldFacts("brand", "string", 2, distinct=1, values=(("a", 2),)),
        ),
    )
    assert list(CatalogueFacts.of(engine, facets).fields) == ["brand"]
