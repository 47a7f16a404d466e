"""What is refused at the door, and how ids and queries are normalised."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.core.errors import InvalidRequestError
from app.domain.intent import SORTS, TONES, Intent, Span, intent_of
from app.domain.query_text import normalised_query
from app.domain.request import RecommendRequest
from app.domain.sent_intent import SentIntent


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


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=9).map(normalised_query)
item_ids = st.lists(st.sampled_from(["1", "2", "b c"]), max_size=3).map(tuple)
filters = st.sampled_from(["", '{"a":{"eq":1}}', '{"$not":[{"b":{"any":["x","y"]}}]}'])
intents = st.builds(
    Intent,
    sort=st.sampled_from(SORTS),
    filters=filters,
    prefers=filters,
    without=st.lists(words.filter(bool), max_size=3).map(tuple),
    like=item_ids,
    dislike=item_ids,
    tone=st.lists(st.sampled_from(TONES), max_size=3).map(tuple),
    count=st.none() | st.integers(1, 100),
    residual_text=words,
    language=st.sampled_from(["", "en", "zh-Hant"]),
    confidence=st.floats(0, 1),
    spans=st.lists(st.builds(Span, st.integers(0, 9), st.integers(0, 9), words), max_size=3).map(
        tuple
    ),
)


@given(intents)
def test_the_intent_of_any_answer_can_be_sent_back(intent: Intent) -> None:
    sent = parse(intent=orjson.loads(intent.text())).sent_intent

    assert sent is not None
    assert sent.meaning().text() == intent.text()
    assert intent_of(sent.meaning().text()) == sent.meaning()


def test_the_short_forms_of_an_intent() -> None:
    assert parse(intent=True) == parse() == parse(intent=None)
    assert parse(intent=False).sent_intent is None
    assert parse(intent=False).intent is not None
    assert parse(intent={}).sent_intent == SentIntent()


def test_a_filter_of_an_intent_that_is_no_json_is_refused_where_it_stands() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        SentIntent(prefers={"a": {"eq": 2**70}}).meaning()

    assert caught.value.field == "intent.prefers"
