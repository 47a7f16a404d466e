"""The routes for scenarios, and what a scenario does to requests, over a small engine."""

from typing import Any

import jsonschema_rs
import pytest

from app.api import control_schemas
from tests.api_rig import served
from tests.small_engine import small_engine

CRIME = {"categories": {"any": ["crime"]}}
POPULARITY = {"alien": 0.9, "star": 0.8, "mob": 0.7, "love": 0.6, "heist": 0.5, "robot": 0.4}


def valid(schema: dict[str, Any], body: Any) -> bool:
    return jsonschema_rs.is_valid(schema, body)


def ids(answer: Any) -> list[str]:
    return [item["id"] for item in answer.json()["items"]]


async def test_a_request_takes_the_fields_of_its_scenario() -> None:
    async with served(small_engine(POPULARITY)) as client:
        fields = {"filter": CRIME, "k": 1, "fields": ["year"]}
        put = await client.put("/admin/scenarios/crime", json=fields)
        assert put.json() == {"number": 1, "versions": {"crime": 1}, "warnings": []}
        assert valid(control_schemas.SCENARIOS_PUT, put.json())

        answer = await client.post("/recommend", json={"scenario": "crime"})
        assert ids(answer) == ["mob"]
        assert answer.json()["items"][0]["fields"] == {"year": 1990.0}
        # What the request sends beats it; filters are both demanded.
        both = {"scenario": "crime", "k": 5, "filter": {"categories": {"any": ["heist", "star"]}}}
        assert ids(await client.post("/recommend", json=both)) == ["heist"]
        again = await client.post("/recommend", json=both)
        assert again.json()["cache"] == "hit"
        batch = {"requests": [{"scenario": "crime"}, {"scenario": "nothing"}]}
        results = (await client.post("/recommend/batch", json=batch)).json()["results"]
        assert [item["id"] for item in results[0]["items"]] == ["mob"]
        assert results[1]["error"]["field"] == "scenario"


async def test_a_new_version_changes_cached_answers() -> None:
    async with served(small_engine(POPULARITY)) as client:
        ask = {"scenario": "home", "k": 1}
        await client.put("/admin/scenarios/home", json={"filter": CRIME})
        assert ids(await client.post("/recommend", json=ask)) == ["mob"]
        await client.put("/admin/scenarios/home", json={})
        assert ids(await client.post("/recommend", json=ask)) == ["alien"]
        versions = (await client.get("/admin/scenarios/home")).json()
        assert valid(control_schemas.SCENARIO_VERSIONS, versions)
        assert versions["request"] == {}
        assert [each["version"] for each in versions["versions"]] == [2, 1]
        old = (await client.get("/admin/scenarios/home?version=1")).json()
        assert (old["version"], old["request"]) == (1, {"filter": CRIME})
        back = await client.put("/admin/scenarios/home?version=1")
        assert back.json()["versions"] == {"home": 3}
        assert ids(await client.post("/recommend", json=ask)) == ["mob"]
        missing = await client.put("/admin/scenarios/home?version=9")
        assert missing.status_code == 404
        assert missing.json()["error"]["message"] == "this version is not kept; there are: 3, 2, 1"
        with_body = await client.put("/admin/scenarios/home?version=1", json={"k": 3})
        assert with_body.json()["error"]["field"] == "version"
        no_json = await client.put("/admin/scenarios/home?version=1", content=b"\xff|")
        assert no_json.status_code == 422


