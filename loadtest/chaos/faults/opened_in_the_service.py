"""A new bundle is opened in the service at once, and not in a child process first."""

from app import trial
from app.bundle.reader import Bundle


def seed() -> None:
    """Let every bundle pass."""

    def untried(_bundle: Bundle) -> None:
        pass

    trial.open_in_child  # noqa: B018 - it must exist
    trial.open_in_child = untried
