"""Whether the values of a column can be those of one of our fields.

A name alone misleads: `published` may hold yes and no, `key` a key of music. Values are judged by a
sample of them. This module knows no names of columns.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from app.domain.event_rules import DEFAULT_EVENT_RULES, known_spelling
from app.domain.values import NO_VALUES, Cell, Unusable, is_missing, parse_number, parse_time
from app.offline.input.values.date_columns import digits_of, is_date
from app.offline.input.values.written_dates import date_of_digits

_MOST_WRONG: Final = 0.2
_LEAST_DATES: Final = 0.5
_LEAST_DISTINCT: Final = 0.5
_MOST_KINDS: Final = 100
_FIRST_SECOND: Final = 100_000_000.0
"""Unix seconds from which a number is taken for a time (1973); smaller ones count something."""
_LEAST_SECONDS: Final = 100_000.0
"""Numbers below it are years, or nothing."""
_HIGHEST_RATING: Final = 100.0


def are_ids(values: Sequence[Cell]) -> bool:
    """Tell whether most values are there, and most of them differ."""
    present = _present(values)
    distinct = len({str(value) for value in present})
    return _is_filled(values) and distinct >= _LEAST_DISTINCT * len(present)


def nameless_fields(section: str, values: Mapping[str, list[Cell]]) -> dict[str, str]:
    """Return field -> column of a file whose columns have no names, by the values alone.

    Of items the first column that differs in all rows is the id, and the next one of different
    texts the title, of several words if there is such a one. Of events the user comes before the
    item, as in all data sets known to us.
    """
    if section == "items":
        return _nameless_items(values)
    return _nameless_events(values) if section == "events" else {}


def _nameless_items(values: Mapping[str, list[Cell]]) -> dict[str, str]:
    found: dict[str, str] = {}
    tests: list[tuple[str, Callable[[Sequence[Cell]], bool]]] = [
        ("id", lambda v: are_ids(v) and len({str(x) for x in v}) == len(v)),
        ("title", lambda v: _are_titles(v) and _mostly(v, lambda cell: " " in str(cell).strip())),
        ("title", _are_titles),
        ("categories", lambda v: _are_texts(v) and _are_lists(v)),
        ("published_at", lambda v: _mostly(v, _may_be_date)),
    ]
    for field, fits in tests:
        free = [name for name in values if field not in found and name not in found.values()]
        column = next((name for name in free if fits(values[name])), None)
        if column is not None:
            found[field] = column
    return found


def _nameless_events(values: Mapping[str, list[Cell]]) -> dict[str, str]:
    when = next((name for name, v in values.items() if _are_times(v)), None)
    rest = [name for name, v in values.items() if name != when and _is_filled(v)]
    if len(rest) < 2:
        return {}
    found = {"user_id": rest[0], "item_id": rest[1]}
    kind = next((name for name in rest[2:] if _has_known_kind(values[name])), None)
    if kind is not None:
        found["event"] = kind
    elif len(rest) > 2 and _are_ratings(values[rest[2]]):
        found |= {"value": rest[2], "default_event": "rating"}
    return found if when is None else {**found, "timestamp": when}


def _present(values: Sequence[Cell]) -> list[Cell]:
    return [
        value
        for value in values
        if not is_missing(value) and not (isinstance(value, str) and value.strip() in NO_VALUES)
    ]


def _mostly(values: Sequence[Cell], test: Callable[[Cell], bool]) -> bool:
    present = _present(values)
    return bool(present) and sum(map(test, present)) >= (1 - _MOST_WRONG) * len(present)


def _half(values: Sequence[Cell], test: Callable[[Cell], bool]) -> bool:
    present = _present(values)
    return bool(present) and sum(map(test, present)) >= _LEAST_DATES * len(present)


def _is_filled(values: Sequence[Cell]) -> bool:
    present = _present(values)
    return 2 * len(present) > len(values) and not any(isinstance(v, list | dict) for v in present)


def _are_texts(values: Sequence[Cell]) -> bool:
    return _mostly(values, _has_letters)


def _has_letters(value: Cell) -> bool:
    if isinstance(value, list | dict):
        return True
    return isinstance(value, str) and any(map(str.isalpha, value)) and not _is_number(value)


def _are_kinds(values: Sequence[Cell]) -> bool:
    """Tell whether there are few different texts."""
    return _are_texts(values) and len({str(value) for value in values}) <= _MOST_KINDS


def _has_known_kind(values: Sequence[Cell]) -> bool:
    """Tell whether there are few different texts, and one of them is a usual kind of event."""
    kinds = {str(value).strip() for value in _present(values)}
    return _are_kinds(values) and any(known_spelling(kind, DEFAULT_EVENT_RULES) for kind in kinds)


def _are_titles(values: Sequence[Cell]) -> bool:
    return _are_texts(values) and are_ids(values) and not _are_addresses(values)


def _are_addresses(values: Sequence[Cell]) -> bool:
    return _mostly(values, lambda value: str(value).startswith(("http://", "https://")))


def _are_lists(values: Sequence[Cell]) -> bool:
    present = _present(values)
    return 3 * sum("|" in str(value) for value in present) > len(present)


def _are_numbers(values: Sequence[Cell]) -> bool:
    return _mostly(values, _is_number)


def _are_ratings(values: Sequence[Cell]) -> bool:
    present = _present(values)
    return _are_numbers(values) and all(
        abs(parse_number(value, "")) <= _HIGHEST_RATING for value in present if _is_number(value)
    )


def _is_number(value: Cell) -> bool:
    try:
        return not isinstance(value, bool) and parse_number(value, "") is not None
    except Unusable:
        return False


def _are_times(values: Sequence[Cell]) -> bool:
    return _mostly(values, lambda value: _is_time(value, years=False))


def _are_dates(values: Sequence[Cell]) -> bool:
    """Tell whether at least half of the values are times, years, or dates as people write them.

    The name of the column says it, too, and what is no date is only missing. Where some are years,
    other small numbers are years that cannot be one, such as 0 or -700.
    """
    large = [value for value in values if _may_be_date(value) or not _is_small(value)]
    return _half(large, _may_be_date)


def _is_small(value: Cell) -> bool:
    return _is_number(value) and abs(parse_number(value, "")) < _LEAST_SECONDS


def _may_be_date(value: Cell) -> bool:
    return is_date(value) or _is_time(value, years=True)


def _is_time(value: Cell, *, years: bool) -> bool:
    try:
        moment = parse_time(value, "", years=years)
    except Unusable:
        return is_date(value)
    if moment is None or not _is_number(value):
        return moment is not None
    if moment.is_year or moment.seconds >= _FIRST_SECOND:
        return True
    return date_of_digits(digits_of(value)) is not None


def _are_moments(values: Sequence[Cell]) -> bool:
    return _half(values, lambda value: _is_time(value, years=False))


FITS: Final[Mapping[tuple[str, str], Callable[[Sequence[Any]], bool]]] = {
    ("items", "id"): _is_filled,
    ("items", "title"): _are_texts,
    ("items", "text"): _are_texts,
    ("items", "categories"): _are_texts,
    ("items", "published_at"): _are_dates,
    ("events", "user_id"): _is_filled,
    ("events", "session_id"): _is_filled,
    ("events", "item_id"): _is_filled,
    ("events", "event"): _are_kinds,
    ("events", "value"): _are_numbers,
    ("events", "timestamp"): _are_moments,
    ("events", "event_id"): are_ids,
    ("events", "recommendation_id"): _is_filled,
    ("events", "query"): _are_texts,
    ("users", "id"): _is_filled,
    ("judgements", "query"): _are_texts,
    ("judgements", "item_id"): _is_filled,
    ("judgements", "grade"): _are_numbers,
}
"""Section and field -> whether values can be those of the field."""
