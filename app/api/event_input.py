"""Parsing the body of `POST /events`: an array of events, or an object with `events`.

Each event is judged by itself: a wrong one becomes a remark with the reason, and the others are
accepted. Values follow the rules of event files (`app.domain.values`).
"""

import math
import os
from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from app.api.body import in_turns
from app.api.problems import read_as, translate
from app.core.caller import scoped
from app.core.errors import InvalidRequestError
from app.core.store_ports import user_key
from app.core.strict_json import check_names, check_size
from app.core.types import Event
from app.domain.event_rules import DEFAULT_KIND
from app.domain.named_values import WrongValue, context_of
from app.domain.request import MAX_EVENTS
from app.domain.request_parts import EventKind, Id
from app.domain.values import (
    Unusable,
    is_missing_id,
    limit_to_now,
    parse_event,
    parse_number,
    parse_query,
    parse_time,
)
from app.serving.ingest import Remark


def _present_id(value: object) -> object:
    """Return None for what programs write where they have no id, such as `null`."""
    return None if isinstance(value, str) and value and is_missing_id(value) else value


def _some_id(value: object) -> object:
    """Refuse what programs write where they have no id; see `_seconds`."""
    if _present_id(value) is None:
        raise ValueError("the id is missing")
    return value


def _number(value: object) -> object:
    """Return the number that text spells, as in event files; see `_seconds`."""
    if not isinstance(value, str):
        return value
    try:
        number = parse_number(value, "value")
    except Unusable as reason:
        raise ValueError(str(reason)) from reason
    return None if math.isnan(number) else number


def _seconds(value: object) -> object:
    """Return the unix seconds of a time; anything that cannot be one is returned as it is."""
    if value is None or isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    try:
        moment = parse_time(value, "timestamp")
    except Unusable as reason:
        raise ValueError(str(reason)) from reason
    return None if moment is None else moment.seconds


def _kind(value: object) -> object:
    """Return a kind without blanks around it, the default if it is blank; see `_seconds`."""
    if value is not None and not isinstance(value, str):
        return value
    try:
        return parse_event(value, DEFAULT_KIND)
    except Unusable as reason:
        raise ValueError(str(reason)) from reason


def _words(value: object) -> object:
    """Return a query as it is stored, "" for null; see `_seconds`."""
    if value is not None and not isinstance(value, str):
        return value
    try:
        return parse_query(value)
    except Unusable as reason:
        raise ValueError(str(reason)) from reason


class EventInput(BaseModel):
    """One event as it is sent."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    user_id: Annotated[Id | None, BeforeValidator(_present_id)] = None
    session_id: Annotated[Id | None, BeforeValidator(_present_id)] = None
    item_id: Annotated[Id, BeforeValidator(_some_id)]
    event: Annotated[EventKind, BeforeValidator(_kind)] = DEFAULT_KIND
    value: Annotated[
        Annotated[float, Field(allow_inf_nan=False)] | None, BeforeValidator(_number)
    ] = None
    timestamp: Annotated[float | None, BeforeValidator(_seconds)] = None
    event_id: Id | None = None
    recommendation_id: Id | None = None
    query: Annotated[str, BeforeValidator(_words)] = ""
    context: dict[str, Any] | None = None

    def event_at(self, now: float, namespace: str) -> Event:
        """Return the event to store. Without a time it happened `now`; without an id it gets one.

        `namespace`: whose user that is, and whose event.

        Raises:
            InvalidRequestError: not exactly one of user_id and session_id.
            WrongValue: its context is wrong.
            Unusable: its time lies more than a day after `now` (unix seconds).
        """
        user = user_key(self.user_id, self.session_id, namespace)
        if user is None or None not in {self.user_id, self.session_id}:
            raise InvalidRequestError("give exactly one of user_id and session_id", field="user_id")
        return Event(
            id=scoped(namespace, self.event_id or os.urandom(16).hex()),
            user=user,
            item=self.item_id,
            kind=self.event,
            time=now if self.timestamp is None else limit_to_now(self.timestamp, now),
            value=self.value,
            recommendation=self.recommendation_id,
            query=self.query,
            context=context_of(self.context) if self.context else (),
        )


_Entries = Annotated[list[Any], Field(min_length=1, max_length=MAX_EVENTS)]


class _EventsBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    events: _Entries


_ARRAY: Final[TypeAdapter[list[Any]]] = TypeAdapter(_Entries)


async def parse_events(
    body: bytes, now: Callable[[], float], namespace: str = ""
) -> list[Event | Remark]:
    """Return an event, or a remark that says why it is wrong, for each entry of a body.

    `now`: returns unix seconds. `namespace`: of the caller.

    Raises:
        ValidationError: the body is not a list of events.
        InvalidRequestError: it is no strict JSON, or too much.
    """
    if body.lstrip(b" \t\r\n").startswith(b"["):
        check_size(body)
        entries = _ARRAY.validate_json(body)
        check_names(body, 0, with_nan=True)
    else:
        entries = read_as(_EventsBody, body, with_nan=True).events
    moment = now()
    return await in_turns(
        entries, body, lambda index, entry: _parsed(index, entry, moment, namespace)
    )


def _parsed(index: int, entry: object, now: float, namespace: str) -> Event | Remark:
    try:
        return _read(entry).event_at(now, namespace)
    except WrongValue as wrong:
        field = "context" if wrong.name is None else f"context.{wrong.name}"
        return Remark(index, "invalid_event", str(wrong), field)
    except Unusable as reason:
        return Remark(index, "in_the_future", str(reason), "timestamp")
    except InvalidRequestError as error:
        return Remark(index, "invalid_event", error.message, error.field)


def _read(entry: object) -> EventInput:
    try:
        return EventInput.model_validate(entry)
    except ValidationError as error:
        raise translate(error, EventInput) from error
