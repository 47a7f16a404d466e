"""The routes for recommendations, items and the state of the service.

They read and validate a request, call the service, and write its answer: no logic of their own.
"""

import asyncio
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, Request
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)
from starlette.responses import Response

from app import __version__
from app.api import item_schemas, schemas
from app.api.body import in_turns, read_body, unless_left
from app.api.charging import account_of, bound, charge
from app.api.edge import response_of
from app.api.problems import MEANING, problem, read_as, translate
from app.api.reply import answer_reply
from app.api.schema_parts import Schema
from app.bootstrap import Service
from app.core.caller import Caller
from app.core.errors import NotFoundError, NotReadyError
from app.domain import request as limits
from app.domain.query_text import MAX_QUERY_CHARACTERS
from app.domain.request import RecommendRequest
from app.domain.request_parts import MAX_HISTORY, MAX_K, Query
from app.serving.access.keys import ApiKey
from app.serving.stores.opening import is_shared

router = APIRouter()


async def service_of(request: Request) -> Service:
    """Return the running service. FastAPI would call a plain function in a thread every time."""
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(service_of)]


class _BatchRequest(BaseModel):
    """The body of a batch; its requests are read one by one."""

    model_config = ConfigDict(extra="forbid", strict=True)

    requests: list[Any] = Field(min_length=1, max_length=limits.MAX_BATCH)


class _InterpretRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    query: Query


def described(meaning: str, body: Schema) -> dict[str, Any]:
    """Return what OpenAPI says of one answer."""
    return {"description": meaning, "content": {"application/json": {"schema": body}}}


