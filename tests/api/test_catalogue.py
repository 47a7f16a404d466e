"""The catalogue over HTTP: its fields, facets, and recommendations that a filter narrows."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import jsonschema_rs
import pytest

from app.api import item_schemas, schemas
from tests.api_rig import served

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

    jsonschema_rs.validate(item_schemas.CATALOGUE, answer)
    assert answer["items"] == 7
    assert answer["fields"]["year"] == {"type": "number", "count": 5, "min": 1977, "max": 2020}
    categories = answer["fields"]["categories"]
    assert (categories["type"], categories["count"], categories["distinct"]) == ("strings", 6, 13)
    assert categories["values"][0] == {"value": "space", "count": 3}


async def test_facets_of_what_passes(client: httpx.AsyncClient) -> None:
    asked = {"fields": ["categories"], "filter": {"year": {"lt": 1980}}, "limit": 1}
    answer = (await client.post("/facets", json=asked)).json()

    jsonschema_rs.validate(item_schemas.FACETS, answer)
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


async def put(client: httpx.AsyncClient, *items: dict[str, Any]) -> dict[str, Any]:
    answer = await client.put("/items", json=list(items))
    assert answer.status_code == 200, answer.text
    jsonschema_rs.validate(item_schemas.ITEMS_ANSWER, answer.json())
    taken: dict[str, Any] = answer.json()
    return taken


async def test_a_new_item_is_found_by_its_words_at_once(client: httpx.AsyncClient) -> None:
    before = await recommended(client, query="submarine", k=7)
    taken = await put(client, {"id": "new", "title": "submarine chase", "year": 1990})
    after = await recommended(client, query="submarine", k=7)

    assert (taken["accepted"], taken["rejected"]) == (1, [])
    assert "new" not in ids(before)
    assert (after["items"][0]["id"], after["cache"]) == ("new", "miss")
    assert taken["generation"] == after["generation"]
    assert after["generation"]["catalogue"] > before["generation"]["catalogue"]
    item = (await client.get("/items/new")).json()
    assert (item["title"], item["fields"]["year"]) == ("submarine chase", 1990)


async def test_the_good_items_of_a_call_are_kept(client: httpx.AsyncClient) -> None:
    items = [
        {"id": "a", "title": "first"},
        {"id": "b", "colour": "red"},
        {"id": "c", "year": "old"},
        {"title": "nameless"},
        {"id": "a", "title": "second"},
    ]
    taken = await put(client, *items)

    assert (taken["accepted"], taken["duplicates"]) == (2, 1)
    wrong = [(remark["index"], remark["field"]) for remark in taken["rejected"]]
    assert wrong == [(2, "year"), (3, "id")]
    assert (await client.get("/items/a")).json()["title"] == "second"
    assert (await client.get("/items/c")).status_code == 404
    warned = [(remark["index"], remark["code"], remark["field"]) for remark in taken["warnings"]]
    assert warned == [(0, "duplicate_item", "id"), (1, "unknown_field", "colour")]


@pytest.mark.parametrize("form", ["array", "object"])
async def test_a_call_that_keeps_nothing_is_refused(client: httpx.AsyncClient, form: str) -> None:
    items = [{"title": "nameless"}, {"id": "c", "year": "old"}]
    sent = items if form == "array" else {"items": items}
    answer = await client.put("/items", json=sent)
    assert answer.status_code == 422
    body = answer.json()
    jsonschema_rs.validate(item_schemas.ITEMS_REFUSED, body)
    assert (body["error"]["code"], body["error"]["field"]) == ("invalid_request", "0.id")
    assert body["error"]["message"] == "no item can be used: an item needs an id"
    assert (body["accepted"], [r["index"] for r in body["rejected"]]) == (0, [0, 1])
    assert (await client.put("/items", json=[])).status_code == 422


async def test_an_unknown_field_is_neither_shown_nor_filtered(client: httpx.AsyncClient) -> None:
    taken = await put(client, {"id": "n", "title": "walnut shelf", "maker": "Oak & Co"})
    assert (taken["accepted"], len(taken["warnings"])) == (1, 1)
    item = (await client.get("/items/n")).json()
    assert item["title"] == "walnut shelf"
    assert "maker" not in item["fields"]
    filtered = await client.post("/recommend", json={"filter": {"maker": {"eq": "Oak & Co"}}})
    assert (filtered.status_code, filtered.json()["error"]["field"]) == (422, "filter.maker")


async def test_a_patch_changes_what_it_names_and_nothing_else(client: httpx.AsyncClient) -> None:
    answer = await client.patch("/items/star", json={"year": 2001})
    jsonschema_rs.validate(item_schemas.CHANGED_ITEM, answer.json())
    item = (await client.get("/items/star")).json()

    assert (item["title"], item["fields"]["year"]) == ("star space adventure", 2001)
    assert item["fields"]["categories"] == ["star", "space", "adventure"]
    assert ids(await recommended(client, filter={"year": {"eq": 2001}})) == {"star"}


async def test_a_deleted_item_is_gone_from_cached_answers_too(client: httpx.AsyncClient) -> None:
    assert "mob" in ids(await recommended(client, query="crime"))
    answer = await client.delete("/items/mob")
    jsonschema_rs.validate(item_schemas.CHANGED_ITEM, answer.json())

    assert "mob" not in ids(await recommended(client, query="crime"))
    assert (await client.get("/items/mob")).status_code == 404
    assert (await recommended(client, candidates=["mob", "star"]))["missing_ids"] == ["mob"]
    assert (await client.get("/catalogue")).json()["items"] == 6


async def test_a_hidden_item_is_not_recommended(client: httpx.AsyncClient) -> None:
    await client.patch("/items/mob", json={"hidden": True})
    assert "mob" not in ids(await recommended(client, query="crime"))
    assert (await client.get("/items/mob")).status_code == 200
    await client.patch("/items/mob", json={"hidden": False})
    assert "mob" in ids(await recommended(client, query="crime"))


async def test_a_request_may_insist_on_a_catalogue(client: httpx.AsyncClient) -> None:
    seq = (await put(client, {"id": "new", "title": "x"}))["generation"]["catalogue"]
    reached = await recommended(client, min_catalogue=seq)
    answer = await client.post("/recommend", json={"min_catalogue": seq + 1, "budget_ms": 50})

    assert reached["generation"]["catalogue"] == seq
    assert answer.status_code == 504
    assert answer.json()["error"]["field"] == "min_catalogue"


@pytest.mark.parametrize(
    ("call", "body", "status", "field"),
    [
        ("PUT /items", [], 422, None),
        ("PUT /items", {"things": []}, 422, "things"),
        ("PUT /items", [{"id": "x"}] * 1001, 422, None),
        ("PATCH /items/star", {"colour": "red"}, 422, "colour"),
        ("PATCH /items/star", {}, 422, None),
        ("PATCH /items/nothing", {"year": 1}, 404, "item_id"),
        ("DELETE /items/nothing", None, 404, "item_id"),
    ],
)
async def test_changes_that_cannot_be_made_say_why(
    client: httpx.AsyncClient, call: str, body: Any, status: int, field: str | None
) -> None:
    answer = await client.request(*call.split(), json=body)

    assert answer.status_code == status
    jsonschema_rs.validate(schemas.ERROR, answer.json())
    assert field is None or answer.json()["error"]["field"] == field
