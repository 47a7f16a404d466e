"""`POST /why-not`: the stage at which a request loses an item."""

import time
from typing import Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api.body import read_body, unless_left
from app.api.explanation_schemas import LOST_ITEM
from app.api.problems import read_as
from app.api.routes import ServiceDep, as_json, caller_of, responses, takes
from app.api.schema_parts import ID, object_of
from app.api.schemas import recommend_request
from app.domain.request import RecommendRequest
from app.domain.request_parts import Id

router = APIRouter(tags=["recommendations"])

_REQUEST: Final = object_of(
    "WhyNotRequest",
    {"request": recommend_request(), "item_id": {**ID, "description": "the item that is missed"}},
    optional=("request",),
)
_EXAMPLES: Final = {
    "words": {"value": {"request": {"query": "space robots", "k": 5}, "item_id": "1"}},
}


class WhyNotRequest(BaseModel):
    """A request for recommendations, and the item that is missed in its answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    request: RecommendRequest = Field(default=RecommendRequest())
    item_id: Id


@router.post(
    "/why-not",
    summary="Why is an item not in an answer?",
    responses=responses(LOST_ITEM, 413, 415, 422, 500, 503),
    openapi_extra=takes(_REQUEST, _EXAMPLES),
)
async def why_not(request: Request, service: ServiceDep) -> Response:
    """Return the stage that lost the item, what is known of it, and one sentence.

    The request is worked on now, with the state of its user, and not read from a cache.
    """
    sent = read_as(WhyNotRequest, await read_body(request, service.settings.max_body_bytes))
    deadline = time.monotonic() + sent.request.budget_ms / 1e3
    work = service.why_not.explain(sent.request, sent.item_id, deadline, caller_of(request))
    lost = await unless_left(request, work)
    return as_json({"stage": lost.stage, "details": lost.details, "sentence": lost.sentence})
