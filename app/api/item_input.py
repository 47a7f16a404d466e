"""Parsing the bodies of `PUT /items` (an array of items, or an object with `items`) and of patches.

Each item is judged by itself: a wrong one becomes a remark with the reason, and the others are
accepted. A field that the catalogue does not have is kept for the next build, with a warning.
Values follow the rules of item files (`app.domain.values`), except that JSON has types: a number
in quotes is not a number. This module knows the attributes of a catalogue, but not its items.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Annotated, Any, Final, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from app.api.body import in_turns
from app.api.problems import read_as, translate
from app.core.errors import InvalidRequestError
from app.core.strict_json import check_names, check_size
from app.domain.markup import plain_text
from app.domain.request_parts import Id
from app.domain.values import Unusable, parse_categories, parse_number, parse_text, parse_time
from app.serving.ingest import Remark

MAX_ITEMS: Final = 1000
MAX_WARNINGS: Final = 1000
"""Most warnings of unknown fields in one answer."""

ItemRecord: TypeAlias = Mapping[str, object]
"""A whole item in plain JSON values, with its `id`, as the journal stores it.

Times are as `Instant.shown` returns them; `available_from` and `available_until` are unix seconds.
Missing values are left out.
"""

_ALWAYS: Final = {"title": "string", "text": "string"}
_CONTROLS: Final = {"hidden": "boolean", "available_from": "moment", "available_until": "moment"}
_LIKE_ID: Final = {"id", "_id", "item_id", "itemid", "item", "product_id", "productid", "sku"}
"""Names under which an id is sent by mistake, in lower case."""
_LARGEST_EXACT: Final = 2**53
_MAX_NAME_CHARS: Final = 256
_MOST_HINTS: Final = 32
"""Unknown fields of a call for which the nearest known one is looked for: each look takes time."""

_ID: Final[TypeAdapter[str]] = TypeAdapter(Id)
_OBJECT: Final[TypeAdapter[dict[str, Any]]] = TypeAdapter(dict[str, Any])
_Entries = Annotated[list[Any], Field(min_length=1, max_length=MAX_ITEMS)]
_ARRAY: Final[TypeAdapter[list[Any]]] = TypeAdapter(_Entries)


class _ItemsBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    items: _Entries


def kinds_to_send(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return name -> kind of each field that can be sent, except `id`.

    `attributes`: name -> kind of those of the catalogue, as `EngineInfo.attributes`.
    """
    return {**_ALWAYS, **attributes, **_CONTROLS}


@dataclass(frozen=True, slots=True)
class ParsedItems:
    """The items of one call.

    Attributes:
        records: position in the call, from 0 -> item.
        rejected: entries that are wrong, and why.
        repeated: items whose id comes again later in the call; they are not in `records`.
        unknown: fields of the records that the catalogue does not have.
    """

    records: dict[int, ItemRecord]
    rejected: tuple[Remark, ...]
    repeated: tuple[Remark, ...]
    unknown: tuple[Remark, ...]


async def parse_items(body: bytes, attributes: Mapping[str, str]) -> ParsedItems:
    """Return the items of a body, and what is wrong with the others; of one id the last counts.

    `attributes`: name -> kind of those of the catalogue.

    Raises:
        ValidationError: the body is not a list.
    """
    if body.lstrip(b" \t\r\n").startswith(b"["):
        check_size(body)
        entries = _ARRAY.validate_json(body)
        check_names(body, 0, with_nan=True)
    else:
        entries = read_as(_ItemsBody, body, with_nan=True).items
    records: dict[int, ItemRecord] = {}
    rejected: list[Remark] = []
    kinds = kinds_to_send(attributes)

    def judge(index: int, entry: object) -> None:
        try:
            records[index] = _record(entry, kinds)
        except InvalidRequestError as error:
            rejected.append(Remark(index, "invalid_item", error.message, error.field))

    await in_turns(entries, body, judge)
    repeated = _repeated(records)
    message = "the same id comes again in this call; the last item counts"
    kept = {index: record for index, record in records.items() if index not in repeated}
    names = dict.fromkeys(name for record in kept.values() for name in record)
    unknown = {
        name: _unknown_message(name, kinds, hint=n < _MOST_HINTS)
        for n, name in enumerate(name for name in names if name != "id" and name not in kinds)
    }
    return ParsedItems(
        kept,
        tuple(rejected),
        repeated=tuple(Remark(index, "duplicate_item", message, "id") for index in repeated),
        unknown=tuple(
            islice(
                (
                    Remark(index, "unknown_field", unknown[name], name)
                    for index, record in kept.items()
                    for name in record
                    if name in unknown
                ),
                MAX_WARNINGS,
            )
        ),
    )


