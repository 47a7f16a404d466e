"""Opening the stores that a URL names: the only place that knows the schemes.

A store is added by one more row in `_SCHEMES`. Redis is imported only where a URL names it: its
library takes a twentieth of the start of a service.
"""

import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.bundle.reader import bundle_name
from app.core.answer_port import AnswerBounds, AnswerStore
from app.core.control_port import ControlStore
from app.core.errors import StoreError, UsageError
from app.core.settings import Settings
from app.core.store_ports import EventStore, IntentStore, Journal
from app.serving.access.key_file import KeyFile
from app.serving.access.key_store import KeyStore
from app.serving.access.stored_keys import NAMESPACE_OF_KEYS, StoredKeys
from app.serving.stores.namespaces import empty_beside
from app.serving.stores.sqlite_answers import SqliteAnswerStore
from app.serving.stores.sqlite_control import SqliteControlStore
from app.serving.stores.sqlite_intents import SqliteIntentStore
from app.serving.stores.sqlite_journal import SqliteJournal
from app.serving.stores.sqlite_store import SqliteEventStore

_SQLITE_PREFIX: Final = "sqlite:///"
"""A relative path follows it. An absolute path begins with a fourth slash."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scheme:
    """How the stores of one URL scheme are opened.

    Attributes:
        shared: whether services on several machines can use one store.
        event_store: opens the events of a URL and a namespace.
        journal: opens the journal of a URL and a namespace.
        intents: opens the learned intents of a URL and a namespace.
        control: opens the rules and scenarios of a URL and a namespace.
        answers: opens the kept answers of a URL and a namespace.
    """

    shared: bool
    event_store: Callable[[str, Settings, str], Awaitable[EventStore]]
    journal: Callable[[str, Settings, str], Journal]
    intents: Callable[[str, Settings, str], IntentStore]
    control: Callable[[str, Settings, str], ControlStore]
    answers: Callable[[str, Settings, str], AnswerStore]


async def open_event_store(settings: Settings) -> EventStore:
    """Open the event store of the settings. A Redis that is down may come up later.

    If its namespace is empty and others are not, the log says so.

    Raises:
        UsageError: the URL names no store.
        StoreError: the file cannot be used.
    """
    url, scheme = _store_of(settings)
    namespace = store_namespace(settings)
    store = await scheme.event_store(url, settings, namespace)
    with contextlib.suppress(StoreError):  # a Redis that is down: that was said
        if (line := empty_beside(namespace, await store.namespaces())) is not None:
            log.warning("%s", line)
    return store


async def open_filled_store(settings: Settings) -> EventStore:
    """Open the event store for a command that only means what is there.

    Where neither a bundle nor a namespace was named, and the bundle of the default has no events,
    it is the only namespace that has some.

    Raises:
        UsageError: the URL names no store; or nothing was named, and several have events.
        StoreError: the store cannot be used.
    """
    url, _ = _store_of(settings)
    if url.startswith(_SQLITE_PREFIX) and not (file := _sqlite_path(url)).exists():
        log.warning("there is no event store %s yet: an empty one is made", file)
    if settings.store_namespace or "bundle" in settings.model_fields_set:
        return await open_event_store(settings)
    url, scheme = _store_of(settings)
    store = await scheme.event_store(url, settings, store_namespace(settings))
    try:
        names = await store.namespaces()
    except StoreError:
        await store.aclose()
        raise
    if not names or store_namespace(settings) in names:
        return store
    await store.aclose()
    if len(names) > 1:
        there = ", ".join(map(repr, names[:5]))
        raise UsageError(f"there are events of {there}: name one of these bundles by --bundle")
    log.warning("no bundle was named: these are the events of %r, the only ones there", names[0])
    return await scheme.event_store(url, settings, names[0])


def store_namespace(settings: Settings) -> str:
    """Return the namespace of events, users and journal: that of the settings, or the bundle's."""
    return settings.store_namespace or bundle_name(settings.bundle)


def open_journal(settings: Settings, namespace: str) -> Journal:
    """Open the journal of a namespace, beside the events; within a running event loop.

    Raises:
        UsageError: the URL names no store.
        StoreError: the file cannot be used. A Redis that is down shows at the first call.
    """
    url, scheme = _store_of(settings)
    return scheme.journal(url, settings, namespace)


def open_intent_store(settings: Settings, namespace: str) -> IntentStore:
    """Open the learned intents of a namespace, beside the events; within a running event loop.

    Raises: as `open_journal`.
    """
    url, scheme = _store_of(settings)
    return scheme.intents(url, settings, namespace)


