"""The outermost ASGI layer: what holds for every route.

It finds the route that a path means, lets callers in by their key and its budget, answers HEAD and
CORS preflights, adds the request id, counts requests, writes the audit log, and turns failures into
JSON. It is plain ASGI, because Starlette's `BaseHTTPMiddleware` costs up to three times as much as
a cheap route.
"""

import logging
from asyncio import CancelledError
from difflib import get_close_matches
from time import perf_counter
from typing import Final

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.access import changes_items, role_of
from app.api.body import CallerLeftError
from app.api.charging import rate_headers
from app.api.connection import LIFE
from app.api.cors import Cors
from app.api.pages import NO_SNIFFING, check_origin, is_page, page_headers
from app.api.paths import routed
from app.api.problems import problem_reply, translate
from app.api.reply import CALLER_LEFT, Headers, Outcomes, Reply, header, id_of
from app.api.request_log import Answered, RequestLog
from app.core.errors import ForbiddenError, NotFoundError, NotReadyError
from app.core.life import Life
from app.serving.access.accounts import Account
from app.serving.access.key_ring import KeyRing
from app.serving.access.keys import NO_KEY, ApiKey

_AUDITED: Final = "/admin/"
_SIMILAR: Final = 0.7
"""Least similarity of two paths, by `difflib`, that one is taken for a slip of the other."""

_ROUTER_CODES: Final = {404: "not_found", 405: "method_not_allowed"}

_audit = logging.getLogger("app.audit")


class Edge:
    """ASGI middleware around a whole application."""

    def __init__(  # noqa: PLR0913 - each is another part
        self,
        app: ASGIApp,
        outcomes: Outcomes,
        *,
        ring: KeyRing,
        cors: Cors | None = None,
        log: RequestLog | None = None,
        root_path: str = "",
        admin_port: int | None = None,
    ) -> None:
        """Wrap `app`.

        Args:
            app: the application.
            outcomes: counts requests, by the route that the router chose.
            ring: says who may call what.
            cors: who may read answers from other origins; None = nobody.
            log: where requests are logged; None = nowhere.
            root_path: prefix under which a proxy serves the application.
            admin_port: the only port for what administrators may do; None = any port is.
        """
        self._app = app
        self._outcomes = outcomes
        self._ring = ring
        self._cors = cors
        self._log = log
        self._root_path = root_path
        self._admin_port = admin_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or one other event stream of the server."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = perf_counter()
        request_id = scope.setdefault("state", {})["request_id"] = id_of(scope["headers"])
        exchange = _Exchange(
            scope["method"], send, [NO_SNIFFING, (b"x-request-id", request_id.encode())]
        )
        scope = routed(scope, self._root_path)
        preflight = None
        try:
            if self._cors is not None:
                exchange.headers += self._cors.headers(scope["headers"])
                preflight = self._cors.preflight(scope["method"], scope["headers"])
            if preflight is not None:
                await _send(preflight, exchange.send)
            else:
                self._admit(scope, exchange)
                await self._app(scope, receive, exchange.send)
        except (Exception, CancelledError) as error:  # noqa: BLE001 - the last line of defence
            await _fail(exchange, error, request_id, stops=_stops(scope))
        finally:
            otherwise = "unmatched" if preflight is None else "preflight"
            route = str(getattr(scope.get("route"), "path", otherwise))
            end = perf_counter()
            self._outcomes.count(route, exchange.status, end - start)
            if exchange.audited:
                _audit.info(
                    "audit",
                    extra={
                        "key": exchange.key.id,
                        "id": request_id,
                        "method": scope["method"],
                        "path": scope["path"],
                        "status": exchange.status,
                    },
                )
            if self._log is not None and self._log.wants(end, end - start):
                self._log.write(exchange.answered(request_id, route, end - start))

    def _admit(self, scope: Scope, exchange: "_Exchange") -> None:
        """Let a request pass that has the role it needs, and take one unit. Raises `AppError`."""
        path, method = scope["path"].removeprefix(self._root_path), scope["method"]
        needed = role_of(method, path)
        if needed == "public":
            return
        exchange.audited = method == "DELETE" or path.startswith(_AUDITED)
        if needed == "admin" and self._admin_port not in {None, _port_of(scope)}:
            raise NotFoundError("there is no such path; see /docs")
        if method == "POST":
            check_origin(scope["headers"], self._cors)
        key = self._ring.check(header(scope["headers"], b"authorization"), needed)
        exchange.key = scope["state"]["key"] = key
        account = self._ring.accounts.by_id[key.id]
        exchange.account = scope["state"]["account"] = account
        if key.namespace and changes_items(method, path):
            raise ForbiddenError(
                "items belong to all namespaces: a key bound to a namespace cannot change them"
            )
        if account.requests is not None:
            account.requests.spend()


