"""Filters: conditions on the fields of items, checked against the kinds of a catalogue.

    {"genres": {"any": ["Sci-Fi"]}, "year": {"gte": 1990, "lt": 2000}, "$or": [{…}, {…}]}

`parse_filter` turns a filter into a small tree. `matches` applies the tree to one item, and
`app.engine.catalogue.attributes` applies it to all items of a bundle. A missing value fails every
operator except `not` and `exists: false`. This module does not know where items come from.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, TypeAlias

import orjson

from app.core.errors import InvalidRequestError
from app.core.types import JsonValue
from app.domain.values import Unusable, parse_time

MAX_DEPTH: Final = 8
MAX_TESTS: Final = 64
MAX_VALUES: Final = 1000
"""Most values of one test."""

MAX_ALL_VALUES: Final = 5000
"""Most values of all tests together: each is checked in the event loop, which all callers share."""

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
    """The field has one of the values, or with `every` each of them; numbers are floats."""

    field: str
    values: frozenset[str | float | bool]
    every: bool = False


@dataclass(frozen=True, slots=True)
class Range:
    """The number, or the time in unix seconds, lies in [low, high]."""

    field: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Ranges:
    """The number or time lies in one of the ranges [lows[i], highs[i]]: ascending, apart."""

    field: str
    lows: tuple[float, ...]
    highs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """The field has a value."""

    field: str


@dataclass(frozen=True, slots=True)
class And:
    """All parts match."""

    parts: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """At least one part matches."""

    parts: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Nor:
    """No part matches."""

    parts: "tuple[Filter, ...]"


Filter: TypeAlias = In | Range | Ranges | Exists | And | Or | Nor

_GROUPS: Final[Mapping[str, type[And | Or | Nor]]] = {
    "$and": And,
    "$or": Or,
    "$not": Nor,
}


def filter_text(raw: Mapping[str, object] | None, where: str = "filter") -> str:
    """Return a filter as JSON with sorted keys, so that equal filters are equal text.

    An absent or empty filter is "". `where`: the field of the request, for errors.

    Raises:
        InvalidRequestError: it is nested too deeply, or has an integer beyond 64 bits.
    """
    if not raw:
        return ""
    try:
        return orjson.dumps(raw, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError as error:
        raise InvalidRequestError("the filter has a value that is not JSON", field=where) from error


def parse_filter(
    text: str, kinds: Mapping[str, str], where: str = "filter", *, limited: bool = True
) -> Filter:
    """Return the tree of a filter.

    Args:
        text: as `filter_text` returns it, not empty.
        kinds: field -> kind, of the catalogue.
        where: the field of the request, for errors.
        limited: whether it may be only so deep and so long. What callers send is checked so; with
            the demands of a query it may be longer.

    Raises:
        InvalidRequestError: an unknown field or operator (the message names the known ones), a
            wrong type, or too many tests.
    """
    parser = _Parser(kinds, limited=limited)
    return parser.group(orjson.loads(text), where, 0)


class _Parser:
    """Parses one filter, and counts its tests and values meanwhile."""

    def __init__(self, kinds: Mapping[str, str], *, limited: bool) -> None:
        self._kinds, self._limited = kinds, limited
        self._tests = self._values = 0

    def group(self, raw: object, where: str, depth: int) -> Filter:
        if not isinstance(raw, dict) or not raw:
            raise _wrong("a filter is an object that names at least one field", where)
        if self._limited and depth > MAX_DEPTH:
            raise _wrong(f"a filter may be at most {MAX_DEPTH} deep", where)
        parts = [self._part(name, value, f"{where}.{name}", depth) for name, value in raw.items()]
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _part(self, name: str, value: object, where: str, depth: int) -> Filter:
        if name in _GROUPS:
            if not isinstance(value, list) or not value:
                raise _wrong("this must be a list of filters", where)
            parts = (
                self.group(part, f"{where}.{position}", depth + 1)
                for position, part in enumerate(value)
            )
            return _GROUPS[name](tuple(parts))
        kind = self._kinds.get(name)
        if kind is None:
            raise no_such_field(name, self._kinds, where)
        if not isinstance(value, dict) or not value:
            raise _wrong('this must be an object such as {"any": [...]}', where)
        tests = [
            self._test(name, kind, operator, operand, f"{where}.{operator}")
            for operator, operand in value.items()
        ]
        return tests[0] if len(tests) == 1 else And(tuple(tests))

    def _test(self, name: str, kind: str, operator: str, operand: object, where: str) -> Filter:
        self._tests += 1
        if self._limited and self._tests > MAX_TESTS:
            raise _wrong(f"a filter may have at most {MAX_TESTS} tests", where)
        if operator in _RANGES:
            return _range_test(name, kind, operator, operand, where)
        if operator == "exists":
            if not isinstance(operand, bool):
                raise _wrong("this must be true or false", where)
            return Exists(name) if operand else Nor((Exists(name),))
        if operator not in _SETS:
            operators = ", ".join((*_SETS, *_RANGES, "exists"))
            raise _wrong(f"no such operator; there are: {operators}", where)
        if operator == "eq" or (operator == "not" and not isinstance(operand, list)):
            operand = [operand]
        values = _list(operand, where)
        self._values += len(values)
        if self._limited and self._values > MAX_ALL_VALUES:
            raise _wrong(f"a filter may have at most {MAX_ALL_VALUES:,} values in all", where)
        test = _values_test(name, kind, values, where, every=operator == "all")
        return Nor((test,)) if operator == "not" else test


def _range_test(name: str, kind: str, operator: str, operand: object, where: str) -> Filter:
    if kind not in _ORDERED:
        raise _wrong(f"{name!r} has no numbers or times to compare", where)
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


def _values_test(
    name: str, kind: str, values: Sequence[object], where: str, *, every: bool
) -> Filter:
    checked = [_checked(kind, value, where) for value in values]
    if kind != "time":
        return In(name, frozenset(map(float, checked) if kind == "number" else checked), every)
    spans = [_span(value, kind, where) for value in checked]
    if every:  # a time that lies in all of them lies in what they have in common
        return Range(name, max(low for low, _ in spans), min(high for _, high in spans))
    return _one_of(name, spans)


def _one_of(name: str, spans: Sequence[tuple[float, float]]) -> Filter:
    """Return the test for lying in one of the spans; those that touch become one."""
    apart: list[tuple[float, float]] = []
    for low, high in sorted(spans):
        if apart and low <= apart[-1][1]:
            apart[-1] = apart[-1][0], max(apart[-1][1], high)
        else:
            apart.append((low, high))
    lows, highs = zip(*apart, strict=True)
    return Range(name, *apart[0]) if len(apart) == 1 else Ranges(name, lows, highs)


def _span(value: Any, kind: str, where: str) -> tuple[float, float]:  # noqa: ANN401 - checked
    """Return the first and last number that a value stands for: a bare year is all of that year."""
    if kind == "number":
        return float(value), float(value)
    try:
        instant = parse_time(value, "it", years=True)
        if instant is None:
            raise _wrong("this must be a time", where)
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
        wanted = "string" if kind == "strings" else kind
        raise _wrong(f"this must be a value of kind {wanted}", where)
    return value


def _list(operand: object, where: str) -> list[object]:
    if not isinstance(operand, list) or not 1 <= len(operand) <= MAX_VALUES:
        raise _wrong(f"this must be a list of 1 to {MAX_VALUES} values", where)
    return operand


def no_such_field(sent: str, known: Iterable[str], where: str) -> InvalidRequestError:
    """Return the error for a name, in the request field `where`, that is no field of the items."""
    names = sorted(known)
    near = get_close_matches(sent[:_MOST_NAMED], names, n=1)
    meant = f" did you mean `{near[0]}`?" if near else ""
    return _wrong(f"no such field;{meant} there are: {', '.join(names) or 'none'}", where)


def _wrong(message: str, where: str) -> InvalidRequestError:
    # The path is made of names that the caller sent, which may be of any length.
    return InvalidRequestError(message, field=where[:_MOST_NAMED])


def _lies_in(test: Range | Ranges, number: float) -> bool:
    if isinstance(test, Range):
        return test.low <= number <= test.high
    at = bisect_right(test.lows, number) - 1
    return at >= 0 and number <= test.highs[at]


def matches(test: Filter, values: Mapping[str, JsonValue]) -> bool:
    """Tell whether one item passes a filter.

    `values`: field -> value; times as unix seconds; missing values are None or left out.

    >>> kinds = {"year": "number", "genres": "strings"}
    >>> nineties = parse_filter('{"year":{"gte":1990,"lt":2000}}', kinds)
    >>> matches(nineties, {"year": 1995}), matches(nineties, {"year": 2000}), matches(nineties, {})
    (True, False, False)
    """
    match test:
        case And(parts):
            return all(matches(part, values) for part in parts)
        case Or(parts):
            return any(matches(part, values) for part in parts)
        case Nor(parts):
            return not any(matches(part, values) for part in parts)
        case Exists(field):
            return values.get(field) is not None
        case Range() | Ranges():
            number = values.get(test.field)
            return isinstance(number, int | float) and _lies_in(test, number)
        case In(field, allowed, every):
            value = values.get(field)
            own = set(value) if isinstance(value, list | tuple) else {value} - {None}
            return own >= allowed if every else not own.isdisjoint(allowed)
