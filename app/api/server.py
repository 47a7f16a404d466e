"""The FastAPI application: its routes and handlers, and the service that it opens and closes.

Importing this module loads neither torch, faiss nor onnxruntime; opening the service does.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from functools import partial
from typing import TypeAlias

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app import __version__
from app.api import (
    admin,
    catalogue,
    kept_answers,
    lists,
    routes,
    rules,
    scenarios,
    shelves,
    stream,
    why_not,
)
from app.api import users as people
from app.api.connection import LIFE
from app.api.cors import Cors
from app.api.edge import Edge, http_exception_handler, problem_handler
from app.api.fast_path import ENDPOINT, RecommendEndpoint
from app.api.openapi import document, operation_id
from app.api.reply import Outcomes
from app.api.request_log import request_log
from app.api.served_info import ServedInfo
from app.bootstrap import Service, open_service
from app.core.errors import AppError
from app.core.life import Life
from app.core.logs import configure_logging
from app.core.settings import Settings
from app.core.tallies import Tallies
from app.core.telemetry import Metrics
from app.serving.access.key_ring import KeyRing
from app.serving.access.opening import following, key_ring
from app.serving.stores.opening import open_key_store

OpenService: TypeAlias = Callable[[Settings, Metrics], AbstractAsyncContextManager[Service]]


def create_app(
    settings: Settings | None = None,
    open_service: OpenService = open_service,
    tallies: Tallies | None = None,
) -> FastAPI:
    """Return the application; tests pass an `open_service` that wires fakes.

    `tallies`: where metrics are counted, if several processes show theirs together.
    """
    settings = settings or Settings()
    configure_logging(settings.log_level, settings.log_format, workers=settings.workers)
    metrics = Metrics(CollectorRegistry(), tallies)
    outcomes = Outcomes(metrics)
    ring = key_ring(settings, metrics)
    cors = None if settings.cors_origins is None else Cors(settings.cors_origins)
    log = request_log(settings.access_log_per_second, settings.slow_request_ms, outcomes.total)
    root_path = settings.root_path or ""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        async with (
            open_service(settings, metrics) as service,
            _settling(ring, settings, metrics, service.life),
        ):
            app.state.service = service
            # Without keys and limits, nothing is to be checked on the fast path.
            checked = settings.has_keys or any(ring.accounts.by_id[""].budgets())
            async with following(ring, open_key_store(settings), service.life):
                with _shown(service, metrics, to_others=tallies is not None):
                    yield {
                        ENDPOINT: RecommendEndpoint(
                            service, outcomes, cors, log, ring if checked else None
                        ),
                        LIFE: service.life,
                    }

    app: FastAPI = FastAPIOffline(
        title="recserve",
        version=__version__,
        description="Low-latency recommendations from words and behaviour.",
        lifespan=lifespan,
        generate_unique_id_function=operation_id,
        redoc_url=None,
        redirect_slashes=False,  # `Edge` takes slashes at the end away
        # Its own tracing reads the environment at every request; `Edge` counts requests anyway.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    routers = (
        routes.router,
        lists.router,
        why_not.router,
        shelves.router,
        stream.router,
        people.router,
        catalogue.router,
        admin.router,
        rules.router,
        scenarios.router,
        kept_answers.router,
    )
    for router in routers:
        app.include_router(router)
    app.state.routes = [route for router in routers for route in router.routes]
    for kind in (AppError, ValidationError):
        app.add_exception_handler(kind, problem_handler)
    app.add_exception_handler(HTTPException, http_exception_handler)
    app.openapi = partial(document, app)  # type: ignore[method-assign]
    app.add_route("/", _to_docs, include_in_schema=False)
    app.add_middleware(
        Edge,
        outcomes=outcomes,
        ring=ring,
        cors=cors,
        log=log,
        root_path=root_path,
        admin_port=settings.admin_port,
    )
    return app


def _settling(
    ring: KeyRing, settings: Settings, metrics: Metrics, life: Life
) -> AbstractAsyncContextManager[None]:
    """Share budgets with other processes, if there is a shared cache, while the block runs."""
    if settings.cache_url is None:
        return nullcontext()
    # Here, not above: the library of Redis takes a twentieth of the start.
    from app.serving.stores.redis_budgets import settling  # noqa: PLC0415

    return settling(settings.cache_url, ring.accounts, settings, metrics, life)


@contextmanager
def _shown(service: Service, metrics: Metrics, *, to_others: bool) -> Iterator[None]:
    """Show what is served in the metrics, and this process's gauges to other workers."""
    info, task = ServedInfo(service.engine), None
    metrics.registry.register(info)
    metrics.ready.set_function(lambda: service.ready)
    if to_others:
        task = asyncio.create_task(metrics.publish_gauges(), name="recserve-gauges")
    try:
        yield
    finally:
        metrics.registry.unregister(info)
        if task is not None:
            task.cancel()


async def _to_docs(request: Request) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/docs")
