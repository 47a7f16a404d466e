"""`POST /shelves`: kinds, repeats, one pass, titles, wrong rows, and rows that are left out."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import httpx
import jsonschema_rs
import pytest

from app.api import shelf_schemas
from app.core.errors import StoreError
from app.core.types import StoredUser
from app.domain.columns import Instant
from app.testing.event_store import MemoryEventStore
from app.testing.fakes import GatedEngine
from tests.api_rig import served
from tests.small_engine import TITLES, small_engine

DATES = [1979, 1977, 2020, 1995, 1990, None, None]


def films() -> Any:
    dates = [None if year is None else Instant.of_year(year) for year in DATES]
    extra = {"published_at": ("time", [*dates, *[Instant.of_year(1900)] * 30])}
    return small_engine({"heist": 0.9, "star": 0.5}, 30, titles=TITLES, extra=extra)  # type: ignore[arg-type]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with served(films()) as client:
        yield client


async def asked(client: httpx.AsyncClient, *shelves: Any, **whole: Any) -> dict[str, Any]:
    body = {"budget_ms": 10_000, "shelves": shelves, **whole}
    answer = await client.post("/shelves", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    jsonschema_rs.validate(shelf_schemas.SHELVES, found)
    return found


def ids(row: dict[str, Any]) -> list[str]:
    return [item["id"] for item in row["items"]]


_moments = count(1_790_000_000)


async def did(client: httpx.AsyncClient, *said: str) -> None:
    events = [
        {"user_id": "me", "event": kind, "item_id": item, "timestamp": next(_moments)}
        for kind, _, item in (text.partition(" ") for text in said)
    ]
    assert (await client.post("/events", json=events)).json()["accepted"] == len(said)


async def test_no_item_is_in_two_rows_and_rows_stay_full(client: httpx.AsyncClient) -> None:
    rows = [{"name": f"row {n}", "query": "space"} for n in range(4)]
    found = await asked(client, *rows, k=5)

    shown = [ids(row) for row in found["shelves"]]
    assert [len(row) for row in shown] == [5, 5, 5, 5]
    assert len({item for row in shown for item in row}) == 20
    alone = await client.post("/recommend", json={"query": "space", "k": 5})
    assert shown[0] == ids(alone.json())
    assert [row["name"] for row in found["shelves"]] == ["row 0", "row 1", "row 2", "row 3"]
    assert len({row["recommendation_id"] for row in found["shelves"]}) == 4


async def test_all_rows_are_one_pass() -> None:
    engine = GatedEngine()
    async with served(engine) as client:
        passes = len(engine.batches)
        rows = [{"name": str(n), "query": f"query {n}"} for n in range(7)]
        await asked(client, *rows)
        batches = engine.batches[passes:]
        again = await asked(client, *rows, {"name": "new", "query": "one more"})

    assert [[each.query for each in batch] for batch in batches] == [
        [f"query {n}" for n in range(7)]
    ]
    assert [row["cache"] for row in again["shelves"]] == ["hit"] * 7 + ["miss"]
    # A row asks for as many items more as the rows before it have.
    assert [each.k for each in batches[0]] == [10, 20, 30, 40, 50, 60, 70]


async def test_continue_has_what_was_begun_last_first(client: httpx.AsyncClient) -> None:
    await did(client, "play star", "play love", "play mob", "complete love", "play gone")
    shelf = {"name": "go on", "kind": "continue", "fields": ["year"]}

    row = (await asked(client, shelf, user_id="me"))["shelves"][0]
    assert (ids(row), row["title"], row["kind"]) == (["mob", "star"], "Continue", "continue")
    assert row["items"][0]["fields"] == {"year": 1990.0}
    await did(client, "progress star")
    row = (await asked(client, shelf, user_id="me"))["shelves"][0]
    assert ids(row) == ["star", "mob"]
    space = {"categories": {"any": ["space"]}}
    row = (await asked(client, {**shelf, "filter": space}, user_id="me"))["shelves"][0]
    assert ids(row) == ["star"]


async def test_because_names_the_newest_items_in_turn(client: httpx.AsyncClient) -> None:
    await did(client, "click heist", "click gone", "click alien", "dislike mob")
    because = {"name": "because", "kind": "because"}
    found = await asked(client, *[because] * 3, user_id="me", k=2)

    one, two = found["shelves"]
    assert (one["item_id"], one["title"]) == ("alien", "Because you took alien space horror")
    assert (two["item_id"], two["title"]) == ("heist", "Because you took bank heist crime")
    assert set(ids(one)) == {"star", "robot"}
    assert found["left_out"] == [
        {"name": "because", "reason": "the user has taken nothing, or no more, that is known"}
    ]
    named = {**because, "item_id": "love", "title": "{title}, and more"}
    row = (await asked(client, named))["shelves"][0]
    assert (row["title"], ids(row)[0]) == ("love story drama, and more", "mob")


async def test_new_is_by_date_for_nobody_and_by_taste_for_a_user(
    client: httpx.AsyncClient,
) -> None:
    shelf = {"name": "new", "kind": "new", "k": 1}
    row = (await asked(client, shelf))["shelves"][0]
    assert (ids(row), row["title"]) == (["robot"], "New")

    await did(client, "click heist")
    row = (await asked(client, shelf, user_id="me"))["shelves"][0]
    # Of the five newest that were not seen it suits best: it is a crime drama.
    assert (ids(row), row["title"]) == (["mob"], "New for you")


async def test_popular_is_what_is_taken_most_among_what_passes(client: httpx.AsyncClient) -> None:
    shelf = {"name": "popular", "kind": "popular", "k": 2}
    space = {"categories": {"any": ["space"]}}
    everywhere, near = (await asked(client, shelf, {**shelf, "filter": space}))["shelves"]

    assert (ids(everywhere), everywhere["title"]) == (["heist", "star"], "Popular")
    assert set(ids(near)) == {"alien", "robot"}  # the row before has star
    both = (await asked(client, shelf, filter=space, context={"country": "NZ"}))["shelves"][0]
    # This engine has learned nothing of countries.
    assert (ids(both)[0], both["title"]) == ("star", "Popular")


async def test_popular_where_the_context_is_known_asks_what_is_taken_there() -> None:
    engine = GatedEngine()
    async with served(engine) as client:
        passes = len(engine.batches)
        await did(client, "click i1", "dislike i2")
        shelf = {"name": "here", "kind": "popular", "exclude": ["i3"]}
        row = (await asked(client, shelf, user_id="me", context={"country": "NZ"}))["shelves"][0]
        request = engine.batches[passes][0]

    assert row["title"] == "Popular near you"
    assert request.context == (("country", "NZ"),)
    assert (request.intent, request.history) == ("", ())
    assert request.exclude == {"i1", "i2", "i3"}


async def test_a_row_may_be_explained(client: httpx.AsyncClient) -> None:
    shelf = {"name": "like", "kind": "because", "item_id": "alien", "explain": True, "k": 2}
    row = (await asked(client, shelf))["shelves"][0]

    for item in row["items"]:
        total = row["baseline"] + sum(item["contributions"].values())
        assert total == pytest.approx(item["score"], abs=1e-4)


async def test_filters_of_the_whole_and_of_a_row_are_both_demanded(
    client: httpx.AsyncClient,
) -> None:
    row = {"name": "crime", "filter": {"categories": {"any": ["crime"]}}, "exclude": ["mob"]}
    whole = {"filter": {"year": {"gte": 1990}}, "exclude": ["heist"]}
    assert ids((await asked(client, row))["shelves"][0]) == ["heist"]
    assert ids((await asked(client, row, **whole))["shelves"][0]) == []


async def test_without_a_user_rows_that_need_one_are_left_out(client: httpx.AsyncClient) -> None:
    kinds = ("continue", "because", "new", "popular")
    shelves = [{"name": kind, "kind": kind} for kind in kinds]
    for whole in ({}, {"user_id": "me", "personalize": False}):
        found = await asked(client, *shelves, language="es", **whole)

        assert [row["title"] for row in found["shelves"]] == ["Novedades", "Popular"]
        reason = "it needs a user_id or a session_id"
        assert found["left_out"] == [
            {"name": "continue", "reason": reason},
            {"name": "because", "reason": reason},
        ]


@pytest.mark.parametrize(
    ("shelf", "field", "code"),
    [
        ({"name": "x", "k": 0}, "k", "invalid_request"),
        ({"name": "x", "k": 101}, "k", "invalid_request"),
        ({"query": "space"}, "name", "invalid_request"),
        ({"name": "x", "kind": "old"}, "kind", "invalid_request"),
        ({"name": "x", "user_id": "7"}, "user_id", "invalid_request"),
        ({"name": "x", "cursor": "abc"}, "cursor", "invalid_request"),
        ({"name": "x", "text": True}, "text", "invalid_request"),
        ({"name": "x", "kind": "new", "query": "space"}, "query", "invalid_request"),
        ({"name": "x", "kind": "new", "item_id": "star"}, "item_id", "invalid_request"),
        ({"name": "x", "begun": ["play"]}, "begun", "invalid_request"),
        ({"name": "x", "kind": "because", "item_id": "gone"}, "item_id", "not_found"),
        ({"name": "x", "fields": ["colour"]}, "fields", "invalid_request"),
        ({"name": "x", "context": {"a": []}}, "context.a", "invalid_request"),
        ({"name": "x", "kind": "popular", "context": {"a": []}}, "context.a", "invalid_request"),
        ({"name": "x", "scenario": "gone"}, "scenario", "invalid_request"),
        (7, None, "invalid_request"),
    ],
    ids=str,
)
async def test_a_wrong_row_is_an_error_in_its_place(
    client: httpx.AsyncClient, shelf: Any, field: str | None, code: str
) -> None:
    found = await asked(client, shelf, {"name": "good"}, k=3)

    wrong, good = found["shelves"]
    assert (wrong["error"]["code"], wrong["error"].get("field")) == (code, field)
    assert len(ids(good)) == 3


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "shelves"),
        ({"shelves": []}, "shelves"),
        ({"shelves": [{"name": "a"}] * 17}, "shelves"),
        ({"shelves": [{"name": "a"}], "user_id": "1", "session_id": "2"}, "session_id"),
        ({"shelves": [{"name": "a"}], "k": 101}, "k"),
        ({"shelves": [{"name": "a"}], "query": "space"}, "query"),
    ],
)
async def test_what_the_whole_request_may_not_be(
    client: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await client.post("/v1/shelves", json=body)

    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == field


async def test_a_failing_pass_fails_its_row_only() -> None:
    engine = GatedEngine()
    async with served(engine) as client:
        engine.poison.add("bad")
        rows = [{"name": "bad", "query": "bad"}, {"name": "good", "query": "good"}]
        found = await asked(client, *rows)

    assert found["shelves"][0]["error"]["code"] == "engine_failed"
    assert len(ids(found["shelves"][1])) == 10


class _DownStore(MemoryEventStore):
    async def version(self, user: str) -> bytes:
        raise StoreError("no events can be read")

    async def read(self, user: str, kinds: Any = None, *, seen: Any = ()) -> StoredUser:
        raise StoreError("no events can be read")


async def test_a_store_that_is_down_costs_the_rows_that_need_it() -> None:
    async with served(films(), _DownStore()) as client:
        shelves = [{"name": "go on", "kind": "continue"}, {"name": "new", "kind": "new"}]
        found = await asked(client, *shelves, user_id="me")

    assert found["left_out"] == [{"name": "go on", "reason": "no events can be read"}]
    assert found["shelves"][0]["degraded"] == ["user_state"]
    assert found["shelves"][0]["cache"] == "bypass"


async def test_shelves_of_many_callers_share_what_they_ask(client: httpx.AsyncClient) -> None:
    rows = [{"name": "space", "query": "space"}, {"name": "crime", "query": "crime"}]
    found = await asyncio.gather(*[asked(client, *rows, k=3) for _ in range(5)])

    assert len({str([ids(row) for row in each["shelves"]]) for each in found}) == 1
    assert all(each["generation"] == {"bundle": "g1", "catalogue": 0} for each in found)
