"""The route of kept answers. The logic is in `app.serving.kept_answers`."""

import re
from typing import Final

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api import schemas
from app.api.routes import ServiceDep, caller_of, responses
from app.core.errors import NotFoundError

router = APIRouter()

_ANSWER_ID: Final = re.compile("[0-9a-f]{32}")


@router.get(
    "/recommendations/{recommendation_id}",
    tags=["recommendations"],
    summary="An answer as it was given",
    responses=responses(schemas.KEPT_ANSWER, 404, 503),
)
async def get_kept_answer(
    recommendation_id: str, request: Request, service: ServiceDep
) -> Response:
    """Return an answer that is kept, with its request and the time at which it was given.

    Answers are kept for `RECSERVE_KEEP_ANSWERS_HOURS`, by default not at all. Those of a user leave
    with the user; those to `personalize: false` are never kept.
    """
    if service.answers is None:
        message = "answers are not kept here: RECSERVE_KEEP_ANSWERS_HOURS is 0"
        raise NotFoundError(message, field="recommendation_id")
    kept = None
    if _ANSWER_ID.fullmatch(recommendation_id):
        kept = await service.answers.read(recommendation_id, caller_of(request).namespace)
    if kept is None:
        message = "no answer of this id is kept, or not any more"
        raise NotFoundError(message, field="recommendation_id")
    # Head and tail are joined as they were sent, with what is added between them.
    added = orjson.dumps({"given_at": kept.given_at, "request": orjson.Fragment(kept.request)})
    body = b"%b%b,%b" % (kept.head, added[1:-1], kept.tail)
    return Response(body, media_type="application/json")
