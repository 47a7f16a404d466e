"""An untrained demo is served at once, and the trained generation takes over."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.bundle.training_lock import is_training
from tests.e2e.conftest import Running
from tests.redis_server import free_port

pytestmark = pytest.mark.e2e

SCRIPT = str(Path(__file__).with_name("untrained_demo.py"))


@pytest.fixture
def root(bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, for a new generation will be published."""
    shutil.copytree(bundle, tmp_path / "models" / "small", symlinks=True)
    return tmp_path / "models" / "small"


@contextmanager
def untrained(root: Path, folder: Path) -> Iterator[tuple[Running, Path]]:
    """Serve `root`; yield the service, and the pipe at which the training waits."""
    events, pipe, port = folder / "new.jsonl", folder / "pipe", free_port()
    rows = [{"user_id": f"u{n}", "item_id": "1", "timestamp": 1_700_000_000 + n} for n in range(9)]
    events.write_text("".join(json.dumps(row) + "\n" for row in rows))
    os.mkfifo(pipe)
    log = folder / "serve.log"
    paths = (str(root), str(events), str(pipe), str(port), str(folder / "data"))
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, SCRIPT, *paths], stdout=out, stderr=subprocess.STDOUT
        )
    running = Running(process, port, log)
    try:
        running.wait_ready()
        yield running, pipe
    finally:
        running.client.close()
        process.kill()
        process.wait()


def info_once(service: Running, users: int) -> dict[str, object]:
    """Return /info once the generation with so many users serves."""
    for _ in range(1200):
        info: dict[str, object] = service.client.get("/info").json()
        if info["users"] == users:
            return info
        time.sleep(0.05)
    raise AssertionError(service.log.read_text())


def test_the_trained_generation_takes_over(root: Path, tmp_path: Path) -> None:
    with untrained(root, tmp_path) as (service, pipe):
        before = service.client.get("/info").json()
        assert (before["training"], before["users"]) == (True, 3)
        assert service.recommend(query="space").status_code == 200

        pipe.write_text("go on")
        after = info_once(service, users=9)
        assert after["bundle"] != before["bundle"]
        for _ in range(600):
            if not service.client.get("/info").json()["training"]:
                break
            time.sleep(0.05)
        assert service.client.get("/info").json()["training"] is False
        assert service.recommend(query="space").json()["degraded"] == []


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_the_service_stops_the_training(root: Path, tmp_path: Path, stop: int) -> None:
    generations = sorted(path.name for path in root.iterdir())
    with untrained(root, tmp_path) as (service, _):
        assert service.client.get("/info").json()["training"] is True
        service.process.send_signal(stop)
        assert service.process.wait(60) in {0, 1, 130}

        assert not is_training(root)
        assert sorted({path.name for path in root.iterdir()} - {".training"}) == generations
        assert "failed" not in service.log.read_text()
