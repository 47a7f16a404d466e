"""The in-process cache evicts nothing."""

import sys

from app.serving.caching.local import LocalCache


def seed() -> None:
    """Let it think that it has room for everything."""
    begin = LocalCache.__init__

    def roomy(self: LocalCache, _max_bytes: int, *args: object, **options: object) -> None:
        begin(self, sys.maxsize, *args, **options)

    LocalCache.__init__ = roomy
