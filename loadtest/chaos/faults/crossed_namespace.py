"""The namespace of a key is lost on the way: all keys mean the same users."""

from app.core import store_ports


def seed() -> None:
    """Make the same user key for all namespaces."""

    def scoped(_namespace: str, name: str) -> str:
        return name

    store_ports.scoped  # noqa: B018 - it must exist
    store_ports.scoped = scoped
