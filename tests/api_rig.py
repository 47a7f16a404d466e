"""The HTTP surface over an engine and fakes, without a socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from app.api.server import create_app
from app.bootstrap import Service, wire
from app.core.answer_port import AnswerStore
from app.core.settings import Settings
from app.core.telemetry import Metrics
from app.serving.intents.learning import Teacher
from app.testing.control_store import MemoryControlStore
from app.testing.event_store import MemoryEventStore
from app.testing.fakes import MemoryUserStore
from app.testing.journal import MemoryChanges, MemoryJournal
from tests.small_engine import small_engine


@asynccontextmanager
async def served(
    engine: Any = None,
    events: MemoryEventStore | None = None,
    changes: dict[str, MemoryChanges] | None = None,
    *,
    teacher: Teacher | None = None,
    control: MemoryControlStore | None = None,
    answers: AnswerStore | None = None,
    **settings: Any,
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve an engine; `changes` outlive the service, as a journal on a disk does."""
    engine, events = engine or small_engine(), events or MemoryEventStore()

    @asynccontextmanager
    async def open_service(settings: Settings, metrics: Metrics) -> AsyncIterator[Service]:
        users = MemoryUserStore({"u:7": ["heist"]}, {"u:7": (("age", 31.0), ("country", "NZ"))})
        journal = MemoryJournal("films", changes)
        async with wire(
            settings,
            metrics,
            engine,
            users,
            None,
            events=events,
            journal=journal,
            control=control or MemoryControlStore(),
            answers=answers,
            teacher=teacher,
        ) as service:
            yield service

    app = create_app(Settings(**settings), open_service)
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client
