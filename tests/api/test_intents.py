"""Intents over HTTP: shown, sent back, switched off, refused. The engine here parses nothing."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import jsonschema_rs
import pytest

from app.api import schemas
from app.testing.fakes import GatedEngine
from tests.api_rig import served

EARLY = {"n": {"lt": 3}}


@pytest.fixture
def engine() -> GatedEngine:
    return GatedEngine()


@pytest.fixture
async def client(engine: GatedEngine) -> AsyncIterator[httpx.AsyncClient]:
    async with served(engine) as client:
        yield client


async def answered(client: httpx.AsyncClient, **said: Any) -> dict[str, Any]:
    answer = await client.post("/recommend", json=said)
    assert answer.status_code == 200, answer.text
    jsonschema_rs.validate(schemas.ANSWER, answer.json())
    found: dict[str, Any] = answer.json()
    return found


async def test_an_answer_shows_what_the_query_was_taken_to_ask_for(
    client: httpx.AsyncClient,
) -> None:
    assert (await answered(client, query="space crime"))["intent"]["residual_text"] == "space crime"
    assert (await answered(client))["intent"] is None
    assert (await answered(client, user_id="7", intent=False))["intent"] is None


async def test_the_intent_of_an_answer_can_be_sent_back_unchanged(
    client: httpx.AsyncClient,
) -> None:
    first = await answered(client, query="space crime")
    again = await answered(client, query="space crime", intent=first["intent"])
    assert again["intent"] == first["intent"]
    assert (again["items"], again["cache"]) == (first["items"], "miss")
    assert (await answered(client, query="space crime", intent=first["intent"]))["cache"] == "hit"


async def test_or_edited_and_without_words(client: httpx.AsyncClient) -> None:
    answer = await answered(client, intent={"residual_text": " bank  heist", "tone": ["tense"]})
    intent = answer["intent"]
    assert (intent["residual_text"], intent["tone"]) == ("bank heist", ["tense"])
    assert (intent["sort"], intent["count"], intent["filters"]) == ("relevance", None, {})
    filtered = await answered(client, intent={"filters": EARLY})
    assert filtered["intent"]["filters"] == EARLY


async def test_intents_that_say_the_same_share_an_answer(client: httpx.AsyncClient) -> None:
    await answered(client, intent={"residual_text": "heist", "like": [7], "filters": {}})
    again = await answered(client, intent={"like": ["7"], "residual_text": "heist", "count": None})
    assert again["cache"] == "hit"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({}, {"intent": {}}),
        ({}, {"intent": False}),
        ({"intent": {}}, {"intent": {"sort": "newest"}}),
        ({}, {"k": 10}),
        ({}, {"max_per": {"title": 1}}),
    ],
)
async def test_what_is_sent_is_part_of_the_key(
    client: httpx.AsyncClient, one: dict[str, Any], two: dict[str, Any]
) -> None:
    await answered(client, query="crime", **one)
    assert (await answered(client, query="crime", **two))["cache"] == "miss"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"query": "crime"}, {"query": "crime", "intent": True}),
        ({"query": "crime"}, {"query": "crime", "max_per": {}}),
        ({}, {"intent": False}),
        ({}, {"k": 10}),
        ({"max_per": {"n": 2, "title": 1}}, {"max_per": {"title": 1, "n": 2}}),
    ],
)
async def test_what_says_nothing_more_is_not(
    client: httpx.AsyncClient, one: dict[str, Any], two: dict[str, Any]
) -> None:
    await answered(client, **one)
    assert (await answered(client, **two))["cache"] == "hit"


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"intent": "off"}, "intent"),
        ({"intent": 1}, "intent"),
        ({"intent": {"sorted": "newest"}}, "intent.sorted"),
        ({"intent": {"sort": "best"}}, "intent.sort"),
        ({"intent": {"filters": []}}, "intent.filters"),
        ({"intent": {"filters": {"colour": {"eq": "red"}}}}, "intent.filters.colour"),
        ({"intent": {"filters": {"n": {"gte": "old"}}}}, "intent.filters.n.gte"),
        ({"intent": {"filters": {"n": {"gte": 2**70}}}}, "intent.filters"),
        ({"intent": {"prefers": {"$or": [{"hue": {"eq": 1}}]}}}, "intent.prefers.$or.0.hue"),
        ({"intent": {"without": [""]}}, "intent.without.0"),
        ({"intent": {"without": ["sugar"] * 33}}, "intent.without"),
        ({"intent": {"like": ["1"] * 201}}, "intent.like"),
        ({"intent": {"dislike": [""]}}, "intent.dislike.0"),
        ({"intent": {"tone": ["loud"]}}, "intent.tone.0"),
        ({"intent": {"count": 0}}, "intent.count"),
        ({"intent": {"count": 101}}, "intent.count"),
        ({"intent": {"residual_text": "x" * 513}}, "intent.residual_text"),
        ({"intent": {"confidence": 1.1}}, "intent.confidence"),
        ({"intent": {"spans": [{"start": 0, "end": 1, "means": "x"}] * 65}}, "intent.spans"),
        ({"intent": {"spans": [{"start": -1, "end": 1, "means": "x"}]}}, "intent.spans.0.start"),
        ({"max_per": {"colour": 1}}, "max_per"),
        ({"max_per": {"id": 1}}, "max_per"),
        ({"max_per": {"n": 0}}, "max_per.n"),
        ({"max_per": {"n": 101}}, "max_per.n"),
        ({"max_per": {f"f{n}": 1 for n in range(5)}}, "max_per"),
        ({"max_per": 1}, "max_per"),
    ],
    ids=str,
)
async def test_what_does_not_fit_is_refused_where_it_stands(
    client: httpx.AsyncClient, said: dict[str, Any], field: str
) -> None:
    answer = await client.post("/recommend", json=said)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, field), answer.text
    batch = (await client.post("/recommend/batch", json={"requests": [said]})).json()
    assert batch["results"][0]["error"]["field"] == field


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"intent": "off"}, "Input should be true, false or an object"),
        ({"intent": {"without": ["a"] * 33}}, "Input should have at most 32 items"),
        ({"intent": {"without": [""]}}, "Input should have at least 1 character"),
        ({"like": ["x" * 257]}, "Input should have at most 256 characters"),
        ({"candidates": []}, "Input should have at least 1 item"),
        ({"intent": {"filters": []}}, "Input should be an object"),
        ({"intent": {"spans": [5]}}, "Input should be an object"),
        ({"like": "1"}, "Input should be an array"),
    ],
    ids=str,
)
async def test_a_refusal_says_what_is_wrong_in_terms_of_json(
    client: httpx.AsyncClient, said: dict[str, Any], message: str
) -> None:
    answer = await client.post("/recommend", json=said)
    assert (answer.status_code, answer.json()["error"]["message"]) == (422, message)
    batch = (await client.post("/recommend/batch", json={"requests": [said]})).json()
    assert batch["results"][0]["error"]["message"] == message


async def test_a_batch_takes_intents_too(client: httpx.AsyncClient) -> None:
    wanted = [{"intent": {"residual_text": "bank heist"}}, {"query": "crime", "intent": False}]
    answer = (await client.post("/recommend/batch", json={"requests": wanted})).json()
    jsonschema_rs.validate(schemas.BATCH_ANSWER, answer)
    texts = [result["intent"]["residual_text"] for result in answer["results"]]
    assert texts == ["bank heist", "crime"]


async def test_interpret_says_what_an_answer_would_show(client: httpx.AsyncClient) -> None:
    answer = await client.post("/interpret", json={"query": " space   crime "})
    jsonschema_rs.validate(schemas.INTERPRETED, answer.json())
    assert answer.json()["intent"] == (await answered(client, query="space crime"))["intent"]
    nothing = (await client.post("/interpret", json={"query": " "})).json()["intent"]
    assert (nothing["residual_text"], nothing["spans"]) == ("", [])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", None),
        (b"{}", "query"),
        (b'{"query":5}', "query"),
        (b'{"query":"%s"}' % (b"x" * 513), "query"),
        (b'{"query":"a","now":1}', "now"),
    ],
)
async def test_interpret_refuses_what_recommend_would(
    client: httpx.AsyncClient, body: bytes, field: str | None
) -> None:
    answer = await client.post("/interpret", content=body)
    assert (answer.status_code, answer.json()["error"].get("field")) == (422, field)
