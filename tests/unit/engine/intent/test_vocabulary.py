"""What the parser keeps of a catalogue: which fields have named values, and how little it takes."""

import pytest

from app.domain.columns import Kind
from app.domain.intent import WEAK_CONFIDENCE
from app.engine.intent.hashes import HashCounter
from app.engine.intent.parser import intent_parser_of
from app.engine.intent.vocabulary import IntentVocabulary, vocabulary_of
from tests.intent_catalogues import NOW, catalogue_of, parser_for


def vocabulary(kind: Kind, values: list[object]) -> IntentVocabulary:
    rows = [{"title": f"item {n}", "field": value} for n, value in enumerate(values)]
    return vocabulary_of(catalogue_of(rows, {"field": kind}), {})


@pytest.mark.parametrize(
    ("what", "values"),
    [
        ("addresses", [f"https://example.org/{n % 7}" for n in range(100)]),
        ("long texts", [f"{n % 5} " + "It was a dark and stormy night. " * 3 for n in range(100)]),
        ("sentences", [f"a b c d e f {n % 5}" for n in range(100)]),
        ("codes", [f"SKU-{n}" for n in range(100)]),
        (
            "one value each",
            [f"name number{chr(65 + n % 26)}{chr(65 + n // 26)}" for n in range(100)],
        ),
        ("too many", [f"v{n // 2}x" for n in range(22_000)]),
    ],
)
def test_a_field_of_no_names_is_left_out(what: str, values: list[object]) -> None:
    assert "field" not in vocabulary("string", values).counts


def test_a_field_of_names_is_counted() -> None:
    made = vocabulary("string", ["red", "blue", None, "red"])
    assert made.counts["field"] == {"red": 2, "blue": 1}
    assert (made.present["field"], made.n_items) == (3, 4)
    assert not made.filters("field")


def test_a_list_counts_each_value_and_an_empty_list_is_there() -> None:
    made = vocabulary("strings", [["a1", "b2"], ["a1"], [], None])
    assert made.counts["field"] == {"a1": 2, "b2": 1}
    assert made.present["field"] == 3


def test_true_has_the_name_of_its_field() -> None:
    made = vocabulary("boolean", [True, False, None])
    assert made.counts["field"] == {True: 1, False: 1}
    assert [target.value for target in made.names.by_name["field"].targets] == [True]


def test_a_title_takes_a_few_dozen_bytes() -> None:
    rows = [{"title": f"word {n % 4000} thing {n} of the {n % 300}"} for n in range(20_000)]
    made = vocabulary_of(catalogue_of(rows, {}), {})
    assert made.titles.count("word 1 thing 1 of the 1") == 1
    assert made.titles.count("thing 1 word 1 of the 1") == 0  # in order
    assert made.n_bytes() < 40 * len(rows)


def test_counts_of_hashes_merge_and_change() -> None:
    counter = HashCounter()
    for text in ("b", "a", "b"):
        counter.add(text)
    counts = counter.counts()
    assert [counts.count(text) for text in "abc"] == [1, 2, 0]

    other = counts.changed(["c", "b"], ["a"])
    assert [other.count(text) for text in "abc"] == [0, 3, 1]
    assert [counts.count(text) for text in "abc"] == [1, 2, 0]

    many = other.changed([f"new {n}" for n in range(5000)], ["b"])
    assert [many.count(text) for text in ("a", "b", "c", "new 4999", "new 5000")] == [0, 2, 1, 1, 0]


def test_a_rare_value_with_an_ordinary_name_is_a_word() -> None:
    """A brand called Go, in a shop where half of the titles say go."""
    rows = [{"title": f"go further {n}", "brand": "Norvik"} for n in range(600)]
    rows[0]["brand"] = rows[1]["brand"] = "Go"
    parser = intent_parser_of(catalogue_of(rows, {"brand": "string"}), {"brand": "brand"})
    assert parser.parse("go pro", NOW).prefers == ""
    assert parser.parse("norvik", NOW).filters == '{"brand":{"any":["Norvik"]}}'


@pytest.mark.parametrize(
    ("domain", "query"),
    [
        ("film", "太空冒险 机器人"),  # no title knows these
        ("film", "Фильмы про космос"),  # no pack for the language
        ("film", "films where nobody dies because the dog never leaves"),
        ("film", "without"),
        ("shop", "über leichte wanderschuhe"),
    ],
)
def test_what_is_little_understood_is_weak(domain: str, query: str) -> None:
    assert parser_for(domain).parse(query, NOW).confidence < WEAK_CONFIDENCE


@pytest.mark.parametrize(
    ("domain", "query"),
    [
        ("film", "newest comedies from the 90s"),
        ("film", "the paper dragon"),
        ("shop", "leather sofa"),
        ("news", "今天的体育新闻"),
        ("music", "like Radiohead but calmer"),
    ],
)
def test_what_is_understood_is_not_weak(domain: str, query: str) -> None:
    assert parser_for(domain).parse(query, NOW).confidence >= 0.8


def test_a_relative_time_holds_until_midnight_and_others_for_ever() -> None:
    parser = parser_for("news")
    midnight = NOW + 12 * 3600
    assert parser.parse("news of the last two weeks", NOW).valid_until == midnight
    assert parser.parse("news of the last two weeks", NOW + 3600) == parser.parse(
        "news of the last two weeks", NOW
    )
    assert parser.parse("news from 2025", NOW).valid_until == float("inf")
    assert parser.parse("last year", midnight - 1).filters == parser.parse("last year", NOW).filters
