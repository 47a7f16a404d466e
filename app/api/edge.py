"""The outermost layer: request id, metrics, and the promise that every failure is a JSON problem.

Pure ASGI: `BaseHTTPMiddleware` costs up to three times the price of a cheap route.
"""

import asyncio
import os
import re
from collections.abc import Coroutine
from time import perf_counter
from typing import Any, Final, TypeVar

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import problem_response, translate
from app.errors import BodyTooLargeError, InvalidRequestError
from app.telemetry import Metrics

T = TypeVar("T")

_CALLER_LEFT: Final = 499  # nobody sees it but the metrics
_ROUTER_CODES: Final = {404: "not_found", 405: "method_not_allowed"}
_REQUEST_ID: Final = re.compile(r"[!-~]{1,128}")


class Edge:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Wrap `app`; requests are counted in `metrics`."""
        self._app = app
        self._metrics = metrics

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
                MutableHeaders(scope=message).append("x-request-id", request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except CallerLeftError:
            status = _CALLER_LEFT
        except Exception as error:  # noqa: BLE001 - the last line of defence: no trace leaves the house
            status, body, headers = problem_response(translate(error), request_id)
            response = Response(body, status, headers, media_type="application/json")
            await response(scope, receive, send_with_id)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.request_seconds.labels(route).observe(perf_counter() - start)


def _request_id(scope: Scope) -> str:
    """Keep the caller's id if it is harmless in a header and a log line, else make one."""
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else os.urandom(16).hex()


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


class CallerLeftError(Exception):
    """The connection was closed before the answer was there; nobody will read what is sent."""


async def unless_left(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns, but stop it as soon as the caller closes the connection.

    The server tells a handler only if it listens. To be called once the body has been read.

    Raises:
        CallerLeftError: the caller left; the work has been cancelled.
    """
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    if task.done():  # a cached answer: no reason to listen
        return task.result()
    left = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise CallerLeftError
        return task.result()
    finally:
        for unfinished in (task, left):
            unfinished.cancel()


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body, refusing it while it streams once it exceeds `limit` bytes.

    Raises:
        BodyTooLargeError: a declared or actual size over the limit.
    """
    too_large = BodyTooLargeError(f"the body may have at most {limit} bytes")
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit():
        raise InvalidRequestError("content-length is not a number")
    if int(declared) > limit:
        raise too_large
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)
