"""The outermost layer: request id, metrics, and the promise that every failure is a JSON problem.

Pure ASGI: `BaseHTTPMiddleware` costs up to three times the price of a cheap route.
"""

import re
from time import perf_counter
from typing import Final

from fastapi import Request
from prometheus_client import Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.caller import CallerLeftError, header
from app.api.problems import problem_response, translate
from app.errors import AppError
from app.serving.answer import fresh_id
from app.telemetry import Metrics

_CALLER_LEFT: Final = 499  # nobody sees it but the metrics
_ROUTER_CODES: Final = {404: "not_found", 405: "method_not_allowed"}
_REQUEST_ID: Final = re.compile(rb"[!-~]{1,128}")


class Edge:
    """ASGI middleware around a whole application, or around one route of it."""

    def __init__(self, app: ASGIApp, metrics: Metrics, route: str | None = None) -> None:
        """Wrap `app`; requests are counted in `metrics`, under `route` or what the router finds."""
        self._app = app
        self._metrics = metrics
        self._route = route
        self._bound: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event stream."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = perf_counter()
        status = 500
        request_id = scope.setdefault("state", {})["request_id"] = _request_id(scope)

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                mine = (b"x-request-id", request_id.encode())
                message["headers"] = [*message.get("headers", ()), mine]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except CallerLeftError:
            status = _CALLER_LEFT
        except Exception as error:  # noqa: BLE001 - the last line of defence: no trace leaves the house
            await send_problem(translate(error), request_id, send_with_id)
        finally:
            route = self._route or str(getattr(scope.get("route"), "path", "unmatched"))
            count, seconds = self._counts(route, status)
            count.inc()
            seconds.observe(perf_counter() - start)

    def _counts(self, route: str, status: int) -> tuple[Counter, Histogram]:
        """Return the metrics of an outcome; looked up once, for that costs more than counting."""
        found = self._bound.get((route, status))
        if found is None:
            count = self._metrics.requests.labels(route, str(status))
            found = count, self._metrics.request_seconds.labels(route)
            self._bound[route, status] = found
        return found


def _request_id(scope: Scope) -> str:
    """Keep the caller's id if it is harmless in a header and a log line, else make one."""
    given = header(scope, b"x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode()
    return fresh_id()


async def send_problem(error: AppError, request_id: str, send: Send) -> None:
    """Answer with a JSON problem. By hand: under a rush most answers are problems."""
    status, body, more = problem_response(error, request_id)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers += [(name.encode(), value.encode()) for name, value in more.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def problem_handler(request: Request, error: Exception) -> Response:
    """Answer an exception of ours, or of validation, as a JSON problem."""
    status, body, headers = problem_response(translate(error), request.state.request_id)
    return Response(body, status, headers, media_type="application/json")


async def http_exception_handler(request: Request, error: Exception) -> Response:
    """Answer what the router itself refuses (no such path, wrong method) as a JSON problem."""
    if not isinstance(error, HTTPException):
        raise error
    code = _ROUTER_CODES.get(error.status_code, "invalid_request")
    body = {"code": code, "message": error.detail, "request_id": request.state.request_id}
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers |= _allowed(request)
    return JSONResponse({"error": body}, error.status_code, headers)


def _allowed(request: Request) -> dict[str, str]:
    """Return the header Allow of the most specific path; the router names those of one route."""
    found: dict[str, set[str]] = {}
    for route in request.app.state.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found.setdefault(route.path, set()).update(route.methods or ())
    return {"Allow": ", ".join(sorted(found[max(found, key=len)]))} if found else {}
