"""How a service stops: what callers see of it, on kept connections and on new ones."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import Running, serving

pytestmark = pytest.mark.e2e

LONG_MS = "60000"
LONGEST_S = 120


def kept(service: Running) -> http.client.HTTPConnection:
    """Return a connection that has been used, and is kept open."""
    connection = http.client.HTTPConnection(*address(service), timeout=20)
    assert asked(connection, "GET", "/readyz") == (200, None)
    return connection


def address(service: Running) -> tuple[str, int]:
    url = httpx.URL(service.url)
    assert url.port is not None
    return url.host, url.port


def asked(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | None = None
) -> tuple[int, str | None]:
    """Ask; return status and the header `Connection`."""
    connection.request(method, path, body)
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.getheader("connection")


def not_ready(service: Running, workers: str = "1") -> None:
    """Return once the service, all its workers, say that they will stop."""
    for _ in range(400):
        said = httpx.get(f"{service.url}/readyz").status_code == 503
        if said and service.log.read_text().count(" stopping") >= int(workers):
            return
    raise AssertionError("it stays ready")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_after_sigterm_it_answers_and_ends_each_connection_with_an_answer(
    bundle: Path, tmp_path: Path, workers: str
) -> None:
    flags = ("--workers", workers, "--shutdown-delay-ms", "4000")
    with serving(bundle, tmp_path, *flags) as service:
        connections = [kept(service) for _ in range(3)]
        ask = json.dumps({"query": "heist", "budget_ms": 10_000})
        service.process.send_signal(signal.SIGTERM)
        not_ready(service, workers)

        assert asked(connections[0], "POST", "/recommend", ask) == (200, "close")
        assert asked(connections[1], "POST", "/interpret", '{"query": "heist"}') == (200, "close")
        assert asked(connections[2], "GET", "/readyz") == (503, "close")
        assert httpx.get(f"{service.url}/livez").headers["connection"] == "close"
        assert service.process.wait(30) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{service.url}/livez")


def test_ctrl_c_ends_it_without_the_delay(bundle: Path, tmp_path: Path) -> None:
    with serving(bundle, tmp_path, "--shutdown-delay-ms", LONG_MS) as service:
        service.process.send_signal(signal.SIGINT)

        assert service.process.wait(30) == 0


@pytest.mark.parametrize(("workers", "second"), [("1", signal.SIGTERM), ("2", signal.SIGINT)])
def test_a_second_signal_ends_it_at_once(
    bundle: Path, tmp_path: Path, workers: str, second: signal.Signals
) -> None:
    flags = ("--workers", workers, "--shutdown-delay-ms", LONG_MS)
    with serving(bundle, tmp_path, *flags) as service:
        children = workers_of(service)
        service.process.send_signal(signal.SIGTERM)
        not_ready(service)
        service.process.send_signal(second)

        assert service.process.wait(30) == 128 + second
        assert [child for child in children if is_serving(child)] == []


def is_serving(pid: str) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_a_request_under_way_is_answered_and_one_that_never_ends_is_cut_off(
    bundle: Path, tmp_path: Path
) -> None:
    body = b'{"query": "heist", "budget_ms": 10000}'
    head = b"POST /recommend HTTP/1.1\r\nhost: t\r\ncontent-length: %d\r\n\r\n" % len(body)
    with (
        serving(bundle, tmp_path, "--drain-timeout-ms", "2000") as service,
        closing(socket.create_connection(address(service))) as slow,
        closing(socket.create_connection(address(service))) as endless,
    ):
        slow.sendall(head[:20])
        endless.sendall(head + body[:5])
        # The connections are accepted in order, so the service has these bytes once this is here.
        assert httpx.get(f"{service.url}/readyz").status_code == 200
        service.process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            service.process.wait(0.7)
        slow.sendall(head[20:] + body)

        answer = slow.recv(100_000)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"\r\nconnection: close\r\n" in answer
        assert service.process.wait(30) == 0
        assert b"HTTP/1.1 200" not in endless.recv(1000)


def workers_of(service: Running) -> set[str]:
    pid = service.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {child for child in children if is_serving(child)}


def test_a_worker_that_is_killed_is_replaced_while_the_other_serves(
    bundle: Path, tmp_path: Path
) -> None:
    with serving(bundle, tmp_path, "--workers", "2") as service:
        before = workers_of(service)
        killed = min(before)
        os.kill(int(killed), signal.SIGKILL)
        after, end = workers_of(service), time.monotonic() + LONGEST_S
        while len(after) < 2 or killed in after:
            assert time.monotonic() < end, "the worker is not replaced"
            assert httpx.get(f"{service.url}/readyz").status_code == 200
            after = workers_of(service)
        service.process.send_signal(signal.SIGTERM)

        assert len(before & after) == 1
        assert service.process.wait(30) == 0  # one of them may be starting still
        assert f"worker {killed} ended; another one is started" in service.log.read_text()


def test_workers_are_replaced_one_by_one_and_no_request_fails(bundle: Path, tmp_path: Path) -> None:
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        pytest.skip("the tests run under nohup")
    flags = ("--workers", "2", "--shutdown-delay-ms", "500")
    with serving(bundle, tmp_path, *flags) as service:
        before = workers_of(service)
        assert len(before) == 2
        service.process.send_signal(signal.SIGHUP)
        statuses, connection = [], kept(service)
        end = time.monotonic() + LONGEST_S
        while before & workers_of(service):
            assert time.monotonic() < end, "the workers are not replaced"
            status, said = asked(connection, "GET", "/readyz")
            statuses.append(status)
            if said == "close":
                connection.close()
                connection = kept(service)
        connection.close()
        assert set(statuses) == {200}
        assert len(workers_of(service)) == 2
        service.process.send_signal(signal.SIGTERM)

        assert service.process.wait(30) == 0
