"""A bundle built by the command line, and services running in processes of their own."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.redis_server import free_port

RECSERVE = str(Path(sys.executable).parent / "recserve")
START_S = 60

FILMS = [
    ("1", "Alien", "Horror|Sci-Fi", 1979),
    ("2", "Star Wars", "Adventure|Sci-Fi", 1977),
    ("3", "I, Robot", "Action|Sci-Fi", 2004),
    ("4", "Heat", "Crime|Thriller", 1995),
    ("5", "Goodfellas", "Crime|Drama", 1990),
    ("6", "Notting Hill", "Comedy|Romance", 1999),
    ("7", "Titanic", "Drama|Romance", 1997),
    ("8", "Toy Story", "Animation|Children", 1995),
]
EVENTS = [("ann", "4"), ("ann", "5"), ("bob", "6"), ("bob", "7"), ("cat", "2"), ("cat", "gone")]


def write_data(folder: Path) -> tuple[Path, Path]:
    items, events = folder / "items.jsonl", folder / "events.jsonl"
    names = ("id", "title", "categories", "published_at")
    items.write_text("".join(json.dumps(dict(zip(names, f, strict=True))) + "\n" for f in FILMS))
    lines = [
        {"user_id": user, "item_id": item, "timestamp": 1_700_000_000 + n}
        for n, (user, item) in enumerate(EVENTS)
    ]
    events.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return items, events


def recserve(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [RECSERVE, *arguments], capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`models/small`, built from files by `recserve build` with the real encoder."""
    folder = tmp_path_factory.mktemp("e2e")
    items, events = write_data(folder)
    out = folder / "models" / "small"
    done = recserve("build", "--items", str(items), "--events", str(events), "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out


class Running:
    """A `recserve serve` process."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self.client = httpx.Client(base_url=self.url, timeout=20)

    def recommend(self, **fields: Any) -> httpx.Response:
        # Nothing is timed here, and the machine may be busy.
        return self.client.post("/recommend", json={"budget_ms": 10_000, **fields})

    def wait_ready(self) -> None:
        """Return once it answers; the port opens only when it is ready."""
        transport = httpx.HTTPTransport(retries=0)
        with httpx.Client(base_url=self.url, transport=transport) as probe:
            for _ in range(START_S * 20):
                if self.process.poll() is not None:
                    raise AssertionError(self.log.read_text())
                try:
                    if probe.get("/readyz").status_code == 200:
                        return
                except httpx.TransportError:
                    self._pause()
        raise AssertionError("not ready in time:\n" + self.log.read_text())

    def _pause(self) -> None:
        try:
            self.process.wait(0.05)
        except subprocess.TimeoutExpired:
            return


@contextmanager
def serving(
    bundle: Path, folder: Path, *flags: str, program: Sequence[str] = (RECSERVE,)
) -> Iterator[Running]:
    port = free_port()
    log = folder / f"serve-{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                *(*program, "serve", "--bundle", str(bundle), "--port", str(port)),
                *("--data-dir", str(folder / "data"), "--shutdown-delay-ms", "0"),
                # Nothing is timed here, and the machine may be busy.
                *("--store-read-timeout-ms", "5000", *flags),
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    running = Running(process, port, log)
    try:
        running.wait_ready()
        yield running
    finally:
        running.client.close()
        process.kill()
        process.wait()
