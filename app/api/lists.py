"""The routes of lists: what is similar to an item, what is popular, trending or new.

They contain no logic of their own: each asks the recommender, as `POST /recommend` does.
"""

from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api import schemas
from app.api.body import read_body, unless_left
from app.api.edge import response_of
from app.api.parameters import parameters, read_parameters
from app.api.problems import read_as
from app.api.reply import answer_reply
from app.api.routes import ServiceDep, caller_of, responses, takes
from app.bootstrap import Service
from app.core.errors import NotFoundError
from app.domain.intent import Sort
from app.domain.list_requests import ListRequest, SimilarRequest

router = APIRouter(tags=["recommendations"])

_LIST: Final[dict[str, Any]] = {
    "responses": responses(schemas.ANSWER, 422, 429, 500, 503, 504),
    "openapi_extra": parameters(ListRequest),
}
_EXAMPLES: Final = {
    "one": {"value": {"item_id": "1", "k": 5}},
    "several, by what users took": {"value": {"items": ["1", "2"], "by": "behaviour"}},
}


@router.post(
    "/similar",
    summary="Items similar to one item, or to several",
    responses=responses(schemas.ANSWER, 404, 413, 415, 422, 429, 500, 503, 504),
    openapi_extra=takes(SimilarRequest.model_json_schema(), _EXAMPLES),
)
async def find_similar(request: Request, service: ServiceDep) -> Response:
    """Return the items that are similar to the named ones, which never come back themselves.

    Unknown ones are in `missing_ids`. If none is known, there is no answer, but 404.
    """
    sent = read_as(SimilarRequest, await read_body(request, service.settings.max_body_bytes))
    work = service.recommender.recommend(sent.asked(), caller_of(request))
    answer = await unless_left(request, work)
    # Only now: a request with `min_catalogue` has waited for its items.
    if not any(service.engine.contains(item) for item in sent.named):
        field = "items" if sent.item_id is None else "item_id"
        raise NotFoundError("the catalogue contains no such item", field=field)
    return response_of(answer_reply(answer))


@router.get("/popular", summary="What most users take", **_LIST)
async def list_popular(request: Request, service: ServiceDep) -> Response:
    """Return the items that were taken most, by the events that the bundle was built from."""
    return await _listed("popular", request, service)


@router.get("/trending", summary="What more users take than before", **_LIST)
async def list_trending(request: Request, service: ServiceDep) -> Response:
    """Return the items that were taken most lately, by the events of the bundle."""
    return await _listed("trending", request, service)


@router.get("/newest", summary="What is new", **_LIST)
async def list_newest(request: Request, service: ServiceDep) -> Response:
    """Return the items with the newest `published_at`; items without one come last."""
    return await _listed("newest", request, service)


async def _listed(sort: Sort, request: Request, service: Service) -> Response:
    ask = read_parameters(ListRequest, request).asked(sort)
    return response_of(answer_reply(await service.recommender.recommend(ask, caller_of(request))))