def _port_of(scope: Scope) -> int | None:
    """Return the port at which a request came in."""
    server = scope.get("server")
    return None if server is None else server[1]


class _Exchange:
    """The reply to one request on its way out.

    Attributes:
        key: of the caller.
        account: of the key; None before the key is known.
        audited: whether the audit log has a line for it.
        status: what was sent, or stands for it.
        started: whether anything was sent.
        headers: those that every reply to this request has.
    """

    def __init__(self, method: str, send: Send, headers: Headers) -> None:
        self.status = 500
        self.key: ApiKey = NO_KEY
        self.account: Account | None = None
        self.audited = self.started = False
        self.headers = headers
        self._method = method
        self._send = send
        self._sent_headers: Headers = []
        self._body = b""
        self._page: Message | None = None

    async def send(self, message: Message) -> None:
        """Send a message of the application."""
        if message["type"] == "http.response.start":
            self.status, self.started = message["status"], True
            self._sent_headers = [*message.get("headers", ()), *self.headers]
            if self.account is not None:
                self._sent_headers += rate_headers(self.account)
            message["headers"] = self._sent_headers
            if is_page(self._sent_headers):
                self._page = message  # its headers depend on what it has
                return
        else:
            if self._page is not None:
                self._sent_headers += page_headers(message.get("body", b""))
                start, self._page = self._page, None
                await self._send(start)
            if self._method == "HEAD":
                message["body"] = b""
            self._body = message.get("body", b"")
        await self._send(message)

    def answered(self, request_id: str, route: str, seconds: float) -> Answered:
        """Return what is logged of the request."""
        return Answered(
            request_id, self._method, route, self.status, seconds, self._sent_headers, self._body
        )


async def _fail(
    exchange: _Exchange, error: Exception | CancelledError, request_id: str, *, stops: bool
) -> None:
    """Send what a failure means to the caller, never its trace. `stops`: the process does."""
    if isinstance(error, CallerLeftError):
        exchange.status = CALLER_LEFT
        return
    if isinstance(error, CancelledError):
        if not stops:
            raise error
        error = NotReadyError("it is stopping, and this took too long")
        if exchange.started:
            return
    await _send(problem_reply(translate(error), request_id), exchange.send)


def _stops(scope: Scope) -> bool:
    life: Life | None = scope["state"].get(LIFE)
    return life is not None and life.stopping


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
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers = {"Allow": _allowed(request, headers.get("Allow", ""))}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
    code = _ROUTER_CODES.get(error.status_code, "invalid_request")
    message = error.detail
    if error.status_code == 404:
        message = _no_such_path(request)
    elif error.status_code == 405:
        message = f"this path does not take {request.method}; it takes {headers['Allow']}"
    body = {"code": code, "message": message, "request_id": request.state.request_id}
    return JSONResponse({"error": body}, error.status_code, headers)


def _no_such_path(request: Request) -> str:
    """Return the message for a path that no route has; it names the nearest one."""
    paths = [route.path for route in request.app.state.routes if isinstance(route, Route)]
    near = get_close_matches(request.scope["path"].lower(), paths, n=1, cutoff=_SIMILAR)
    return f"there is no such path; {f'did you mean {near[0]}?' if near else 'see /docs'}"


def _allowed(request: Request, otherwise: str) -> str:
    """Return the header `Allow` with all methods of the most specific path that matches.

    The router itself, which says `otherwise`, would name the methods of one route only.
    """
    found: dict[str, set[str]] = {}
    for route in request.app.state.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found.setdefault(route.path, set()).update(route.methods or ())
    # Fixed words say more than parameters, and a longer path says more than a shorter one.
    path = min(found, key=lambda path: (path.count("{"), -len(path)), default=None)
    methods = set(filter(None, otherwise.split(", "))) if path is None else found[path]
    return ", ".join(sorted({*methods, "OPTIONS", *({"HEAD"} if "GET" in methods else ())}))
