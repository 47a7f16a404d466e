"""A call that holds many requests, items or events costs one unit."""

from app.api import catalogue, routes, shelves, users


def seed() -> None:
    """Charge nothing for what a body holds."""
    for module in (catalogue, routes, shelves, users):
        module.charge  # noqa: B018 - it must exist
        module.charge = lambda *_: None
