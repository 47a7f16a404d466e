"""What a caller may send as items: an array, or an object with `items`; each judged by itself.

What a value may be is ruled by `app.domain.values`, as for data files; but JSON has types, so a
number in quotes is no number here. Knows which attributes a catalogue has, not which items.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from app.api.problems import translate
from app.core.errors import InvalidRequestError
from app.domain.request import Id
from app.domain.values import Unusable, parse_categories, parse_number, parse_text, parse_time
from app.serving.ingest import Remark

MAX_ITEMS: Final = 1000

ItemRecord: TypeAlias = Mapping[str, object]
"""A whole item in plain JSON values, `id` among them, as the journal keeps it.

Times are as `Instant.shown` returns them, `available_from` and `available_until` unix seconds.
What is missing is left out.
"""

_ALWAYS: Final = {"title": "string", "text": "string"}
_CONTROLS: Final = {"hidden": "boolean", "available_from": "moment", "available_until": "moment"}
_LARGEST_EXACT: Final = 2**53

_ID: Final[TypeAdapter[str]] = TypeAdapter(Id)
_OBJECT: Final[TypeAdapter[dict[str, Any]]] = TypeAdapter(dict[str, Any])
_Entries = Annotated[list[Any], Field(min_length=1, max_length=MAX_ITEMS)]
_ARRAY: Final[TypeAdapter[list[Any]]] = TypeAdapter(_Entries)


class _Envelope(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    items: _Entries


@dataclass(frozen=True, slots=True)
class ItemRules:
    """Which fields the items of a catalogue have.

    Attributes:
        attributes: name -> kind, as `EngineInfo.attributes`.
        columns: our field -> its column in the data files, as `[items]` of a recipe: who sends a
            column is told how the field is called.
    """

    attributes: Mapping[str, str]
    columns: Mapping[str, str] = field(default_factory=dict)

    def kinds(self) -> dict[str, str]:
        """Return name -> kind of everything that can be sent, but for `id`."""
        return {**_ALWAYS, **self.attributes, **_CONTROLS}


@dataclass(frozen=True, slots=True)
class ParsedItems:
    """The items of one call: place in the call -> record, what is wrong, what is odd."""

    records: dict[int, ItemRecord]
    rejected: tuple[Remark, ...]
    warnings: tuple[Remark, ...]


def parse_items(body: bytes, rules: ItemRules) -> ParsedItems:
    """Return an item, or why it is none, for each entry of a body; of one id the last item counts.

    Raises:
        ValidationError: the body as a whole is wrong.
    """
    if body.lstrip(b" \t\r\n").startswith(b"["):
        entries = _ARRAY.validate_json(body)
    else:
        entries = _Envelope.model_validate_json(body).items
    records: dict[int, ItemRecord] = {}
    rejected: list[Remark] = []
    kinds = rules.kinds()
    for index, entry in enumerate(entries):
        try:
            records[index] = _record(entry, kinds, rules)
        except InvalidRequestError as error:
            rejected.append(Remark(index, "invalid_item", error.message, error.field))
    repeated = _repeated(records)
    said = "the same id comes again in this call; the last item counts"
    return ParsedItems(
        {index: record for index, record in records.items() if index not in repeated},
        tuple(rejected),
        tuple(Remark(index, "duplicate_item", said, "id") for index in repeated),
    )


def parse_patch(body: bytes, rules: ItemRules) -> Mapping[str, object]:
    """Return the fields of an item to change, as a record holds them; None = to be removed.

    Raises:
        ValidationError: not a JSON object.
        InvalidRequestError: no fields, `id`, an unknown field or a wrong value.
    """
    entry = _OBJECT.validate_json(body)
    if not entry:
        raise InvalidRequestError("give at least one field to change")
    if "id" in entry:
        raise InvalidRequestError("the id of an item cannot be changed", field="id")
    return _fields(entry, rules.kinds(), rules)


def _record(entry: object, kinds: Mapping[str, str], rules: ItemRules) -> ItemRecord:
    if not isinstance(entry, dict):
        raise InvalidRequestError("an item is a JSON object")
    if "id" not in entry:
        raise InvalidRequestError("an item needs an id", field="id")
    try:
        item_id = _ID.validate_python(entry["id"], strict=True)
    except ValidationError as error:
        raise InvalidRequestError(translate(error).message, field="id") from error
    rest = {name: value for name, value in entry.items() if name != "id"}
    values = _fields(rest, kinds, rules)
    return {"id": item_id, **{k: value for k, value in values.items() if value is not None}}


def _fields(
    entry: Mapping[str, Any], kinds: Mapping[str, str], rules: ItemRules
) -> dict[str, object]:
    """Return the values as a record holds them, None = missing. Raises `InvalidRequestError`."""
    values: dict[str, object] = {}
    for name, value in entry.items():
        if name not in kinds:
            raise InvalidRequestError(_unknown(name, kinds, rules), field=name)
        try:
            values[name] = _value(name, kinds[name], value)
        except Unusable as reason:
            raise InvalidRequestError(str(reason), field=name) from reason
    return values


def _unknown(name: str, kinds: Mapping[str, str], rules: ItemRules) -> str:
    for ours, column in rules.columns.items():
        if column == name and (ours == "id" or ours in kinds):
            return f"there is no such field; send it as {ours}"
    return f"there is no such field; there are: {', '.join(['id', *kinds])}"


def _value(name: str, kind: str, value: object) -> object:
    if value is None:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        raise Unusable(f"{name} is not a finite number")
    return _READ.get(kind, _text)(name, value)


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise Unusable(f"{name} is neither true nor false")
    return value


def _number(name: str, value: object) -> int | float:
    if isinstance(value, str):
        raise Unusable(f"{name} is not a number")
    number = parse_number(value, name)
    # Whole numbers stay whole as far as a float64, which they end up as, can tell them apart.
    return value if isinstance(value, int) and abs(value) <= _LARGEST_EXACT else number


def _time(name: str, value: object) -> int | str | None:
    instant = parse_time(value, name, years=name == "published_at")
    return None if instant is None else instant.shown()


def _moment(name: str, value: object) -> float | None:
    instant = parse_time(value, name)
    return None if instant is None else instant.seconds


def _strings(name: str, value: object) -> list[str] | None:
    if name == "categories":
        categories = parse_categories(value)
        return None if categories is None else list(categories)
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise Unusable(f"{name} is not a list of texts")
    return value


def _text(name: str, value: object) -> str | None:
    if not isinstance(value, str):
        raise Unusable(f"{name} is not text")
    trimmed = parse_text(value, name)
    return trimmed if name in _ALWAYS or trimmed is None else value


_READ: Final[Mapping[str, Callable[[str, object], object]]] = {
    "boolean": _boolean,
    "number": _number,
    "time": _time,
    "moment": _moment,
    "strings": _strings,
}


def _repeated(records: Mapping[int, ItemRecord]) -> list[int]:
    """Return the places of records whose id comes again, in order."""
    last = {record["id"]: index for index, record in records.items()}
    return [index for index, record in records.items() if last[record["id"]] != index]
