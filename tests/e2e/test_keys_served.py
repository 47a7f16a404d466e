"""API keys as an operator uses them: made by a command, and changed while a service runs."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import RECSERVE, Running, recserve, serving
from tests.redis_server import RedisServer, free_port

_PATIENCE_S = 20


def _added(path: Path, *flags: str) -> dict[str, str]:
    done = recserve("keys", "add", "--api-keys-file", str(path), "--json", *flags)
    assert done.returncode == 0, done.stderr
    made: dict[str, str] = json.loads(done.stdout)
    return made


def _asked(service: Running, key: str) -> int:
    # By way of a cached answer: the fast path, the edge and the cache see the key alike.
    headers = {"Authorization": f"Bearer {key}"}
    body = {"query": "crime", "budget_ms": 10_000}
    return service.client.post("/recommend", json=body, headers=headers).status_code


def test_a_service_with_keys_lets_in_who_has_one(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    reader = _added(path, "--note", "the shop")
    operator = _added(path, "--role", "admin")
    assert (reader["role"], reader["note"], operator["role"]) == ("read", "the shop", "admin")

    # It may listen beyond this machine, as callers need a key.
    flags = ("--api-keys-file", str(path), "--host", "0.0.0.0")
    with serving(bundle, tmp_path, *flags) as service:
        assert service.recommend(query="crime").status_code == 401
        assert service.client.get("/metrics").status_code == 401
        assert _asked(service, "rsk_00000000_nobody") == 401
        assert [_asked(service, reader["key"]) for _ in range(3)] == [200] * 3
        as_admin = {"Authorization": f"Bearer {operator['key']}"}
        assert service.client.get("/metrics", headers=as_admin).status_code == 200
        as_reader = {"Authorization": f"Bearer {reader['key']}"}
        refused = service.client.get("/metrics", headers=as_reader)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")

        later = _added(path)
        _wait_for(service, later["key"], 200)
        done = recserve("keys", "revoke", reader["id"], "--api-keys-file", str(path))
        assert done.returncode == 0, done.stderr
        _wait_for(service, reader["key"], 401)
        assert _asked(service, later["key"]) == 200

        shown = service.client.get("/info", headers=as_admin).text + service.log.read_text()
        assert not any(each["key"] in shown for each in (reader, operator, later))

    listed = json.loads(recserve("keys", "list", "--api-keys-file", str(path), "--json").stdout)[
        "keys"
    ]
    assert [each["id"] for each in listed] == [operator["id"], later["id"]]
    assert not any("digest" in each or "key" in each for each in listed)


def test_replicas_share_keys_through_the_store(
    bundle: Path, tmp_path: Path, redis_server: RedisServer
) -> None:
    def keys(*arguments: str) -> dict[str, Any]:
        done = recserve("keys", *arguments, "--store-url", redis_server.url, "--json")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    first = keys("add", "--note", "the shop")
    flags = ("--api-keys", "store", "--store-url", redis_server.url)
    here, there = tmp_path / "one", tmp_path / "two"
    here.mkdir()
    there.mkdir()
    with serving(bundle, here, *flags) as one, serving(bundle, there, *flags) as two:
        replicas = (one, two)
        assert [each.recommend(query="crime").status_code for each in replicas] == [401, 401]
        assert [_asked(each, first["key"]) for each in replicas] == [200, 200]
        second = keys("add", "--role", "write")
        for each in replicas:
            _wait_for(each, second["key"], 200)
        assert [each["id"] for each in keys("list")["keys"]] == [first["id"], second["id"]]
        assert keys("revoke", first["id"]) == {"revoked": first["id"]}
        for each in replicas:
            _wait_for(each, first["key"], 401)
            assert _asked(each, second["key"]) == 200
    unknown = recserve("keys", "revoke", first["id"], "--store-url", redis_server.url)
    assert (unknown.returncode, "there is no key" in unknown.stderr) == (2, True)


def _wait_for(service: Running, key: str, status: int) -> None:
    """Return once the service answers so; it looks at the file twice a second."""
    for _ in range(_PATIENCE_S * 10):
        if _asked(service, key) == status:
            return
        with pytest.raises(subprocess.TimeoutExpired):
            service.process.wait(0.1)
    raise AssertionError(f"still not {status}")


def test_without_keys_it_does_not_listen_beyond_this_machine(bundle: Path, tmp_path: Path) -> None:
    port = str(free_port())
    done = recserve(
        *("serve", "--bundle", str(bundle), "--host", "0.0.0.0", "--port", port),
        *("--data-dir", str(tmp_path)),
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "RECSERVE_ALLOW_ANONYMOUS=1" in done.stderr
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/livez")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add",), "which keys?"),
        (("list", "--api-keys-file", "nowhere.json"), "nowhere.json"),
        (("revoke", "--api-keys-file", "keys.json"), "revoke ID"),
        (("add", "7", "--api-keys-file", "keys.json"), "take no id"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RECSERVE_")}
    done = subprocess.run(
        [RECSERVE, "keys", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
