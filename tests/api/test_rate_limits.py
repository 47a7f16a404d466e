"""Limits of a key over HTTP: what costs how much, and what a refusal says."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.serving.access.key_file import add_key
from app.serving.access.keys import Role, new_key
from app.serving.access.limits import KeyLimits
from tests.api_rig import served

_SLOW = 0.001
"""Units a second: nothing comes back while a test runs."""

_ITEM = {"title": "Alien"}
_EVENT = {"user_id": "7", "item_id": "1", "type": "view"}


def _key(path: Path, burst: int, role: Role = "write", language: float | None = None) -> Any:
    sent, key = new_key(role, "", 0.0)
    add_key(path, replace(key, limits=KeyLimits(_SLOW, burst, language)))
    return {"Authorization": f"Bearer {sent}"}


def _left(answer: httpx.Response) -> int:
    found = re.fullmatch(r'"requests";r=(\d+);t=\d+', answer.headers["ratelimit"])
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize(
    ("method", "url", "body", "cost"),
    [
        ("POST", "/recommend", {"query": "heist"}, 1),
        ("POST", "/v1/recommend/", {"query": "heist"}, 1),
        ("GET", "/popular", None, 1),
        ("GET", "/info", None, 1),
        ("POST", "/recommend", {"wrong": 1}, 1),
        ("POST", "/recommend/batch", {"requests": [{"query": f"q{n}"} for n in range(64)]}, 64),
        ("POST", "/recommend/batch", {"requests": [{"wrong": 1}] * 10}, 10),
        ("POST", "/shelves", {"shelves": [{"name": f"s{n}", "query": "x"} for n in range(5)]}, 5),
        ("PUT", "/items", {"items": [{"id": str(n), **_ITEM} for n in range(20)]}, 20),
        ("PUT", "/items", [{"id": "1", **_ITEM}] * 20, 20),
        ("POST", "/events", {"events": [_EVENT] * 30}, 30),
    ],
)
async def test_a_call_costs_what_it_holds(
    tmp_path: Path, method: str, url: str, body: Any, cost: int
) -> None:
    key = _key(path := tmp_path / "keys.json", 100)
    async with served(api_keys_file=path) as client:
        answer = await client.request(method, url, json=body, headers=key)
    assert answer.status_code in {200, 422}
    assert answer.headers["ratelimit-policy"] == '"requests";q=100;w=100000'
    assert _left(answer) == 100 - cost


async def test_one_batch_and_many_requests_get_equally_far(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    one, many = _key(path, 96), _key(path, 96)
    batch = {"requests": [{"query": "heist", "k": 1}] * 32}
    async with served(api_keys_file=path) as client:
        batches = [await client.post("/recommend/batch", json=batch, headers=one) for _ in "12345"]
        singles = [
            (await client.post("/recommend", json={"query": "heist"}, headers=many)).status_code
            for _ in range(120)
        ]
    assert [each.status_code for each in batches] == [200, 200, 200, 429, 429]
    assert (singles.count(200), singles.count(429)) == (96, 24)


async def test_a_refusal_says_when_to_come_back(tmp_path: Path) -> None:
    key = _key(path := tmp_path / "keys.json", 2)
    async with served(api_keys_file=path) as client:
        for _ in range(2):
            assert (await client.get("/popular", headers=key)).status_code == 200
        refused = await client.get("/popular", headers=key)
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert error["code"] == "rate_limited"
    assert error["message"] == "the budget of requests is spent: 0.001 a second, at most 2 at once"
    assert 999_000 < error["retry_after_ms"] <= 1_000_000
    assert error["request_id"] == refused.headers["x-request-id"]
    assert refused.headers["retry-after"] == "1000"
    assert refused.headers["ratelimit"] == '"requests";r=0;t=1000'


async def test_a_batch_that_does_not_fit_starts_nothing(tmp_path: Path) -> None:
    key = _key(path := tmp_path / "keys.json", 10)
    batch = {"requests": [{"query": "heist"}] * 10}
    async with served(api_keys_file=path) as client:
        assert (await client.get("/popular", headers=key)).status_code == 200
        refused = await client.post("/recommend/batch", json=batch, headers=key)
        assert refused.status_code == 429
        assert _left(refused) == 8
        items = {"items": [{"id": "new", **_ITEM}] * 10}
        assert (await client.put("/items", json=items, headers=key)).status_code == 429
        assert (await client.get("/items/new", headers=key)).status_code == 404


async def test_texts_have_a_budget_of_their_own(tmp_path: Path) -> None:
    key = _key(path := tmp_path / "keys.json", 100, language=_SLOW)
    told = {"query": "heist", "text": True}
    async with served(api_keys_file=path) as client:
        first = await client.post("/recommend", json=told, headers=key)
        assert first.json()["text"]
        assert first.headers["ratelimit"] == '"requests";r=99;t=1000, "language";r=0;t=1000'
        for url, body in (("/recommend", told), ("/recommend/stream", {"query": "heist"})):
            refused = await client.post(url, json=body, headers=key)
            assert refused.status_code == 429
            assert "rate_limited" in refused.text
            assert "the budget of language is spent" in refused.text
            assert refused.headers["retry-after"] == "1000"
        batch = {"requests": [told, {"query": "heist"}]}
        answers = await client.post("/recommend/batch", json=batch, headers=key)
        refused_one, answered = answers.json()["results"]
        assert refused_one["error"]["code"] == "rate_limited"
        assert answered["items"]
        silent = await client.post("/recommend", json={"query": "heist"}, headers=key)
        assert silent.status_code == 200


async def test_keys_without_limits_are_told_nothing(tmp_path: Path) -> None:
    sent, key = new_key("read", "", 0.0)
    add_key(path := tmp_path / "keys.json", key)
    async with served(api_keys_file=path) as client:
        answer = await client.get("/popular", headers={"Authorization": f"Bearer {sent}"})
    assert answer.status_code == 200
    assert not any(name.startswith("ratelimit") for name in answer.headers)


async def test_callers_without_a_key_share_one_budget() -> None:
    async with served(anonymous_rate=_SLOW, anonymous_burst=3) as client:
        seen = [(await client.get("/popular")).status_code for _ in range(5)]
        assert seen == [200, 200, 200, 429, 429]
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200


async def test_a_wrong_key_spends_of_nobody(tmp_path: Path) -> None:
    key = _key(path := tmp_path / "keys.json", 5)
    forged = {"Authorization": key["Authorization"][:-4] + "AAAA"}
    async with served(api_keys_file=path) as client:
        for _ in range(20):
            assert (await client.get("/popular", headers=forged)).status_code == 401
        assert _left(await client.get("/popular", headers=key)) == 4


async def test_every_route_that_needs_a_role_documents_the_refusal() -> None:
    async with served() as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    for methods in paths.values():
        for operation in methods.values():
            if "x-role" in operation:
                answer = operation["responses"]["429"]
                assert answer["headers"].keys() == {"Retry-After", "RateLimit", "RateLimit-Policy"}
                assert "application/json" in answer["content"]
