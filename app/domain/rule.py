"""The model of a rule: what an operator may write, and what the engine gets of it.

A rule has one action, a time in which it is valid, and a condition: a scenario, the words of a
query, or what a query asks for. Whether its fields and items exist is checked elsewhere
(`app.serving.control.checking`).
"""

from typing import Annotated, Any, Final, Self

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.core.rank_rules import DemandedValue, RankRule, RuleAction
from app.domain.filters import filter_text
from app.domain.folded_words import folded_words
from app.domain.intent import Sort
from app.domain.request_parts import (
    FILTER_SCHEMA,
    MAX_K,
    ControlName,
    FieldName,
    Id,
    ItemFilter,
    Query,
)
from app.domain.values import Unusable, parse_time

MAX_WEIGHT: Final = 10.0
MAX_DEMANDS: Final = 8
MAX_VALUE_CHARS: Final = 256

ACTIONS: Final[tuple[RuleAction, ...]] = ("boost", "bury", "pin", "promote", "block")

_FOREVER: Final = float("inf")


def _moment(value: str | float) -> str | float:
    try:
        found = parse_time(value, "it")
    except Unusable as reason:
        raise ValueError(str(reason)) from reason
    if found is None:
        raise ValueError("it is neither ISO 8601 nor unix seconds")
    return value


def _has_words(text: str) -> str:
    if not folded_words(text):
        raise ValueError("it has no letter or digit")
    return text


def _not_empty(raw: dict[str, Any]) -> dict[str, Any]:
    if not raw:
        raise ValueError("a filter is an object that names at least one field")
    return raw


Moment = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=64)] | float,
    AfterValidator(_moment),
]
Words = Annotated[Query, StringConstraints(min_length=1), AfterValidator(_has_words)]
SomeItems = Annotated[
    ItemFilter,
    AfterValidator(_not_empty),
    WithJsonSchema({**FILTER_SCHEMA, "title": "SomeItems", "minProperties": 1}),
]
Demanded = (
    Annotated[str, StringConstraints(min_length=1, max_length=MAX_VALUE_CHARS)] | float | bool
)


class _RulePart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RuleQuery(_RulePart):
    """The words that a query must have; case, accents and punctuation do not count."""

    exact: Words | None = Field(default=None, description="It has these words and no others.")
    prefix: Words | None = Field(default=None, description="It begins with these words.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.exact is None) == (self.prefix is None):
            raise _wrong("exact", "give exact or prefix, and not both")
        return self


class RuleIntent(_RulePart):
    """What a query must ask for: all that is named here."""

    sort: Annotated[Sort, Field(title="SortOrder")] | None = Field(
        default=None, description="This order."
    )
    filters: Annotated[dict[FieldName, Demanded], Field(title="DemandedValues")] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_DEMANDS,
        description="Field -> a value that it wants there, such as a genre.",
    )

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.sort is None and self.filters is None:
            raise _wrong("sort", "give sort, filters or both")
        return self


class RuleWhen(_RulePart):
    """The requests to which a rule applies."""

    query: RuleQuery | None = Field(default=None, description="Those with these words.")
    intent: RuleIntent | None = Field(
        default=None, description="Those whose query asks for this, in whatever words."
    )

    @model_validator(mode="after")
    def _one_condition(self) -> Self:
        if (self.query is None) == (self.intent is None):
            raise _wrong("query", "give query or intent, and not both")
        return self


class RuleWeight(_RulePart):
    """How much the score of some items changes."""

    filter: SomeItems
    weight: float = Field(
        gt=0,
        le=MAX_WEIGHT,
        allow_inf_nan=False,
        description="In log odds: 0.7 doubles the odds, 2.3 makes them ten times as large.",
    )


class RulePin(_RulePart):
    """One item at one place of the first page."""

    item_id: Id
    place: int = Field(ge=1, le=MAX_K, description="1 is the first.")


class RuleShare(_RulePart):
    """A share of the places for some items."""

    filter: SomeItems
    share: float = Field(gt=0, le=1, allow_inf_nan=False, description="0.3: three places of ten.")