def nothing_kept(rejected: Sequence[Remark]) -> InvalidRequestError:
    """Return the error for a call none of whose items can be used; it names the first reason."""
    first = rejected[0]
    field = str(first.index) if first.field is None else f"{first.index}.{first.field}"
    return InvalidRequestError(f"no item can be used: {first.message}", field=field)


def parse_patch(body: bytes, attributes: Mapping[str, str]) -> Mapping[str, object]:
    """Return the fields of an item to change, as in a record; None = remove the field.

    `attributes`: name -> kind of those of the catalogue.

    Raises:
        ValidationError: not a JSON object.
        InvalidRequestError: no fields, `id`, an unknown field or a wrong value.
    """
    check_size(body)
    entry = _OBJECT.validate_json(body)
    check_names(body, len(entry), with_nan=True)
    if not entry:
        raise InvalidRequestError("give at least one field to change")
    if "id" in entry:
        raise InvalidRequestError("the id of an item cannot be changed", field="id")
    kinds = kinds_to_send(attributes)
    for name in entry.keys() - kinds:
        names = ", ".join(["id", *kinds])
        message = f"there is no such field{_nearest(name, kinds) or ';'} there are: {names}"
        raise InvalidRequestError(message, field=name)
    return _fields(entry, kinds)


def _record(entry: object, kinds: Mapping[str, str]) -> ItemRecord:
    if not isinstance(entry, dict):
        raise InvalidRequestError("an item is a JSON object")
    if "id" not in entry:
        near = next((name for name in entry if name.lower() in _LIKE_ID), None)
        hint = "" if near is None else f": send `{near}` as `id`"
        raise InvalidRequestError(f"an item needs an id{hint}", field="id")
    try:
        item_id = _ID.validate_python(entry["id"], strict=True)
    except ValidationError as error:
        raise InvalidRequestError(translate(error).message, field="id") from error
    rest = {name: value for name, value in entry.items() if name != "id"}
    values = _fields(rest, kinds)
    return {"id": item_id, **{k: value for k, value in values.items() if value is not None}}


def _fields(entry: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, object]:
    """Return the values as in a record, None = missing. Raises `InvalidRequestError`."""
    values: dict[str, object] = {}
    for name, value in entry.items():
        try:
            values[name] = _value(name, kinds[name], value) if name in kinds else _kept(name, value)
        except Unusable as reason:
            raise InvalidRequestError(str(reason), field=name) from reason
    return values


def _value(name: str, kind: str, value: object) -> object:
    if value is None:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        raise Unusable(f"{name} is not a finite number")
    return _READ.get(kind, _text)(name, value)


def _kept(name: str, value: object) -> object:
    """Return the value of an unknown field as the journal stores it. Raises `Unusable`."""
    if len(name) > _MAX_NAME_CHARS:
        raise Unusable(f"the name of a field is longer than {_MAX_NAME_CHARS} characters")
    if isinstance(value, float) and not math.isfinite(value):
        raise Unusable(f"{name} is not a finite number")
    try:
        kept = orjson.loads(orjson.dumps(value))
    except (TypeError, orjson.JSONDecodeError) as error:
        raise Unusable(f"{name[:_MAX_NAME_CHARS]} cannot be stored") from error
    if kept != value:  # NaN within it
        raise Unusable(f"{name} has a number that is none")
    return kept


def _unknown_message(name: str, kinds: Mapping[str, str], *, hint: bool) -> str:
    return (
        "the catalogue has no such field: it is kept for the next build, and until then neither "
        f"searched nor filtered{_nearest(name, kinds) if hint else ''}"
    )


def _nearest(name: str, kinds: Mapping[str, str]) -> str:
    near = get_close_matches(name.lower(), kinds, n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise Unusable(f"{name} is neither true nor false")
    return value


def _number(name: str, value: object) -> int | float:
    if isinstance(value, str):
        raise Unusable(f"{name} is not a number: send it without quotes and currency, such as 39.9")
    number = parse_number(value, name)
    # Whole numbers stay integers as far as float64, which columns have, can tell them apart.
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
    plain = plain_text(value)
    trimmed = parse_text(plain, name)
    return trimmed if name in _ALWAYS or trimmed is None else plain


_READ: Final[Mapping[str, Callable[[str, object], object]]] = {
    "boolean": _boolean,
    "number": _number,
    "time": _time,
    "moment": _moment,
    "strings": _strings,
}


def _repeated(records: Mapping[int, ItemRecord]) -> list[int]:
    """Return the positions of the records whose id comes again, in order."""
    last = {record["id"]: index for index, record in records.items()}
    return [index for index, record in records.items() if last[record["id"]] != index]
