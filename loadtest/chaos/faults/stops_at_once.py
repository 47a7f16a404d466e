"""A process that is to stop closes its listener and all connections at once."""

from socket import socket

from app.draining_server import DrainingServer


def seed() -> None:
    """Leave out the delay and the drain."""

    async def shutdown(self: DrainingServer, sockets: list[socket] | None = None) -> None:
        await self._stop_listening(sockets)
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()
        await self.lifespan.shutdown()

    DrainingServer.shutdown  # noqa: B018 - it must exist
    DrainingServer.shutdown = shutdown
