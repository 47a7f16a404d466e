"""The routes for operators. They contain no logic of their own."""

from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api import schemas
from app.api.body import read_body
from app.api.parameters import parameters, read_parameters
from app.api.problems import read_as
from app.api.routes import ServiceDep, as_json, responses
from app.doctor.facts import ExaminedService
from app.doctor.gathering import Patient, check_up
from app.domain.query_text import MAX_QUERY_CHARACTERS, normalised_query
from app.serving.intents.learner import ShownIntent
from app.serving.intents.words import words_of

router = APIRouter(prefix="/admin", tags=["admin"])

_PAGE: Final = 100
_MOST_SHOWN: Final = 1000
_MAX_SEQ: Final = 2**53
_READ_RESULTS: Final = ("hit", "miss", "outdated")


class _NoFields(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Page(BaseModel):
    """The part of an address after `?`: its values are text."""

    model_config = ConfigDict(extra="forbid")

    after: int = Field(default=0, ge=0, le=_MAX_SEQ, description="`next` of the page before")
    limit: int = Field(default=_PAGE, ge=1, le=_MOST_SHOWN)


class _Chosen(BaseModel):
    # Forbidden, or a typing error in the name would remove everything.
    model_config = ConfigDict(extra="forbid")

    words: Annotated[str, AfterValidator(normalised_query)] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_QUERY_CHARACTERS,
        description="of one query; without them, everything is removed",
    )


@router.post(
    "/reload",
    summary="Serve the generation that `current` points to",
    responses=responses(schemas.RELOAD, 409, 413, 415, 422, 503),
    openapi_extra={
        "requestBody": {"content": {"application/json": {"schema": schemas.RELOAD_REQUEST}}}
    },
)
async def reload_bundle(request: Request, service: ServiceDep) -> Response:
    """Load that generation, warm it up, and let it take over; requests are served meanwhile.

    The answer comes when it has taken over. If it cannot be used, the call fails, and the
    generation before serves on.
    """
    body = await read_body(request, service.settings.max_body_bytes)
    if body.strip():
        read_as(_NoFields, body)
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


@router.get(
    "/intents",
    summary="What a language model has taught",
    responses=responses(schemas.LEARNED_INTENTS, 422, 503),
    openapi_extra=parameters(_Page),
)
async def list_learned_intents(request: Request, service: ServiceDep) -> Response:
    """Return the learned intents, in the order in which they were learned."""
    asked = read_parameters(_Page, request)
    learner, model = service.intents, service.settings.llm_model
    if learner is None:
        return as_json({"enabled": False, "model": None, "intents": [], "next": None})
    page = await learner.shown(asked.after, asked.limit)
    following = page[-1].learned.seq if len(page) == asked.limit else None
    shown = [_shown(each) for each in page]
    return as_json({"enabled": True, "model": model, "intents": shown, "next": following})


@router.delete(
    "/intents",
    summary="Forget what a language model has taught",
    responses=responses(schemas.FORGOTTEN_INTENTS, 422, 503),
    openapi_extra=parameters(_Chosen),
)
async def forget_learned_intents(request: Request, service: ServiceDep) -> Response:
    """Forget what was learned of the words of a query, or everything."""
    words = read_parameters(_Chosen, request).words
    if service.intents is None:
        return as_json({"removed": 0})
    one = None if words is None else words_of(words)
    return as_json({"removed": await service.intents.remove(one)})


@router.get(
    "/doctor",
    summary="What is wrong with the data and the bundle",
    responses=responses(schemas.DOCTOR, 503),
)
async def examine(service: ServiceDep) -> Response:
    """Return what is wrong with items, events, bundle and service, and what to do about it.

    Items and events are those of now. Queries and look-ups in the cache are those of one process.
    """
    reads = service.metrics.cache_reads
    local = {result: reads.labels("local", result).value for result in _READ_RESULTS}
    patient = Patient(
        engine=service.engine,
        rules=service.users.rules,
        events=service.users.events,
        bundle=service.settings.bundle,
        service=ExaminedService(
            workers=service.settings.workers,
            shared_cache=service.settings.cache_url is not None,
            **service.recommender.queries.counts._asdict(),
            cache_reads=int(sum(local.values())),
            cache_hits=int(local["hit"]),
            set_aside=tuple(service.catalogue.set_aside),
        ),
        run=service.batcher.run_exclusive,
    )
    return as_json((await check_up(patient)).shown())


def _shown(intent: ShownIntent) -> dict[str, object]:
    learned = intent.learned
    return {
        "seq": learned.seq,
        "words": learned.words,
        "intent": orjson.Fragment(intent.used) if intent.used else None,
        "learned_at": learned.learned_at,
        "used_at": learned.used_at,
        "uses": learned.uses,
    }
