"""`GET /admin/doctor` over HTTP: a catalogue that is well, and what shows by itself only."""

from collections.abc import Callable, Sequence
from typing import Any

import httpx

from app.core.types import Event, JsonValue
from app.domain.columns import Instant
from app.engine.engine import RankEngine
from app.testing.event_store import MemoryEventStore
from tests.api_rig import served
from tests.small_engine import TITLES, small_engine

NAMES = [name for name, title in TITLES.items() if title]
DATES = [Instant(1_000_000_000.0 + n) for n in range(len(NAMES))]
PRICES = [9.5 + n for n in range(len(NAMES))]


def render(value_of: Callable[[str], JsonValue]) -> str:
    return f"{value_of('title') or ''} {value_of('categories') or ''}"


def healthy_engine() -> RankEngine:
    return small_engine(
        titles={name: TITLES[name] for name in NAMES},
        extra={"published_at": ("time", DATES), "price": ("number", PRICES)},
        roles={"price": "price", "rating": "year"},
        render=render,
    )


def events(kind: str = "click") -> list[Event]:
    return [
        Event(f"{n}", f"u:{n % 40}", NAMES[n % len(NAMES)], kind, 1_700_000_000.0 + n)
        for n in range(120)
    ]


async def ids(client: httpx.AsyncClient) -> list[str]:
    response = await client.get("/v1/admin/doctor")
    assert response.status_code == 200, response.text
    return [each["id"] for each in response.json()["findings"]]


async def store_of(some: Sequence[Event]) -> MemoryEventStore:
    store = MemoryEventStore()
    await store.append(some)
    return store


async def test_a_healthy_catalogue_shows_nothing() -> None:
    async with served(healthy_engine(), await store_of(events())) as client:
        for n in range(60):
            await client.post("/recommend", json={"query": f"space {n}", "budget_ms": 10_000})
        found = (await client.get("/admin/doctor")).json()
    assert found == {
        "bundle": {"name": "small", "generation": "g1"},
        "looked_at": {"items": 6, "events": 120, "queries": 60},
        "findings": [],
    }


async def test_events_that_say_nothing() -> None:
    async with served(healthy_engine(), await store_of(events("impression"))) as client:
        assert await ids(client) == ["no_positive_events"]


async def test_no_events_and_no_items() -> None:
    engine = healthy_engine()
    async with served(engine) as client:
        assert await ids(client) == ["no_events"]
        for name in NAMES:
            await client.delete(f"/items/{name}")
        assert await ids(client) == ["no_items", "no_events"]


async def test_it_sees_items_as_they_are_now() -> None:
    async with served(healthy_engine(), await store_of(events())) as client:
        item = {"id": "new", "title": "only a title", "published_at": 2020}
        assert (await client.put("/items", json=[item])).status_code == 200
        assert await ids(client) == ["no_text"]
        changed: dict[str, Any] = {"categories": ["drama"], "price": 3}
        assert (await client.patch("/items/new", json=changed)).status_code == 200
        assert await ids(client) == []


async def test_several_workers_without_a_shared_cache() -> None:
    async with served(healthy_engine(), await store_of(events()), workers=2) as client:
        assert await ids(client) == ["no_shared_cache"]
