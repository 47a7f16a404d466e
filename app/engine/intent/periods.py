"""Stretches of time that a query names, as dates: "1995", "the nineties", "last summer".

All times are UTC, and days are the finest grain, so equal words mean the same for a whole day. This
module knows no words, only the kinds of phrases that language packs have.
"""

from calendar import monthrange
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from math import ceil
from typing import Any, Final, NamedTuple

_YEARS: Final = 1000
_DAYS: Final = 31
_FIRST_YEAR: Final = 1000
_LAST_YEAR: Final = 2999
_FEW: Final = 5
_SEASONS: Final = {"spring": 3, "summer": 6, "autumn": 9, "winter": 12}


class Period(NamedTuple):
    """The days from `first` up to, not including, `end`. `clock`: it depends on today."""

    first: date
    end: date
    clock: bool = False


def today_of(now: float) -> date:
    """Return the day of a moment in unix seconds."""
    return datetime.fromtimestamp(now, UTC).date()


def midnight_after(now: float) -> float:
    """Return the next midnight in unix seconds."""
    return (now // 86_400 + 1) * 86_400


def period_of(kind: str, value: Any, slots: Sequence[Any], today: date) -> Period | None:  # noqa: ANN401
    """Return the period of a phrase; None if it is none, such as the year 12.

    Args:
        kind: of the phrase, as language packs name it.
        value: what the pack says besides, such as how many weeks back.
        slots: what its slots stand for, in order.
        today: what "last year" starts from.
    """
    try:
        return _KINDS[kind](value, slots, today)
    except (ValueError, OverflowError):  # no such day
        return None


def _year(_value: Any, slots: Sequence[Any], _today: date) -> Period | None:  # noqa: ANN401
    return _years(1900 + slots[0] if 30 <= slots[0] <= 99 else slots[0], 1)


def _decade(kind: str, slots: Sequence[Any], _today: date) -> Period | None:
    year = slots[0]
    if year % 10:
        return None
    if year < 100:
        year += 1900 if year >= 30 else 2000
    first, count = {"early_decade": (0, 4), "mid_decade": (4, 3), "late_decade": (7, 3)}.get(
        kind, (0, 10)
    )
    return _years(year + first, count)


def _decade_word(year: int, _slots: Sequence[Any], _today: date) -> Period | None:
    return _years(year, 10)


def _century(_value: Any, slots: Sequence[Any], _today: date) -> Period | None:  # noqa: ANN401
    return _years((slots[0] - 1) * 100, 100)


def _years(year: float, count: int) -> Period | None:
    if year != int(year) or not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    return Period(date(int(year), 1, 1), date(int(year) + count, 1, 1))


def _day(year: float, month: float, day: float) -> Period | None:
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    first = date(int(year), int(month), int(day))
    return Period(first, first + timedelta(days=1))


def _month_of(year: float, month: float) -> Period | None:
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    first = date(int(year), int(month), 1)
    return Period(first, _months_later(first, 1))


def _last(_value: Any, slots: Sequence[Any], today: date) -> Period | None:  # noqa: ANN401
    return _back(slots[0], slots[1], today)


def _past(_value: Any, slots: Sequence[Any], today: date) -> Period | None:  # noqa: ANN401
    return _back(1, slots[0] if slots else "decade", today)


def _last_two(_value: Any, slots: Sequence[Any], today: date) -> Period | None:  # noqa: ANN401
    return _back(2, slots[0], today)


def _last_few(_value: Any, slots: Sequence[Any], today: date) -> Period | None:  # noqa: ANN401
    return _back(_FEW, slots[0], today)


def _back(count: float, unit: str, today: date) -> Period | None:
    if not 0 < count <= 10_000 or count != int(count):
        return None
    if unit == "hour":
        count, unit = ceil(count / 24), "day"
    days = {"day": 1, "week": 7}
    months = {"month": 1, "year": 12, "decade": 120}
    if unit in days:
        first = today - timedelta(days=int(count) * days[unit])
    else:
        first = _months_later(today, -int(count) * months[unit])
    return Period(first, today + timedelta(days=1), clock=True)


def _ago(_value: Any, slots: Sequence[Any], today: date) -> Period | None:  # noqa: ANN401
    count, unit = slots
    if (
        not 0 < count <= 10_000
        or (unit == "year" and count >= _YEARS)  # the year 2000
        or count != int(count)
        or unit not in {"day", "week", "month", "year"}
    ):
        return None
    return _calendar((unit, int(count)), (), today)


def _weekday(_value: Any, slots: Sequence[Any], today: date) -> Period | None:  # noqa: ANN401
    first = today - timedelta(days=(today.weekday() - slots[0]) % 7)
    return Period(first, first + timedelta(days=1), clock=True)


def _calendar(value: tuple[str, int], _slots: Sequence[Any], today: date) -> Period | None:
    unit, count = value
    match unit:
        case "day":
            first = today - timedelta(days=count)
            end = first + timedelta(days=1)
        case "week":
            first = today - timedelta(days=today.weekday() + 7 * count)
            end = first + timedelta(days=7)
        case "weekend":
            # The newest that has begun; the last one is over.
            first = today - timedelta(days=(today.weekday() + 2) % 7)
            if count and today < first + timedelta(days=2):
                first -= timedelta(days=7)
            end = first + timedelta(days=2)
        case "month":
            first = _months_later(today.replace(day=1), -count)
            end = _months_later(first, 1)
        case "decade":
            return _years(today.year // 10 * 10 - 10 * count, 10)
        case "century":
            return _years(today.year // 100 * 100 - 100 * count, 100)
        case _:
            first = date(today.year - count, 1, 1)
            end = date(first.year + 1, 1, 1)
    return Period(first, end, clock=True)


def _season(name: str, year: float) -> Period | None:
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    first = date(int(year), _SEASONS[name], 1)
    return Period(first, _months_later(first, 3))


def _season_last(_value: Any, slots: Sequence[Any], today: date) -> Period | None:  # noqa: ANN401
    for year in (today.year, today.year - 1, today.year - 2):
        season = _season(slots[0], year)
        if season is not None and season.end <= today:
            return season._replace(clock=True)
    return None


def _season_this(_value: Any, slots: Sequence[Any], today: date) -> Period | None:  # noqa: ANN401
    season = _season(slots[0], today.year)
    return None if season is None else season._replace(clock=True)


def _season_back(count: int, slots: Sequence[Any], today: date) -> Period | None:
    season = _season(slots[0], today.year - count)
    return None if season is None else season._replace(clock=True)


def _month_last(_value: Any, slots: Sequence[Any], today: date) -> Period | None:  # noqa: ANN401
    year = today.year if slots[0] < today.month else today.year - 1
    month = _month_of(year, slots[0])
    return None if month is None else month._replace(clock=True)


def _month_only(_value: Any, slots: Sequence[Any], today: date) -> Period | None:  # noqa: ANN401
    """Return the newest month of that name that has begun."""
    month = _month_of(today.year if slots[0] <= today.month else today.year - 1, slots[0])
    return None if month is None else month._replace(clock=True)


def _month_day(_value: Any, slots: Sequence[Any], today: date) -> Period | None:  # noqa: ANN401
    """Return the newest day of that name that has begun."""
    this = _day(today.year, slots[0], slots[1])
    found = this if this is None or this.first <= today else _day(today.year - 1, *slots)
    return None if found is None else found._replace(clock=True)


def _month_of_year(_value: Any, slots: Sequence[Any], today: date) -> Period | None:  # noqa: ANN401
    """Return a month of a year, or of a small number a day of the month: "may 2020", "may 20"."""
    if slots[1] <= _DAYS:
        return _month_day(None, slots, today)
    return _month_of(slots[1], slots[0])


def _months_later(day: date, months: int) -> date:
    """Return the same day of the month that many months later; its last day if it is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


_KINDS: Final[Mapping[str, Callable[[Any, Sequence[Any], date], Period | None]]] = {
    "year": _year,
    "decade": _decade,
    "early_decade": _decade,
    "mid_decade": _decade,
    "late_decade": _decade,
    "decade_word": _decade_word,
    "century": _century,
    "date_ymd": lambda _, slots, __: _day(*slots),
    "date_mdy": lambda _, slots, __: _day(slots[2], slots[0], slots[1]),
    "date_dmy": lambda _, slots, __: _day(slots[2], slots[1], slots[0]),
    "month_of_year": _month_of_year,
    "year_month": lambda _, slots, __: _month_of(slots[0], slots[1]),
    "last": _last,
    "past": _past,
    "last_two": _last_two,
    "last_few": _last_few,
    "back": _calendar,
    "season_of_year": lambda _, slots, __: _season(slots[0], slots[1]),
    "year_of_season": lambda _, slots, __: _season(slots[1], slots[0]),
    "season_last": _season_last,
    "season_this": _season_this,
    "season_back": _season_back,
    "month_last": _month_last,
    "month_only": _month_only,
    "month_day": _month_day,
    "day_month": lambda _, slots, today: _month_day(None, slots[::-1], today),
    "weekday": _weekday,
    "ago": _ago,
}
