"""Connections to a Redis that has become a replica are kept."""

from app.serving.stores import redis_client


def seed() -> None:
    """Leave the reading of replies to the library."""
    del redis_client._Careful.read_response  # noqa: SLF001 - a fault
