"""The stores in Redis, as `app.serving.stores.opening` opens them."""

import contextlib
import logging
from typing import Final

from redis.asyncio import Redis

from app.core.answer_port import AnswerStore
from app.core.control_port import ControlStore
from app.core.errors import StoreError
from app.core.settings import Settings
from app.core.store_ports import EventStore, IntentStore, Journal
from app.serving.stores.opening import Scheme, answer_bounds
from app.serving.stores.redis_answers import RedisAnswerStore
from app.serving.stores.redis_client import RedisLimits, open_client
from app.serving.stores.redis_control import RedisControlStore
from app.serving.stores.redis_intents import RedisIntentStore
from app.serving.stores.redis_journal import RedisJournal
from app.serving.stores.redis_store import RedisEventStore

log = logging.getLogger(__name__)


async def _event_store(url: str, settings: Settings, namespace: str) -> EventStore:
    client = _client(url, settings)
    store = RedisEventStore(client, settings.retention(), namespace=namespace)
    with contextlib.suppress(StoreError):  # it was said
        for line in await store.warnings():
            log.warning("the event store may lose what was acknowledged: %s", line)
    return store


def _journal(url: str, settings: Settings, namespace: str) -> Journal:
    return RedisJournal(_client(url, settings), namespace)


def _intents(url: str, settings: Settings, namespace: str) -> IntentStore:
    return RedisIntentStore(_client(url, settings), namespace)


def _control(url: str, settings: Settings, namespace: str) -> ControlStore:
    return RedisControlStore(_client(url, settings), namespace)


def _answers(url: str, settings: Settings, namespace: str) -> AnswerStore:
    return RedisAnswerStore(_client(url, settings), namespace, answer_bounds(settings))


def _client(url: str, settings: Settings) -> Redis:
    # A longer timeout than for a cache: an event that is not stored has to be sent again.
    timeout_s = settings.store_timeout_ms / 1e3
    return open_client(url, RedisLimits(0.0, timeout_s, settings.store_max_connections))


REDIS: Final = Scheme(
    shared=True,
    event_store=_event_store,
    journal=_journal,
    intents=_intents,
    control=_control,
    answers=_answers,
)
