"""Keys over HTTP: which role each route needs, and what callers without one are told."""

import logging
import re
from pathlib import Path

import pytest

from app.api.access import role_of
from app.serving.access.key_file import add_key
from app.serving.access.keys import ROLES, Role, new_key, reaches
from tests.api_rig import served

_PUBLIC = {"/livez", "/readyz"}
_READ = {
    *("/recommend", "/recommend/batch", "/interpret", "/facets", "/catalogue", "/info"),
}
_WRITE_FIRST = ("/events", "/users")


def _keys(folder: Path) -> tuple[Path, dict[Role, str]]:
    path, sent = folder / "keys.json", dict[Role, str]()
    for role in ROLES:
        sent[role], key = new_key(role, "", 0.0)
        add_key(path, key)
    return path, sent


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_every_route_says_its_role_and_keeps_to_it(tmp_path: Path) -> None:
    path, sent = _keys(tmp_path)
    async with served(api_keys_file=path) as client:
        document = (await client.get("/openapi.json", headers=_bearer(sent["read"]))).json()
        seen = set()
        for route, methods in document["paths"].items():
            for method, operation in methods.items():
                url = re.sub(r"\{\w+\}", "0" * 32, route)
                if route in _PUBLIC:
                    assert "x-role" not in operation
                    assert (await client.request(method, url)).status_code == 200
                    continue
                needed: Role = operation["x-role"]
                seen.add(needed)
                assert (await client.request(method, url)).status_code == 401, route
                for role in ROLES:
                    answer = await client.request(method, url, headers=_bearer(sent[role]))
                    refused = answer.status_code == 403
                    assert refused != reaches(role, needed), (method, route, role)
        assert seen == set(ROLES)


async def test_every_route_says_how_a_connection_refuses() -> None:
    async with served() as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    for methods in paths.values():
        for operation in methods.values():
            assert {"408", "414", "431"} <= operation["responses"].keys()


async def test_the_methods_of_a_path_are_those_of_the_most_specific_route() -> None:
    async with served() as client:
        said = await client.options("/admin/rules/dry-run")
    assert said.headers["allow"] == "OPTIONS, POST"


async def test_reading_and_deleting_of_people_is_not_for_readers() -> None:
    async with served() as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    roles = {
        (method, route): operation.get("x-role", "public")
        for route, methods in paths.items()
        for method, operation in methods.items()
    }
    for (method, route), role in roles.items():
        if route.startswith(_WRITE_FIRST) or (route.startswith("/items") and method != "get"):
            assert role == "write", route
        elif route in _READ or route.startswith("/items"):
            assert role == "read", route
    assert roles["post", "/admin/reload"] == roles["get", "/metrics"] == "admin"


@pytest.mark.parametrize(
    "path", ["/nowhere", "/admin", "/admin/x", "//admin/reload", "/Recommend", "/metrics/x"]
)
def test_what_the_table_does_not_name_is_for_administrators(path: str) -> None:
    assert role_of("GET", path) == "admin"


async def test_a_refusal_says_what_to_do(tmp_path: Path) -> None:
    path, sent = _keys(tmp_path)
    async with served(api_keys_file=path) as client:
        nobody = await client.post("/recommend", json={"query": "heist"})
        assert nobody.status_code == 401
        assert nobody.headers["www-authenticate"] == "Bearer"
        error = nobody.json()["error"]
        assert error["code"] == "unauthenticated"
        assert "Authorization: Bearer" in error["message"]
        weak = await client.delete("/items/1", headers=_bearer(sent["read"]))
        assert weak.status_code == 403
        assert weak.json()["error"]["code"] == "forbidden"
        assert "needs the role write" in weak.json()["error"]["message"]
        versioned = await client.post("/v1/admin/reload/", headers=_bearer(sent["write"]))
        assert versioned.status_code == 403


async def test_no_body_is_read_of_a_caller_without_a_key(tmp_path: Path) -> None:
    path, _ = _keys(tmp_path)
    async with served(api_keys_file=path, max_body_bytes=1024) as client:
        assert (await client.put("/items", content=b"x" * 4096)).status_code == 401


async def test_beyond_this_machine_strangers_are_no_administrators() -> None:
    async with served(host="::", allow_anonymous=True) as client:
        assert (await client.post("/recommend", json={"query": "heist"})).status_code == 200
        assert (await client.get("/users/7")).status_code == 200
        refused = await client.post("/admin/reload")
        assert refused.status_code == 403
        assert "recserve keys add" in refused.json()["error"]["message"]


async def test_admin_calls_and_deletions_are_in_the_audit_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, sent = _keys(tmp_path)
    with caplog.at_level(logging.INFO, "app.audit"):
        async with served(api_keys_file=path) as client:
            await client.delete("/users/7", headers=_bearer(sent["write"]))
            await client.get("/admin/intents")
            await client.post("/recommend", json={}, headers=_bearer(sent["read"]))
    lines = [record.__dict__ for record in caplog.records if record.name == "app.audit"]
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("DELETE", "/users/7", 200),
        ("GET", "/admin/intents", 401),
    ]
    assert lines[0]["key"] == sent["write"][4:12]
    assert lines[1]["key"] == ""
    secrets = [key.split("_", 2)[2] for key in sent.values()]
    assert not any(secret in caplog.text for secret in secrets)
