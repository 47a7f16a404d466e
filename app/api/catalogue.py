"""The routes of the catalogue: what can be filtered by, and the items themselves. No logic."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api import catalogue_schemas as schemas
from app.api.caller import read_body
from app.api.routes import ServiceDep, as_json, responses, takes
from app.bootstrap import Service
from app.errors import InvalidRequestError
from app.filters import filter_text
from app.request import MAX_FIELDS, FieldNames
from app.types import Facets, FieldFacts

router = APIRouter()

_FREQUENT: Final = 20
_MOST_FREQUENT: Final = 1000


class _Facets(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    fields: FieldNames = Field(default=(), max_length=MAX_FIELDS)
    filter: dict[str, Any] | None = None
    limit: Annotated[int, Field(ge=1, le=_MOST_FREQUENT)] = _FREQUENT


@router.get(
    "/catalogue",
    summary="The fields of the items",
    responses=responses(schemas.CATALOGUE, 503),
)
async def catalogue(service: ServiceDep) -> Response:
    """Return every field with its kind, how many items have it, and its frequent values."""
    found = await _counted(service, "", tuple(service.engine.info.attributes), _FREQUENT)
    info = service.engine.info
    generation = {"bundle": info.bundle, "catalogue": info.catalogue}
    return as_json({"items": found.total, "generation": generation, "fields": _shown(found)})


@router.post(
    "/facets",
    summary="Count values among the items that pass a filter",
    responses=responses(schemas.FACETS, 413, 422, 503),
    openapi_extra=takes(
        schemas.FACETS_REQUEST,
        {"two": {"value": {"fields": ["categories", "published_at"], "limit": 5}}},
    ),
)
async def facets(request: Request, service: ServiceDep) -> Response:
    """Return how many items pass, and the values they have in the fields asked for."""
    asked = _Facets.model_validate_json(await read_body(request, service.settings.max_body_bytes))
    known = service.engine.info.attributes
    for name in asked.fields:
        if name not in known:
            there_are = ", ".join(sorted(known))
            raise InvalidRequestError(f"no such field; there are: {there_are}", field="fields")
    text = filter_text(asked.filter)
    if text:
        service.engine.check_filter(text)
    found = await _counted(service, text, asked.fields or tuple(known), asked.limit)
    return as_json({"total": found.total, "fields": _shown(found)})


async def _counted(service: Service, text: str, fields: tuple[str, ...], limit: int) -> Facets:
    # Where passes are made: the catalogue changes there, and nowhere else.
    return await service.batcher.between(lambda: service.engine.facets(text, fields, limit))


def _shown(found: Facets) -> dict[str, dict[str, object]]:
    return {facts.name: _field(facts) for facts in found.fields}


def _field(facts: FieldFacts) -> dict[str, object]:
    shown: dict[str, object] = {"type": facts.kind, "count": facts.count}
    if facts.distinct is None:
        return {**shown, "min": facts.low, "max": facts.high}
    values = [{"value": value, "count": count} for value, count in facts.values]
    return {**shown, "distinct": facts.distinct, "values": values}
