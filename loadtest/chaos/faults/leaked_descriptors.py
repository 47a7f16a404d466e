"""Each connection leaves an open file behind."""

import os
from asyncio import Transport

from app.api.connection import Connection


def seed() -> None:
    """Open a file for each connection, and forget it."""
    made = Connection.connection_made

    def leaking(self: Connection, transport: Transport) -> None:
        os.open(os.devnull, os.O_RDONLY)
        made(self, transport)

    Connection.connection_made = leaking
