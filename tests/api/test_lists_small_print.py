"""`POST /similar`, `GET /popular`, `/trending`, `/newest`: what is taken, refused and cached."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import jsonschema_rs
import pytest

from app.api import schemas
from tests.api_rig import served
from tests.small_engine import small_engine

SPACE = '{"categories":{"any":["space"]}}'


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with served(small_engine({"heist": 0.9, "star": 0.5})) as client:
        yield client


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    jsonschema_rs.validate(schemas.ANSWER, answer.json())
    return [item["id"] for item in answer.json()["items"]]


async def test_similar_is_a_request_with_likes(client: httpx.AsyncClient) -> None:
    sent = {"item_id": "alien", "k": 3, "fields": ["year"], "by": "content"}
    similar = await client.post("/similar", json=sent)
    same = {"like": ["alien"], "k": 3, "fields": ["year"], "by": "content"}
    asked = await client.post("/v1/recommend", json=same)

    assert ids(similar) == ids(asked)
    assert similar.json()["items"][0]["fields"] == {"year": 2020.0}
    # Said in another way it is the same request.
    assert [each.headers["x-cache"] for each in (similar, asked)] == ["miss", "hit"]
    both = await client.post("/similar", json={**sent, "by": "both"})
    assert both.headers["x-cache"] == "miss"


async def test_similar_items_and_lists_are_explained_if_asked(client: httpx.AsyncClient) -> None:
    sent = {"item_id": "alien", "explain": True, "diversity": 0.2}
    similar = await client.post("/similar", json=sent)
    popular = await client.get("/popular", params={"explain": "true"})

    for answer in (similar, popular):
        assert ids(answer)
        baseline = answer.json()["baseline"]
        for item in answer.json()["items"]:
            total = baseline + sum(item["contributions"].values())
            assert total == pytest.approx(item["score"], abs=1e-4)


async def test_named_items_never_come_back_and_unknown_ones_are_named(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post("/similar", json={"items": ["alien", "gone", "star"]})

    assert not {"alien", "star"} & set(ids(answer))
    assert answer.json()["missing_ids"] == ["gone"]


@pytest.mark.parametrize(
    ("sent", "field"),
    [({"item_id": "gone"}, "item_id"), ({"items": ["gone", "lost"]}, "items")],
)
async def test_nothing_known_is_not_found(
    client: httpx.AsyncClient, sent: dict[str, Any], field: str
) -> None:
    answer = await client.post("/similar", json=sent)

    assert answer.status_code == 404
    assert (answer.json()["error"]["code"], answer.json()["error"]["field"]) == ("not_found", field)


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({}, "items"),
        ({"item_id": "alien", "items": ["star"]}, "item_id"),
        ({"item_id": "alien", "k": 101}, "k"),
        ({"item_id": "alien", "by": "colour"}, "by"),
        ({"item_id": "alien", "user_id": "7"}, "user_id"),
        ({"item_id": "alien", "filter": {"colour": {"eq": 1}}}, "filter.colour"),
        ({"item_id": "alien", "fields": ["colour"]}, "fields"),
    ],
)
async def test_what_similar_refuses(
    client: httpx.AsyncClient, sent: dict[str, Any], field: str
) -> None:
    answer = await client.post("/similar", json=sent)

    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == field


async def test_pages_of_similar_items_do_not_overlap(client: httpx.AsyncClient) -> None:
    first = await client.post("/similar", json={"item_id": "alien", "k": 2})
    cursor = first.json()["next_cursor"]
    second = await client.post("/similar", json={"item_id": "alien", "k": 2, "cursor": cursor})

    assert not set(ids(first)) & set(ids(second))
    assert "alien" not in ids(second)


async def test_lists_are_in_a_strict_order_and_cached(client: httpx.AsyncClient) -> None:
    first = await client.get("/popular", params={"k": 2})
    again = await client.get("/v1/popular/", params={"k": "2"})
    asked = await client.post("/recommend", json={"intent": {"sort": "popular"}, "k": 2})

    assert ids(first) == ids(again) == ids(asked) == ["heist", "star"]
    assert [each.json()["cache"] for each in (first, again, asked)] == ["miss", "hit", "hit"]
    assert first.json()["intent"]["sort"] == "popular"


@pytest.mark.parametrize("path", ["/popular", "/trending", "/newest"])
async def test_filters_and_fields_of_lists(client: httpx.AsyncClient, path: str) -> None:
    params = {"filter": SPACE, "fields": "year, categories"}
    answer = await client.get(path, params=params)

    assert set(ids(answer)) == {"alien", "star", "robot"}
    assert answer.json()["items"][0]["fields"].keys() == {"year", "categories"}
    assert ids(await client.get(path, params={"filter": "", "fields": ""}))
    head = await client.head(path, params=params)
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    ("params", "field", "told"),
    [
        ({"filter": "{space"}, "filter", "no JSON"),
        ({"filter": "[1]"}, "filter", "a filter is a JSON object"),
        ({"filter": '{"colour":{"eq":1}}'}, "filter.colour", "no such field"),
        ({"k": "0"}, "k", "greater than or equal to 1"),
        ({"k": "many"}, "k", "integer"),
        ({"limit": "5"}, "limit", "did you mean `k`?"),
        ({"fields": "year,colour"}, "fields", "no such field"),
        ({"cursor": "?"}, "cursor", "no cursor"),
    ],
)
async def test_what_lists_refuse(
    client: httpx.AsyncClient, params: dict[str, str], field: str, told: str
) -> None:
    answer = await client.get("/newest", params=params)

    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == field
    assert told in answer.json()["error"]["message"]
