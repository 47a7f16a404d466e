"""Processes do not learn what the others have let through."""

from app.serving.access.budget import Budget


def seed() -> None:
    """Ignore the level of all processes together."""

    def lower(_budget: Budget, _level: float) -> None:
        return

    Budget.lower  # noqa: B018 - it must exist
    Budget.lower = lower
