"""The routes for operators. They contain no logic of their own."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from app.api import schemas
from app.api.body import read_body
from app.api.routes import ServiceDep, as_json, responses

router = APIRouter(prefix="/admin")


class _NoFields(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


@router.post(
    "/reload",
    summary="Serve the generation that `current` points to",
    responses=responses(schemas.RELOAD, 409, 413, 422, 503),
    openapi_extra={
        "requestBody": {"content": {"application/json": {"schema": schemas.RELOAD_REQUEST}}}
    },
)
async def reload(request: Request, service: ServiceDep) -> Response:
    """Load that generation, warm it up, and let it take over; requests are served meanwhile.

    The answer comes when it has taken over. If it cannot be used, the call fails, and the
    generation before serves on.
    """
    body = await read_body(request, service.settings.max_body_bytes)
    if body.strip():
        _NoFields.model_validate_json(body)
    done = await service.reloader.reload()
    return as_json(
        {
            "generation": {
                "bundle": done.generation.bundle,
                "catalogue": done.generation.catalogue,
            },
            "previous": done.previous,
            "reloaded": done.reloaded,
            "seconds": round(done.seconds, 3),
        }
    )
