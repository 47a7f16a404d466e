"""The application and its life: open the service, serve, close it.

Importing this module loads neither torch nor faiss nor onnxruntime; opening the service does.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from app import __version__
from app.api import admin, catalogue, direct, people, routes
from app.api.edge import Edge, http_exception_handler, problem_handler
from app.bootstrap import Service, open_service
from app.errors import AppError
from app.settings import Settings
from app.telemetry import Metrics, configure_logging


class Application:
    """What is served: FastAPI, and past it the one route that must cost little."""

    def __init__(self, framework: FastAPI, hot: ASGIApp) -> None:
        """Hand the requests of `app.api.direct` to `hot`, all others to the framework."""
        self._framework, self._hot = framework, hot

    @property
    def router(self) -> APIRouter:
        """The framework's, which knows when to open and close."""
        return self._framework.router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event stream."""
        if scope["type"] == "http" and direct.serves(scope):
            scope["app"] = self._framework
            await self._hot(scope, receive, send)
        else:
            await self._framework(scope, receive, send)


OpenService: TypeAlias = Callable[[Settings, Metrics], AbstractAsyncContextManager[Service]]


def create_app(
    settings: Settings | None = None, open_service: OpenService = open_service
) -> Application:
    """Return the application; tests pass an `open_service` that wires fakes."""
    settings = settings or Settings()
    configure_logging(settings.log_level)
    metrics = Metrics(CollectorRegistry())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with open_service(settings, metrics) as service:
            app.state.service = service
            yield

    app: FastAPI = FastAPIOffline(
        title="recserve",
        version=__version__,
        description="Low-latency recommendations from words and behaviour.",
        lifespan=lifespan,
        redoc_url=None,
        # We count by ourselves; it asks the environment at every request whether somebody traces.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    routers = (routes.router, people.router, catalogue.router, admin.router)
    for router in routers:
        app.include_router(router)
    app.state.routes = [route for router in routers for route in router.routes]
    for kind in (AppError, ValidationError):
        app.add_exception_handler(kind, problem_handler)
    app.add_exception_handler(HTTPException, http_exception_handler)
    app.add_middleware(Edge, metrics=metrics)
    return Application(app, Edge(direct.recommend, metrics, direct.ROUTE))
