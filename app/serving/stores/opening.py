"""Which event store and which journal a URL names: the one place that knows the schemes."""

import logging
from pathlib import Path

from redis.asyncio import Redis

from app.core.errors import StoreError
from app.core.ports import EventStore, Journal
from app.core.settings import Settings
from app.serving.stores.redis_client import RedisLimits, open_client
from app.serving.stores.redis_journal import RedisJournal
from app.serving.stores.redis_store import RedisEventStore
from app.serving.stores.sqlite_journal import SqliteJournal
from app.serving.stores.sqlite_store import SqliteEventStore

log = logging.getLogger(__name__)


async def open_event_store(settings: Settings) -> EventStore:
    """Open the event store of the settings; a Redis that is down may come up later.

    Raises:
        StoreError: the file cannot be used.
    """
    place = _store_of(settings)
    if isinstance(place, Path):
        return SqliteEventStore(place, settings.retention())
    store = RedisEventStore(place, settings.retention())
    try:
        for line in await store.warnings():
            log.warning("the event store may lose what was acknowledged: %s", line)
    except StoreError:
        log.warning("the event store does not answer; it is asked again for every request")
    return store


def open_journal(settings: Settings, catalogue: str) -> Journal:
    """Open the journal of a catalogue, beside the events; within a running event loop.

    Raises:
        StoreError: the file cannot be used. A Redis that is down shows at the first call.
    """
    place = _store_of(settings)
    if isinstance(place, Path):
        return SqliteJournal(place, catalogue)
    return RedisJournal(place, catalogue)


async def check_event_file(settings: Settings) -> None:
    """Open and close the embedded event store, if that is the one. Raises `StoreError`."""
    if (settings.store_url or "sqlite:").startswith("sqlite:"):
        await (await open_event_store(settings)).aclose()


def _store_of(settings: Settings) -> Path | Redis:
    """Return the file that events and changes are kept in, or a client of the Redis."""
    url = settings.store_url
    if url is None:
        return settings.data_dir / "store.sqlite"
    if url.startswith("sqlite:"):  # sqlite:///relative or sqlite:////absolute
        return Path(url.removeprefix("sqlite:///"))
    # Not a cache: patient, and without a breaker.
    limits = RedisLimits(0.0, settings.store_timeout_ms / 1e3, settings.store_max_connections)
    return open_client(url, limits)
