"""The route of shelves: several named rows in one call. The logic is in `app.serving.shelves`."""

from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api import shelf_schemas
from app.api.body import read_body, unless_left
from app.api.charging import charge
from app.api.problems import problem, read_as, translate
from app.api.routes import ServiceDep, as_json, caller_of, responses, takes
from app.domain.shelf_requests import Shelf, ShelvesRequest
from app.serving.shelves.shelves import FailedRow

router = APIRouter(tags=["recommendations"])

_HOME: Final = {
    "user_id": "7",
    "k": 10,
    "shelves": [
        {"name": "go on", "kind": "continue"},
        {"name": "because", "kind": "because"},
        {"name": "new", "kind": "new"},
        {"name": "space", "query": "space", "title": "Far out"},
        {"name": "popular", "kind": "popular"},
    ],
}


@router.post(
    "/shelves",
    summary="Several named rows that repeat no item",
    responses=responses(shelf_schemas.SHELVES, 413, 415, 422),
    openapi_extra=takes(shelf_schemas.SHELVES_REQUEST, {"home": {"value": _HOME}}),
)
async def fill_shelves(request: Request, service: ServiceDep) -> Response:
    """Return the rows in their order. An item is in the first row that has it.

    A row that fails has an error in its place. A row that has nothing to show to this user is named
    in `left_out`.
    """
    wanted = read_as(ShelvesRequest, await read_body(request, service.settings.max_body_bytes))
    charge(request, len(wanted.shelves))
    filled = await unless_left(request, service.shelves.fill(wanted, caller_of(request)))
    request_id: str = request.state.request_id
    return as_json(
        {
            "generation": {
                "bundle": filled.generation.bundle,
                "catalogue": filled.generation.catalogue,
            },
            "shelves": [_shown(row, request_id) for row in filled.rows],
            "left_out": [{"name": each.name, "reason": each.reason} for each in filled.left_out],
        }
    )


def _shown(row: Any, request_id: str) -> Any:  # noqa: ANN401 - ready for JSON
    if not isinstance(row, FailedRow):
        return row
    return {"name": row.name, "error": problem(translate(row.error, Shelf), request_id)}
