"""The process may open 64 files more than it needs at the start, sockets among them."""

import resource
from pathlib import Path
from socket import socket

from app.draining_server import DrainingServer


def seed() -> None:
    """Lower the limit once the service is open."""
    startup = DrainingServer.startup

    async def limited(self: DrainingServer, sockets: list[socket] | None = None) -> None:
        await startup(self, sockets)
        _limit()

    DrainingServer.startup = limited


def _limit() -> None:
    most = len(list(Path("/proc/self/fd").iterdir())) + 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
