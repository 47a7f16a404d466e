"""What the validation library says of a wrong value, in words for people who do not know it.

Bodies, settings and recipes are validated by the same library, so their messages come from here.
"""

from collections.abc import Mapping
from typing import Final

from pydantic_core import ErrorDetails

_EXPECTED: Final[Mapping[str, str]] = {
    "model_type": "an object",
    "dict_type": "an object",
    "tuple_type": "an array",
    "list_type": "an array",
    "int_parsing": "a valid integer",
    "float_parsing": "a valid number",
}
"""What was expected, by the kind of the library's error."""

_SAID: Final[Mapping[str, str]] = {
    "missing": "this field is required",
    "extra_forbidden": "there is no such field",
}

_PATTERNS: Final = (
    (r"^[^\x00-\x1f", "it has a control character, such as a line break"),
    ("^([1-9][0-9]{0,5})", "Input should be a number and s, m, h, d or w, such as 30d"),
    ("^[A-Za-z0-9_-]+$", "this is no cursor of an answer"),
    ("^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", "a name has letters, digits, . _ and -, at most 64"),
    ("^(rediss?|unix)://", "it must begin with redis://, rediss:// or unix://"),
    ("^https?://", "it must begin with http:// or https://"),
)
"""How a pattern begins, and what a text is told that does not match it."""

_MARKS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def words_for(error: ErrorDetails) -> str:
    """Return what is wrong in terms of JSON; the library also knows "Tuple should have …"."""
    kind = error["type"]
    if kind in _SAID:
        return _SAID[kind]
    if kind in _EXPECTED:
        return f"Input should be {_EXPECTED[kind]}"
    if kind == "json_invalid":
        return _not_json(error)
    if kind == "string_pattern_mismatch":
        pattern = str(error["ctx"]["pattern"])
        return next((said for begin, said in _PATTERNS if pattern.startswith(begin)), error["msg"])
    unit = "character" if isinstance(error["input"], str) else "item"
    for length, bound in (("too_long", "most"), ("too_short", "least")):
        if kind == length:
            n = error["ctx"]["max_length" if bound == "most" else "min_length"]
            return f"Input should have at {bound} {n} {unit}{'' if n == 1 else 's'}"
    return error["msg"].removeprefix("Value error, ")


def _not_json(error: ErrorDetails) -> str:
    sent = error["input"]
    body = sent.encode() if isinstance(sent, str) else bytes(sent)
    if not body.strip():
        return "the body is empty: send JSON"
    if body.startswith(_MARKS):
        return "the body begins with a byte order mark: send UTF-8 without one"
    return error["msg"]
