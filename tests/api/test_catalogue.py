"""The catalogue over HTTP: its fields, facets, and recommendations that a filter narrows."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import jsonschema_rs
import pytest

from app.api import catalogue_schemas, schemas
from tests.api.test_api import served

SPACE = {"categories": {"any": ["space"]}}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with served() as client:
        yield client


async def recommended(client: httpx.AsyncClient, **said: Any) -> dict[str, Any]:
    answer = await client.post("/recommend", json=said)
    assert answer.status_code == 200, answer.text
    jsonschema_rs.validate(schemas.ANSWER, answer.json())
    found: dict[str, Any] = answer.json()
    return found


def ids(answer: dict[str, Any]) -> set[str]:
    return {item["id"] for item in answer["items"]}


async def test_the_catalogue_names_its_fields(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/catalogue")).json()

    jsonschema_rs.validate(catalogue_schemas.CATALOGUE, answer)
    assert answer["items"] == 7
    assert answer["fields"]["year"] == {"type": "number", "count": 5, "min": 1977, "max": 2020}
    categories = answer["fields"]["categories"]
    assert (categories["type"], categories["count"], categories["distinct"]) == ("strings", 6, 13)
    assert categories["values"][0] == {"value": "space", "count": 3}


async def test_facets_of_what_passes(client: httpx.AsyncClient) -> None:
    asked = {"fields": ["categories"], "filter": {"year": {"lt": 1980}}, "limit": 1}
    answer = (await client.post("/facets", json=asked)).json()

    jsonschema_rs.validate(catalogue_schemas.FACETS, answer)
    assert answer["total"] == 2
    assert answer["fields"]["categories"]["values"] == [{"value": "space", "count": 2}]


async def test_a_filter_narrows_and_its_answers_are_kept_apart(client: httpx.AsyncClient) -> None:
    everything = await recommended(client, query="space")
    narrowed = await recommended(client, query="space", filter={"year": {"gte": 1979}, **SPACE})
    again = await recommended(client, query="space", filter={**SPACE, "year": {"gte": 1979}})

    assert ids(narrowed) == {"alien", "robot"}
    assert ids(everything) > ids(narrowed)
    assert (again["cache"], ids(again)) == ("hit", ids(narrowed))


async def test_the_answer_says_what_does_not_pass(client: httpx.AsyncClient) -> None:
    answer = await recommended(client, query="crime", filter=SPACE, on_empty="relax", k=5)

    assert answer["passing"] == 3
    assert ids({"items": answer["items"][:3]}) == {"alien", "star", "robot"}
    assert (await recommended(client, query="crime", filter=SPACE, k=5))["passing"] is None


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/recommend", {"filter": {"colour": {"eq": "red"}}}, "filter.colour"),
        ("/recommend", {"filter": {"year": {"gte": "old"}}}, "filter.year.gte"),
        ("/recommend", {"filter": ["year"]}, "filter"),
        ("/recommend", {"filter": {"year": {"gte": 1}}, "on_empty": "maybe"}, "on_empty"),
        ("/facets", {"fields": ["colour"]}, "fields"),
        ("/facets", {"filter": {"colour": {"eq": "red"}}}, "filter.colour"),
        ("/facets", {"limit": 0}, "limit"),
    ],
)
async def test_what_does_not_fit_the_catalogue_is_refused(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], field: str
) -> None:
    answer = await client.post(path, json=body)

    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == field
    if "colour" in str(body):
        assert "categories, year" in answer.json()["error"]["message"]
