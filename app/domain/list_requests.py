"""The models of requests for lists: `POST /similar`, and `GET /popular`, `/trending`, `/newest`.

Each is a short way to say a request for recommendations, and `asked` says it in full. So lists are
cached, batched and ordered as every other answer.
"""

from typing import Annotated, Any, Final, Self

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.core.ranking import By
from app.domain.intent import Sort
from app.domain.request import (
    DEFAULT_BUDGET_MS,
    DEFAULT_K,
    MAX_CURSOR_CHARACTERS,
    MAX_EXCLUDE,
    MAX_FIELDS,
    MAX_GROUPED_FIELDS,
    MAX_PER,
    RecommendRequest,
)
from app.domain.request_parts import (
    MAX_HISTORY,
    MAX_K,
    ControlName,
    FieldName,
    FieldNames,
    Id,
    Ids,
    ItemFilter,
)
from app.domain.sent_intent import SentIntent

_CURSOR: Final = r"^[A-Za-z0-9_-]+$"
_MAX_CURSOR: Final = 8192
"""An address must hold it, with all else."""
_EXPLAIN: Final = "true: the first 20 items say why they are there."
_SCENARIO: Final = "Name of a scenario: its fields are the defaults of those not sent here."
_NEXT_PAGE: Final = "next_cursor of an answer: asks for the page after it."


class SimilarRequest(BaseModel):
    """What a caller of `POST /similar` may send: one item or several, and how many like them."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    item_id: Id | None = Field(default=None, description="Items similar to this one.")
    items: Ids = Field(
        default=(),
        max_length=MAX_HISTORY,
        description="Items near to each of these; in place of item_id. The first 20 are read.",
    )
    by: Annotated[By, Field(title="SimilarBy")] = Field(
        default="both",
        description="What makes items similar: their texts (content), what users took together "
        "(behaviour), or both.",
    )
    k: int = Field(default=DEFAULT_K, ge=1, le=MAX_K, description="Items wanted.")
    filter: ItemFilter | None = Field(
        default=None, description="What the fields of items must be, as in POST /recommend."
    )
    fields: FieldNames = Field(
        default=(), max_length=MAX_FIELDS, description="Item fields to return (see /info)."
    )
    exclude: Ids = Field(
        default=(), max_length=MAX_EXCLUDE, description="Items that must not come back."
    )
    max_per: (
        Annotated[dict[FieldName, Annotated[int, Field(ge=1, le=MAX_PER)]], Field(title="MaxPer")]
        | None
    ) = Field(
        default=None,
        max_length=MAX_GROUPED_FIELDS,
        description="Field -> how many items with the same value of it may come back.",
    )
    diversity: float = Field(
        default=0.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="How much unlike each other the items shall be: 0 (by score) to 1.",
    )
    explain: bool = Field(default=False, description=_EXPLAIN)
    scenario: ControlName | None = Field(default=None, description=_SCENARIO)
    cursor: str | None = Field(
        default=None, max_length=MAX_CURSOR_CHARACTERS, pattern=_CURSOR, description=_NEXT_PAGE
    )
    min_catalogue: int = Field(
        default=0,
        ge=0,
        le=2**53,
        description="generation.catalogue of an earlier answer: wait for a catalogue as new.",
    )
    budget_ms: int = Field(
        default=DEFAULT_BUDGET_MS, ge=1, le=10_000, description="Time for the whole answer."
    )

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        if (self.item_id is None) == (not self.items):
            raise PydanticCustomError(
                "wrong_together",
                "give item_id or items: one of the two",
                {"field": "item_id" if self.items else "items"},
            )
        return self

    @property
    def named(self) -> tuple[str, ...]:
        """The items that others are to be similar to."""
        return self.items if self.item_id is None else (self.item_id,)

    def asked(self) -> RecommendRequest:
        """Return the request for recommendations that this one stands for."""
        same = {name: getattr(self, name) for name in _SAME if name in self.model_fields_set}
        return RecommendRequest(like=self.named, **same)


_SAME: Final = (
    *("by", "k", "filter", "fields", "exclude", "max_per", "diversity", "explain"),
    *("scenario", "cursor", "min_catalogue", "budget_ms"),
)
"""Fields that mean the same in both requests. Only those that were sent are passed on: a scenario
fills the others."""


def _filter_of(text: object) -> object:
    if not isinstance(text, str) or not text.strip():
        return None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"this is no JSON: {error}") from error
    if not isinstance(found, dict):
        # A `TypeError` would be no error of validation.
        raise ValueError(  # noqa: TRY004
            'a filter is a JSON object, such as {"published_at":{"gte":1990}}'
        )
    return found


def _names_of(text: object) -> object:
    if not isinstance(text, str):
        return text
    return tuple([name for part in text.split(",") if (name := part.strip())])


class ListRequest(BaseModel):
    """The part after `?` of `GET /popular`, `/trending` and `/newest`: its values are text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    k: int = Field(default=DEFAULT_K, ge=1, le=MAX_K, description="Items wanted.")
    filter: Annotated[
        dict[str, Any] | None, BeforeValidator(_filter_of), WithJsonSchema({"type": "string"})
    ] = Field(
        default=None,
        description="What the fields of items must be: the JSON text of the `filter` of "
        "POST /recommend, URL-encoded.",
    )
    fields: Annotated[
        FieldNames, BeforeValidator(_names_of), WithJsonSchema({"type": "string"})
    ] = Field(
        default=(),
        max_length=MAX_FIELDS,
        description="Item fields to return (see /info), separated by commas.",
    )
    explain: bool = Field(default=False, description=_EXPLAIN)
    scenario: ControlName | None = Field(default=None, description=_SCENARIO)
    cursor: str | None = Field(
        default=None, max_length=_MAX_CURSOR, pattern=_CURSOR, description=_NEXT_PAGE
    )

    def asked(self, sort: Sort) -> RecommendRequest:
        """Return the request for recommendations that this one stands for, in a strict order."""
        # Only fields that were sent are passed on: a scenario fills the others.
        sent = {name: getattr(self, name) for name in self.model_fields_set}
        return RecommendRequest(intent=SentIntent(sort=sort), **sent)
