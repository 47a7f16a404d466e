"""Two services with one Redis keep the limit of a key together, and one alone without it."""

import gzip
import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.conftest import Running, recserve, serving
from tests.redis_server import RedisServer

_RATE, _BURST = 40, 20
_SECONDS = 4.0
_BODY = {"query": "crime", "budget_ms": 10_000}

_UNKNOWN_S = 0.5
"""What a process does not know of yet, in seconds of the rate: 0.1, more on a busy machine."""


def _key(path: Path, rate: float = _RATE, burst: int = _BURST) -> dict[str, str]:
    limits = ("--rate", str(rate), "--burst", str(burst))
    done = recserve("keys", "add", "--api-keys-file", str(path), "--json", *limits)
    assert done.returncode == 0, done.stderr
    return {"Authorization": f"Bearer {json.loads(done.stdout)['key']}"}


def _flood(service: Running, key: dict[str, str], until: float, statuses: list[int]) -> None:
    with httpx.Client(base_url=service.url, timeout=20, headers=key) as client:
        while time.monotonic() < until:
            statuses.append(client.post("/recommend", json=_BODY).status_code)


def test_two_services_keep_one_limit(
    bundle: Path, tmp_path: Path, redis_server: RedisServer
) -> None:
    path = tmp_path / "keys.json"
    key = _key(path)
    flags = ("--api-keys-file", str(path), "--cache-url", redis_server.url)
    with (
        serving(bundle, tmp_path, *flags) as one,
        serving(bundle, tmp_path, *flags) as two,
    ):
        statuses: list[int] = []
        start = time.monotonic()
        threads = [
            threading.Thread(target=_flood, args=(each, key, start + _SECONDS, statuses))
            for each in (one, two)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - start

        assert set(statuses) == {200, 429}
        through = statuses.count(200)
        # Each for itself, they would let through twice as much.
        assert through <= _BURST + _RATE * seconds + (_BURST + _RATE * _UNKNOWN_S)
        assert through >= _RATE * _SECONDS * 0.5

        refused = _refused(one, key)
        assert refused.json()["error"]["code"] == "rate_limited"
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["ratelimit-policy"] == '"requests";q=20;w=1'

        redis_server.stop()
        answers = [one.client.post("/recommend", json=_BODY, headers=key) for _ in range(100)]
        assert {each.status_code for each in answers} <= {200, 429}
        assert one.client.get("/readyz").status_code == 200


def test_every_way_in_costs_the_same_and_says_what_is_left(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key = _key(path, rate=0.001, burst=7)
    with serving(bundle, tmp_path, "--api-keys-file", str(path)) as service:
        body = json.dumps(_BODY).encode()
        pieces = (body[n : n + 8] for n in range(0, len(body), 8))
        batch = {"requests": [_BODY] * 2}
        ways: list[dict[str, Any]] = [
            {"url": "/recommend", "content": body},  # past FastAPI, not cached
            {"url": "/v1/recommend", "content": body},  # past FastAPI, cached
            {"url": "/recommend", "content": pieces},  # chunked
            {"url": "/recommend/", "content": gzip.compress(body)},
            {"url": "/recommend/batch", "json": batch},
            {"url": "/recommend/stream", "content": body},
        ]
        left = []
        for way in ways:
            headers = {**key, "content-type": "application/json"}
            if way["url"] == "/recommend/":
                headers["content-encoding"] = "gzip"
            answer = service.client.post(**way, headers=headers)
            assert answer.status_code == 200
            assert answer.headers["ratelimit-policy"] == '"requests";q=7;w=7000'
            left.append(answer.headers["ratelimit"])
        assert left == [f'"requests";r={n};t=1000' for n in (6, 5, 4, 3, 1, 0)]
        for content in (body, iter([body])):
            refused = service.client.post("/recommend", content=content, headers=key)
            assert refused.status_code == 429
            assert refused.headers["ratelimit"] == '"requests";r=0;t=1000'
            assert 990 <= int(refused.headers["retry-after"]) <= 1000
            assert refused.json()["error"]["code"] == "rate_limited"


def _refused(service: Running, key: dict[str, str]) -> httpx.Response:
    """Return a refusal on the way past the fast path."""
    for _ in range(1000):
        answer = service.client.get("/popular", headers=key)
        if answer.status_code == 429:
            return answer
    raise AssertionError("nothing was refused")
