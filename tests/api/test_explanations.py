"""Explained answers over HTTP: their schema, their cache, and that others stay as they were."""

import copy
import re
from collections.abc import AsyncIterator
from math import fsum
from typing import Any

import httpx
import jsonschema_rs
import pytest

from app.api import schemas
from tests.api_rig import served

REQUESTS = [
    {"query": "space adventure"},
    {"query": "drama", "user_id": "7", "dislike": ["love"]},
    {"like": ["mob"], "context": {"language": "es"}},
    {"query": "crime", "filter": {"categories": {"any": ["crime"]}}, "on_empty": "popular"},
    {},
]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with served() as client:
        yield client


async def ask(client: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    answer = await client.post("/recommend", json=request)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
async def test_an_explained_answer_fits_the_schema_and_adds_up(
    client: httpx.AsyncClient, request_: dict[str, Any]
) -> None:
    answer = await ask(client, explain=True, **request_)
    jsonschema_rs.validate(schemas.ANSWER, answer)
    for item in answer["items"]:
        total = fsum([answer["baseline"], *item["contributions"].values()])
        assert total == pytest.approx(item["score"], abs=1e-9)
    for name in ("contributions", "evidence"):
        mutant = copy.deepcopy(answer)
        mutant["items"][0][name]["invented"] = 1.0
        with pytest.raises(jsonschema_rs.ValidationError):
            jsonschema_rs.validate(schemas.ANSWER, mutant)


async def test_other_answers_have_the_same_bytes(client: httpx.AsyncClient) -> None:
    async def tail(**request: Any) -> str:
        answer = await client.post("/recommend", json=request)
        return re.sub(r"^.*?(?=\"batch_size\")", "", answer.text)

    before = await tail(query="drama", k=3)
    explained = await ask(client, query="drama", k=3, explain=True)
    assert await tail(query="drama", k=3) == before
    assert await tail(query="drama", k=3, explain=False) == before
    assert "baseline" in explained
    for gone in ("baseline", "contributions", "evidence", "reason"):
        assert gone not in before


async def test_explained_answers_are_cached_apart(client: httpx.AsyncClient) -> None:
    caches = [
        (await ask(client, query="crime", explain=explain))["cache"]
        for explain in (False, True, False, True)
    ]
    assert caches == ["miss", "miss", "hit", "hit"]
