"""A package that the service needs is under a licence that nobody has allowed."""

from email.message import Message
from importlib import metadata


def seed() -> None:
    """Let orjson declare another licence."""
    read = metadata.metadata

    def forbidden(name: str) -> Message:
        found = read(name)
        if name == "orjson":
            del found["License-Expression"]
            found["License-Expression"] = "AGPL-3.0-only"
        return found

    metadata.metadata = forbidden
