"""The types of single parts of a request: ids, lists of ids, names of fields, words, filters.

Whole requests are in `app.domain.request`.
"""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Strict, StringConstraints, WithJsonSchema

from app.domain.event_rules import MAX_KIND_CHARS
from app.domain.query_text import MAX_QUERY_CHARACTERS, normalised_query
from app.domain.values import BLANKS

MAX_HISTORY: Final = 200
MAX_K: Final = 100

_NO_CONTROL_CHARACTERS = r"^[^\x00-\x1f\x7f-\x9f]+$"


def _id_as_sent(value: object) -> object:
    """Take the blanks from around an id. A JSON integer becomes a decimal string."""
    if type(value) is str:
        return value.strip(BLANKS)
    return str(value) if type(value) is int else value  # true and 1.5 are no ids


Id = Annotated[
    str,
    BeforeValidator(_id_as_sent),
    StringConstraints(min_length=1, max_length=256, pattern=_NO_CONTROL_CHARACTERS),
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            "minLength": 1,
            "maxLength": 256,
            "pattern": _NO_CONTROL_CHARACTERS,
        }
    ),
]

# A list may stand for a tuple, also where a request is part of an already parsed batch.
Ids = Annotated[tuple[Id, ...], Strict(strict=False)]

FieldName = Annotated[str, StringConstraints(min_length=1, max_length=256)]

FieldNames = Annotated[tuple[FieldName, ...], Strict(strict=False)]

Query = Annotated[
    str, StringConstraints(max_length=MAX_QUERY_CHARACTERS), AfterValidator(normalised_query)
]

EventKind = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_KIND_CHARS, pattern=_NO_CONTROL_CHARACTERS),
]

CONTROL_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
"""What the name of a rule or a scenario is: it stands in addresses and in metrics."""

ControlName = Annotated[str, StringConstraints(pattern=CONTROL_NAME)]

FILTER_SCHEMA: Final = {"title": "ItemFilter", "type": "object", "additionalProperties": True}

ItemFilter = Annotated[dict[str, Any], WithJsonSchema(FILTER_SCHEMA)]
