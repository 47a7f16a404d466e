"""Named values: the attributes of a user, and the context of an event.

They have the same rules in files and over HTTP. A value is text, a number, true or false; an
attribute may also be a list of texts. Names and values that nothing was
learned of are no errors. A blank or missing value is as if the name were not there. This module
knows neither files nor stores.
"""

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import orjson

from app.core.types import Attributes, AttributeValue, Context, ContextValue, JsonValue
from app.domain.values import Unusable, is_missing

MAX_NAMES: Final = 16
MAX_NAME_CHARS: Final = 64
MAX_TEXT_CHARS: Final = 256
MAX_TEXTS: Final = 16

ID_NAMES: Final = ("id", "user_id", "user")
"""Names of no attribute: a file of users has the id under one of them."""

_LARGEST_WHOLE: Final = 2.0**53

NAME_PATTERN: Final = r"^[^\x00-\x20\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\x9f])?$"
"""What a name is: no control characters, no blank at either end."""

_NAME = re.compile(NAME_PATTERN)

Value = TypeVar("Value")


class WrongValue(Unusable):
    """A named value that cannot be used; `name` is None where it is about all of them."""

    def __init__(self, reason: str, name: str | None = None) -> None:
        super().__init__(reason if name is None else f"{name} {reason}")
        self.name = name


def is_name(text: str) -> bool:
    """Return whether a value may have this name."""
    return len(text) <= MAX_NAME_CHARS and bool(_NAME.fullmatch(text))


def attributes_of(values: Mapping[str, object]) -> Attributes:
    """Return the attributes of a user. Raises `WrongValue`.

    >>> attributes_of({"country": " NZ ", "age": 31, "likes": ["tea", "tea"], "city": None})
    (('age', 31.0), ('country', 'NZ'), ('likes', ('tea',)))
    """
    for name in values:
        if name in ID_NAMES:
            raise WrongValue("is the id of the user, and no attribute", name)
    return _pairs(values, attribute_value)


def context_of(values: Mapping[str, object]) -> Context:
    """Return the context of an event. Raises `WrongValue`.

    >>> context_of({"hour": 14, "device": "phone", "section": ""})
    (('device', 'phone'), ('hour', 14.0))
    """
    return _pairs(values, _context_value)


def _context_value(value: object) -> ContextValue | None:
    return _scalar(value, "is neither text, number, true nor false")


def bucketed(context: Context) -> Context:
    """Return a context whose numbers are rounded to two significant digits.

    Numbers that differ by little then are one value: to learn of, and in a cache key. Hours, days
    and months stay as they are.

    >>> bucketed((("hour", 14.0), ("temperature", -3.14159), ("uptime", 86399.0)))
    (('hour', 14.0), ('temperature', -3.1), ('uptime', 86000.0))
    """
    return tuple([(name, bucket_of(value)) for name, value in context])


def bucket_of(value: ContextValue) -> ContextValue:
    """Return the bucket of one value; only numbers have any."""
    return float(f"{value:.2g}") + 0.0 if type(value) is float else value


def text_of(value: ContextValue) -> str:
    """Return the text of a value's bucket, which values that mean the same have in common.

    A table has no types: its 14 is the number 14 or the text.

    >>> text_of(14.0), text_of("14"), text_of(True), text_of(31.4159)
    ('14', '14', 'true', '31')
    """
    bucket = bucket_of(value)
    if isinstance(bucket, bool):
        return "true" if bucket else "false"
    return f"{bucket:.15g}" if isinstance(bucket, float) else bucket


def attribute_value(value: object) -> AttributeValue | None:
    """Return one attribute, None if it is missing. Raises `Unusable`."""
    if isinstance(value, list | tuple):
        if len(value) > MAX_TEXTS:
            raise Unusable(f"has more than {MAX_TEXTS} texts")
        if not all(isinstance(text, str) for text in value):
            raise Unusable("is not a list of texts")
        return tuple(dict.fromkeys(_text(text) for text in value if text.strip())) or None
    return _scalar(value, "is neither text, number, true, false nor a list of texts")


def _scalar(value: object, otherwise: str) -> ContextValue | None:
    """Return text, a number or a truth value, None if it is missing.

    Raises `Unusable`, with the text `otherwise` for another type.
    """
    if is_missing(value):
        return None
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        if abs(value) > sys.float_info.max:
            raise Unusable("is not a finite number")
        return float(value)
    raise Unusable(otherwise)


def _text(value: str) -> str:
    text = value.strip()
    if len(text) > MAX_TEXT_CHARS:
        raise Unusable(f"is longer than {MAX_TEXT_CHARS} characters")
    return text


def _pairs(
    values: Mapping[str, object], parse: Callable[[object], Value | None]
) -> tuple[tuple[str, Value], ...]:
    if len(values) > MAX_NAMES:
        raise WrongValue(f"there are more than {MAX_NAMES} names")
    parsed: dict[str, Value] = {}
    for name, value in values.items():
        if not is_name(name):
            raise WrongValue(
                f"a name has 1 to {MAX_NAME_CHARS} characters, none of them a control character, "
                "and no blank at either end"
            )
        try:
            some = parse(value)
        except Unusable as reason:
            raise WrongValue(str(reason), name) from reason
        if some is not None:
            parsed[name] = some
    return tuple(sorted(parsed.items()))


def shown(values: Attributes | Context) -> dict[str, JsonValue]:
    """Return named values as callers see them: whole numbers as integers.

    >>> shown((("age", 31.0), ("likes", ("tea",))))
    {'age': 31, 'likes': ['tea']}
    """
    return {name: _shown(value) for name, value in values}


def _shown(value: AttributeValue) -> JsonValue:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST_WHOLE:
        return int(value)
    return value


def written(values: Attributes | Context) -> bytes:
    """Return named values as JSON, for a store."""
    return orjson.dumps(dict(values))


def read_back(text: bytes | str) -> tuple[tuple[str, Any], ...]:
    """Return the named values that `written` wrote.

    >>> read_back(written((("age", 31.0), ("likes", ("tea",)), ("new", True))))
    (('age', 31.0), ('likes', ('tea',)), ('new', True))
    """
    values: dict[str, Any] = orjson.loads(text)
    return tuple([(n, tuple(v) if isinstance(v, list) else v) for n, v in values.items()])
