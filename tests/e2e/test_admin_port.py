"""A port of its own for operators: what answers there, and nowhere else."""

import socket
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import recserve, serving
from tests.redis_server import free_port

pytestmark = pytest.mark.e2e

_OPERATORS = (("GET", "/metrics"), ("GET", "/admin/rules"), ("POST", "/admin/reload"))


def _status(url: str, method: str, path: str) -> int:
    """Ask over a connection of its own, which any of the workers may take."""
    return httpx.request(method, f"{url}{path}", timeout=20).status_code


@pytest.mark.parametrize("workers", [1, 2])
def test_operators_are_answered_on_their_port_only(
    bundle: Path, tmp_path: Path, workers: int
) -> None:
    port = free_port()
    flags = ("--admin-port", str(port), "--workers", str(workers))
    with serving(bundle, tmp_path, *flags) as service:
        admin = f"http://127.0.0.1:{port}"
        for _ in range(4 * workers):
            for method, path in _OPERATORS:
                assert _status(service.url, method, path) == 404, path
                assert _status(service.url, method, f"/v1{path}/") == 404, path
                assert _status(admin, method, path) == 200, path
            assert _status(service.url, "GET", "/docs") == 200
            assert _status(service.url, "GET", "/livez") == 200
            assert _status(admin, "GET", "/readyz") == 200
        assert httpx.get(f"{service.url}/metrics").json()["error"]["code"] == "not_found"
        assert service.recommend(query="crime").status_code == 200

        service.process.terminate()
        assert service.process.wait(60) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{admin}/livez")


def test_who_claims_to_ask_another_port_is_not_believed(bundle: Path, tmp_path: Path) -> None:
    port = free_port()
    with serving(bundle, tmp_path, "--admin-port", str(port)) as service:
        for host in (f"127.0.0.1:{port}", "127.0.0.1"):
            headers = {"host": host, "x-forwarded-port": str(port), "forwarded": f"host={host}"}
            assert httpx.get(f"{service.url}/metrics", headers=headers).status_code == 404


def test_a_port_for_operators_that_cannot_be_is_refused(bundle: Path, tmp_path: Path) -> None:
    def said(*flags: str) -> tuple[int, str]:
        folder = ("--bundle", str(bundle), "--data-dir", str(tmp_path))
        done = recserve("serve", *folder, *flags)
        return done.returncode, done.stderr

    one, other = str(free_port()), str(free_port())
    assert said("--port", one, "--admin-port", one)[0] == 2
    code, error = said("--port", one, "--admin-port", other, "--admin-host", "0.0.0.0")
    assert (code, "0.0.0.0 is reached by other machines" in error) == (2, True)
    with socket.create_server(("127.0.0.1", 0)) as other_program:
        taken = other_program.getsockname()[1]
        code, error = said("--port", one, "--admin-port", str(taken))
        assert (code, f"127.0.0.1 port {taken}" in error) == (1, True)


def test_keys_hold_on_both_ports(bundle: Path, tmp_path: Path) -> None:
    keys, port = str(tmp_path / "keys.json"), free_port()
    added = recserve("keys", "add", "--role", "admin", "--api-keys-file", keys)
    bearer = {"authorization": f"Bearer {added.stdout.strip()}"}
    flags = ("--admin-port", str(port), "--api-keys-file", keys)
    with serving(bundle, tmp_path, *flags) as service:
        admin = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{admin}/metrics").status_code == 401
        assert httpx.get(f"{admin}/metrics", headers=bearer).status_code == 200
        assert httpx.get(f"{service.url}/metrics", headers=bearer).status_code == 404
