"""`recserve enrich` as a command, against a real HTTP server."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import write_jsonl
from tests.redis_server import free_port

pytestmark = pytest.mark.e2e

ITEMS = [{"id": f"i{n}", "title": f"Film {n}"} for n in range(5)]


@pytest.fixture
def url() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            items = json.loads(body["messages"][1]["content"])["items"]
            said = [{"n": item["n"], "keywords": [item["title"].lower()]} for item in items]
            message = {"content": json.dumps({"items": said})}
            reply = {"choices": [{"message": message}], "usage": {"prompt_tokens": 9}}
            content = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def enrich(folder: Path, *flags: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app.cli", "enrich", "--items", str(folder / "items.jsonl")]
    command += ["--out", str(folder / "out.jsonl"), *flags]
    env = {name: value for name, value in os.environ.items() if not name.startswith("RECSERVE_")}
    env |= {f"RECSERVE_{name.upper()}": value for name, value in settings.items()}
    # The exit code is what tests look at.
    return subprocess.run(command, check=False, capture_output=True, text=True, env=env, timeout=60)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_file_is_enriched(tmp_path: Path, url: str) -> None:
    write_jsonl(tmp_path / "items.jsonl", ITEMS)
    done = enrich(tmp_path, "--batch", "2", llm_url=url, llm_api_key="very-secret")
    assert (done.returncode, done.stdout) == (
        0,
        "5 items, 5 enriched, 0 without an answer; 27 + 0 tokens\n",
    )
    assert "5 of 5 items" in done.stderr
    assert "very-secret" not in done.stderr + done.stdout
    found = rows(tmp_path / "out.jsonl")
    assert [row["keywords"] for row in found] == [[f"film {n}"] for n in range(5)]

    again = enrich(tmp_path, llm_url=url)
    assert (again.returncode, again.stderr) == (2, "recserve: out.jsonl exists already\n")


def test_a_dry_run_needs_no_language_model(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "items.jsonl", ITEMS)
    done = enrich(tmp_path, "--dry-run")
    assert done.returncode == 0
    assert done.stdout.startswith("5 items in 1 calls: about ")
    assert not (tmp_path / "out.jsonl.part").exists()


@pytest.mark.parametrize(
    ("flags", "settings", "code", "message"),
    [
        ((), {}, 2, "no language model is set: name its endpoint in RECSERVE_LLM_URL"),
        (("--batch", "65", "--dry-run"), {}, 2, "--batch must be 1 to 64"),
        (("--batch", "0"), {"llm_url": "http://h"}, 2, "--batch must be 1 to 64"),
        ((), {"llm_url": "ftp://h"}, 2, "setting llm_url: "),
    ],
)
def test_errors_are_one_line(
    tmp_path: Path, flags: tuple[str, ...], settings: dict[str, str], code: int, message: str
) -> None:
    write_jsonl(tmp_path / "items.jsonl", ITEMS)
    done = enrich(tmp_path, *flags, **settings)
    assert done.returncode == code
    assert done.stderr.startswith(f"recserve: {message}")
    assert len(done.stderr.splitlines()) == 1


def test_a_file_that_is_not_there_is_bad_data(tmp_path: Path) -> None:
    done = enrich(tmp_path, llm_url=f"http://127.0.0.1:{free_port()}/v1")
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
    assert "items.jsonl cannot be read" in done.stderr
