"""The model of a request: what a caller of `POST /recommend` may send.

Unknown fields and wrong types are refused. This module knows neither HTTP nor the catalogue.
Whether an id or a field name exists is checked later.
"""

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.core.ranking import By
from app.domain.exposure import ExposureWish
from app.domain.named_values import (
    MAX_NAME_CHARS,
    MAX_NAMES,
    MAX_TEXT_CHARS,
    NAME_PATTERN,
)
from app.domain.request_parts import (
    MAX_HISTORY,
    MAX_K,
    ControlName,
    EventKind,
    FieldName,
    FieldNames,
    Id,
    Ids,
    ItemFilter,
    Query,
)
from app.domain.sent_intent import SWITCHED_OFF, SentIntent, sent_intent_of

MAX_CANDIDATES: Final = 1000
MAX_EXCLUDE: Final = 1000
MAX_FIELDS: Final = 64
DEFAULT_K: Final = 10
DEFAULT_BUDGET_MS: Final = 1000
MAX_BATCH: Final = 64
MAX_SEEN_KINDS: Final = 16
MAX_EVENTS: Final = 1000
MAX_CURSOR_ITEMS: Final = 1000
MAX_CURSOR_CHARACTERS: Final = 32_768
MAX_GROUPED_FIELDS: Final = 4
MAX_PER: Final = 100
MAX_SEED: Final = 2**53
MAX_GOALS: Final = 16

_WITHIN: Final = re.compile(r"([1-9][0-9]{0,5})([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


CONTEXT_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        {
            "title": "Context",
            "type": "object",
            "maxProperties": MAX_NAMES,
            "propertyNames": {"minLength": 1, "maxLength": MAX_NAME_CHARS, "pattern": NAME_PATTERN},
            "additionalProperties": {
                "anyOf": [
                    {"type": "string", "maxLength": MAX_TEXT_CHARS},
                    {"type": ["number", "boolean", "null"]},
                ]
            },
        },
        {"type": "null"},
    ]
}


