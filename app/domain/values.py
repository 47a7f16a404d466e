"""Parsing single values of items and events, from data files and from requests.

Each function takes one cell (an id, a time, a text, a number) and returns its value, or raises
`Unusable` with the reason. All rules for wrong values are here, so that files and the API follow
the same ones. This module knows neither file formats nor the meaning of a column.
"""

import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import orjson

from app.core.caller import NAMESPACE_NAME
from app.domain.category_names import WrongCategoriesError, category_names
from app.domain.columns import Instant, Kind
from app.domain.event_rules import MAX_KIND_CHARS
from app.domain.query_text import MAX_QUERY_CHARACTERS, normalised_query
from app.domain.written_numbers import number_of

Cell: TypeAlias = Any
"""A value as it was read: str, int, float, bool, list, dict or None; times as ISO 8601 text."""

MAX_ID_CHARS = 256
BLANKS = " \u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u202f\u205f\u3000"
"""What goes from around an id; line breaks and tabs are control characters, and wrong."""
CLOCK_TOLERANCE_S = 86_400.0
"""How far the clock of a caller who reports an event may be ahead of ours, in seconds."""

_MISSING = r"\N NULL null NaN nan NaT N/A n/a #N/A <NA> <null> (null) [null] undefined"
_ERRORS = "#DIV/0! #NAME? #NULL! #NUM! #REF! #VALUE! #NV #N/D #WERT! #BEZUG! #VALEUR! #VALOR!"
_NO_VALUE = (
    "NA na None none nil - – — -- ? TBA tba TBD n.a. N.A. n/d n.d. k.A. unknown Unknown UNKNOWN "
    "inf -inf Inf -Inf -Infinity"
)
MISSING_WORDS = frozenset(f"{_MISSING} {_ERRORS}".split())
"""Texts by which programs write that a value is missing, or that a formula failed."""
LONGEST_WORD = 12
"""Characters of the longest of these words: to look up a long text takes time."""
NO_VALUES = MISSING_WORDS | frozenset(_NO_VALUE.split())
"""Texts that stand for no number, no date and neither true nor false. NA is Namibia as well."""

_MISSING_IDS = MISSING_WORDS | {"", "None", "Null"}

_NAMESPACE = re.compile(NAMESPACE_NAME)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_WHOLE_FLOAT = re.compile(r"-?[0-9]+\.0")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
# A leading zero ("007", "01234") marks a code: read as a number, it would lose the zero.
_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d.*)?")
_MONTH = re.compile(r"\d{4}-\d\d")

_LARGEST_EXACT = 2**53
_YEAR_1 = -62_135_596_800
# The last instant that can be shown: float64 rounds later ones of 9999 up to the year 10000.
_LAST_INSTANT = math.nextafter(253_402_300_800.0, 0.0)
# In seconds this is the year 5138, in milliseconds 1973: larger numbers are milliseconds.
_FROM_HERE_MILLISECONDS = 1e11


class Unusable(Exception):  # noqa: N818 — it is about a row, and is always caught and counted
    """A value or row that cannot be used. The text is the reason, without the value itself."""


