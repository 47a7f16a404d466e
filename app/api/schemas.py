"""JSON schemas of all answers, written by hand because finished bytes are sent.

`tests/api` validates real answers against them, and mutated answers to prove that this can fail.
"""

from typing import Any, Final

from pydantic import TypeAdapter

from app.api.item_input import MAX_ITEMS
from app.domain.intent import SORTS, TONES
from app.domain.named_values import (
    ID_NAMES,
    MAX_NAME_CHARS,
    MAX_NAMES,
    MAX_TEXT_CHARS,
    MAX_TEXTS,
    NAME_PATTERN,
)
from app.domain.request import MAX_BATCH, MAX_EVENTS, MAX_K, Id, Query, RecommendRequest

Schema = dict[str, Any]


def object_of(properties: Schema, *, optional: tuple[str, ...] = ()) -> Schema:
    """Return the schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def array_of(items: Schema) -> Schema:
    """Return the schema of a list."""
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

_SOURCE: Final = object_of(
    {"name": _STRING, "rank": {"type": "integer", "minimum": 1}, "score": _NUMBER}
)

_RANKED_ITEM: Final = object_of(
    {
        "id": _STRING,
        "score": {**_NUMBER, "description": "the scorer's own; comparable within one answer"},
        "title": _TITLE,
        "fields": _FIELDS,
        "sources": array_of(_SOURCE),
        "seen": {
            "type": "boolean",
            "description": "true: the user has taken it; it is here because the query is its title",
        },
    },
    optional=("seen",),
)

ERROR: Final = object_of(
    {
        "error": object_of(
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

GENERATION: Final = object_of({"bundle": _STRING, "catalogue": _COUNT})

INTENT: Final = object_of(
    {
        "sort": {"enum": list(SORTS)},
        "filters": {
            "type": "object",
            "description": "what items must be, as `filter` in a request",
        },
        "prefers": {
            "type": "object",
            "description": "the same: items that pass come before others of like score",
        },
        "without": {**array_of(_STRING), "description": "words that no item of the answer has"},
        "like": {**array_of(_STRING), "description": "ids of the items that the query likes"},
        "dislike": {**array_of(_STRING), "description": "ids of those that it dislikes"},
        "tone": array_of({"enum": list(TONES)}),
        "count": {
            "type": ["integer", "null"],
            "minimum": 1,
            "maximum": MAX_K,
            "description": "items that the query asks for; null: it does not say",
        },
        "residual_text": {**_STRING, "description": "the words that are left to search by"},
        "language": {**_STRING, "description": "code of the language; empty: unknown"},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "spans": {
            **array_of(object_of({"start": _COUNT, "end": _COUNT, "means": _STRING})),
            "description": "characters [start, end) of the query, and what they were taken for",
        },
        "title": {
            "type": "boolean",
            "description": "items that have the query as their title come first",
        },
    }
)

ANSWER: Final = object_of(
    {
        "recommendation_id": _STRING,
        "cache": {"enum": ["hit", "miss", "coalesced", "bypass"]},
        "timings_ms": object_of(
            {"queue": _MS, "encode": _MS, "retrieve": _MS, "rerank": _MS, "total": _MS}
        ),
        "batch_size": {**_COUNT, "description": "requests in the engine pass that made the list"},
        "items": array_of(_RANKED_ITEM),
        "degraded": {
            **array_of(_STRING),
            "description": "left-out parts; the list may be worse",
        },
        "generation": GENERATION,
        "missing_ids": array_of(_STRING),
        "passing": {
            "type": ["integer", "null"],
            "description": "how many items, from the first, meet the filter and the demands of the "
            "intent; null = all",
        },
        "intent": {
            "anyOf": [{"type": "null"}, INTENT],
            "description": "what the query was taken to ask for; null: there was none",
        },
        "next_cursor": {"type": ["string", "null"]},
    }
)

BATCH_ANSWER: Final = object_of({"results": array_of({"anyOf": [ANSWER, ERROR]})})

BATCH_REQUEST: Final = object_of(
    {
        "requests": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_BATCH,
            "items": {
                "description": "as for POST /recommend; an invalid one gets its own error",
            },
        }
    }
)

INTERPRETED: Final = object_of({"intent": INTENT})

INTERPRET_REQUEST: Final = object_of({"query": TypeAdapter(Query).json_schema()})

ITEM: Final = object_of({"id": _STRING, "title": _TITLE, "fields": _FIELDS})

RELOAD_REQUEST: Final = object_of({})

RELOAD: Final = object_of(
    {
        "generation": {**GENERATION, "description": "what is served now"},
        "previous": {
            **_STRING,
            "description": "the generation before, maybe the same",
        },
        "reloaded": {"type": "boolean", "description": "whether another generation took over"},
        "seconds": {"type": "number", "minimum": 0},
    }
)

LEARNED_INTENTS: Final = object_of(
    {
        "enabled": {"type": "boolean", "description": "whether a language model is set"},
        "model": {"type": ["string", "null"]},
        "intents": array_of(
            object_of(
                {
                    "seq": _COUNT,
                    "words": {**_STRING, "description": "of the query, in lower case"},
                    "intent": {
                        "anyOf": [{"type": "null"}, INTENT],
                        "description": "what is used; null: the parser's reading",
                    },
                    "learned_at": {**_NUMBER, "description": "unix seconds"},
                    "used_at": {**_NUMBER, "description": "unix seconds"},
                    "uses": _COUNT,
                }
            )
        ),
        "next": {
            "type": ["integer", "null"],
            "description": "`after` of the next page; null on the last one",
        },
    }
)

FORGOTTEN_INTENTS: Final = object_of({"removed": _COUNT})

STATUS_ANSWER: Final = object_of({"status": {"enum": ["ok", "not_ready"]}})

INFO: Final = object_of(
    {
        "version": _STRING,
        "libraries": {"type": "object", "additionalProperties": _STRING},
        "bundle": object_of({"name": _STRING, "generation": _STRING, "catalogue": _COUNT}),
        "items": _COUNT,
        "users": _COUNT,
        "events": _COUNT,
        "encoder": object_of({"id": _STRING, "dim": _COUNT}),
        "index": _STRING,
        "scorer": _STRING,
        "training": {
            "type": "boolean",
            "description": "whether `recserve demo` trains this bundle now",
        },
        "fields": {"type": "object", "additionalProperties": _STRING},
        "user_attributes": {
            "type": "object",
            "additionalProperties": _STRING,
            "description": "kind of each attribute that the bundle has of users",
        },
        "backend": object_of({"device": _STRING, "threads": _COUNT, "workers": _COUNT}),
        "cache": object_of({"local_bytes": _COUNT, "shared": {"type": "boolean"}}),
        "store": object_of({"shared": {"type": "boolean"}}),
        "limits": {"type": "object", "additionalProperties": {"type": "integer"}},
    }
)

_ID: Final[Schema] = TypeAdapter(Id).json_schema()

REMARK: Final = object_of(
    {
        "index": {**_COUNT, "description": "position of the entry in the request, from 0"},
        "code": _STRING,
        "message": _STRING,
        "field": {"type": ["string", "null"]},
    }
)

EVENTS_ANSWER: Final = object_of(
    {
        "accepted": _COUNT,
        "duplicates": {**_COUNT, "description": "events whose event_id is stored already"},
        "rejected": {**array_of(REMARK), "description": "events that were not stored, and why"},
        "warnings": {**array_of(REMARK), "description": "events that were stored, but look wrong"},
    }
)

_SENT_EVENTS: Final[Schema] = {
    "type": "array",
    "minItems": 1,
    "maxItems": MAX_EVENTS,
    "items": {
        "description": "user_id or session_id, item_id, event (click), value, timestamp (now), "
        "event_id, recommendation_id, query, context; an invalid one is rejected by itself",
    },
}

EVENTS_REQUEST: Final[Schema] = {
    "anyOf": [_SENT_EVENTS, object_of({"events": _SENT_EVENTS})],
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
    "not": {"enum": list(ID_NAMES)},
}
_TEXT_VALUE: Final[Schema] = {"type": "string", "maxLength": MAX_TEXT_CHARS}
_ATTRIBUTES: Final[Schema] = {
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
    {
        "attributes": {
            **_ATTRIBUTES,
            "additionalProperties": {
                "anyOf": [{"type": "null"}, *_ATTRIBUTES["additionalProperties"]["anyOf"]]
            },
            "description": "null and blank text: not known",
        }
    }
)
PUT_USER_EXAMPLES: Final = {
    "who": {"value": {"attributes": {"country": "NZ", "age": 31, "languages": ["en", "mi"]}}}
}
USER_PUT: Final = object_of({"user_id": _STRING, "attributes": _ATTRIBUTES})

USER: Final = object_of(
    {
        "user_id": _STRING,
        "attributes": {
            **_ATTRIBUTES,
            "description": "who the user is: as put last, else as in the bundle",
        },
        "history": {
            **array_of(_STRING),
            "description": "positive items, oldest first, newest 200",
        },
        "disliked": {**array_of(_STRING), "description": "negative items, oldest first"},
        "events": {
            **array_of(
                object_of(
                    {
                        "event_id": _STRING,
                        "item_id": _STRING,
                        "event": _STRING,
                        "value": {"type": ["number", "null"]},
                        "timestamp": {**_NUMBER, "description": "unix seconds"},
                        "recommendation_id": {"type": ["string", "null"]},
                        "query": {"type": ["string", "null"]},
                        "context": {
                            "type": "object",
                            "maxProperties": MAX_NAMES,
                            "additionalProperties": {"type": ["string", "number", "boolean"]},
                        },
                    }
                )
            ),
            "description": "stored events of all kinds, newest first, at most 200",
        },
        "counts": object_of(
            {
                "bundle": {**_COUNT, "description": "events of the bundle that shape the taste"},
                "events": {"type": "object", "additionalProperties": _COUNT},
            }
        ),
    }
)

USER_DELETED: Final = object_of(
    {"user_id": _STRING, "deleted": object_of({"store": _COUNT, "bundle": _COUNT})}
)

MERGE_REQUEST: Final = object_of({"session_id": _ID})

USER_MERGED: Final = object_of({"user_id": _STRING, "session_id": _STRING, "moved": _COUNT})

EXAMPLES: Final = {
    "words": {"value": {"query": "space adventure with robots", "k": 5}},
    "user": {"value": {"user_id": "7", "k": 5, "fields": ["categories", "published_at"]}},
    "both": {"value": {"query": "funny", "user_id": "7"}},
    "history": {"value": {"history": ["1", "260", "1196"], "k": 5}},
    "rank these": {"value": {"query": "heist", "candidates": ["1", "2", "6", "50"]}},
    "like": {"value": {"like": ["1"], "dislike": ["2"], "k": 5}},
    "demands": {"value": {"query": "newest comedies from the 90s"}},
    "an intent of its own": {
        "value": {"intent": {"sort": "newest", "residual_text": "space", "like": ["1"]}}
    },
    "words only": {"value": {"query": "newest comedies", "intent": False}},
    "one of a title": {"value": {"query": "hamlet", "max_per": {"title": 1}}},
}
INTERPRET_EXAMPLES: Final = {"demands": {"value": {"query": "newest comedies from the 90s"}}}


def recommend_request() -> Schema:
    """Return the schema of a request, made from the model that validates it."""
    return RecommendRequest.model_json_schema()


# The routes of the catalogue.

_BOUND: Final[Schema] = {"type": ["number", "string", "null"]}

_FACET: Final = object_of(
    {
        "type": {"enum": ["string", "strings", "number", "boolean", "time"]},
        "count": {**_COUNT, "description": "items that have a value"},
        "distinct": {**_COUNT, "description": "different values; not of numbers and times"},
        "values": {
            **array_of(
                object_of({"value": {"type": ["string", "boolean"]}, "count": _COUNT}),
            ),
            "description": "the most frequent values; not of numbers and times",
        },
        "min": {**_BOUND, "description": "of numbers and times; null: nothing has a value"},
        "max": _BOUND,
    },
    optional=("distinct", "values", "min", "max"),
)
_FACETS: Final[Schema] = {"type": "object", "additionalProperties": _FACET}

CATALOGUE: Final = object_of(
    {
        "items": {**_COUNT, "description": "items that can be recommended"},
        "generation": GENERATION,
        "fields": _FACETS,
    }
)

FACETS: Final = object_of({"total": _COUNT, "fields": _FACETS})

FACETS_REQUEST: Final = object_of(
    {
        "fields": {**array_of(_STRING), "description": "fields to count; all by default"},
        "filter": {"type": ["object", "null"], "description": "as for POST /recommend"},
        "limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 20},
    },
    optional=("fields", "filter", "limit"),
)

ITEMS_ANSWER: Final = object_of(
    {
        "accepted": _COUNT,
        "duplicates": {**_COUNT, "description": "items whose id comes again later in the call"},
        "rejected": {**array_of(REMARK), "description": "items that were not stored, and why"},
        "warnings": {**array_of(REMARK), "description": "items that were stored, but look wrong"},
        "generation": GENERATION,
    }
)

_SENT_ITEMS: Final[Schema] = {
    "type": "array",
    "minItems": 1,
    "maxItems": MAX_ITEMS,
    "items": {
        "description": "id, title, text, the fields that GET /catalogue names, hidden (false), "
        "available_from, available_until; an invalid one is rejected by itself",
    },
}
ITEMS_REQUEST: Final[Schema] = {
    "anyOf": [_SENT_ITEMS, object_of({"items": _SENT_ITEMS})],
}
ITEM_EXAMPLES: Final = {
    "new": {"value": [{"id": "n1", "title": "The Last Lighthouse", "categories": ["Drama"]}]},
}
PATCH_REQUEST: Final[Schema] = {
    "type": "object",
    "minProperties": 1,
    "description": "fields of the item; null removes one",
}
CHANGED_ITEM: Final = object_of({"item_id": _STRING, "generation": GENERATION})
