"""Diversity, draws and shares at the edge: what is refused, cached and shown."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import jsonschema_rs
import pytest

from app.api import schemas
from app.testing.fakes import GatedEngine
from tests.api_rig import served


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with served(GatedEngine()) as client:
        yield client


async def answered(client: httpx.AsyncClient, **said: Any) -> dict[str, Any]:
    answer = await client.post("/recommend", json=said)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    jsonschema_rs.validate(schemas.ANSWER, found)
    assert answer.headers["x-cache"] == found["cache"]
    return found


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ('{"diversity":1.01}', "diversity"),
        ('{"diversity":-0.1}', "diversity"),
        ('{"diversity":"0.5"}', "diversity"),
        ('{"diversity":true}', "diversity"),
        ('{"diversity":null}', "diversity"),
        ('{"diversity":NaN}', "diversity"),
        ('{"popularity_bias":1.5}', "popularity_bias"),
        ('{"popularity_bias":-1e999}', "popularity_bias"),
        ('{"explore":2}', "explore"),
        ('{"explore":"NaN"}', "explore"),
        ('{"seed":-1}', "seed"),
        ('{"seed":1.5}', "seed"),
        ('{"seed":9007199254740993}', "seed"),
        ('{"exposure":[]}', "exposure"),
        ('{"exposure":{"field":"n"}}', "exposure.groups"),
        ('{"exposure":{"field":"n","groups":{"a":{"min":0.1}}}}', "exposure.field"),
        ('{"exposure":{"field":"m","groups":{"a":{"min":0.1}}}}', "exposure.field"),
        ('{"exposure":{"field":"n","groups":{"a":{"min":0.5,"max":0.1}}}}', "exposure.groups.a"),
        ('{"exposure":{"field":"n","groups":{"a":{}}}}', "exposure.groups.a"),
        ('{"exposure":{"field":"n","groups":{"a":{"min":1.1}}}}', "exposure.groups.a.min"),
        ('{"exposure":{"field":"n","groups":{"a":{"least":0}}}}', "exposure.groups.a.least"),
    ],
)
async def test_what_cannot_be_is_refused(client: httpx.AsyncClient, said: str, field: str) -> None:
    answer = await client.post("/recommend", content=said)
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert error["code"] == "invalid_request"
    assert error.get("field", field) == field


async def test_a_field_that_is_not_there_is_answered_with_those_that_are(
    client: httpx.AsyncClient,
) -> None:
    wanted = {"field": "maker", "groups": {"a": {"min": 0.1}}}
    answer = await client.post("/recommend", json={"exposure": wanted})
    assert answer.json()["error"]["message"] == "no such field; there are: n"
    answer = await client.post("/recommend", json={"exposure": {**wanted, "field": "n"}})
    assert "'n' is a number" in answer.json()["error"]["message"]


async def test_draws_are_never_cached_nor_shared(client: httpx.AsyncClient) -> None:
    drawn = [await answered(client, explore=0.2, seed=7) for _ in range(3)]
    assert [answer["cache"] for answer in drawn] == ["bypass"] * 3
    # The seed alone, without draws, makes no other request.
    assert (await answered(client))["cache"] == "miss"
    assert (await answered(client, explore=0, seed=7))["cache"] == "hit"
    assert (await answered(client, max_stale_ms=60_000, explore=0.2))["cache"] == "bypass"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({}, {"diversity": 0.5}),
        ({"diversity": 0.4}, {"diversity": 0.5}),
        ({}, {"popularity_bias": 0.5}),
        ({"popularity_bias": -0.5}, {"popularity_bias": 0.5}),
    ],
)
async def test_what_is_asked_is_part_of_the_key(
    client: httpx.AsyncClient, one: dict[str, Any], two: dict[str, Any]
) -> None:
    assert (await answered(client, **one))["cache"] == "miss"
    assert (await answered(client, **two))["cache"] == "miss"
    assert (await answered(client, **one))["cache"] == "hit"
    assert (await answered(client, **two))["cache"] == "hit"


async def test_an_ordinary_answer_says_nothing_of_places(client: httpx.AsyncClient) -> None:
    answer = await answered(client, diversity=0, explore=0, popularity_bias=0)
    assert "exposure" not in answer
    for item in answer["items"]:
        assert item.keys() == {"id", "score", "title", "fields", "sources"}
