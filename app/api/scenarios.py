"""The routes for scenarios. They contain no logic of their own."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api import control_schemas
from app.api.body import loaded, read_body
from app.api.parameters import parameters, read_parameters
from app.api.problems import read_as
from app.api.routes import ServiceDep, as_json, responses, takes
from app.bootstrap import Service
from app.core.control_port import ControlEntry
from app.core.errors import InvalidRequestError
from app.domain.request import RecommendRequest
from app.domain.request_parts import ControlName
from app.serving.control.checking import ControlWarning
from app.serving.control.scenarios import MOST_SCENARIOS
from app.serving.scenario_desk import version_of

router = APIRouter(prefix="/admin/scenarios", tags=["admin"])

_OBJECT: Final = "scenarios"


class _Scenarios(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    scenarios: dict[ControlName, RecommendRequest] = Field(min_length=1, max_length=MOST_SCENARIOS)


class _ScenarioName(BaseModel):
    name: ControlName


class _Version(BaseModel):
    """The part of an address after `?`: its values are text."""

    model_config = ConfigDict(extra="forbid")

    version: int | None = Field(
        default=None, ge=1, le=2**53, description="an older version; by default the newest"
    )


@router.put(
    "",
    summary="Add or replace scenarios",
    responses=responses(control_schemas.SCENARIOS_PUT, 413, 415, 422, 429, 503, 507),
    openapi_extra=takes(control_schemas.SCENARIOS_REQUEST, control_schemas.SCENARIOS_EXAMPLES),
)
async def put_scenarios(request: Request, service: ServiceDep) -> Response:
    """Store a new version of each scenario, all or none; other scenarios stay.

    Once this has answered, they are durable, and in force in the process that answered; in every
    other one within a second.
    """
    body = await read_body(request, service.settings.max_body_bytes)
    read_as(_Scenarios, body)
    put, warnings = await service.scenarios.put(loaded(body)[_OBJECT], _OBJECT)
    return _put(put, warnings, service)


@router.get("", summary="All scenarios", responses=responses(control_schemas.SCENARIOS, 503))
async def list_scenarios(service: ServiceDep) -> Response:
    """Return all scenarios in their newest versions, the oldest scenario first."""
    await service.control.catch_up()  # or what another process has just put would be missing
    shown = [_shown(entry) for entry in service.control.scenarios.entries()]
    return as_json({"number": service.control.number, "scenarios": shown})


@router.put(
    "/{name}",
    summary="Add or replace a scenario, or put an older version back",
    responses=responses(control_schemas.SCENARIOS_PUT, 404, 413, 415, 422, 429, 503, 507),
    openapi_extra={
        **takes(control_schemas.SCENARIO_FIELDS, control_schemas.SCENARIO_EXAMPLES),
        **parameters(_Version),
    },
)
async def put_scenario(name: str, request: Request, service: ServiceDep) -> Response:
    """Store the fields of the body as a new version of the scenario.

    With `version` in the address and an empty body, that older version becomes the newest one.
    """
    version = read_parameters(_Version, request).version
    body = await read_body(request, service.settings.max_body_bytes)
    if version is not None:
        if body.strip() not in {b"", b"{}"}:
            message = "with `version`, the body must be empty"
            raise InvalidRequestError(message, field="version")
        put, warnings = await service.scenarios.put_back(name, version)
        return _put([put], warnings, service)
    read_as(_ScenarioName, orjson.dumps({"name": name}))
    read_as(RecommendRequest, body)
    entries, warnings = await service.scenarios.put({name: loaded(body)})
    return _put(entries, warnings, service)


@router.get(
    "/{name}",
    summary="One scenario, and which versions there are",
    responses=responses(control_schemas.SCENARIO_VERSIONS, 404, 422, 503),
    openapi_extra=parameters(_Version),
)
async def get_scenario(name: str, request: Request, service: ServiceDep) -> Response:
    """Return the newest version of a scenario, or the one that is named; 50 are kept."""
    version = read_parameters(_Version, request).version
    versions = await service.control.versions(name)
    entry = versions[0] if version is None else version_of(versions, version)
    kept = [{"version": each.version, "put_at": each.put_at} for each in versions]
    return as_json({**_shown(entry), "versions": kept})


@router.delete(
    "/{name}",
    summary="Delete a scenario with all its versions",
    responses=responses(control_schemas.DELETED, 404, 429, 503, 507),
)
async def delete_scenario(name: str, service: ServiceDep) -> Response:
    """Delete a scenario: requests that name it are refused from then on."""
    await service.control.delete_scenario(name)
    return as_json({"number": service.control.number, "deleted": 1})


def _put(
    entries: Sequence[ControlEntry], warnings: Sequence[ControlWarning], service: Service
) -> Response:
    answer: dict[str, Any] = {
        "number": service.control.number,
        "versions": {entry.name: entry.version for entry in entries},
        "warnings": [dataclasses.asdict(each) for each in warnings],
    }
    return as_json(answer)


def _shown(entry: ControlEntry) -> dict[str, object]:
    return {
        "name": entry.name,
        "version": entry.version,
        "put_at": entry.put_at,
        "request": orjson.Fragment(entry.text),
    }