class RuleBlock(_RulePart):
    """Items that must not come back."""

    filter: SomeItems


class Rule(_RulePart):
    """One rule, with exactly one action."""

    id: ControlName = Field(description="Its name; letters, digits, dot, dash and underscore.")
    scenario: ControlName | None = Field(
        default=None, description="Only requests of this scenario; by default all."
    )
    when: RuleWhen | None = Field(default=None, description="Only these requests; by default all.")
    starts: Moment | None = Field(
        default=None, alias="from", description="From then on: ISO 8601 or unix seconds."
    )
    until: Moment | None = Field(default=None, description="Until then.")
    boost: RuleWeight | None = Field(default=None, description="Raises scores.")
    bury: RuleWeight | None = Field(default=None, description="Lowers scores.")
    pin: RulePin | None = Field(default=None, description="Puts an item to a place.")
    promote: RuleShare | None = Field(default=None, description="Gives items a share of places.")
    block: RuleBlock | None = Field(default=None, description="Keeps items out.")

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        given = [name for name in ACTIONS if getattr(self, name) is not None]
        if len(given) != 1:
            there = f"{' and '.join(given)} are given" if given else "none is given"
            raise _wrong(
                given[-1] if given else "boost",
                f"a rule has one action of {', '.join(ACTIONS)}; {there}",
            )
        if self.end <= self.begin:
            raise _wrong("until", "it must lie behind `from`")
        return self

    @property
    def begin(self) -> float:
        """Unix seconds from which it is valid."""
        return -_FOREVER if self.starts is None else _seconds(self.starts)

    @property
    def end(self) -> float:
        """Unix seconds until which it is valid."""
        return _FOREVER if self.until is None else _seconds(self.until)

    @property
    def action(self) -> RuleAction:
        """The name of its action."""
        return next(name for name in ACTIONS if getattr(self, name) is not None)

    @property
    def some_items(self) -> dict[str, Any] | None:
        """The filter of its action; None for a pin."""
        part = getattr(self, self.action)
        return None if isinstance(part, RulePin) else part.filter

    @property
    def exact(self) -> tuple[str, ...]:
        """The words that a query must be; () = any."""
        query = None if self.when is None else self.when.query
        return folded_words(query.exact) if query is not None and query.exact else ()

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words that a query must begin with; () = any."""
        query = None if self.when is None else self.when.query
        return folded_words(query.prefix) if query is not None and query.prefix else ()

    def text(self) -> str:
        """Return the rule as JSON text, as it was sent."""
        sent = self.model_dump(by_alias=True, exclude_unset=True)
        return orjson.dumps(sent, option=orjson.OPT_SORT_KEYS).decode()

    def for_engine(self) -> RankRule:
        """Return what the engine gets of it. Raises `InvalidRequestError`: it is no JSON."""
        intent = None if self.when is None else self.when.intent
        demands: dict[str, DemandedValue] = {}
        if intent is not None:
            demands |= intent.filters or {}
        amount = 0.0
        if self.boost is not None:
            amount = self.boost.weight
        elif self.bury is not None:
            amount = -self.bury.weight
        elif self.promote is not None:
            amount = self.promote.share
        return RankRule(
            id=self.id,
            action=self.action,
            filter=filter_text(self.some_items, f"{self.action}.filter"),
            amount=amount,
            item="" if self.pin is None else self.pin.item_id,
            place=0 if self.pin is None else self.pin.place,
            sort="" if intent is None or intent.sort is None else intent.sort,
            demands=tuple(sorted(demands.items())),
        )


def _seconds(moment: str | float) -> float:
    found = parse_time(moment, "it")
    assert found is not None  # noqa: S101 - the model has checked it
    return found.seconds


def _wrong(field: str, message: str) -> PydanticCustomError:
    """Return an error of a whole object that names one of its fields."""
    return PydanticCustomError("wrong_together", "{said}", {"said": message, "field": field})
