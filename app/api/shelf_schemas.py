"""JSON schemas of `POST /shelves`: its request and its answer."""

from typing import Final, get_args

from app.api.schema_parts import GENERATION, NUMBER, STRING, Schema, array_of, object_of, one_of
from app.api.schemas import ANSWER, ERROR
from app.domain.shelf_requests import MAX_SHELVES, Shelf, ShelfKind, ShelvesRequest

_ANSWER: Final = ANSWER["properties"]

_ROW: Final = object_of(
    "ShelfAnswer",
    {
        "name": STRING,
        "kind": {"title": "ShelfKind", **one_of(*get_args(ShelfKind))},
        "title": {**STRING, "description": "in the language of the request"},
        "item_id": {
            "type": ["string", "null"],
            "description": "the item of a because row",
        },
        "recommendation_id": STRING,
        "cache": _ANSWER["cache"],
        "degraded": _ANSWER["degraded"],
        "missing_ids": _ANSWER["missing_ids"],
        "items": _ANSWER["items"],
        "baseline": {**NUMBER, "description": "where `explain` was asked for"},
    },
    optional=("baseline",),
)

_FAILED: Final = object_of(
    "FailedShelf",
    {
        "name": {"type": ["string", "null"]},
        "error": ERROR["properties"]["error"],
    },
)

SHELVES: Final = object_of(
    "ShelvesAnswer",
    {
        "generation": GENERATION,
        "shelves": array_of({"anyOf": [_ROW, _FAILED]}),
        "left_out": {
            **array_of(object_of("LeftOutShelf", {"name": STRING, "reason": STRING})),
            "description": "rows that have nothing to show to this user",
        },
    },
)


def _request() -> Schema:
    schema = ShelvesRequest.model_json_schema()
    schema.pop("$defs", None)
    schema["properties"]["shelves"]["items"] = Shelf.schema_of_fields()
    schema["properties"]["shelves"]["maxItems"] = MAX_SHELVES
    return schema


SHELVES_REQUEST: Final = _request()
