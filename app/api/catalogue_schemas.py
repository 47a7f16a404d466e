"""JSON schemas of the routes of the catalogue; see `app.api.schemas`."""

from typing import Final

from app.api.item_input import MAX_ITEMS
from app.api.schemas import GENERATION, REMARK, Schema, array_of, object_of

_STRING: Final[Schema] = {"type": "string"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_BOUND: Final[Schema] = {"type": ["number", "string", "null"]}

_FIELD: Final = object_of(
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
_FIELDS: Final[Schema] = {"type": "object", "additionalProperties": _FIELD}

CATALOGUE: Final = object_of(
    {
        "items": {**_COUNT, "description": "items that can be recommended"},
        "generation": GENERATION,
        "fields": _FIELDS,
    }
)

FACETS: Final = object_of({"total": _COUNT, "fields": _FIELDS})

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
        "rejected": {**array_of(REMARK), "description": "items that were not kept, and why"},
        "warnings": {**array_of(REMARK), "description": "what is odd about the call"},
        "generation": GENERATION,
    }
)

_SENT_ITEMS: Final[Schema] = {
    "type": "array",
    "minItems": 1,
    "maxItems": MAX_ITEMS,
    "items": {
        "description": "id, title, text, the fields that GET /catalogue names, hidden (false), "
        "available_from, available_until; a wrong one is rejected by itself",
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