def is_missing(value: Cell) -> bool:
    """Tell whether a cell is empty: null, NaN or blank text."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def is_missing_id(value: Cell) -> bool:
    """Tell whether a cell holds no id: it is empty, or has one of the words for that."""
    return value.strip() in _MISSING_IDS if isinstance(value, str) else is_missing(value)


def parse_id(value: Cell, name: str, *, whole_floats: bool) -> str:
    """Return an id of 1–256 characters without control characters; integers become decimal text.

    `whole_floats`: 31.0 means 31, because the format turns integer columns with missing values into
    floats (Parquet, CSV). In other formats a float is not an id.

    Blanks around it go; in such formats line breaks and tabs, too. What programs write where they
    have none is no id, such as `null`.

    >>> parse_id(31, "id", whole_floats=False), parse_id(" 31.0", "id", whole_floats=True)
    ('31', '31')
    """
    if isinstance(value, str):
        value = value.strip(BLANKS + "\t\r\n" if whole_floats else BLANKS)
    if is_missing_id(value):
        raise Unusable(f"{name} is missing")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    elif whole_floats and isinstance(value, float) and value.is_integer():
        value = str(int(value))
    if not isinstance(value, str):
        raise Unusable(f"{name} is neither text nor an integer")
    if len(value) > MAX_ID_CHARS:
        raise Unusable(f"{name} is longer than {MAX_ID_CHARS} characters")
    if _CONTROL.search(value):
        raise Unusable(f"{name} contains a control character")
    return value[:-2] if whole_floats and _WHOLE_FLOAT.fullmatch(value) else value


def parse_namespace(value: Cell) -> str:
    """Return the namespace of a user or an event, "" without one; see `app.core.caller`."""
    if is_missing_id(value):
        return ""
    if not isinstance(value, str) or not _NAMESPACE.fullmatch(value.strip()):
        raise Unusable("namespace is not a name of at most 64 letters, digits, and . _ -")
    return value.strip()


def parse_text(value: Cell, name: str) -> str | None:
    """Return text without blanks around it, None if it is missing; a number becomes text."""
    if is_missing(value):
        return None
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _shown(value)
    raise Unusable(f"{name} is not text")


def parse_query(value: Cell) -> str:
    """Return the words of an event, spelled as the query of a request is; "" without any.

    A number becomes text: somebody may search for 1984.
    """
    words = normalised_query(parse_text(value, "query") or "")
    # Counted as they are stored, so that all that is exported can be imported.
    if len(words) > MAX_QUERY_CHARACTERS:
        raise Unusable(f"query is longer than {MAX_QUERY_CHARACTERS} characters")
    return words


def parse_categories(value: Cell) -> tuple[str, ...] | None:
    """Return the names of categories (see `category_names`), each once; None without any."""
    if is_missing(value):
        return None
    try:
        return category_names(value)
    except WrongCategoriesError as wrong:
        raise Unusable(
            "categories are neither a list of names or of objects with a name, nor text like a|b"
        ) from wrong


def parse_event(value: Cell, default: str) -> str:
    """Return the kind of an event, 1–64 characters; `default` if it is missing or blank."""
    if is_missing(value):
        return default
    if not isinstance(value, str) or len(value) > MAX_KIND_CHARS or _CONTROL.search(value):
        raise Unusable(f"event is not text of at most {MAX_KIND_CHARS} characters")
    return value.strip()


def parse_number(value: Cell, name: str) -> float:
    """Return a finite number, NaN if it is missing; text that spells a number counts as one.

    >>> parse_number("4.5", "value"), parse_number("4,5", "value"), parse_number("$12", "value")
    (4.5, 4.5, 12.0)
    """
    if is_missing(value):
        return math.nan
    number = _number_of(value)
    if number is None and isinstance(value, str):
        if value.strip() in MISSING_WORDS:
            return math.nan
        number = number_of(value)
    if number is None or not math.isfinite(number):
        raise Unusable(f"{name} is not a number")
    return number


def parse_time(value: Cell, name: str, *, years: bool = False) -> Instant | None:
    """Return the instant of ISO 8601 text or unix seconds, None if it is missing.

    Text without a time zone is UTC. Milliseconds are refused. `years`: an integer 1000–2999 is a
    year.

    >>> parse_time("2016-01-02T03:04:05+01:00", "timestamp").shown()
    '2016-01-02T02:04:05Z'
    """
    if is_missing(value):
        return None
    number = _number_of(value)
    if number is None and isinstance(value, str):
        return _iso(value.strip(), name)
    if number is None or not _YEAR_1 <= number < math.inf:
        raise Unusable(f"{name} is neither ISO 8601 nor unix seconds")
    if number >= _FROM_HERE_MILLISECONDS:
        raise Unusable(f"{name} looks like milliseconds; unix seconds are wanted")
    if years and 1000 <= number <= 2999 and number == int(number):
        return Instant.of_year(int(number))
    return Instant(number)


def limit_to_now(seconds: float, now: float) -> float:
    """Return the time of an event, cut to `now` where it lies up to a day ahead.

    Clocks differ, so a time a little ahead is an honest one. But nothing has happened after now:
    left as it is, such an event would stay the newest of its user for hours.

    Raises:
        Unusable: it lies further ahead.

    >>> limit_to_now(100.0, 60.0), limit_to_now(50.0, 60.0)
    (60.0, 50.0)
    """
    if seconds > now + CLOCK_TOLERANCE_S:
        raise Unusable("timestamp lies more than a day ahead")
    return min(seconds, now)


def plain_number(cell: Cell) -> float | None:
    """Return a number, or the one that text spells as programs do; None if it is no such.

    A leading zero marks a code, and so do more digits than float64 keeps.

    >>> plain_number("12.5"), plain_number(3), plain_number("007"), plain_number("1,5")
    (12.5, 3.0, None, None)
    """
    if isinstance(cell, str):
        return float(cell) if _is_number_text(cell) else None
    return float(cell) if _is_number(cell) else None


def iso_time(text: str) -> Instant | None:
    """Return the instant of a date or time in ISO 8601, None if the text is none."""
    text = text.strip()
    if not (_ISO_DATE.fullmatch(text) or _MONTH.fullmatch(text)):
        return None
    try:
        return _iso(text, "time")
    except Unusable:
        return None


def spelled(text: Cell) -> Cell:
    """Return what a cell of text spells: a number, true or false, else the cell as it is.

    >>> spelled("14"), spelled("true"), spelled("014"), spelled("phone")
    (14.0, True, '014', 'phone')
    """
    if is_missing(text) or not isinstance(text, str):
        return text
    if _is_boolean_text(text):
        return text.strip().lower() == "true"
    return float(text) if _is_number_text(text) else text


def infer_kind(values: Sequence[Cell], *, text_cells: bool) -> Kind:
    """Return the kind that all values of a column have; "string" if they are mixed or all missing.

    `text_cells`: all cells are text (CSV), so the kind is what the texts spell.
    """
    present = [value for value in values if not is_missing(value)]
    tests: list[tuple[Kind, Callable[[Cell], bool]]] = [
        ("boolean", _is_boolean_text if text_cells else lambda v: isinstance(v, bool)),
        ("number", _is_number_text if text_cells else _is_number),
        ("strings", _is_list_of_texts),
        ("time", _is_iso),
    ]
    for kind, test in tests:
        if present and all(map(test, present)):
            return kind
    return "string"


def convert(value: Cell, kind: Kind) -> Any:  # noqa: ANN401 — as wide as `encode_column` takes
    """Return a value of a column whose kind was inferred, None if it is missing."""
    if is_missing(value):
        return None
    match kind:
        case "boolean":
            return value if isinstance(value, bool) else value.strip().lower() == "true"
        case "number":
            number = float(value)
            return number if math.isfinite(number) else None
        case "time":
            return _iso(value.strip(), "time")
        case "strings":
            return value
        case "string":
            return value if isinstance(value, str) else _shown(value)


def column_value(kind: str, value: object) -> Any:  # noqa: ANN401 — as wide as `encode_column` takes
    """Return a value of an item's record as `encode_column` takes it, None if it is missing.

    `value`: as `Column.value` shows it. A record may be older than the bundle, when the attribute
    was of another kind: a value that cannot be read as this kind is missing.

    >>> column_value("time", 1995).is_year, column_value("number", "high")
    (True, None)
    """
    if is_missing(value):
        return None
    match kind:
        case "boolean":
            return value if isinstance(value, bool) else None
        case "number":
            number = _number_of(value)
            return number if number is not None and math.isfinite(number) else None
        case "time":
            return _time_or_none(value)
        case "strings":
            return value if _is_list_of_texts(value) else None
        case _:
            return value if isinstance(value, str) else _shown(value)


def _time_or_none(value: Cell) -> Instant | None:
    try:
        return parse_time(value, "time", years=True)
    except Unusable:
        return None


def _shown(value: Cell) -> str:
    """Return any other JSON value as text, spelled as in JSON; 1984.0 becomes "1984"."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is int:
        return str(value)
    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError:  # an integer of more than 64 bits, somewhere within
        return json.dumps(value, default=str)