def open_control_store(settings: Settings, namespace: str) -> ControlStore:
    """Open the rules and scenarios of a namespace, beside the events; within a running event loop.

    Raises: as `open_journal`.
    """
    url, scheme = _store_of(settings)
    return scheme.control(url, settings, namespace)


def open_key_store(settings: Settings) -> KeyStore | None:
    """Open the API keys, in their file or beside the events; None if there are none.

    Within a running event loop. Raises: as `open_journal`.
    """
    if settings.api_keys_file is not None:
        return KeyFile(settings.api_keys_file)
    if settings.api_keys is None:
        return None
    return StoredKeys(open_control_store(settings, NAMESPACE_OF_KEYS))


async def open_answer_store(settings: Settings) -> AnswerStore | None:
    """Open the kept answers, beside the events; None, and nothing is kept, if they are off.

    What was kept before they were switched off is erased then.

    Raises: as `open_journal`.
    """
    url, scheme = _store_of(settings)
    store = scheme.answers(url, settings, store_namespace(settings))
    if settings.keep_answers_hours:
        return store
    with contextlib.suppress(StoreError):  # a Redis that is down: that was said
        await store.clear()
    await store.aclose()
    return None


async def check_event_store(settings: Settings) -> None:
    """Check that the event store of the settings can be used, as far as that shows at the start.

    A file is opened and closed. A Redis is not asked: it may come up later.

    Raises:
        UsageError: the URL names no store.
        StoreError: the file cannot be used.
    """
    if not is_shared(settings):
        url, scheme = _store_of(settings)
        await (await scheme.event_store(url, settings, store_namespace(settings))).aclose()


def is_shared(settings: Settings) -> bool:
    """Return whether services on several machines can use the store of the settings.

    Raises:
        UsageError: the URL names no store.
    """
    return _store_of(settings)[1].shared


def _store_of(settings: Settings) -> tuple[str, Scheme]:
    """Return the URL of the store, and how it is opened."""
    url = settings.store_url
    if url is None:
        url = f"{_SQLITE_PREFIX}{settings.data_dir / 'store.sqlite'}"
    name, separator, _ = url.partition("://")
    if not separator or name not in _SCHEMES:
        known = ", ".join(f"{name}://" for name in _SCHEMES)
        raise UsageError(f"store_url must begin with one of {known}")
    return url, _SCHEMES[name]()


def _sqlite_path(url: str) -> Path:
    path = url.removeprefix(_SQLITE_PREFIX)
    if path in {url, ""}:
        raise UsageError("store_url must be sqlite:///PATH, or sqlite:////PATH if it is absolute")
    return Path(path)


async def _sqlite_event_store(url: str, settings: Settings, namespace: str) -> EventStore:
    return SqliteEventStore(_sqlite_path(url), settings.retention(), namespace=namespace)


def _sqlite_journal(url: str, _settings: Settings, namespace: str) -> Journal:
    return SqliteJournal(_sqlite_path(url), namespace)


def _sqlite_intents(url: str, _settings: Settings, namespace: str) -> IntentStore:
    return SqliteIntentStore(_sqlite_path(url), namespace)


def _sqlite_control(url: str, _settings: Settings, namespace: str) -> ControlStore:
    return SqliteControlStore(_sqlite_path(url), namespace)


def _sqlite_answers(url: str, settings: Settings, namespace: str) -> AnswerStore:
    return SqliteAnswerStore(_sqlite_path(url), namespace, answer_bounds(settings))


def answer_bounds(settings: Settings) -> AnswerBounds:
    """Return how long answers are kept, and how many bytes of them."""
    # A life of 0 is never used: nothing is kept then.
    return AnswerBounds(settings.keep_answers_hours * 3600.0, settings.keep_answers_bytes)


_SQLITE: Final = Scheme(
    shared=False,
    event_store=_sqlite_event_store,
    journal=_sqlite_journal,
    intents=_sqlite_intents,
    control=_sqlite_control,
    answers=_sqlite_answers,
)


def _sqlite() -> Scheme:
    return _SQLITE


def _redis() -> Scheme:
    from app.serving.stores.redis_scheme import REDIS  # noqa: PLC0415 - see above

    return REDIS


_SCHEMES: Final = {"sqlite": _sqlite, "redis": _redis, "rediss": _redis, "unix": _redis}
