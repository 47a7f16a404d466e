"""The tone that a query asks for, over HTTP: what comes first, and what changes of items do."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from app.engine.engine import RankEngine
from app.engine.intent.parser import intent_parser_of
from tests.api_rig import served
from tests.small_engine import small_engine

BOOKS: dict[str, str | None] = {
    "war": "a war in the north",
    "sea": "a voyage over the sea",
    "farm": "a year on the farm",
    "city": "a night in the city",
}
QUERIES = ("something light-hearted", "轻松的")


def engine_of(*, toned: bool) -> RankEngine:
    engine = small_engine(
        {"war": 0.9, "sea": 0.6, "farm": 0.3},
        titles=BOOKS,  # type: ignore[arg-type]
        extra={"tone": ("strings", [["tense"], None, ["light"], None])} if toned else None,
    )
    parser = intent_parser_of(engine._parts.catalogue, {})
    engine._parts = replace(engine._parts, parser=parser)
    return engine


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with served(engine_of(toned=True)) as client:
        yield client


async def asked(client: httpx.AsyncClient, **body: object) -> tuple[list[str], str]:
    answer = await client.post("/recommend", json={"k": 4, **body})
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]], answer.headers["x-cache"]


@pytest.mark.parametrize("query", QUERIES)
async def test_items_of_the_tone_come_first(client: httpx.AsyncClient, query: str) -> None:
    found, _ = await asked(client, query=query)
    assert found[0] == "farm"
    intent = (await client.post("/interpret", json={"query": query})).json()["intent"]
    assert intent.pop("tone") == ["light"]
    without, _ = await asked(client, intent=intent)
    assert without[0] != "farm"
    async with served(engine_of(toned=False)) as plain:
        assert (await asked(plain, query=query))[0] == without


async def test_an_item_that_gets_the_tone_comes_first_at_once(client: httpx.AsyncClient) -> None:
    body = {"intent": {"tone": ["light"]}}
    assert (await asked(client, **body))[0][0] == "farm"
    assert (await asked(client, **body))[1] == "hit"
    put = await client.put("/items", json=[{"id": "war", "title": "a war", "tone": ["light"]}])
    assert put.json()["accepted"] == 1, put.text
    found, cache = await asked(client, **body, min_catalogue=1)
    assert (set(found[:2]), cache) == ({"war", "farm"}, "miss")


async def test_the_tones_taken_lately_are_explained_as_taste(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/recommend", json={"history": ["farm"], "repeat": True, "explain": True}
    )
    items = {item["id"]: item for item in answer.json()["items"]}
    assert "taste" in items["farm"]["contributions"]
    for item in items.values():
        total = answer.json()["baseline"] + sum(item["contributions"].values())
        assert total == pytest.approx(item["score"], abs=1e-4)
