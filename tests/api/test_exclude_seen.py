"""What somebody took long ago still does not come back: through HTTP, engine and a real store."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.types import Retention
from app.serving.stores.sqlite_store import SqliteEventStore
from tests.api_rig import served
from tests.small_engine import small_engine

TAKEN = [f"dull{n}" for n in range(300)]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    store = SqliteEventStore(tmp_path / "store.sqlite", Retention(per_kind=250))
    async with served(small_engine(copies=400), events=store) as client:
        yield client


async def send(client: httpx.AsyncClient, kind: str, *items: str) -> None:
    start = 1_700_000_000
    events = [
        {"user_id": "ann", "item_id": item, "event": kind, "timestamp": start + n}
        for n, item in enumerate(items)
    ]
    answer = (await client.post("/events", json=events)).json()
    assert answer["accepted"] == len(events)


async def get(client: httpx.AsyncClient, **request: Any) -> dict[str, bool]:
    answer = await client.post("/recommend", json={"user_id": "ann", "k": 100, **request})
    assert answer.status_code == 200
    return {item["id"]: item.get("seen", False) for item in answer.json()["items"]}


async def test_three_hundred_purchases_do_not_come_back(client: httpx.AsyncClient) -> None:
    await send(client, "purchase", *TAKEN)
    for request in ({}, {"query": "dull number"}, {"exclude_seen": True}):
        found = await get(client, **request)
        assert len(found) == 100
        assert not set(TAKEN) & set(found)
    assert set(TAKEN) & set(await get(client, exclude_seen=False))


async def test_nor_do_those_of_a_kind_that_is_named(client: httpx.AsyncClient) -> None:
    await send(client, "impression", *TAKEN)
    assert set(TAKEN) & set(await get(client))
    assert not set(TAKEN) & set(await get(client, exclude_seen={"events": ["impression"]}))


async def test_nor_what_was_liked_first_and_of_which_other_kinds_have_more(
    client: httpx.AsyncClient,
) -> None:
    await send(client, "like", "mob")
    await send(client, "view", *TAKEN)
    found = await get(client, query="crime drama")
    assert "mob" not in found
    assert not set(TAKEN) & set(found)


async def test_who_types_the_title_of_something_they_own_finds_it(
    client: httpx.AsyncClient,
) -> None:
    await send(client, "purchase", "mob", *TAKEN)
    found = await get(client, query="Mob Crime Drama")
    assert next(iter(found.items())) == ("mob", True)
    assert [name for name, seen in found.items() if seen] == ["mob"]
    for request in (
        {"exclude_seen": True},
        {"exclude": ["mob"]},
        {"history": ["mob"]},
        {"query": "mob crime"},
    ):
        assert "mob" not in await get(client, **{"query": "Mob Crime Drama", **request})
    # The second page does not bring it again.
    page = {"query": "Mob Crime Drama", "user_id": "ann", "k": 1}
    first = (await client.post("/recommend", json=page)).json()
    assert [item["id"] for item in first["items"]] == ["mob"]
    second = await get(client, **page, cursor=first["next_cursor"])
    assert "mob" not in second
