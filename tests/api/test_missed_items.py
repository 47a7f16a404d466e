"""`POST /why-not`: what the service itself keeps out, the schema, and what is refused."""

import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jsonschema_rs
import pytest

from app.api.explanation_schemas import LOST_ITEM
from tests.api_rig import served


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with served() as client:
        yield client


async def lost(client: httpx.AsyncClient, item_id: str, **request: Any) -> dict[str, Any]:
    answer = await client.post("/why-not", json={"request": request, "item_id": item_id})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    jsonschema_rs.validate(LOST_ITEM, body)
    return body


async def test_what_the_request_names_is_excluded(client: httpx.AsyncClient) -> None:
    for name in ("exclude", "history", "like", "dislike"):
        found = await lost(client, "alien", query="space", **{name: ["alien"]})
        assert (found["stage"], found["details"]) == ("excluded", {"by": name})
    again = await lost(client, "alien", query="space", history=["alien"], repeat=True)
    assert again["stage"] == "answered"


async def test_what_an_earlier_page_has_shown(client: httpx.AsyncClient) -> None:
    asked = {"query": "space", "k": 1}
    first = (await client.post("/recommend", json=asked)).json()
    shown = first["items"][0]["id"]
    found = await lost(client, shown, **asked, cursor=first["next_cursor"])
    assert (found["stage"], found["details"]) == ("shown", {"by": "shown"})


async def test_what_the_user_has_seen(client: httpx.AsyncClient) -> None:
    events = [
        {"user_id": "7", "item_id": "star", "event": "click"},
        {"user_id": "7", "item_id": "mob", "event": "dislike"},
    ]
    assert (await client.post("/events", json=events)).status_code == 200
    star = await lost(client, "star", user_id="7", query="space")
    assert (star["stage"], star["details"]["event"]) == ("seen", "click")
    assert abs(star["details"]["time"] - time.time()) < 100
    mob = await lost(client, "mob", user_id="7", query="crime")
    assert (mob["stage"], mob["details"]["by"]) == ("seen", "disliked")
    # The bundle has it from older events.
    heist = await lost(client, "heist", user_id="7", query="crime")
    assert (heist["stage"], heist["details"]) == ("seen", {"by": "seen_before"})
    assert (await lost(client, "star", query="space"))["stage"] == "answered"
    free = await lost(client, "star", user_id="7", query="space", personalize=False)
    assert free["stage"] == "answered"


async def test_all_that_the_engine_tells_fits_the_schema(client: httpx.AsyncClient) -> None:
    requests: list[tuple[str, dict[str, Any]]] = [
        ("nope", {}),
        ("alien", {"query": "space adventure", "k": 1}),
        ("heist", {"filter": {"categories": {"any": ["space"]}}}),
        ("heist", {"query": "space", "min_score": 30}),
        ("ghost", {"intent": {"sort": "popular"}, "k": 1}),
        ("mob", {"query": "crime", "candidates": ["heist"]}),
    ]
    stages = [(await lost(client, item, **request))["stage"] for item, request in requests]
    assert stages == [
        "unknown",
        "outranked",
        "filtered",
        "below_min_score",
        "outranked",
        "excluded",
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"request": {}}, "item_id"),
        ({"item_id": "alien", "request": {"k": 0}}, "request.k"),
        ({"item_id": "alien", "request": {"filter": {"nope": {"eq": 1}}}}, "filter.nope"),
        ({"item_id": "alien", "more": 1}, "more"),
    ],
)
async def test_a_wrong_body_is_refused(
    client: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await client.post("/why-not", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == field
