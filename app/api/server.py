"""The FastAPI application: its routes and handlers, and the service that it opens and closes.

Importing this module loads neither torch, faiss nor onnxruntime; opening the service does.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from app import __version__
from app.api import admin, catalogue, routes
from app.api import users as people
from app.api.edge import Edge, http_exception_handler, problem_handler
from app.api.fast_path import ENDPOINT, RecommendEndpoint
from app.api.reply import Outcomes
from app.bootstrap import Service, open_service
from app.core.errors import AppError
from app.core.settings import Settings
from app.core.telemetry import Metrics, configure_logging

OpenService: TypeAlias = Callable[[Settings, Metrics], AbstractAsyncContextManager[Service]]


def create_app(
    settings: Settings | None = None, open_service: OpenService = open_service
) -> FastAPI:
    """Return the application; tests pass an `open_service` that wires fakes."""
    settings = settings or Settings()
    configure_logging(settings.log_level)
    metrics = Metrics(CollectorRegistry())
    outcomes = Outcomes(metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, RecommendEndpoint]]:
        async with open_service(settings, metrics) as service:
            app.state.service = service
            yield {ENDPOINT: RecommendEndpoint(service, outcomes)}

    app: FastAPI = FastAPIOffline(
        title="recserve",
        version=__version__,
        description="Low-latency recommendations from words and behaviour.",
        lifespan=lifespan,
        redoc_url=None,
        # Its own tracing reads the environment at every request; `Edge` counts requests anyway.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    routers = (routes.router, people.router, catalogue.router, admin.router)
    for router in routers:
        app.include_router(router)
    app.state.routes = [route for router in routers for route in router.routes]
    for kind in (AppError, ValidationError):
        app.add_exception_handler(kind, problem_handler)
    app.add_exception_handler(HTTPException, http_exception_handler)
    app.add_middleware(Edge, outcomes=outcomes)
    return app
