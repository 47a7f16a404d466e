"""The encoder gets eight threads, whatever the machine has."""

from app.core.settings import Settings


def seed() -> None:
    """Ignore the cores."""
    Settings.threads_per_worker  # noqa: B018 - it must exist
    Settings.threads_per_worker = lambda _settings: 8
