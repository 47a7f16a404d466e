"""The command `doctor`: examines a bundle and its event store, beside a service or without one."""

import time
from collections.abc import Callable
from typing import Final

from app.commands.stores import opened_store
from app.core.ports import LiveEngine
from app.core.settings import Settings
from app.core.store_ports import Journal
from app.core.types import Facets
from app.doctor.checkup import Checkup
from app.doctor.facts import ExaminedService
from app.doctor.gathering import Patient, check_up
from app.loading import Loader
from app.serving.stores.opening import open_journal, store_namespace

_CHUNK: Final = 1000


async def examine(settings: Settings) -> Checkup:
    """Return what is wrong with the bundle of the settings, its changed items and its events.

    What a service counts while it runs is not known here: `GET /admin/doctor` tells that.

    Raises:
        BundleError: the bundle cannot be used.
        UsageError, StoreError: the event store cannot be used.
    """
    loaded = Loader(settings).load()
    async with opened_store(settings) as events:
        journal = open_journal(settings, store_namespace(settings))
        try:
            await _catch_up(loaded.engine, journal)
        finally:
            await journal.aclose()
        patient = Patient(
            engine=loaded.engine,
            rules=loaded.rules,
            events=events,
            bundle=settings.bundle,
            service=ExaminedService(
                workers=settings.workers, shared_cache=settings.cache_url is not None
            ),
            run=_at_once,
        )
        return await check_up(patient)


async def _catch_up(engine: LiveEngine, journal: Journal) -> None:
    """Apply the changes of items that were made since the bundle was built."""
    while changes := await journal.after(engine.info.catalogue, _CHUNK):
        engine.plan(changes, time.time())()


async def _at_once(call: Callable[[], Facets]) -> Facets:
    return call()
