"""Pieces of the JSON schemas of `app.api.schemas` and its neighbours.

A schema with a `title` becomes a named type of the OpenAPI document (`app.api.openapi`), so that
generated clients have a name for it.
"""

from typing import Any, Final

from pydantic import TypeAdapter

from app.domain.request_parts import Id

Schema = dict[str, Any]


def object_of(title: str, properties: Schema, *, optional: tuple[str, ...] = ()) -> Schema:
    """Return the schema of an object with exactly these properties."""
    return {
        "title": title,
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def array_of(items: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def one_of(*words: str) -> Schema:
    """Return the schema of a string that is one of these."""
    return {"type": "string", "enum": list(words)}


STRING: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "number"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
MS: Final[Schema] = {"type": "number", "minimum": 0, "description": "milliseconds"}
SECONDS: Final[Schema] = {**NUMBER, "description": "unix seconds"}
TITLE: Final[Schema] = {"type": ["string", "null"]}
VALUE: Final[Schema] = {
    "description": "string, number, boolean, list of strings, or null where the item has none",
    "anyOf": [
        {"type": ["string", "number", "boolean", "null"]},
        {"type": "array", "items": {"type": "string"}},
    ],
}
FIELDS: Final[Schema] = {"title": "FieldValues", "type": "object", "additionalProperties": VALUE}
ID: Final[Schema] = TypeAdapter(Id).json_schema()

GENERATION: Final = object_of("Generation", {"bundle": STRING, "catalogue": COUNT})

REMARK: Final = object_of(
    "Remark",
    {
        "index": {**COUNT, "description": "position of the entry in the request, from 0"},
        "code": STRING,
        "message": STRING,
        "field": {"type": ["string", "null"]},
    },
)
