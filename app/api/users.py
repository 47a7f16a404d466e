"""The routes for events and users. The logic is in `app.serving`."""

import dataclasses
import time
from typing import Any, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.api import people_schemas
from app.api.body import read_body
from app.api.charging import charge
from app.api.event_input import parse_events
from app.api.problems import read_as
from app.api.routes import ServiceDep, as_json, caller_of, responses, takes
from app.bootstrap import Service
from app.core.caller import NAMESPACE, scoped, unscoped
from app.core.errors import InvalidRequestError, NotFoundError
from app.core.store_ports import user_key
from app.core.types import Event
from app.domain.named_values import WrongValue, attributes_of, shown
from app.domain.request_parts import Id
from app.serving.user_state import UserState, taste_of

router = APIRouter()

_ID: TypeAdapter[str] = TypeAdapter(Id)
_SHOWN: Final = 200


class _Merge(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    session_id: Id


class _Who(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    attributes: dict[str, Any]


@router.post(
    "/events",
    tags=["events"],
    summary="Say what people did",
    responses=responses(people_schemas.EVENTS_ANSWER, 413, 415, 422, 429, 503, 507),
    openapi_extra=takes(people_schemas.EVENTS_REQUEST, people_schemas.EVENT_EXAMPLES),
)
async def send_events(request: Request, service: ServiceDep) -> Response:
    """Store the events that can be stored, and say what is wrong with the others.

    Once this answers, the accepted events are durable and shape the very next recommendation.
    """
    body = await read_body(request, service.settings.max_body_bytes)
    events = await parse_events(body, time.time, caller_of(request).namespace)
    charge(request, len(events))
    taken = await service.ingest.take(events)
    return as_json(dataclasses.asdict(taken))


@router.delete(
    "/events/{event_id:path}",
    tags=["events"],
    summary="Take an event back",
    responses=responses(people_schemas.EVENT_UNDONE, 404, 422, 429, 503, 507),
)
async def undo_event(event_id: str, request: Request, service: ServiceDep) -> Response:
    """Delete one event, as if it had never been sent, now and in every process.

    It works for events that were sent to this service. What a bundle has learned of an event stays
    until the bundle is built or trained again.
    """
    stored = scoped(caller_of(request).namespace, _valid(event_id, "event_id"))
    if not await service.users.events.undo(stored):
        raise NotFoundError("no event of this id is stored", field="event_id")
    return as_json({"event_id": event_id})


@router.get(
    "/users/{user_id:path}",
    tags=["users"],
    summary="What is known of a user",
    responses=responses(people_schemas.USER, 404, 422, 503),
)
async def get_user(user_id: str, request: Request, service: ServiceDep) -> Response:
    """Return what shapes a user's recommendations, the newest events of all kinds, and counts."""
    _refuse_merge(request)
    state = await service.users.read_all(_key(user_id, request))
    if not (state.frozen or state.stored.events or state.attributes):
        raise NotFoundError("nothing is known of this user", field="user_id")
    return as_json(_shown(user_id, state, service))


@router.put(
    "/users/{user_id:path}",
    tags=["users"],
    summary="Say who a user is",
    responses=responses(people_schemas.USER_PUT, 404, 413, 415, 422, 429, 503, 507),
    openapi_extra=takes(people_schemas.PUT_USER_REQUEST, people_schemas.PUT_USER_EXAMPLES),
)
async def put_user(user_id: str, request: Request, service: ServiceDep) -> Response:
    """Store the attributes of a user in place of all that were known before."""
    _refuse_merge(request)
    user = _key(user_id, request)
    body = await read_body(request, service.settings.max_body_bytes)
    sent = read_as(_Who, body).attributes
    if NAMESPACE in sent:
        message = "the namespace of a user is that of the key, and no attribute"
        raise InvalidRequestError(message, field=f"attributes.{NAMESPACE}")
    try:
        attributes = attributes_of(sent)
    except WrongValue as wrong:
        field = "attributes" if wrong.name is None else f"attributes.{wrong.name}"
        raise InvalidRequestError(str(wrong), field=field) from wrong
    await service.users.events.put_attributes(user, attributes)
    return as_json({"user_id": user_id, "attributes": shown(attributes)})


@router.delete(
    "/users/{user_id:path}",
    tags=["users"],
    summary="Forget a user",
    responses=responses(people_schemas.USER_DELETED, 404, 422, 429, 503, 507),
)
async def delete_user(user_id: str, request: Request, service: ServiceDep) -> Response:
    """Make everything that is known of a user unreachable, now and in every process.

    The values leave the store's files with `recserve compact`, and the bundle when it is next
    built. Cached answers cannot be reached any more, and expire. Kept answers are erased.
    """
    _refuse_merge(request)
    user = _key(user_id, request)
    state = await service.users.read_all(user)
    frozen, users = state.frozen, (user, *state.stored.merged)
    # First, because the user's sessions are known until the events are gone: if this fails, the
    # call can be repeated. Then again, for what was answered in between.
    if service.answers is not None:
        await service.answers.erase(users)
    gone = await service.users.events.delete(user)
    if service.answers is not None:
        await service.answers.erase(users)
    return as_json({"user_id": user_id, "deleted": {"store": gone, "bundle": len(frozen)}})


@router.post(
    "/users/{user_id:path}/merge",
    tags=["users"],
    summary="A session turns out to be a user",
    responses=responses(people_schemas.USER_MERGED, 404, 413, 415, 422, 429, 503, 507),
    openapi_extra=takes(people_schemas.MERGE_REQUEST),
)
async def merge_session(user_id: str, request: Request, service: ServiceDep) -> Response:
    """Give a session's events, and what the bundle knows of the session, to a user."""
    user = _key(user_id, request)
    body = await read_body(request, service.settings.max_body_bytes)
    session_id = read_as(_Merge, body).session_id
    session = str(user_key(None, session_id, caller_of(request).namespace))
    moved = await service.users.events.merge(session, user)
    return as_json({"user_id": user_id, "session_id": session_id, "moved": moved})


def _refuse_merge(request: Request) -> None:
    """Refuse a path that belongs to the route /users/ID/merge.

    A user with the id "ID/merge" is sent as ID%2Fmerge.
    """
    if request.scope["raw_path"].endswith(b"/merge"):
        raise HTTPException(405)


def _key(user_id: str, request: Request) -> str:
    return str(user_key(_valid(user_id, "user_id"), None, caller_of(request).namespace))


def _valid(given: str, field: str) -> str:
    try:
        return _ID.validate_python(given)
    except ValidationError as error:
        raise InvalidRequestError("this is not an id", field=field) from error


def _shown(user_id: str, state: UserState, service: Service) -> dict[str, Any]:
    taste = taste_of(state, service.users.rules, time.time())
    return {
        "user_id": user_id,
        "attributes": shown(state.attributes),
        "history": taste.history,
        "disliked": taste.disliked,
        "events": [_event(event) for event in reversed(state.stored.events)][:_SHOWN],
        "counts": {"bundle": len(state.frozen), "events": dict(state.stored.counts)},
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "event_id": unscoped(event.id)[1],
        "item_id": event.item,
        "event": event.kind,
        "value": event.value,
        "timestamp": event.time,
        "recommendation_id": event.recommendation,
        "query": event.query or None,
        "context": shown(event.context),
    }
