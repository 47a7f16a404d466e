"""Two services with one Redis keep the limit of a key together, and one alone without it."""

import json
import threading
import time
from pathlib import Path

import httpx

from tests.e2e.conftest import Running, recserve, serving
from tests.redis_server import RedisServer

_RATE, _BURST = 40, 20
_SECONDS = 4.0
_BODY = {"query": "crime", "budget_ms": 10_000}

_UNKNOWN_S = 0.5
"""What a process does not know of yet, in seconds of the rate: 0.1, more on a busy machine."""


def _key(path: Path) -> dict[str, str]:
    limits = ("--rate", str(_RATE), "--burst", str(_BURST))
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


def _refused(service: Running, key: dict[str, str]) -> httpx.Response:
    """Return a refusal on the way past the fast path."""
    for _ in range(1000):
        answer = service.client.get("/popular", headers=key)
        if answer.status_code == 429:
            return answer
    raise AssertionError("nothing was refused")
