"""A request may have a length and chunks: one reader goes by the first, another by the second."""

import asyncio

from app.api.connection import Connection


def seed() -> None:
    """Let the parser take both."""
    made = Connection.connection_made

    def connection_made(connection: Connection, transport: asyncio.Transport) -> None:
        made(connection, transport)
        connection.parser.set_dangerous_leniencies(
            lenient_chunked_length=True, lenient_data_after_close=True
        )

    Connection.connection_made = connection_made
