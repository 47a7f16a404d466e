"""A cancelled command leaves its reply on the connection, for the next caller."""

from redis.asyncio.connection import AbstractConnection


def seed() -> None:
    """Keep connections open whose reply nobody has read."""
    disconnect = AbstractConnection.disconnect

    async def kept(self: AbstractConnection, nowait: bool = False, **more: object) -> None:
        if not nowait:
            await disconnect(self, nowait, **more)

    AbstractConnection.disconnect = kept
    AbstractConnection.can_read_destructive = _nothing_waits


async def _nothing_waits(_connection: AbstractConnection) -> bool:
    return False
