"""JSON schemas of what goes out, declared by hand because finished bytes are sent.

`tests/api` validates real answers against these, and mutated ones to prove that the check can fail.
"""

from typing import Any, Final

from pydantic import TypeAdapter

from app.request import MAX_BATCH, MAX_EVENTS, Id, RecommendRequest

Schema = dict[str, Any]


def _object(properties: Schema, *, optional: tuple[str, ...] = ()) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_STRING: Final[Schema] = {"type": "string"}
_NUMBER: Final[Schema] = {"type": "number"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_MS: Final[Schema] = {"type": "number", "minimum": 0, "description": "milliseconds"}
_VALUE: Final[Schema] = {
    "description": "string, number, boolean, list of strings, or null where the item has none",
    "anyOf": [
        {"type": ["string", "number", "boolean", "null"]},
        {"type": "array", "items": {"type": "string"}},
    ],
}
_FIELDS: Final[Schema] = {"type": "object", "additionalProperties": _VALUE}
_TITLE: Final[Schema] = {"type": ["string", "null"]}

_SOURCE: Final = _object(
    {"name": _STRING, "rank": {"type": "integer", "minimum": 1}, "score": _NUMBER}
)

_RANKED_ITEM: Final = _object(
    {
        "id": _STRING,
        "score": {**_NUMBER, "description": "the scorer's own; comparable within one answer"},
        "title": _TITLE,
        "fields": _FIELDS,
        "sources": _array(_SOURCE),
    }
)

ERROR: Final = _object(
    {
        "error": _object(
            {
                "code": _STRING,
                "message": _STRING,
                "field": _STRING,
                "retry_after_ms": _COUNT,
                "request_id": _STRING,
            },
            optional=("field", "retry_after_ms"),
        )
    }
)

_GENERATION: Final = _object({"bundle": _STRING, "catalogue": _COUNT})

ANSWER: Final = _object(
    {
        "recommendation_id": _STRING,
        "cache": {"enum": ["hit", "miss", "coalesced", "bypass"]},
        "timings_ms": _object(
            {"queue": _MS, "encode": _MS, "retrieve": _MS, "rerank": _MS, "total": _MS}
        ),
        "batch_size": {**_COUNT, "description": "requests in the engine pass that made the list"},
        "items": _array(_RANKED_ITEM),
        "degraded": {**_array(_STRING), "description": "left-out parts that may change the list"},
        "generation": _GENERATION,
        "missing_ids": _array(_STRING),
        "next_cursor": {"type": ["string", "null"]},
    }
)

BATCH_ANSWER: Final = _object({"results": _array({"anyOf": [ANSWER, ERROR]})})

BATCH_REQUEST: Final = _object(
    {
        "requests": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_BATCH,
            "items": {
                "description": "as for POST /recommend; a wrong one gets its own error",
            },
        }
    }
)

ITEM: Final = _object({"id": _STRING, "title": _TITLE, "fields": _FIELDS})

RELOAD_REQUEST: Final = _object({})

RELOAD: Final = _object(
    {
        "generation": {**_GENERATION, "description": "what serves now"},
        "previous": {**_STRING, "description": "generation that served before, maybe this one"},
        "reloaded": {"type": "boolean", "description": "whether another one took over"},
        "seconds": {"type": "number", "minimum": 0},
    }
)

STATUS_ANSWER: Final = _object({"status": {"enum": ["ok", "not_ready"]}})

INFO: Final = _object(
    {
        "version": _STRING,
        "libraries": {"type": "object", "additionalProperties": _STRING},
        "bundle": _object({"name": _STRING, "generation": _STRING, "catalogue": _COUNT}),
        "items": _COUNT,
        "users": _COUNT,
        "events": _COUNT,
        "encoder": _object({"id": _STRING, "dim": _COUNT}),
        "index": _STRING,
        "scorer": _STRING,
        "fields": {"type": "object", "additionalProperties": _STRING},
        "backend": _object({"device": _STRING, "threads": _COUNT, "workers": _COUNT}),
        "cache": _object({"local_bytes": _COUNT, "shared": {"type": "boolean"}}),
        "store": _object({"shared": {"type": "boolean"}}),
        "limits": {"type": "object", "additionalProperties": {"type": "integer"}},
    }
)

_ID: Final[Schema] = TypeAdapter(Id).json_schema()

_REMARK: Final = _object(
    {
        "index": {**_COUNT, "description": "place of the event in the request, from 0"},
        "code": _STRING,
        "message": _STRING,
        "field": {"type": ["string", "null"]},
    }
)

EVENTS_ANSWER: Final = _object(
    {
        "accepted": _COUNT,
        "duplicates": {**_COUNT, "description": "events whose event_id is held already"},
        "rejected": {**_array(_REMARK), "description": "events that were not kept, and why"},
        "warnings": {**_array(_REMARK), "description": "events that were kept all the same"},
    }
)

_SENT_EVENTS: Final[Schema] = {
    "type": "array",
    "minItems": 1,
    "maxItems": MAX_EVENTS,
    "items": {
        "description": "user_id or session_id, item_id, event (click), value, timestamp (now), "
        "event_id, recommendation_id; a wrong one is rejected by itself",
    },
}

EVENTS_REQUEST: Final[Schema] = {
    "anyOf": [_SENT_EVENTS, _object({"events": _SENT_EVENTS})],
}

EVENT_EXAMPLES: Final = {
    "click": {"value": [{"user_id": "7", "item_id": "260"}]},
    "rating": {
        "value": {"events": [{"user_id": "7", "item_id": "1", "event": "rating", "value": 5}]}
    },
}

USER: Final = _object(
    {
        "user_id": _STRING,
        "history": {**_array(_STRING), "description": "items taken, oldest first, newest 200"},
        "disliked": {**_array(_STRING), "description": "items turned away from, oldest first"},
        "events": {
            **_array(
                _object(
                    {
                        "event_id": _STRING,
                        "item_id": _STRING,
                        "event": _STRING,
                        "value": {"type": ["number", "null"]},
                        "timestamp": {**_NUMBER, "description": "unix seconds"},
                        "recommendation_id": {"type": ["string", "null"]},
                    }
                )
            ),
            "description": "stored events of all kinds, newest first, at most 200",
        },
        "counts": _object(
            {
                "bundle": {**_COUNT, "description": "events of the bundle that shape the taste"},
                "events": {"type": "object", "additionalProperties": _COUNT},
            }
        ),
    }
)

USER_DELETED: Final = _object(
    {"user_id": _STRING, "deleted": _object({"store": _COUNT, "bundle": _COUNT})}
)

MERGE_REQUEST: Final = _object({"session_id": _ID})

USER_MERGED: Final = _object({"user_id": _STRING, "session_id": _STRING, "moved": _COUNT})

EXAMPLES: Final = {
    "words": {"value": {"query": "space adventure with robots", "k": 5}},
    "user": {"value": {"user_id": "7", "k": 5, "fields": ["categories", "published_at"]}},
    "both": {"value": {"query": "funny", "user_id": "7"}},
    "history": {"value": {"history": ["1", "260", "1196"], "k": 5}},
    "rank these": {"value": {"query": "heist", "candidates": ["1", "2", "6", "50"]}},
}


def recommend_request() -> Schema:
    """Return the schema of a request, drawn from the model that validates it."""
    return RecommendRequest.model_json_schema()
