"""The routes of the catalogue: its fields and facets, and changes of items.

They contain no logic of their own.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api import item_schemas
from app.api.body import read_body
from app.api.charging import charge
from app.api.item_input import nothing_kept, parse_items, parse_patch
from app.api.problems import problem, read_as
from app.api.routes import ServiceDep, as_json, described, responses, takes
from app.bootstrap import Service
from app.core.types import Facets, FieldFacts
from app.domain.filters import filter_text, no_such_field
from app.domain.request import MAX_FIELDS
from app.domain.request_parts import FieldNames

router = APIRouter()

_FREQUENT: Final = 20
_MOST_FREQUENT: Final = 1000


class _FacetsRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    fields: FieldNames = Field(default=(), max_length=MAX_FIELDS)
    filter: dict[str, Any] | None = None
    limit: Annotated[int, Field(ge=1, le=_MOST_FREQUENT)] = _FREQUENT


@router.get(
    "/catalogue",
    tags=["items"],
    summary="The fields of the items",
    responses=responses(item_schemas.CATALOGUE, 503),
)
async def get_catalogue(service: ServiceDep) -> Response:
    """Return every field with its kind, how many items have it, and its frequent values."""
    facets = await _counted(service, "", tuple(service.engine.info.attributes), _FREQUENT)
    fields = _fields(facets)
    return as_json({"items": facets.total, "generation": _generation(service), "fields": fields})


@router.post(
    "/facets",
    tags=["items"],
    summary="Count values among the items that pass a filter",
    responses=responses(item_schemas.FACETS, 413, 415, 422, 503),
    openapi_extra=takes(
        item_schemas.FACETS_REQUEST,
        {"two": {"value": {"fields": ["categories", "published_at"], "limit": 5}}},
    ),
)
async def count_facets(request: Request, service: ServiceDep) -> Response:
    """Return how many items pass the filter, and the values in the requested fields."""
    body = await read_body(request, service.settings.max_body_bytes)
    facets_request = read_as(_FacetsRequest, body)
    known = service.engine.info.attributes
    for name in facets_request.fields:
        if name not in known:
            raise no_such_field(name, known, "fields")
    text = filter_text(facets_request.filter)
    if text:
        service.engine.check_filter(text)
    counted = await _counted(
        service, text, facets_request.fields or tuple(known), facets_request.limit
    )
    return as_json({"total": counted.total, "fields": _fields(counted)})


async def _counted(service: Service, text: str, fields: tuple[str, ...], limit: int) -> Facets:
    # In the thread that ranks: the catalogue changes there and nowhere else.
    return await service.batcher.run_exclusive(lambda: service.engine.facets(text, fields, limit))


def _fields(facets: Facets) -> dict[str, dict[str, object]]:
    return {facts.name: _field(facts) for facts in facets.fields}


def _field(facts: FieldFacts) -> dict[str, object]:
    shown: dict[str, object] = {"type": facts.kind, "count": facts.count}
    if facts.distinct is None:
        return {**shown, "min": facts.low, "max": facts.high}
    values = [{"value": value, "count": count} for value, count in facts.values]
    return {**shown, "distinct": facts.distinct, "values": values}


@router.put(
    "/items",
    tags=["items"],
    summary="Add or replace items",
    responses={
        **responses(item_schemas.ITEMS_ANSWER, 413, 415, 429, 503, 507),
        422: described("No item can be used, or the body is wrong.", item_schemas.ITEMS_REFUSED),
    },
    openapi_extra=takes(item_schemas.ITEMS_REQUEST, item_schemas.ITEM_EXAMPLES),
)
async def put_items(request: Request, service: ServiceDep) -> Response:
    """Store all valid items, and say what is wrong with the others.

    Once this has answered, the accepted items are durable and can be recommended. If none is
    accepted, the status is 422.
    """
    body = await read_body(request, service.settings.max_body_bytes)
    parsed = await parse_items(body, service.engine.info.attributes)
    charge(request, sum(map(len, (parsed.records, parsed.rejected, parsed.repeated))))
    answer: dict[str, object] = {
        "accepted": len(parsed.records),
        "duplicates": len(parsed.repeated),
        "rejected": parsed.rejected,
        "warnings": sorted([*parsed.repeated, *parsed.unknown], key=lambda remark: remark.index),
    }
    if not parsed.records:
        error = problem(nothing_kept(parsed.rejected), request.state.request_id)
        return as_json({"error": error, **answer, "generation": _generation(service)}, status=422)
    await service.catalogue.put(list(parsed.records.values()))
    return as_json({**answer, "generation": _generation(service)})


@router.patch(
    "/items/{item_id:path}",
    tags=["items"],
    summary="Change some fields of an item",
    responses=responses(item_schemas.CHANGED_ITEM, 404, 413, 415, 422, 429, 503, 507),
    openapi_extra=takes(item_schemas.PATCH_REQUEST, item_schemas.PATCH_EXAMPLES),
)
async def patch_item(item_id: str, request: Request, service: ServiceDep) -> Response:
    """Change the named fields of an item, null = remove; the other fields stay."""
    body = await read_body(request, service.settings.max_body_bytes)
    await service.catalogue.patch(item_id, parse_patch(body, service.engine.info.attributes))
    return as_json({"item_id": item_id, "generation": _generation(service)})


@router.delete(
    "/items/{item_id:path}",
    tags=["items"],
    summary="Remove an item",
    responses=responses(item_schemas.CHANGED_ITEM, 404, 429, 503, 507),
)
async def delete_item(item_id: str, service: ServiceDep) -> Response:
    """Remove an item: at once here, and within a moment in every other process."""
    await service.catalogue.delete(item_id)
    return as_json({"item_id": item_id, "generation": _generation(service)})


def _generation(service: Service) -> dict[str, object]:
    generation = service.engine.info.generation
    return {"bundle": generation.bundle, "catalogue": generation.catalogue}
