"""The model of `POST /shelves`: several named rows for one user, none of which repeats an item.

A shelf is a request for recommendations with a name. Its kind fills some fields of the request:
`app.serving.shelves` says how. A wrong shelf does not spoil the others: it is kept as the error
that it is, in its place.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.domain.request import (
    CONTEXT_SCHEMA,
    DEFAULT_BUDGET_MS,
    DEFAULT_K,
    MAX_EXCLUDE,
    MAX_FIELDS,
    RecommendRequest,
)
from app.domain.request_parts import MAX_K, EventKind, FieldNames, Id, Ids, ItemFilter

ShelfKind: TypeAlias = Literal["request", "continue", "because", "new", "popular"]

MAX_SHELVES: Final = 16
MAX_NAME: Final = 64
MAX_TITLE: Final = 256
_MAX_KINDS: Final = 64
_MAX_LANGUAGE: Final = 35  # of a code by RFC 5646

_OF_THE_WHOLE: Final = (
    *("user_id", "session_id", "cursor"),
    *("budget_ms", "min_catalogue", "personalize"),
)
"""Fields that hold for all shelves together. There are no pages of a shelf."""

_OF_A_LIST: Final = ("text", "exposure")
"""Fields that are about a list as a whole: other items would be in the row."""

_FILLED: Final[dict[ShelfKind, tuple[str, ...]]] = {
    "request": (),
    "continue": ("candidates", "query", "intent", "repeat"),
    "because": ("like", "candidates"),
    "new": ("query", "intent", "candidates"),
    "popular": ("query", "intent", "candidates"),
}
"""The fields that a kind fills itself."""

_ONLY_FOR: Final[dict[str, ShelfKind]] = {
    "item_id": "because",
    "begun": "continue",
    "finished": "continue",
}

ShelfName = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_NAME, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
]
Kinds = Annotated[tuple[EventKind, ...], Strict(strict=False)]


def _wrong(field: str, message: str) -> PydanticCustomError:
    return PydanticCustomError("wrong_together", "{said}", {"said": message, "field": field})


class Shelf(RecommendRequest):
    """One row: a name, a kind, and fields of a request for recommendations."""

    name: ShelfName = Field(description="What the answer calls the row.")
    kind: Annotated[ShelfKind, Field(title="ShelfKind")] = Field(
        default="request",
        description="continue (begun and not finished), because (like an item that was taken), "
        "new, popular, or what the other fields of the row ask for.",
    )
    title: str | None = Field(
        default=None,
        max_length=MAX_TITLE,
        description="Shown title; {title} stands for that of the item of a because row. By "
        "default that of the kind, else the name.",
    )
    item_id: Id | None = Field(
        default=None,
        description="The item of a because row; by default the newest that the user took.",
    )
    begun: Kinds | None = Field(
        default=None,
        max_length=_MAX_KINDS,
        description="Kinds of events that begin an item, for a continue row.",
    )
    finished: Kinds | None = Field(
        default=None,
        max_length=_MAX_KINDS,
        description="Kinds of events that finish an item, for a continue row.",
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        for field, said in self._refused():
            if field in self.model_fields_set:
                raise _wrong(field, said)
        return self

    def _refused(self) -> Iterator[tuple[str, str]]:
        """Yield each field that may not be sent, and why."""
        for field in _OF_THE_WHOLE:
            yield field, "this field belongs to the whole request, not to a shelf"
        for field in _OF_A_LIST:
            yield field, "a shelf is a part of a longer list, and cannot have this"
        for field in _FILLED[self.kind]:
            yield field, f"a shelf of kind {self.kind} fills this field itself"
        for field, kind in _ONLY_FOR.items():
            if self.kind != kind:
                yield field, f"only a shelf of kind {kind} has this field"

    @classmethod
    def schema_of_fields(cls) -> dict[str, Any]:
        """Return the JSON schema of a shelf, without the fields of the whole request."""
        schema = cls.model_json_schema()
        for field in (*_OF_THE_WHOLE, *_OF_A_LIST):
            del schema["properties"][field]
        return schema


@dataclass(frozen=True, slots=True)
class WrongShelf:
    """A shelf that cannot be asked for; `name`: None where it has none."""

    name: str | None
    error: ValidationError


def _or_wrong(entry: object, validate: ValidatorFunctionWrapHandler) -> Shelf | WrongShelf:
    try:
        shelf: Shelf = validate(entry)
    except ValidationError as error:
        name = entry.get("name") if isinstance(entry, dict) else None
        return WrongShelf(name[:MAX_NAME] if isinstance(name, str) else None, error)
    return shelf


class ShelvesRequest(BaseModel):
    """What a caller of `POST /shelves` may send: who asks, and the rows in their order."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    user_id: Id | None = Field(default=None, description="Whose rows these are.")
    session_id: Id | None = Field(
        default=None, description="The same for somebody unknown; not together with user_id."
    )
    context: Annotated[dict[str, Any] | None, WithJsonSchema(CONTEXT_SCHEMA)] = Field(
        default=None, description="Where, when and on what it is asked, as in POST /recommend."
    )
    k: int = Field(default=DEFAULT_K, ge=1, le=MAX_K, description="Items of each row.")
    fields: FieldNames = Field(
        default=(), max_length=MAX_FIELDS, description="Item fields to return (see /info)."
    )
    filter: ItemFilter | None = Field(
        default=None, description="Demanded of the items of all rows, beside their own filters."
    )
    exclude: Ids = Field(
        default=(), max_length=MAX_EXCLUDE, description="Items that are in no row."
    )
    language: Annotated[str, StringConstraints(max_length=_MAX_LANGUAGE)] = Field(
        default="en", description="Code of the language of the titles: en, es, zh; else English."
    )
    personalize: bool = Field(
        default=True, description="false: no state of the user is read, whoever is named."
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
    shelves: Annotated[
        tuple[Annotated[Shelf, WrapValidator(_or_wrong)], ...], Strict(strict=False)
    ] = Field(
        min_length=1,
        max_length=MAX_SHELVES,
        description="The rows. An item is in the first of them that has it.",
    )

    @model_validator(mode="after")
    def _one_user(self) -> Self:
        if self.user_id is not None and self.session_id is not None:
            raise _wrong("session_id", "give user_id or session_id, not both")
        return self

    @property
    def has_user(self) -> bool:
        """Whether what somebody did may shape the rows."""
        return self.personalize and (self.user_id is not None or self.session_id is not None)

    def size_of(self, shelf: Shelf) -> int:
        """Return how many items a row has at most."""
        return self.k if shelf.k is None else min(shelf.k, MAX_K)

    def asked(self, shelf: Shelf, **filled: Any) -> RecommendRequest:  # noqa: ANN401 - fields
        """Return the request for recommendations of one row; `filled`: the fields of its kind.

        Raises:
            ValidationError: the fields do not go together.
        """
        fields: dict[str, Any] = {
            name: getattr(self, name) for name in _COMMON if name in self.model_fields_set
        }
        fields |= {name: getattr(shelf, name) for name in _ASKED if name in shelf.model_fields_set}
        fields |= filled
        if filters := [each for each in (self.filter, shelf.filter) if each]:
            fields["filter"] = filters[0] if len(filters) == 1 else {"$and": filters}
        if exclude := (*self.exclude, *shelf.exclude, *filled.get("exclude", ())):
            fields["exclude"] = exclude
        return RecommendRequest(**fields)


_COMMON: Final = (
    *("user_id", "session_id", "context", "fields"),
    *("personalize", "min_catalogue", "budget_ms"),
)
_ASKED: Final = tuple(RecommendRequest.model_fields.keys() - {"filter", "exclude"})
