"""JSON schemas of the routes of events and users."""

from typing import Final

from app.api.schema_parts import (
    COUNT,
    ID,
    REMARK,
    SECONDS,
    STRING,
    Schema,
    array_of,
    object_of,
)
from app.core.caller import NAMESPACE
from app.domain.event_rules import MAX_KIND_CHARS
from app.domain.named_values import (
    ID_NAMES,
    MAX_NAME_CHARS,
    MAX_NAMES,
    MAX_TEXT_CHARS,
    MAX_TEXTS,
    NAME_PATTERN,
)
from app.domain.query_text import MAX_QUERY_CHARACTERS
from app.domain.request import CONTEXT_SCHEMA, MAX_EVENTS

EVENTS_ANSWER: Final = object_of(
    "EventsAnswer",
    {
        "accepted": COUNT,
        "duplicates": {**COUNT, "description": "events whose event_id is stored already"},
        "rejected": {**array_of(REMARK), "description": "events that were not stored, and why"},
        "warnings": {**array_of(REMARK), "description": "events that were stored, but look wrong"},
    },
)

_OR_NULL: Final = {**ID, "type": ["string", "integer", "null"]}

EVENT: Final = object_of(
    "SentEvent",
    {
        "user_id": {**_OR_NULL, "description": "who did it; exactly one of user_id and session_id"},
        "session_id": _OR_NULL,
        "item_id": {**ID, "description": "of the catalogue, or not in it yet"},
        "event": {
            "type": ["string", "null"],
            "maxLength": MAX_KIND_CHARS,
            "description": "the kind of the event (default: click)",
        },
        "value": {
            "type": ["number", "string", "null"],
            "description": "such as the stars of a rating; text may spell it",
        },
        "timestamp": {
            "type": ["string", "number", "null"],
            "description": "ISO 8601 or unix seconds (default: now)",
        },
        "event_id": {
            **_OR_NULL,
            "description": "if it is sent again, it counts once (default: a new one)",
        },
        "recommendation_id": {**_OR_NULL, "description": "the answer that the event came from"},
        "query": {
            "type": ["string", "null"],
            "maxLength": MAX_QUERY_CHARACTERS,
            "description": "the words that led to the event",
        },
        "context": {
            **CONTEXT_SCHEMA,
            "description": "where, when and on what: name -> text, number, true or false",
        },
    },
    optional=(
        *("user_id", "session_id", "event", "value", "timestamp", "event_id"),
        *("recommendation_id", "query", "context"),
    ),
)

_SENT_EVENTS: Final[Schema] = {
    "type": "array",
    "minItems": 1,
    "maxItems": MAX_EVENTS,
    "items": EVENT,
    "description": "an invalid event is rejected by itself",
}

EVENTS_REQUEST: Final[Schema] = {
    "anyOf": [_SENT_EVENTS, object_of("EventBatch", {"events": _SENT_EVENTS})],
}

EVENT_EXAMPLES: Final = {
    "click": {"value": [{"user_id": "7", "item_id": "260"}]},
    "rating": {
        "value": {"events": [{"user_id": "7", "item_id": "1", "event": "rating", "value": 5}]}
    },
}

_NAME_OF_VALUE: Final[Schema] = {
    "minLength": 1,
    "maxLength": MAX_NAME_CHARS,
    "pattern": NAME_PATTERN,
    "not": {"enum": [*ID_NAMES, NAMESPACE]},
}
_TEXT_VALUE: Final[Schema] = {"type": "string", "maxLength": MAX_TEXT_CHARS}
_ATTRIBUTES: Final[Schema] = {
    "title": "UserAttributes",
    "type": "object",
    "maxProperties": MAX_NAMES,
    "propertyNames": _NAME_OF_VALUE,
    "additionalProperties": {
        "anyOf": [
            _TEXT_VALUE,
            {"type": ["number", "boolean"]},
            {"type": "array", "maxItems": MAX_TEXTS, "items": _TEXT_VALUE},
        ]
    },
}

PUT_USER_REQUEST: Final = object_of(
    "PutUserRequest",
    {
        "attributes": {
            **_ATTRIBUTES,
            "title": "SentAttributes",
            "additionalProperties": {
                "anyOf": [{"type": "null"}, *_ATTRIBUTES["additionalProperties"]["anyOf"]]
            },
            "description": "null and blank text: not known",
        }
    },
)
PUT_USER_EXAMPLES: Final = {
    "who": {"value": {"attributes": {"country": "NZ", "age": 31, "languages": ["en", "mi"]}}}
}
USER_PUT: Final = object_of("PutUserAnswer", {"user_id": STRING, "attributes": _ATTRIBUTES})

USER: Final = object_of(
    "User",
    {
        "user_id": STRING,
        "attributes": {
            **_ATTRIBUTES,
            "description": "who the user is: as put last, else as in the bundle",
        },
        "history": {
            **array_of(STRING),
            "description": "positive items, oldest first, newest 200",
        },
        "disliked": {**array_of(STRING), "description": "negative items, oldest first"},
        "events": {
            **array_of(
                object_of(
                    "StoredEvent",
                    {
                        "event_id": STRING,
                        "item_id": STRING,
                        "event": STRING,
                        "value": {"type": ["number", "null"]},
                        "timestamp": SECONDS,
                        "recommendation_id": {"type": ["string", "null"]},
                        "query": {"type": ["string", "null"]},
                        "context": {
                            "title": "EventContext",
                            "type": "object",
                            "maxProperties": MAX_NAMES,
                            "additionalProperties": {"type": ["string", "number", "boolean"]},
                        },
                    },
                )
            ),
            "description": "stored events of all kinds, newest first, at most 200",
        },
        "counts": object_of(
            "UserCounts",
            {
                "bundle": {**COUNT, "description": "events of the bundle that shape the taste"},
                "events": {"type": "object", "additionalProperties": COUNT},
            },
        ),
    },
)

EVENT_UNDONE: Final = object_of("UndoneEvent", {"event_id": STRING})

USER_DELETED: Final = object_of(
    "DeletedUser",
    {"user_id": STRING, "deleted": object_of("DeletedEvents", {"store": COUNT, "bundle": COUNT})},
)

MERGE_REQUEST: Final = object_of("MergeRequest", {"session_id": ID})

USER_MERGED: Final = object_of(
    "MergeAnswer", {"user_id": STRING, "session_id": STRING, "moved": COUNT}
)
