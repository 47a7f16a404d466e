"""Bodies of calls that once failed, answered as a user expects.

They lie outside the repository (`RECSERVE_SHARED`/field). Each has a check here by its name.
"""

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.api_rig import served

FIELD = Path(os.environ.get("RECSERVE_SHARED", "../shared")) / "field"


async def called(client: httpx.AsyncClient, method: str, path: str, name: str) -> dict[str, Any]:
    answer = await client.request(method, path, content=(FIELD / name).read_bytes())
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def new_field(client: httpx.AsyncClient) -> None:
    taken = await called(client, "PUT", "/items", "new_field.json")
    assert taken["accepted"] == 1
    assert [warning["code"] for warning in taken["warnings"]] == ["unknown_field"]


async def value_text(client: httpx.AsyncClient) -> None:
    assert (await called(client, "POST", "/events", "value_text.json"))["accepted"] == 1
    user = orjson.loads((FIELD / "value_text.json").read_bytes())[0]["user_id"]
    found = (await client.get(f"/users/{user}")).json()
    assert found["events"][0]["value"] == 4.5


async def event_kind_blank(client: httpx.AsyncClient) -> None:
    assert (await called(client, "POST", "/events", "event_kind_blank.json"))["accepted"] == 1
    user = orjson.loads((FIELD / "event_kind_blank.json").read_bytes())[0]["user_id"]
    found = (await client.get(f"/users/{user}")).json()
    assert found["counts"]["events"] == {"click": 1}


async def event_kind_spelling(client: httpx.AsyncClient) -> None:
    taken = await called(client, "POST", "/events", "event_kind_spelling.json")
    assert taken["accepted"] == 3
    # The others have a weight by default.
    warned = [w["index"] for w in taken["warnings"] if w["code"] == "unknown_event"]
    assert warned == [0]


async def clock_ahead(client: httpx.AsyncClient) -> None:
    ahead = {"user_id": "c", "item_id": "alien", "event": "dislike"}
    ahead["timestamp"] = str(int(time.time()) + 12 * 3600)
    await client.post("/events", json=[ahead])
    await client.post("/events", json=[{"user_id": "c", "item_id": "alien", "event": "like"}])
    assert (await client.get("/users/c")).json()["history"] == ["alien"]


CHECKS: dict[str, Callable[[httpx.AsyncClient], Awaitable[None]]] = {
    "new_field.json": new_field,
    "value_text.json": value_text,
    "event_kind_blank.json": event_kind_blank,
    "event_kind_spelling.json": event_kind_spelling,
    "clock_ahead.json": clock_ahead,
}


@pytest.mark.parametrize("name", CHECKS)
async def test_a_call_of_the_field_is_answered_as_expected(name: str) -> None:
    required = os.environ.get("RECSERVE_REQUIRE_DATA") == "1"
    if not required and not (FIELD / name).exists():
        pytest.skip(f"RECSERVE_SHARED has no field/{name}")
    async with served() as client:
        await CHECKS[name](client)
