"""The routes for rules. They contain no logic of their own."""

import dataclasses
from typing import Final

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api import control_schemas
from app.api.body import loaded, read_body
from app.api.problems import read_as
from app.api.routes import ServiceDep, as_json, responses, takes
from app.core.errors import AppError, InvalidRequestError
from app.core.ranking import RankedItem
from app.domain.request import RecommendRequest
from app.domain.rule import Rule
from app.serving.control.rules import MOST_RULES, ShownRule
from app.serving.dry_run import Compared

router = APIRouter(prefix="/admin/rules", tags=["admin"])

_LIST: Final = "rules"


class _Rules(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    rules: list[Rule] = Field(min_length=1, max_length=MOST_RULES)


class _DryRun(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    rules: list[Rule] = Field(min_length=1, max_length=control_schemas.MOST_TRIED)
    requests: list[RecommendRequest] = Field(min_length=1, max_length=control_schemas.MOST_TRIED)


@router.put(
    "",
    summary="Add or replace rules",
    responses=responses(control_schemas.RULES_PUT, 413, 415, 422, 429, 503, 507),
    openapi_extra=takes(control_schemas.RULES_REQUEST, control_schemas.RULES_EXAMPLES),
)
async def put_rules(request: Request, service: ServiceDep) -> Response:
    """Store rules, all or none; those with other ids stay.

    Once this has answered, they are durable, and in force in the process that answered; in every
    other one within a second.
    """
    body = await read_body(request, service.settings.max_body_bytes)
    rules = read_as(_Rules, body).rules
    warnings = await service.control.put_rules(rules, _LIST)
    return as_json(
        {
            "number": service.control.number,
            "accepted": len(rules),
            "warnings": [dataclasses.asdict(each) for each in warnings],
        }
    )


@router.get(
    "", summary="All rules, the oldest first", responses=responses(control_schemas.RULES, 503)
)
async def list_rules(service: ServiceDep) -> Response:
    """Return all rules, whether they are in force now, and why one cannot be."""
    await service.control.catch_up()  # or what another process has just put would be missing
    shown = [_shown(each) for each in service.control.rules.shown()]
    return as_json({"number": service.control.number, "rules": shown})


@router.delete(
    "", summary="Delete all rules", responses=responses(control_schemas.DELETED, 429, 503, 507)
)
async def delete_rules(service: ServiceDep) -> Response:
    """Delete all rules, at once here, and within a second in every other process."""
    deleted = await service.control.delete_rules(None)
    return as_json({"number": service.control.number, "deleted": deleted})


@router.post(
    "/dry-run",
    summary="How rules would change some answers",
    responses=responses(control_schemas.DRY_RUN, 413, 415, 422, 503),
    openapi_extra=takes(control_schemas.DRY_RUN_REQUEST, control_schemas.DRY_RUN_EXAMPLES),
)
async def try_rules(request: Request, service: ServiceDep) -> Response:
    """Return the list of each request before and after, and what changes; nothing is stored.

    A request that fails has an error in its position.
    """
    sent = read_as(_DryRun, await read_body(request, service.settings.max_body_bytes))
    results, warnings = await service.dry_run.run(sent.rules, sent.requests, _LIST)
    return as_json(
        {
            "results": [_compared(each) for each in results],
            "warnings": [dataclasses.asdict(each) for each in warnings],
        }
    )


@router.put(
    "/{rule_id}",
    summary="Add or replace a rule",
    responses=responses(control_schemas.RULES_PUT, 413, 415, 422, 429, 503, 507),
    openapi_extra=takes(control_schemas.RULE_BODY, control_schemas.RULE_EXAMPLES),
)
async def put_rule(rule_id: str, request: Request, service: ServiceDep) -> Response:
    """Store one rule, as `PUT /admin/rules` does; its id may be left out of the body."""
    body = await read_body(request, service.settings.max_body_bytes)
    rule = read_as(Rule, _named(body, rule_id))
    if rule.id != rule_id:
        raise InvalidRequestError("the address names another rule", field="id")
    warnings = await service.control.put_rules([rule])
    return as_json(
        {
            "number": service.control.number,
            "accepted": 1,
            "warnings": [dataclasses.asdict(each) for each in warnings],
        }
    )


@router.get(
    "/{rule_id}", summary="One rule", responses=responses(control_schemas.SHOWN_RULE, 404, 503)
)
async def get_rule(rule_id: str, service: ServiceDep) -> Response:
    """Return a rule, and whether it is in force now."""
    await service.control.catch_up()
    return as_json(_shown(service.control.rules.shown_one(rule_id)))


@router.delete(
    "/{rule_id}",
    summary="Delete a rule",
    responses=responses(control_schemas.DELETED, 404, 429, 503, 507),
)
async def delete_rule(rule_id: str, service: ServiceDep) -> Response:
    """Delete a rule, at once here, and within a second in every other process."""
    deleted = await service.control.delete_rules(rule_id)
    return as_json({"number": service.control.number, "deleted": deleted})


def _named(body: bytes, rule_id: str) -> bytes:
    """Return a body with the id of the address, if it has none."""
    sent = loaded(body)
    return orjson.dumps({"id": rule_id, **sent}) if isinstance(sent, dict) else body


def _shown(shown: ShownRule) -> dict[str, object]:
    return {
        "rule": orjson.Fragment(shown.rule.text()),
        "version": shown.version,
        "put_at": shown.put_at,
        "active": shown.active,
        "problem": shown.problem,
    }


def _compared(result: Compared | AppError) -> dict[str, object]:
    if isinstance(result, AppError):
        error = {"code": result.code, "message": result.message}
        return {"error": error if result.field is None else {**error, "field": result.field}}
    return {
        "before": [_listed(item) for item in result.before.items],
        "after": [_listed(item) for item in result.after.items],
        "changes": [dataclasses.asdict(change) for change in result.changes],
        "rules": result.after.rules,
    }


def _listed(item: RankedItem) -> dict[str, object]:
    return {
        "id": item.id,
        "title": item.title,
        "score": item.score,
        "placed_by": item.placed_by,
    }