def responses(schema: Schema, *statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of a route's answers: the schema, and the statuses of failures."""
    problems: dict[int | str, dict[str, Any]] = {
        code: described(MEANING[code], schemas.ERROR) for code in statuses
    }
    return {200: described("OK", schema), **problems}


def takes(schema: Schema, examples: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what OpenAPI says of the body that a route takes."""
    content: dict[str, Any] = {"schema": schema}
    if examples:
        content["examples"] = examples
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def as_json(content: object, status: int = 200) -> Response:
    """Return a JSON response of plain data."""
    return Response(orjson.dumps(content), status, media_type="application/json")


_LIBRARIES: Final = ("faiss-cpu", "fastapi", "numpy", "onnxruntime", "tokenizers", "uvicorn")
_SHORT_BATCH: Final = 16_384
"""Bytes of a batch whose requests take so little to plan that others can wait for all of them."""

_CAN_FAIL: Final = (413, 415, 422, 429, 500, 503, 504)


@router.post(
    "/recommend",
    tags=["recommendations"],
    summary="Recommend items for words, a user, both or neither",
    responses=responses(schemas.ANSWER, *_CAN_FAIL),
    openapi_extra=takes(schemas.recommend_request(), schemas.EXAMPLES),
)
async def recommend(request: Request, service: ServiceDep) -> Response:
    """Return ranked items, each with its score and the sources that brought it."""
    # Most requests are answered by `app.api.fast_path` and never come here.
    body = await read_body(request, service.settings.max_body_bytes)
    ask = read_as(RecommendRequest, body)
    answer = await unless_left(request, service.recommender.recommend(ask, caller_of(request)))
    return response_of(answer_reply(answer))


@router.post(
    "/recommend/batch",
    tags=["recommendations"],
    summary="Several requests in one call",
    responses=responses(schemas.BATCH_ANSWER, 413, 415, 422, 429),
    openapi_extra=takes(
        schemas.BATCH_REQUEST,
        {"two": {"value": {"requests": [{"query": "heist", "k": 3}, {"user_id": "7", "k": 3}]}}},
    ),
)
async def recommend_batch(request: Request, service: ServiceDep) -> Response:
    """Answer each request by itself, in order; one that fails has an error in its position."""
    body = await read_body(request, service.settings.max_body_bytes)
    requests = read_as(_BatchRequest, body).requests
    charge(request, len(requests))
    asks = await in_turns(requests, body, _read)
    request_id: str = request.state.request_id
    short = len(body) <= _SHORT_BATCH
    answers = _all(service, asks, request_id, caller_of(request), at_once=short)
    results = await unless_left(request, answers)
    return Response(results, media_type="application/json")


def caller_of(request: Request) -> Caller:
    """Return who asks, and what the key binds the caller to."""
    key: ApiKey = request.state.key
    return bound(request.client.host if request.client else "", key, account_of(request))


def _read(_: int, entry: object) -> RecommendRequest | ValidationError:
    """Return a request of a batch; one that is invalid becomes its own error, in its position."""
    try:
        return RecommendRequest.model_validate(entry)
    except ValidationError as error:
        return error


async def _all(
    service: Service,
    asks: Sequence[RecommendRequest | ValidationError],
    request_id: str,
    caller: Caller,
    *,
    at_once: bool,
) -> bytes:
    """Return the answers to a batch. `at_once`: all requests begin in one turn of the loop."""
    async with asyncio.TaskGroup() as group:
        tasks = []
        for ask in asks:
            tasks.append(group.create_task(_one(service, ask, request_id, caller)))
            if not at_once:
                await asyncio.sleep(0)
    return b'{"results":[' + b",".join([task.result() for task in tasks]) + b"]}"


async def _one(
    service: Service, ask: RecommendRequest | ValidationError, request_id: str, caller: Caller
) -> bytes:
    if isinstance(ask, ValidationError):
        return _problem_bytes(ask, request_id)
    try:
        return (await service.recommender.recommend(ask, caller)).body
    except Exception as error:  # noqa: BLE001 - a failure is the answer of its own entry
        return _problem_bytes(error, request_id)


def _problem_bytes(error: Exception, request_id: str) -> bytes:
    return orjson.dumps({"error": problem(translate(error, RecommendRequest), request_id)})


@router.post(
    "/interpret",
    tags=["recommendations"],
    summary="What a query asks for",
    responses=responses(schemas.INTERPRETED, 413, 415, 422, 503),
    openapi_extra=takes(schemas.INTERPRET_REQUEST, schemas.INTERPRET_EXAMPLES),
)
async def interpret(request: Request, service: ServiceDep) -> Response:
    """Return the intent that `POST /recommend` would find in a query, and search for nothing."""
    body = await read_body(request, service.settings.max_body_bytes)
    query = read_as(_InterpretRequest, body).query
    return as_json({"intent": orjson.Fragment(await service.recommender.interpret(query))})


@router.get(
    "/items/{item_id:path}",
    tags=["items"],
    summary="One item of the catalogue",
    responses=responses(item_schemas.ITEM, 404, 503),
)
async def get_item(item_id: str, service: ServiceDep) -> Response:
    """Return an item with all its fields."""
    found = service.engine.item(item_id)
    if found is None:
        raise NotFoundError("there is no such item", field="item_id")
    return as_json({"id": found.id, "title": found.title, "fields": found.fields})


@router.get(
    "/livez",
    tags=["service"],
    summary="Is the process alive?",
    responses=responses(schemas.STATUS_ANSWER),
)
async def is_alive() -> Response:
    """Answer 200 as long as the event loop runs."""
    return as_json({"status": "ok"})


@router.get(
    "/readyz",
    tags=["service"],
    summary="Can it answer?",
    responses=responses(schemas.READY_ANSWER, 503),
)
async def is_ready(service: ServiceDep) -> Response:
    """Answer 200 after the warm-up until it stops, even if a shared cache is down.

    `saturation` says how near it is to refusing requests with the default budget: from about 1 on.
    """
    if (trouble := service.trouble) is not None:
        raise NotReadyError(trouble)
    saturation = service.batcher.saturation(limits.DEFAULT_BUDGET_MS / 1e3)
    return as_json({"status": "ok", "saturation": round(saturation, 2)})


@router.get(
    "/info", tags=["service"], summary="What is being served", responses=responses(schemas.INFO)
)
async def get_info(service: ServiceDep) -> Response:
    """Return bundle, versions, limits and backend."""
    engine, settings = service.engine.info, service.settings
    return as_json(
        {
            "version": __version__,
            "libraries": {name: version(name) for name in _LIBRARIES},
            "bundle": {
                "name": engine.bundle_name,
                "generation": engine.bundle,
                "catalogue": engine.catalogue,
            },
            "items": engine.n_items,
            "users": engine.n_users,
            "events": engine.n_events,
            "encoder": {"id": engine.encoder, "dim": engine.dim},
            "index": engine.index,
            "scorer": engine.scorer,
            "training": service.training,
            "fields": dict(engine.attributes),
            "user_attributes": dict(engine.user_attributes),
            "goals": list(engine.goals),
            "goal_weights": dict(engine.goal_weights),
            "backend": {
                "device": settings.device,
                "threads": settings.threads_per_worker(),
                "workers": settings.workers,
            },
            "cache": {
                "local_bytes": settings.cache_local_bytes,
                "shared": settings.cache_url is not None,
            },
            "store": {"shared": is_shared(settings)},
            "limits": {
                "query_characters": MAX_QUERY_CHARACTERS,
                "history": MAX_HISTORY,
                "candidates": limits.MAX_CANDIDATES,
                "exclude": limits.MAX_EXCLUDE,
                "fields": limits.MAX_FIELDS,
                "k": MAX_K,
                "batch": limits.MAX_BATCH,
                "events": limits.MAX_EVENTS,
                "events_per_kind": settings.store_events_per_kind,
                "body_bytes": settings.max_body_bytes,
                "pending_requests": settings.max_pending_requests,
            },
        }
    )


@router.get(
    "/metrics",
    tags=["service"],
    summary="Prometheus metrics",
    responses={
        200: {"description": "OK", "content": {"text/plain": {"schema": {"type": "string"}}}}
    },
)
async def get_metrics(service: ServiceDep) -> Response:
    """Return all metrics, over all workers."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
