"""JSON schemas of the routes of items and the catalogue."""

from typing import Final

from app.api.item_input import MAX_ITEMS
from app.api.schema_parts import (
    COUNT,
    FIELDS,
    GENERATION,
    ID,
    REMARK,
    STRING,
    TITLE,
    VALUE,
    Schema,
    array_of,
    object_of,
    one_of,
)
from app.api.schemas import ERROR
from app.domain.request_parts import FILTER_SCHEMA

ITEM: Final = object_of("Item", {"id": STRING, "title": TITLE, "fields": FIELDS})


_BOUND: Final[Schema] = {"type": ["number", "string", "null"]}

_FACET: Final = object_of(
    "Facet",
    {
        "type": one_of("string", "strings", "number", "boolean", "time"),
        "count": {**COUNT, "description": "items that have a value"},
        "distinct": {**COUNT, "description": "different values; not of numbers and times"},
        "values": {
            **array_of(
                object_of("FacetValue", {"value": {"type": ["string", "boolean"]}, "count": COUNT}),
            ),
            "description": "the most frequent values; not of numbers and times",
        },
        "min": {**_BOUND, "description": "of numbers and times; null: nothing has a value"},
        "max": _BOUND,
    },
    optional=("distinct", "values", "min", "max"),
)
_FACETS: Final[Schema] = {"title": "Facets", "type": "object", "additionalProperties": _FACET}

CATALOGUE: Final = object_of(
    "Catalogue",
    {
        "items": {**COUNT, "description": "items that can be recommended"},
        "generation": GENERATION,
        "fields": _FACETS,
    },
)

FACETS: Final = object_of("FacetsAnswer", {"total": COUNT, "fields": _FACETS})

FACETS_REQUEST: Final = object_of(
    "FacetsRequest",
    {
        "fields": {**array_of(STRING), "description": "fields to count; all by default"},
        "filter": {
            "anyOf": [FILTER_SCHEMA, {"type": "null"}],
            "description": "as for POST /recommend",
        },
        "limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 20},
    },
    optional=("fields", "filter", "limit"),
)

_ITEMS_ANSWER: Final = {
    "accepted": COUNT,
    "duplicates": {**COUNT, "description": "items whose id comes again later in the call"},
    "rejected": {**array_of(REMARK), "description": "items that were not stored, and why"},
    "warnings": {**array_of(REMARK), "description": "items that were stored, but look wrong"},
    "generation": GENERATION,
}
ITEMS_ANSWER: Final = object_of("ItemsAnswer", _ITEMS_ANSWER)
ITEMS_REFUSED: Final = object_of(
    "ItemsRefused", {**ERROR["properties"], **_ITEMS_ANSWER}, optional=tuple(_ITEMS_ANSWER)
)

_TEXT: Final[Schema] = {"type": ["string", "null"]}
_MOMENT: Final[Schema] = {
    "type": ["string", "number", "null"],
    "description": "ISO 8601 or unix seconds",
}
_CATEGORY: Final = [
    {"type": ["string", "number"]},
    {
        "title": "NamedCategory",
        "type": "object",
        "properties": {"name": STRING},
        "required": ["name"],
    },
]
_SENT_FIELDS: Final[Schema] = {
    "title": {**_TEXT, "description": "what the item is found by, with its text"},
    "text": _TEXT,
    "categories": {
        "anyOf": [
            {"type": ["string", "null"]},
            array_of({"anyOf": [*_CATEGORY, array_of({"anyOf": _CATEGORY})]}),
        ],
        "description": "a list, or text like a|b; each level of a path A > B is a category",
    },
    "published_at": {**_MOMENT, "description": "ISO 8601, unix seconds or a year"},
    "hidden": {
        "type": ["boolean", "null"],
        "description": "true: the item is known, but never recommended",
    },
    "available_from": {**_MOMENT, "description": "the item is recommended only from then on"},
    "available_until": {**_MOMENT, "description": "the item is recommended only before"},
}

SENT_ITEM: Final[Schema] = {
    "title": "SentItem",
    "type": "object",
    "description": "a whole item; it may also have the other fields that GET /catalogue names",
    "properties": {"id": ID, **_SENT_FIELDS},
    "required": ["id"],
    "additionalProperties": VALUE,
}

_SENT_ITEMS: Final[Schema] = {
    "type": "array",
    "minItems": 1,
    "maxItems": MAX_ITEMS,
    "items": SENT_ITEM,
    "description": "an invalid item is rejected by itself",
}
ITEMS_REQUEST: Final[Schema] = {
    "anyOf": [_SENT_ITEMS, object_of("ItemBatch", {"items": _SENT_ITEMS})],
}
ITEM_EXAMPLES: Final = {
    "new": {"value": [{"id": "n1", "title": "The Last Lighthouse", "categories": ["Drama"]}]},
}
PATCH_REQUEST: Final[Schema] = {
    "title": "ItemPatch",
    "type": "object",
    "minProperties": 1,
    "description": "fields of the item, and others that GET /catalogue names; null removes one",
    "properties": _SENT_FIELDS,
    "additionalProperties": VALUE,
}
PATCH_EXAMPLES: Final = {"title": {"value": {"title": "Another title"}}}
CHANGED_ITEM: Final = object_of("ChangedItem", {"item_id": STRING, "generation": GENERATION})
