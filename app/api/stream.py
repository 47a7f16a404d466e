"""`POST /recommend/stream`: the answer at once, then a text about it, as server-sent events.

    items   the whole answer, as `POST /recommend` gives it
    text    a sentence, one event each: {"text", "by"}
    done    the end: {"sentences", "by_model"}
    error   in place of all others, where `POST /recommend` would fail: its JSON problem

The status is that of `POST /recommend`. Nothing after `items` can fail.
"""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api import schemas
from app.api.body import CallerLeftError, read_body, unless_left
from app.api.charging import charge_text
from app.api.edge import response_of
from app.api.problems import MEANING, problem_reply, read_as, translate
from app.api.reply import Headers, answer_reply
from app.api.routes import ServiceDep, caller_of, takes
from app.api.schema_parts import Schema
from app.domain.request import RecommendRequest
from app.serving.response import Answer
from app.serving.telling.facts import Facts
from app.serving.telling.teller import Teller

router = APIRouter()

_CAN_FAIL: Final = (413, 415, 422, 429, 500, 503, 504)
_TYPE: Final = (b"content-type", b"text/event-stream; charset=utf-8")
# The first for caches, the second for proxies such as nginx: each event is sent on at once.
_UNBUFFERED: Final[Headers] = [(b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]


def _event(name: str, data: bytes) -> bytes:
    """Return one event. `data`: JSON, so it has no line breaks."""
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


class _EventStream(Response):
    """The events about one answer, each sent as soon as it is there."""

    def __init__(self, answer: Answer, teller: Teller, query: str) -> None:
        self._answer, self._teller, self._query = answer, teller, query
        self.background = None
        self.status_code = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cache = [each for each in answer_reply(self._answer).headers if each[0].startswith(b"x-")]
        headers = [_TYPE, *_UNBUFFERED, *cache]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        async def sent(event: bytes, *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": event, "more_body": more})

        await sent(_event("items", self._answer.body))
        await unless_left(Request(scope, receive), self._text(sent))

    async def _text(self, sent: Callable[..., Awaitable[None]]) -> None:
        facts: Facts = self._teller.facts(self._answer.body, self._query)
        sentences = by_model = 0
        async with aclosing(self._teller.tell(facts)) as text:
            async for told in text:
                sentences += 1
                by_model += told.by == "model"
                await sent(_event("text", orjson.dumps({"text": told.text, "by": told.by})))
        done = {"sentences": sentences, "by_model": by_model}
        await sent(_event("done", orjson.dumps(done)), more=False)


def _events(meaning: str, event: Schema) -> dict[str, Any]:
    """Return what OpenAPI says of a stream: before version 3.2, the schema is that of an event."""
    return {"description": meaning, "content": {"text/event-stream": {"schema": event}}}


_DESCRIBED: Final[dict[int | str, dict[str, Any]]] = {
    200: _events("`items`, then `text` for each sentence, then `done`.", schemas.STREAM_EVENT),
    **{
        code: _events(f"{MEANING[code]} One event: `error`.", schemas.ERROR_EVENT)
        for code in _CAN_FAIL
    },
}


@router.post(
    "/recommend/stream",
    tags=["recommendations"],
    summary="The same, and then a short text about it",
    responses=_DESCRIBED,
    response_class=Response,
    openapi_extra=takes(schemas.recommend_request(), schemas.EXAMPLES),
)
async def recommend_stream(request: Request, service: ServiceDep) -> Response:
    """Send the answer as the event `items` at once, then sentences about it as events `text`."""
    try:
        body = await read_body(request, service.settings.max_body_bytes)
        ask, caller = read_as(RecommendRequest, body), caller_of(request)
        charge_text(request)
        call = service.recommender.recommend(ask, caller)
        answer = await unless_left(request, call)
        # The query of a scenario is a fact of the text, too.
        query = service.recommender.completed(ask, caller).query
    except CallerLeftError:
        raise
    except Exception as error:  # noqa: BLE001 - a failure is an event
        translated = translate(error, RecommendRequest)
        reply = problem_reply(translated, request.state.request_id)
        event = _event("error", reply.body)
        kept = [each for each in reply.headers if not each[0].startswith(b"content-")]
        length = (b"content-length", b"%d" % len(event))
        return response_of(reply._replace(headers=[*kept, length, _TYPE], body=event))
    return _EventStream(answer, service.teller, query)
