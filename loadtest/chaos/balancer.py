"""A TCP balancer, as in front of services: it sends new connections to those that are ready.

It asks `/readyz` of each every 500 ms, and tries nothing a second time: if a connection cannot be
made, its caller sees that.
"""

import socket
import threading
from contextlib import suppress
from itertools import count
from typing import Final, Self

from loadtest.runners.services import get

_LOOK_S: Final = 0.5
_SEGMENT: Final = 65_536


class Balancer:
    """Listens on a port of its own. Use as `with Balancer(ports) as balancer`."""

    def __init__(self, ports: tuple[int, ...]) -> None:
        self._ports = ports
        self._ready: tuple[int, ...] = ()
        self._some_ready, self._stop = threading.Event(), threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        for work in (self._look, self._accept):
            threading.Thread(target=work, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._listener.close()

    def _look(self) -> None:
        while not self._stop.is_set():
            self._ready = tuple(port for port in self._ports if get(port, "/readyz")[0] == 200)
            if self._ready:
                self._some_ready.set()
            else:
                self._some_ready.clear()
            self._stop.wait(_LOOK_S)

    def _accept(self) -> None:
        for n in count():
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            self._some_ready.wait()
            ready = self._ready or self._ports
            try:
                service = socket.create_connection(("127.0.0.1", ready[n % len(ready)]))
            except OSError:
                caller.close()
                continue
            for ends in ((caller, service), (service, caller)):
                threading.Thread(target=_copy, args=ends, daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Send on what comes from one end, until that ends; then the other ends too."""
    with suppress(OSError):
        while data := source.recv(_SEGMENT):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
