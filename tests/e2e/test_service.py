"""A real uvicorn process over a real bundle, with a real Redis that comes and goes."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import Running, serving
from tests.redis_server import RedisServer

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def service(
    bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> "pytest.Generator[Running, None, None]":
    with serving(bundle, tmp_path_factory.mktemp("service")) as running:
        yield running


def ids(answer: dict[str, list[dict[str, str]]]) -> list[str]:
    return [item["id"] for item in answer["items"]]


def test_words_bring_sensible_films(service: Running) -> None:
    answer = service.recommend(query="romantic love story", k=2).json()

    assert set(ids(answer)) == {"6", "7"}


def test_a_user_gets_what_resembles_their_events_and_not_what_they_had(service: Running) -> None:
    answer = service.recommend(user_id="bob", k=6).json()

    assert not {"6", "7"} & set(ids(answer))
    assert service.recommend(user_id="ann", query="crime", k=6).json()["degraded"] == []


def test_neither_words_nor_user_gets_the_popular(service: Running) -> None:
    answer = service.recommend(k=3).json()

    assert answer["items"][0]["sources"][0]["name"] == "popular"


def test_a_year_comes_back_as_it_was_given(service: Running) -> None:
    item = service.client.get("/items/1").json()

    assert item["fields"]["published_at"] == 1979
    assert item["fields"]["categories"] == ["Horror", "Sci-Fi"]


def test_the_service_keeps_to_its_thread_budget(service: Running) -> None:
    names = [
        (task / "comm").read_text().strip()
        for task in Path(f"/proc/{service.process.pid}/task").iterdir()
    ]

    assert sum(name == "recserve-model" for name in names) <= 1
    # Two each for the files of events, of changes and of rules, and those that have closed the file
    # of answers at the start, as none are kept: they sleep most of the time, or for ever.
    assert len(names) <= 18, names


def test_no_torch_after_every_route(bundle: Path, tmp_path: Path) -> None:
    """In a process of its own, because the one that runs the tests may have imported anything."""
    script = Path(__file__).with_name("every_route.py")
    shown = subprocess.run(
        [sys.executable, str(script), str(bundle), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert shown.returncode == 0, shown.stderr
    number, *rest = shown.stdout.split()
    assert int(number) >= 25
    assert rest == ["routes", "[]"]


def test_two_processes_share_answers_through_redis(
    bundle: Path, tmp_path: Path, redis_server: RedisServer
) -> None:
    flags = ("--cache-url", redis_server.url, "--cache-timeout-ms", "1000")
    with serving(bundle, tmp_path, *flags) as one, serving(bundle, tmp_path, *flags) as other:
        assert one.recommend(query="heist").headers["x-cache"] == "miss"
        answer = _second_time(other, one)

    assert answer == "hit"


def _second_time(other: Running, one: Running) -> str:
    """Ask the other process once the first one's write (which happens in the background) is in."""
    one.process.send_signal(signal.SIGTERM)
    assert one.process.wait(20) == 0
    return other.recommend(query="heist").headers["x-cache"]


def test_redis_that_stops_and_returns_costs_no_request(
    bundle: Path, tmp_path: Path, redis_server: RedisServer
) -> None:
    """Requests go on all the while: down, hung, up again; every one is answered with 200."""
    with serving(bundle, tmp_path, "--cache-url", redis_server.url) as service:
        statuses: Counter[tuple[int, str]] = Counter()
        stop = threading.Event()
        rounds = threading.Semaphore(0)

        def ask() -> None:
            n = 0
            while not stop.is_set():
                n += 1
                answer = service.recommend(query=f"film number {n}", k=3)
                statuses[answer.status_code, answer.headers["x-cache"]] += 1
                rounds.release()

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for change in (
                lambda: None,
                redis_server.stop,
                redis_server.start,
                redis_server.pause,
                redis_server.resume,
            ):
                change()
                for _ in range(60):
                    rounds.acquire(timeout=30)
        finally:
            redis_server.resume()
            stop.set()
            asking.join()

        assert {status for status, _ in statuses} == {200}
        assert statuses[200, "miss"] > 0
        assert statuses[200, "error"] > 0
        assert service.client.get("/readyz").status_code == 200


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_zero(bundle: Path, tmp_path: Path, stop: signal.Signals) -> None:
    if signal.getsignal(stop) is signal.SIG_IGN:
        pytest.skip("the tests run under nohup")
    with serving(bundle, tmp_path) as service:
        service.process.send_signal(stop)

        assert service.process.wait(20) == 0


def test_workers_do_not_outlive_the_process_that_started_them(bundle: Path, tmp_path: Path) -> None:
    with serving(bundle, tmp_path, "--workers", "2") as service:
        assert service.recommend(query="q").status_code == 200
        pid = service.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ends = [os.pidfd_open(int(child)) for child in children]
        assert len(ends) >= 2
        service.process.kill()
        service.process.wait()
        service.client.close()

        for end in ends:
            assert select.select([end], [], [], 30)[0], "a worker goes on"
            os.close(end)
        assert not _listens(httpx.URL(service.url).port)


def _listens(port: int | None) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def test_two_workers_answer(bundle: Path, tmp_path: Path) -> None:
    with serving(bundle, tmp_path, "--workers", "2") as service:
        assert {service.recommend(query=f"q{n}").status_code for n in range(20)} == {200}
        service.process.send_signal(signal.SIGTERM)

        assert service.process.wait(30) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_two_colons_listen_to_both_families(bundle: Path, tmp_path: Path, workers: str) -> None:
    with serving(
        bundle, tmp_path, "--host", "::", "--workers", workers, "--allow-anonymous"
    ) as service:
        port = httpx.URL(service.url).port
        found = [httpx.get(f"http://{host}:{port}/livez") for host in ("127.0.0.1", "[::1]")]

    assert [answer.status_code for answer in found] == [200, 200]


def test_the_first_request_is_not_taken_for_overload(bundle: Path, tmp_path: Path) -> None:
    """The last steps of this start block the event loop for half a second and more."""
    slow = (sys.executable, str(Path(__file__).with_name("slow_start.py")))
    with serving(bundle, tmp_path, program=slow) as service:
        answer = service.recommend(query="a film about space")

        assert answer.status_code == 200, answer.text
        assert answer.json()["degraded"] == []
        assert "blocked the start" in service.log.read_text()
