"""The routes for rules, over a small engine."""

from typing import Any

import jsonschema_rs
import pytest

from app.api import control_schemas, schemas
from tests.api_rig import served

CRIME = {"categories": {"any": ["crime"]}}


def valid(schema: dict[str, Any], body: Any) -> bool:
    return jsonschema_rs.is_valid(schema, body)


async def test_rules_are_put_listed_and_deleted() -> None:
    async with served() as client:
        first = {"id": "a", "boost": {"filter": CRIME, "weight": 1.5}}
        second = {"id": "b", "pin": {"item_id": "unknown", "place": 2}, "until": "2020-01-01"}
        put = await client.put("/admin/rules", json={"rules": [first, second]})
        assert put.json() == {
            "number": 2,
            "accepted": 2,
            "warnings": [
                {
                    "name": "b",
                    "message": "the catalogue has no such item; the rule applies once it is there",
                    "field": "rules.1.pin.item_id",
                }
            ],
        }
        assert valid(control_schemas.RULES_PUT, put.json())
        listed = (await client.get("/v1/admin/rules")).json()
        assert valid(control_schemas.RULES, listed)
        assert [each["rule"] for each in listed["rules"]] == [first, second]
        assert [each["active"] for each in listed["rules"]] == [True, False]
        one = (await client.get("/admin/rules/a")).json()
        assert one == listed["rules"][0]
        assert (one["version"], one["problem"]) == (1, None)
        gone = await client.delete("/admin/rules/a")
        assert gone.json() == {"number": 3, "deleted": 1}
        assert valid(control_schemas.DELETED, gone.json())
        assert (await client.delete("/admin/rules/a")).status_code == 404
        assert (await client.get("/admin/rules/a")).status_code == 404
        assert (await client.delete("/admin/rules")).json() == {"number": 4, "deleted": 1}


async def test_a_rule_is_named_by_its_address() -> None:
    async with served() as client:
        body = {"block": {"filter": CRIME}}
        assert (await client.put("/admin/rules/x", json=body)).json()["accepted"] == 1
        assert (await client.get("/admin/rules/x")).json()["rule"] == {"id": "x", **body}
        other = await client.put("/admin/rules/x", json={"id": "y", **body})
        assert (other.status_code, other.json()["error"]["field"]) == (422, "id")
        odd = await client.put("/admin/rules/%20", json=body)
        assert odd.json()["error"]["message"] == "a name has letters, digits, . _ and -, at most 64"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"rules": []}, "rules"),
        ({"rules": [{"id": "a"}]}, "rules.0"),
        (
            {"rules": [{"id": "a", "block": {"filter": {"colour": {"eq": 1}}}}]},
            "rules.0.block.filter.colour",
        ),
        ({"rules": [{"id": "a", "boost": {"filter": CRIME}}]}, "rules.0.boost.weight"),
        ({"rules": [{"id": "a", "blok": {"filter": CRIME}}]}, "rules.0.blok"),
        ([], None),
    ],
)
async def test_a_wrong_rule_is_refused_with_its_field(body: Any, field: str | None) -> None:
    async with served() as client:
        answer = await client.put("/admin/rules", json=body)
        assert answer.status_code == 422
        assert valid(schemas.ERROR, answer.json())
        assert answer.json()["error"].get("field") == field
        assert (await client.get("/admin/rules")).json() == {"number": 0, "rules": []}
