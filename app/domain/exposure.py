"""`exposure` of a request: which share of the places groups of items must and may have.

    {"field": "provider", "groups": {"small": {"min": 0.2}, "acme": {"max": 0.5}}}

A group is the items that have a value in the field. Whether the catalogue has the field is checked
by `checked_exposure`, which also writes the canonical text that the engine reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Self

import orjson
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.core.errors import InvalidRequestError
from app.domain.filters import no_such_field
from app.domain.request_parts import FieldName

MAX_GROUPS: Final = 8
MAX_VALUE_CHARS: Final = 256

_KINDS: Final = frozenset({"string", "strings", "boolean"})
_ROUNDING: Final = 1e-9
"""What sums of shares such as .2 and .1 may be off."""

GroupValue = Annotated[str, StringConstraints(min_length=1, max_length=MAX_VALUE_CHARS)]


class GroupBounds(BaseModel):
    """The least and the greatest share of the places that a group may have."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    min: float | None = Field(
        default=None, ge=0, le=1, allow_inf_nan=False, description="The least share."
    )
    max: float | None = Field(
        default=None, ge=0, le=1, allow_inf_nan=False, description="The greatest share."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min is None and self.max is None:
            raise PydanticCustomError("bounds", "this needs min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise PydanticCustomError("bounds", "min must not be above max")
        return self


class ExposureWish(BaseModel):
    """The `exposure` of a request."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    field: FieldName = Field(description="A field of the items, or the name of a role.")
    groups: dict[
        GroupValue, Annotated[GroupBounds, WithJsonSchema(GroupBounds.model_json_schema())]
    ] = Field(min_length=1, max_length=MAX_GROUPS, description="Value of the field -> its bounds.")


@dataclass(frozen=True, slots=True)
class Group:
    """A group of an exposure: a value of the field, and its bounds as shares."""

    name: str
    least: float | None
    most: float | None

    def counts(self, places: int) -> tuple[int, int]:
        """Return the least and the greatest number of items among so many places.

        Where no whole number lies between the two shares, the least one counts.

        >>> Group("small", 0.2, None).counts(10), Group("small", 0.25, 0.25).counts(10)
        ((2, 10), (3, 3))
        """
        least = 0 if self.least is None else -int(-(self.least * places - _ROUNDING) // 1)
        most = places if self.most is None else int((self.most * places + _ROUNDING) // 1)
        return least, max(least, most)


@dataclass(frozen=True, slots=True)
class Exposure:
    """What `checked_exposure` wrote, read again."""

    field: str
    groups: tuple[Group, ...]


def checked_exposure(wish: ExposureWish, kinds: Mapping[str, str], roles: Mapping[str, str]) -> str:
    """Return an exposure as JSON text, equal for equal wishes; `exposure_of` reads it.

    Args:
        wish: as it was sent.
        kinds: field -> kind, of the catalogue.
        roles: role -> field.

    Raises:
        InvalidRequestError: no such field, no field of texts, or floors that nothing can meet.
    """
    field = wish.field if wish.field in kinds else roles.get(wish.field, wish.field)
    if field not in kinds:
        raise no_such_field(wish.field, kinds, "exposure.field")
    if kinds[field] not in _KINDS:
        raise InvalidRequestError(
            f"groups need a field of texts or of true and false; {field!r} is a {kinds[field]}",
            field="exposure.field",
        )
    floors = sum(bounds.min or 0.0 for bounds in wish.groups.values())
    if kinds[field] != "strings" and floors > 1 + _ROUNDING:
        raise InvalidRequestError(
            "the least shares add up to more than 1, and an item is in one group",
            field="exposure.groups",
        )
    groups = {name: {"min": bounds.min, "max": bounds.max} for name, bounds in wish.groups.items()}
    written = {"field": field, "groups": groups}
    return orjson.dumps(written, option=orjson.OPT_SORT_KEYS).decode()


def exposure_of(text: str) -> Exposure:
    """Return the exposure that `checked_exposure` has written."""
    raw = orjson.loads(text)
    return Exposure(
        field=raw["field"],
        groups=tuple(
            Group(name, bounds["min"], bounds["max"]) for name, bounds in raw["groups"].items()
        ),
    )
