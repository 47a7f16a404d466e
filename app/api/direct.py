"""`POST /recommend` without a framework in between: most answers are cached, and cost little else.

The application hands these requests over before the framework sees them, inside an `Edge` of their
own, to which errors rise as everywhere; the route of that name in `app.api.routes` documents it.
"""

from typing import Final

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from app.api.caller import read_body, unless_left
from app.bootstrap import Service
from app.request import RecommendRequest
from app.serving.answer import Answer

ROUTE: Final = "/recommend"
_JSON: Final = (b"content-type", b"application/json")


def serves(scope: Scope) -> bool:
    """Tell whether a request is one of these."""
    return bool(scope["path"] == ROUTE and scope["method"] == "POST")


async def recommend(scope: Scope, receive: Receive, send: Send) -> None:
    """Read, validate, hand over, write."""
    service: Service = scope["app"].state.service
    request = Request(scope, receive)
    body = await read_body(request, service.settings.max_body_bytes)
    ask = RecommendRequest.model_validate_json(body)
    answer = await unless_left(request, service.recommender.recommend(ask))
    await send({"type": "http.response.start", "status": 200, "headers": _headers(answer)})
    await send({"type": "http.response.body", "body": answer.body})


def _headers(answer: Answer) -> list[tuple[bytes, bytes]]:
    headers = [(b"x-cache", answer.x_cache.encode())]
    if answer.degraded:
        headers.append((b"x-degraded", ", ".join(answer.degraded).encode()))
    headers += ((b"content-length", b"%d" % len(answer.body)), _JSON)
    return headers