class SeenRule(BaseModel):
    """Which stored events make an item one that was seen; `true` is the rule without limits."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    events: Annotated[tuple[EventKind, ...], Strict(strict=False)] | None = Field(
        default=None,
        max_length=MAX_SEEN_KINDS,
        description="Kinds of events, impressions too; by default those that are positive.",
    )
    within: Annotated[str, StringConstraints(pattern=rf"^{_WITHIN.pattern}$")] | None = Field(
        default=None, description="How far back: a number and s, m, h, d or w, as 30d."
    )

    @property
    def everything(self) -> bool:
        """Whether it is the rule without limits."""
        return self.events is None and self.within is None

    @property
    def within_s(self) -> int | None:
        """How far back, in seconds; None = without limit."""
        found = _WITHIN.fullmatch(self.within or "")
        return int(found[1]) * _SECONDS[found[2]] if found else None


SEEN_ALL: Final = SeenRule()
SEEN_NOTHING: Final = SeenRule(events=())


def _rule_of(value: object) -> object:
    """Spell the two short forms out: true is every positive event, false is none."""
    if isinstance(value, bool):
        return SEEN_ALL if value else SEEN_NOTHING
    return value


def _wrong(field: str, message: str) -> PydanticCustomError:
    """Return an error of a whole request that names one of its fields."""
    return PydanticCustomError("wrong_together", "{said}", {"said": message, "field": field})


class RecommendRequest(BaseModel):
    """One request for recommendations: words, a user, both or neither."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    query: Query = Field(default="", description="What is wanted, in words.")
    user_id: Id | None = Field(default=None, description="Whose stored events shape the taste.")
    session_id: Id | None = Field(
        default=None, description="The same for somebody unknown; not together with user_id."
    )
    history: Ids = Field(
        default=(),
        max_length=MAX_HISTORY,
        description="Items used lately, oldest first; follows the stored events.",
    )
    like: Ids = Field(default=(), max_length=MAX_HISTORY, description="More like these items.")
    dislike: Ids = Field(default=(), max_length=MAX_HISTORY, description="Less like these items.")
    by: Annotated[By, Field(title="SimilarBy")] = Field(
        default="both",
        description="What makes items similar to `like`: their texts (content), what users took "
        "together (behaviour), or both.",
    )
    k: int | None = Field(
        default=None,
        ge=1,
        le=MAX_CANDIDATES,
        description="Items wanted: 1 to 100 (10); with candidates, up to and by default all.",
    )
    exclude: Ids = Field(
        default=(), max_length=MAX_EXCLUDE, description="Items that must not come back."
    )
    candidates: Ids | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_CANDIDATES,
        description="Rank exactly these items.",
    )
    fields: FieldNames = Field(
        default=(), max_length=MAX_FIELDS, description="Item fields to return (see /info)."
    )
    budget_ms: int = Field(
        default=DEFAULT_BUDGET_MS,
        ge=1,
        le=10_000,
        description="Time for the whole answer, in milliseconds.",
    )
    repeat: bool | None = Field(
        default=None,
        description="Whether items in history, like and dislike may come back (false; "
        "with candidates: true).",
    )

    exclude_seen: Annotated[
        SeenRule | None,
        BeforeValidator(_rule_of),
        WithJsonSchema({"anyOf": [{"type": ["boolean", "null"]}, SeenRule.model_json_schema()]}),
    ] = Field(
        default=None,
        description="Which stored events keep their items out: true (positive ones; the default), "
        "false, or kinds and a time.",
    )
    cursor: str | None = Field(
        default=None,
        max_length=MAX_CURSOR_CHARACTERS,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="next_cursor of an answer: what was shown up to there does not come back.",
    )
    filter: ItemFilter | None = Field(
        default=None,
        description="What the fields of items must be (see docs/api.md); empty = anything.",
    )
    on_empty: Literal["none", "popular", "relax"] = Field(
        default="none",
        description="What fills up where a filter leaves less than k: nothing, what is popular, or "
        "what fits apart from the filter; `passing` in the answer says how many pass.",
    )
    min_score: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="Items with a lower score stay out; nothing fills their places.",
    )
    intent: Annotated[
        SentIntent | None,
        BeforeValidator(sent_intent_of),
        WithJsonSchema({"anyOf": [{"type": ["boolean", "null"]}, SentIntent.model_json_schema()]}),
    ] = Field(
        default=None,
        description="What is asked for: true (the query is interpreted; the default), false (the "
        "query means its own words), or the intent itself, used in place of the query's.",
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
    popularity_bias: float = Field(
        default=0.0,
        ge=-1,
        le=1,
        allow_inf_nan=False,
        description="-1 favours items that few took, 1 those that many took; a part of the score.",
    )
    explore: float = Field(
        default=0.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="With this probability a place is filled by a draw; `propensity` says how "
        "likely each item was. Such an answer is never cached.",
    )
    seed: int | None = Field(
        default=None,
        ge=0,
        le=MAX_SEED,
        description="Of the draws of explore: the same seed draws the same; by default a new one.",
    )
    exposure: Annotated[
        ExposureWish | None,
        WithJsonSchema({"anyOf": [ExposureWish.model_json_schema(), {"type": "null"}]}),
    ] = Field(
        default=None,
        description="Which share of the places groups of items must and may have.",
    )
    goals: (
        Annotated[
            dict[EventKind, Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]],
            Field(title="Goals"),
        ]
        | None
    ) = Field(
        default=None,
        max_length=MAX_GOALS,
        description="Kind of event (see /info) -> how much one is worth beside the others; {} = "
        "all that is taken counts alike.",
    )
    min_catalogue: int = Field(
        default=0,
        ge=0,
        le=2**53,
        description="generation.catalogue of an earlier answer: wait for a catalogue as new.",
    )
    max_stale_ms: int = Field(
        default=0,
        ge=0,
        le=3_600_000,
        description="Age up to which a cached answer from an older catalogue will do, in "
        "milliseconds: none of its items has changed since.",
    )
    context: Annotated[dict[str, Any] | None, WithJsonSchema(CONTEXT_SCHEMA)] = Field(
        default=None,
        description="Where, when and on what it is asked: name -> text, number, true or false.",
    )
    scenario: ControlName | None = Field(
        default=None,
        description="Name of a scenario: its fields are the defaults of those not sent here, and "
        "its filter is demanded too.",
    )
    personalize: bool = Field(
        default=True, description="false: no state of the user is read, whoever is named."
    )
    text: bool = Field(
        default=False,
        description="true: the answer has a short text about its first items.",
    )
    explain: bool = Field(
        default=False,
        description="true: the first 20 items say what adds to their score, the facts behind it, "
        "and one of them as a sentence.",
    )

    @model_validator(mode="after")
    def _one_who(self) -> Self:
        if self.user_id is not None and self.session_id is not None:
            raise _wrong("session_id", "give user_id or session_id, not both")
        if self.candidates is None and self.k is not None and self.k > MAX_K:
            raise _wrong("k", f"k may be at most {MAX_K} without candidates")
        return self

    @property
    def size(self) -> int:
        """How many items are wanted at most."""
        if self.k is not None:
            return self.k
        return DEFAULT_K if self.candidates is None else len(self.candidates)

    @property
    def sent_intent(self) -> SentIntent | None:
        """The intent that is used in place of the query's own; None = the query is parsed."""
        return None if self.intent is SWITCHED_OFF else self.intent

    @property
    def seen(self) -> SeenRule:
        """Which stored events keep their items out."""
        if self.exclude_seen is not None:
            return self.exclude_seen
        return SEEN_NOTHING if self.repeats else SEEN_ALL

    @property
    def repeats(self) -> bool:
        """Whether what the user already had may come back."""
        return self.candidates is not None if self.repeat is None else self.repeat