def _number_of(value: Cell) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        # An integer may be too large for a float.
        return float(value) if abs(value) <= sys.float_info.max else math.inf
    if isinstance(value, str) and _spells_number(value.strip()):
        return float(value)
    return None


def _spells_number(text: str) -> bool:
    return bool(_INTEGER.fullmatch(text) or _NUMBER.fullmatch(text))


def _is_number(value: Cell) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # Larger integers are codes whose last digits float64 would change.
    return isinstance(value, float) or abs(value) <= _LARGEST_EXACT


def _is_number_text(value: Cell) -> bool:
    text = value.strip()
    return bool(_NUMBER.fullmatch(text)) and abs(float(text)) <= _LARGEST_EXACT


def _is_boolean_text(value: Cell) -> bool:
    return value.strip().lower() in {"true", "false"}


def _is_list_of_texts(value: Cell) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_iso(value: Cell) -> bool:
    if not isinstance(value, str) or not _ISO_DATE.fullmatch(value.strip()):
        return False
    try:
        _iso(value.strip(), "time")
    except Unusable:
        return False
    return True


def _iso(text: str, name: str) -> Instant:
    try:
        moment = datetime.fromisoformat(f"{text}-01" if _MONTH.fullmatch(text) else text)
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        # It must lie in the years 1 to 9999 in UTC too: others cannot be shown.
        return Instant(min(zoned.astimezone(UTC).timestamp(), _LAST_INSTANT))
    except (ValueError, OverflowError) as error:
        raise Unusable(f"{name} is neither ISO 8601 nor unix seconds") from error
