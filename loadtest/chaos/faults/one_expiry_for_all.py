"""Cached answers that were written together expire together."""

from app.serving.caching.redis import RedisCache


def seed() -> None:
    """Draw the same number for each."""
    make = RedisCache.__init__

    def without_chance(self: RedisCache, *args: object, **more: object) -> None:
        make(self, *args, **{**more, "chance": lambda: 0.5})

    RedisCache.__init__ = without_chance
