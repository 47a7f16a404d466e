"""Filters: what a caller demands of an item's fields, checked against the kinds of a catalogue.

    {"genres": {"any": ["Sci-Fi"]}, "year": {"gte": 1990, "lt": 2000}, "$or": [{…}, {…}]}

A filter is parsed once into a small tree, which `holds` reads for one item and
`app.engine.catalogue.attributes` for a whole catalogue. A missing value fails every operator but
`not` and `exists: false`. This module does not know where items come from.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from app.core.errors import InvalidRequestError
from app.core.types import JsonValue
from app.domain.values import Unusable, parse_time

MAX_DEPTH: Final = 8
MAX_TESTS: Final = 64
MAX_VALUES: Final = 1000

_MOST_NAMED: Final = 300

_SETS: Final = ("any", "all", "not", "eq")
_RANGES: Final = ("gt", "gte", "lt", "lte")
_ORDERED: Final = frozenset({"number", "time"})
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "strings": (str,),
    "boolean": (bool,),
    "number": (int, float),
    "time": (int, float, str),
}


@dataclass(frozen=True, slots=True)
class In:
    """The field holds one of the values, or, with `every`, each of them; numbers as floats."""

    field: str
    values: tuple[str | float | bool, ...]
    every: bool = False


@dataclass(frozen=True, slots=True)
class Range:
    """The number, or the time in unix seconds, lies in [low, high]."""

    field: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Exists:
    """The field has a value."""

    field: str


@dataclass(frozen=True, slots=True)
class And:
    """Each part holds."""

    parts: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """Some part holds."""

    parts: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Nor:
    """No part holds."""

    parts: "tuple[Filter, ...]"


Filter: TypeAlias = In | Range | Exists | And | Or | Nor

_GROUPS: Final[Mapping[str, type[And | Or | Nor]]] = {
    "$and": And,
    "$or": Or,
    "$not": Nor,
}


def filter_text(raw: Mapping[str, object] | None) -> str:
    """Return one spelling for one filter: JSON with sorted keys; "" for none, or an empty one.

    Raises:
        InvalidRequestError: deeper than JSON may be here, or with numbers beyond 64 bits.
    """
    if not raw:
        return ""
    try:
        return orjson.dumps(raw, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError as error:
        raise InvalidRequestError("the filter holds what JSON cannot", field="filter") from error


def parse_filter(text: str, kinds: Mapping[str, str]) -> Filter:
    """Return the tree of a filter.

    Args:
        text: as `filter_text` returns it, not empty.
        kinds: field -> kind, of the catalogue.

    Raises:
        InvalidRequestError: an unknown field (names those there are) or operator, a wrong type, or
            too much of it.
    """
    parser = _Parser(kinds)
    return parser.group(orjson.loads(text), "filter", 0)


class _Parser:
    """Counts the tests while it walks through a filter."""

    def __init__(self, kinds: Mapping[str, str]) -> None:
        self._kinds = kinds
        self._tests = 0

    def group(self, raw: object, where: str, depth: int) -> Filter:
        if not isinstance(raw, dict) or not raw:
            raise _wrong("a filter is an object that names at least one field", where)
        if depth > MAX_DEPTH:
            raise _wrong(f"a filter may be at most {MAX_DEPTH} deep", where)
        parts = [self._part(name, value, f"{where}.{name}", depth) for name, value in raw.items()]
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _part(self, name: str, value: object, where: str, depth: int) -> Filter:
        if name in _GROUPS:
            if not isinstance(value, list) or not value:
                raise _wrong("a list of filters is wanted", where)
            parts = (
                self.group(part, f"{where}.{place}", depth + 1) for place, part in enumerate(value)
            )
            return _GROUPS[name](tuple(parts))
        kind = self._kinds.get(name)
        if kind is None:
            raise no_such_field(self._kinds, where)
        if not isinstance(value, dict) or not value:
            raise _wrong('an object such as {"any": [...]} is wanted', where)
        tests = [
            self._test(name, kind, operator, operand, f"{where}.{operator}")
            for operator, operand in value.items()
        ]
        return tests[0] if len(tests) == 1 else And(tuple(tests))

    def _test(self, name: str, kind: str, operator: str, operand: object, where: str) -> Filter:
        self._tests += 1
        if self._tests > MAX_TESTS:
            raise _wrong(f"a filter may have at most {MAX_TESTS} tests", where)
        if operator in _RANGES:
            return _range(name, kind, operator, operand, where)
        if operator == "exists":
            if not isinstance(operand, bool):
                raise _wrong("true or false is wanted", where)
            return Exists(name) if operand else Nor((Exists(name),))
        if operator not in _SETS:
            there_are = ", ".join((*_SETS, *_RANGES, "exists"))
            raise _wrong(f"no such operator; there are: {there_are}", where)
        if operator == "eq" or (operator == "not" and not isinstance(operand, list)):
            operand = [operand]
        among = _among(name, kind, _list(operand, where), where, every=operator == "all")
        return Nor((among,)) if operator == "not" else among


def _range(name: str, kind: str, operator: str, operand: object, where: str) -> Filter:
    if kind not in _ORDERED:
        raise _wrong(f"{name!r} holds no numbers or times to compare", where)
    first, last = _span(_checked(kind, operand, where), kind, where)
    match operator:
        case "gt":
            return Range(name, math.nextafter(last, math.inf), math.inf)
        case "gte":
            return Range(name, first, math.inf)
        case "lt":
            return Range(name, -math.inf, math.nextafter(first, -math.inf))
        case _:
            return Range(name, -math.inf, last)


def _among(name: str, kind: str, values: Sequence[object], where: str, *, every: bool) -> Filter:
    checked = [_checked(kind, value, where) for value in values]
    if kind != "time":
        numbers = kind == "number"
        known = tuple(dict.fromkeys(float(v) if numbers else v for v in checked))
        return In(name, known, every)
    spans = tuple(Range(name, *_span(value, kind, where)) for value in checked)
    return And(spans) if every else Or(spans)


def _span(value: Any, kind: str, where: str) -> tuple[float, float]:  # noqa: ANN401 - checked
    """Return the first and last number that a value stands for: a bare year is all of that year."""
    if kind == "number":
        return float(value), float(value)
    try:
        instant = parse_time(value, "it", years=True)
        if instant is None:
            raise _wrong("a time is wanted", where)
        if not instant.is_year:
            return instant.seconds, instant.seconds
        after = parse_time(f"{int(value) + 1}-01-01", "it")
    except Unusable as reason:
        raise _wrong(str(reason), where) from reason
    end = math.inf if after is None else math.nextafter(after.seconds, -math.inf)
    return instant.seconds, end


def _checked(kind: str, value: object, where: str) -> Any:  # noqa: ANN401 - by kind
    fits = isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
    if not fits:
        raise _wrong(f"a value of kind {'string' if kind == 'strings' else kind} is wanted", where)
    return value


def _list(operand: object, where: str) -> list[object]:
    if not isinstance(operand, list) or not 1 <= len(operand) <= MAX_VALUES:
        raise _wrong(f"a list of 1 to {MAX_VALUES} values is wanted", where)
    return operand


def no_such_field(known: Iterable[str], where: str) -> InvalidRequestError:
    """Return the problem of a name in the request field `where` that is no field of the items."""
    there_are = ", ".join(sorted(known)) or "none"
    return _wrong(f"no such field; there are: {there_are}", where)


def _wrong(message: str, where: str) -> InvalidRequestError:
    # Names are the caller's own, however long.
    return InvalidRequestError(message, field=where[:_MOST_NAMED])


def holds(test: Filter, values: Mapping[str, JsonValue]) -> bool:
    """Tell whether one item passes.

    `values`: field -> value; times as unix seconds, missing ones None or left out.

    >>> kinds = {"year": "number", "genres": "strings"}
    >>> nineties = parse_filter('{"year":{"gte":1990,"lt":2000}}', kinds)
    >>> holds(nineties, {"year": 1995}), holds(nineties, {"year": 2000}), holds(nineties, {})
    (True, False, False)
    """
    match test:
        case And(parts):
            return all(holds(part, values) for part in parts)
        case Or(parts):
            return any(holds(part, values) for part in parts)
        case Nor(parts):
            return not any(holds(part, values) for part in parts)
        case Exists(field):
            return values.get(field) is not None
        case Range(field, low, high):
            number = values.get(field)
            return isinstance(number, int | float) and low <= number <= high
        case In(field, wanted, every):
            found = values.get(field)
            has = set(found) if isinstance(found, list | tuple) else {found} - {None}
            return has.issuperset(wanted) if every else not has.isdisjoint(wanted)