async def test_several_are_put_together_and_deleted_one_by_one() -> None:
    async with served() as client:
        both = {"scenarios": {"home": {"k": 3}, "cart": {"like": ["heist", "lost"]}}}
        put = (await client.put("/admin/scenarios", json=both)).json()
        assert put["warnings"] == [
            {
                "name": "cart",
                "message": "the catalogue has no item 'lost'",
                "field": "scenarios.cart",
            }
        ]
        listed = (await client.get("/admin/scenarios")).json()
        assert valid(control_schemas.SCENARIOS, listed)
        assert {each["name"]: each["request"] for each in listed["scenarios"]} == both["scenarios"]
        assert (await client.delete("/admin/scenarios/home")).json()["deleted"] == 1
        assert (await client.delete("/admin/scenarios/home")).status_code == 404
        assert (await client.get("/admin/scenarios/home")).status_code == 404
        gone = await client.post("/recommend", json={"scenario": "home"})
        assert gone.json()["error"]["message"] == "there is no such scenario; there are: cart"


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"filter": {"colour": {"eq": "red"}}}, "filter.colour", "there are: categories, year"),
        ({"fields": ["colour"]}, "fields", "there are: categories, year"),
        ({"max_per": {"colour": 1}}, "max_per", "there are: categories, title, year"),
        ({"intent": {"filters": {"year": {"eq": "x"}}}}, "intent.filters.year.eq", "number"),
        ({"user_id": "7"}, "user_id", "belongs to one request"),
        ({"scenario": "home"}, "scenario", "belongs to one request"),
        ({"k": 101}, "k", "without candidates"),
        ({"limit": 5}, "limit", "did you mean `k`?"),
    ],
)
async def test_a_wrong_scenario_is_refused_with_its_field(
    fields: dict[str, Any], field: str, said: str
) -> None:
    async with served() as client:
        one = await client.put("/admin/scenarios/home", json=fields)
        assert one.status_code == 422
        assert one.json()["error"]["field"] == field
        assert said in one.json()["error"]["message"]
        several = {"scenarios": {"cart": {"k": 3}, "home": fields}}
        many = await client.put("/admin/scenarios", json=several)
        assert many.json()["error"]["field"].startswith("scenarios.home")
        assert (await client.get("/admin/scenarios")).json()["scenarios"] == []


async def test_a_rule_of_a_scenario_applies_there_alone() -> None:
    async with served(small_engine(POPULARITY)) as client:
        rule = {"scenario": "home", "block": {"filter": CRIME}}
        put = (await client.put("/admin/rules/quiet", json=rule)).json()
        assert [each["message"] for each in put["warnings"]] == ["there is no such scenario yet"]
        await client.put("/admin/scenarios/home", json={"k": 2})
        assert ids(await client.post("/recommend", json={"scenario": "home"})) == ["alien", "star"]
        assert ids(await client.post("/recommend", json={"k": 2})) == ["alien", "mob"]


async def test_a_dry_run_compares_lists_and_stores_nothing() -> None:
    async with served(small_engine(POPULARITY)) as client:
        in_force = {"boost": {"filter": CRIME, "weight": 0.5}}
        await client.put("/admin/rules/crime", json=in_force)
        before = ids(await client.post("/recommend", json={"k": 3}))
        body = {
            "rules": [
                {"id": "crime", "bury": {"filter": CRIME, "weight": 5}},
                {
                    "id": "p",
                    "when": {"query": {"exact": "star"}},
                    "pin": {"item_id": "x", "place": 1},
                },
                {"id": "top", "pin": {"item_id": "love", "place": 2}},
            ],
            "requests": [{"k": 3}, {"query": "star", "k": 1}, {"filter": {"no": {"eq": 1}}}],
        }
        done = (await client.post("/admin/rules/dry-run", json=body)).json()
        assert valid(control_schemas.DRY_RUN, done)
        first, second, third = done["results"]
        assert [item["id"] for item in first["before"]] == before == ["mob", "heist", "alien"]
        assert [item["id"] for item in first["after"]] == ["alien", "love", "star"]
        assert [item["placed_by"] for item in first["after"]] == ["", "pin:top", ""]
        assert first["changes"] == [
            {"id": "alien", "before": 3, "after": 1},
            {"id": "love", "before": None, "after": 2},
            {"id": "star", "before": None, "after": 3},
            {"id": "mob", "before": 1, "after": None},
            {"id": "heist", "before": 2, "after": None},
        ]
        assert first["rules"] == ["crime", "top"]
        assert second["changes"] == []
        assert third["error"]["field"] == "filter.no"
        assert [each["name"] for each in done["warnings"]] == ["p"]
        listed = (await client.get("/admin/rules")).json()
        assert [each["rule"] for each in listed["rules"]] == [{"id": "crime", **in_force}]
        again = await client.post("/recommend", json={"k": 3})
        assert (ids(again), again.json()["cache"]) == (before, "hit")
