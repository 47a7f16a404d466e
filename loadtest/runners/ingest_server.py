"""A service with the real HTTP routes and the real event store, but a fake engine.

    python -m loadtest.runners.ingest_server --port PORT --store-url URL

It starts in a second. The trials of the event store use it: kills during ingestion, and the rate of
ingestion.
"""

import argparse
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import uvicorn

from app.api.server import create_app
from app.bootstrap import Service, wire
from app.core.settings import Settings
from app.core.telemetry import Metrics
from app.serving.stores.opening import open_event_store
from app.testing.control_store import MemoryControlStore
from app.testing.fakes import GatedEngine, MemoryUserStore
from app.testing.journal import MemoryJournal


@asynccontextmanager
async def _opened(settings: Settings, metrics: Metrics) -> AsyncIterator[Service]:
    events = await open_event_store(settings)
    engine, users = GatedEngine(), MemoryUserStore({})
    async with wire(
        settings,
        metrics,
        engine,
        users,
        None,
        events=events,
        journal=MemoryJournal("films"),
        control=MemoryControlStore(),
    ) as service:
        yield service


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(
        "python -m loadtest.runners.ingest_server", description=__doc__
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--store-url", required=True)
    options = parser.parse_args(argv)
    settings = Settings(store_url=options.store_url, store_events_per_kind=100_000)
    app = create_app(settings, _opened)
    uvicorn.run(
        app,
        port=options.port,
        http="httptools",
        loop="uvloop",
        access_log=False,
        log_config=None,
    )


if __name__ == "__main__":
    main()
