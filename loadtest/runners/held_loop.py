"""A server in a thread of this process, whose event loop says how long one turn has held it.

While a turn lasts, no other caller is answered. So its length is what a request costs everybody.
"""

import asyncio
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from app.api.fast_path import FastPathProtocol
from loadtest.runners.services import free_port


class _TimedSelector(selectors.DefaultSelector):
    """Waits for sockets, and measures the time between two waits.

    Attributes:
        held_s: the longest turn since it was last set to 0, in seconds of the thread's processor
            time: other processes of the machine do not count.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held_s = 0.0
        self._began = time.thread_time()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as the selector does."""
        self.held_s = max(self.held_s, time.thread_time() - self._began)
        try:
            return super().select(timeout)
        finally:
            self._began = time.thread_time()


@dataclass
class HeldServer:
    """A server that runs. `port`: where it listens on 127.0.0.1."""

    port: int
    _selector: _TimedSelector

    def held_by(self, request: bytes) -> tuple[int, float]:
        """Send one request on a connection of its own.

        Returns its status (0 = the connection was closed without one), and how long one turn of
        the loop took at most until it was answered, in seconds.
        """
        self._selector.held_s = 0.0
        status = answered(self.port, request)
        answered(self.port, b"GET /livez HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")
        return status, self._selector.held_s


def answered(port: int, request: bytes) -> int:
    """Send one request that closes its connection, and return the status of the answer, or 0."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as sock:
        with suppress(OSError):  # refused before it was read: the answer says why
            sock.sendall(request)
        answer = b""
        with suppress(ConnectionError):
            while chunk := sock.recv(65_536):
                answer += chunk
    line = answer.partition(b"\r\n")[0].split()
    return int(line[1]) if len(line) > 1 else 0


@contextmanager
def held_server(app: ASGIApp) -> Iterator[HeldServer]:
    """Serve an application in a thread, and stop at the end."""
    port, selector = free_port(), _TimedSelector()
    settings: dict[str, Any] = {"http": FastPathProtocol, "ws": "none", "log_config": None}
    server = uvicorn.Server(uvicorn.Config(app, port=port, access_log=False, **settings))
    loop = asyncio.SelectorEventLoop(selector)

    def serve() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(server.serve())
        loop.close()

    thread = threading.Thread(target=serve, name="served")
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the server did not start")
            time.sleep(0.01)
        yield HeldServer(port, selector)
    finally:
        server.should_exit = True
        thread.join()
