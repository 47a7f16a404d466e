"""What is refused at the door, and how ids and queries are normalised."""

import json

import pytest
from pydantic import ValidationError

from app.domain.request import RecommendRequest


def parse(**fields: object) -> RecommendRequest:
    return RecommendRequest.model_validate_json(json.dumps(fields))


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"quary": "x"}, "quary"),
        ({"query": 5}, "query"),
        ({"query": "x" * 513}, "query"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "a\x00b"}, "user_id"),
        ({"user_id": "a\nb"}, "user_id"),
        ({"user_id": True}, "user_id"),
        ({"user_id": 1.5}, "user_id"),
        ({"user_id": "x" * 257}, "user_id"),
        ({"history": "1"}, "history"),
        ({"history": ["1"] * 201}, "history"),
        ({"k": 0}, "k"),
        ({"k": "5"}, "k"),
        ({"k": True}, "k"),
        ({"candidates": []}, "candidates"),
        ({"candidates": ["1"] * 1001}, "candidates"),
        ({"budget_ms": 0}, "budget_ms"),
        ({"budget_ms": 10_001}, "budget_ms"),
        ({"repeat": "yes"}, "repeat"),
    ],
)
def test_wrong_input_is_refused_naming_the_field(fields: dict[str, object], where: str) -> None:
    with pytest.raises(ValidationError) as caught:
        parse(**fields)

    assert caught.value.errors()[0]["loc"][0] == where


@pytest.mark.parametrize(
    "fields", [{"user_id": "1", "session_id": "2"}, {"k": 101}], ids=["two who", "k over 100"]
)
def test_wrong_combinations_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"not both|at most 100"):
        parse(**fields)


def test_integer_ids_become_decimal_strings() -> None:
    ask = parse(user_id=7, history=[1, "2", -3])

    assert (ask.user_id, ask.history) == ("7", ("1", "2", "-3"))


def test_one_spelling_for_one_query() -> None:
    assert parse(query="  cafe\u0301 \n noir ").query == "café noir"


def test_k_defaults_to_ten_and_with_candidates_to_their_number() -> None:
    assert parse().size == 10
    assert parse(candidates=[str(i) for i in range(300)]).size == 300
    assert parse(candidates=["1", "2"], k=500).size == 500


def test_repeat_defaults_to_false_and_with_candidates_to_true() -> None:
    assert [parse().repeats, parse(repeat=True).repeats] == [False, True]
    assert [parse(candidates=["1"]).repeats, parse(candidates=["1"], repeat=False).repeats] == [
        True,
        False,
    ]
