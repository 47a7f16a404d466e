"""The outermost ASGI layer: it adds the request id, counts requests, and turns failures into JSON.

It is plain ASGI, because Starlette's `BaseHTTPMiddleware` costs up to three times as much as a
cheap route.
"""

from time import perf_counter
from typing import Final

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.body import CallerLeftError
from app.api.problems import problem_reply, translate
from app.api.reply import CALLER_LEFT, Outcomes, Reply, id_of

_ROUTER_CODES: Final = {404: "not_found", 405: "method_not_allowed"}


class Edge:
    """ASGI middleware around a whole application."""

    def __init__(self, app: ASGIApp, outcomes: Outcomes) -> None:
        """Wrap `app`; count requests in `outcomes`, by the route that the router chose."""
        self._app = app
        self._outcomes = outcomes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or one other event stream of the server."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = perf_counter()
        status = 500
        request_id = scope.setdefault("state", {})["request_id"] = id_of(scope["headers"])

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                header_pair = (b"x-request-id", request_id.encode())
                message["headers"] = [*message.get("headers", ()), header_pair]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except CallerLeftError:
            status = CALLER_LEFT
        except Exception as error:  # noqa: BLE001 - the last line of defence: no trace is sent
            await _send(problem_reply(translate(error), request_id), send_with_id)
        finally:
            route = str(getattr(scope.get("route"), "path", "unmatched"))
            self._outcomes.count(route, status, perf_counter() - start)


async def _send(reply: Reply, send: Send) -> None:
    status, headers, body = reply
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def response_of(reply: Reply) -> Response:
    """Return a reply as a response of the framework."""
    response = Response(reply.body, reply.status)
    response.raw_headers = reply.headers
    return response


async def problem_handler(request: Request, error: Exception) -> Response:
    """Return the JSON problem for an error of ours, or of validation."""
    return response_of(problem_reply(translate(error), request.state.request_id))


async def http_exception_handler(request: Request, error: Exception) -> Response:
    """Return the JSON problem for what the router refuses: no such path, or a wrong method."""
    if not isinstance(error, HTTPException):
        raise error
    code = _ROUTER_CODES.get(error.status_code, "invalid_request")
    body = {"code": code, "message": error.detail, "request_id": request.state.request_id}
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers |= _allowed(request)
    return JSONResponse({"error": body}, error.status_code, headers)


def _allowed(request: Request) -> dict[str, str]:
    """Return the header `Allow` with all methods of the most specific path that matches.

    The router itself would name the methods of one route only.
    """
    methods: dict[str, set[str]] = {}
    for route in request.app.state.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods.setdefault(route.path, set()).update(route.methods or ())
    return {"Allow": ", ".join(sorted(methods[max(methods, key=len)]))} if methods else {}
