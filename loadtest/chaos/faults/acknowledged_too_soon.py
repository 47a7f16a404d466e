"""Events are acknowledged although the store has refused them."""

from collections.abc import Sequence

from app.core.errors import StoreError
from app.core.types import Event
from app.serving.stores.redis_store import RedisEventStore
from app.serving.stores.sqlite_store import SqliteEventStore


def seed() -> None:
    """Take a failure for a success, in both stores."""
    for store in (RedisEventStore, SqliteEventStore):
        store.append = _careless(store.append)


def _careless(append):  # noqa: ANN001, ANN202 - a method
    async def careless(self: object, events: Sequence[Event]) -> tuple[bool, ...]:
        try:
            return await append(self, events)
        except StoreError:
            return (True,) * len(events)

    return careless
