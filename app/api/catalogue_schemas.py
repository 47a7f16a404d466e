"""JSON schemas of the routes of the catalogue; see `app.api.schemas`."""

from typing import Final

from app.api.schemas import Schema, array_of, object_of

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
        "generation": object_of({"bundle": _STRING, "catalogue": _COUNT}),
        "fields": _FIELDS,
    }
)

FACETS: Final = object_of({"total": _COUNT, "fields": _FIELDS})

FACETS_REQUEST: Final = object_of(
    {
        "fields": {**array_of(_STRING), "description": "fields to count; all by default"},
        "filter": {"type": "object", "description": "as for POST /recommend"},
        "limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 20},
    },
    optional=("fields", "filter", "limit"),
)
