"""Dates as people write them in files, beside ISO 8601.

    September 25, 2021    25 Sep 2021 10:00    Sat, 25 Sep 2021 10:00:00 +0000    25. Juli 2021
    25/09/2021            9/25/2021 4:30 PM    25.09.2021    2021/09/25    2021年9月25日

Dates in digits are read here. Which of two small numbers is the day is ambiguous, so a caller says
it, and `order_told` returns what a single date tells. Dates with the name of a month are read by
python-dateutil: it is well kept and reads the forms of many programs. dateparser knows more
languages, but needs about a millisecond a date; here the names of months of eight more languages
are given to dateutil. It fills in what a text lacks, so it only gets texts with a month and a year.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final

from dateutil import parser as dateutil

from app.domain.columns import Instant
from app.domain.values import iso_time

_TIME = (
    r"(?:(?:[T,]|\s)\s*(?:(?:at|um|à)\s+)?(?P<hour>[0-9]{1,2})[:.h](?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:[.,](?P<part>[0-9]{1,9}))?)?"
    r"(?:\s*Uhr)?\s*(?P<half>[ap]\.?m\.?)?\s*(?P<zone>Z|UTC|GMT|(?:UTC|GMT)?[+-][0-9]{2}:?[0-9]{2})?)?"
)
_SMALL_FIRST: Final = re.compile(
    r"(?P<a>[0-9]{1,2})(?P<sep>[/.\-])\s?(?P<b>[0-9]{1,2})(?P=sep)\s?(?P<year>[0-9]{4}|[0-9]{2})"
    + _TIME,
    re.IGNORECASE,
)
_YEAR_FIRST: Final = re.compile(
    r"(?P<year>[0-9]{4})(?:(?P<sep>[/.\-])\s?(?P<a>[0-9]{1,2})(?:(?P=sep)\s?(?P<b>[0-9]{1,2}))?\.?"
    r"|\s?[年년]\s?(?P<c>[0-9]{1,2})\s?[月월](?:\s?(?P<d>[0-9]{1,2})\s?[日일号])?)" + _TIME,
    re.IGNORECASE,
)
_DIGITS: Final = re.compile(r"(?P<year>1[0-9]{3}|2[0-9]{3})(?P<a>[0-9]{2})(?P<b>[0-9]{2})")
_MAX_CHARS: Final = 64
_PIVOT: Final = 70  # 69 is 2069, 70 is 1970, as POSIX has it

_ZONES: Final = {
    "Z": 0, "UTC": 0, "GMT": 0, "WET": 0, "BST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3,
    "MSK": 3, "IST": 5.5, "JST": 9, "KST": 9, "AEST": 10, "AEDT": 11, "EST": -5, "EDT": -4,
    "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
}  # fmt: skip
"""Hours before UTC, by the usual meaning of an abbreviation; others count as UTC."""


_MONTHS: Final = (
    "jan january januar janvier enero ene gennaio gen janeiro januari jänner "
    "января янв stycznia sty",
    "feb february februar février fevrier fév févr febrero febbraio fevereiro fev februari "
    "февраля фев lutego lut",
    "mar march märz maerz mär mrz mars marzo março marco maart mrt марта мар marca",
    "apr april avril avr abril abr aprile апреля апр kwietnia kwi",
    "may mai mayo maggio mag maio mei мая maja",
    "jun june juni juin junio giugno giu junho июня июн czerwca cze",
    "jul july juli juillet juil julio luglio lug julho июля июл lipca lip",
    "aug august août aout agosto ago augustus августа авг sierpnia sie",
    "sep sept september septembre septiembre settembre set setembro сентября сен сент września wrz",
    "oct october oktober okt octobre octubre ottobre ott outubro out октября окт października paź",
    "nov november novembre noviembre novembro ноября ноя listopada lis",
    "dec december dezember dez décembre decembre déc diciembre dic dicembre dezembro "
    "декабря дек grudnia gru",
)
"""English, German, French, Spanish, Italian, Portuguese, Dutch; Russian and Polish."""
_FILLERS: Final = "de del of the um à uhr le den er г года r roku"


class _Words(dateutil.parserinfo):  # type: ignore[misc]  # it has no types
    """The words that a date may contain."""

    MONTHS = [tuple(names.split()) for names in _MONTHS]  # noqa: RUF012 - as dateutil has it
    JUMP = [*dateutil.parserinfo.JUMP, *_FILLERS.split()]  # noqa: RUF012


_PARSER: Final = dateutil.parser(_Words())
_NAMES = "|".join(sorted(" ".join(_MONTHS).split(), key=len, reverse=True))
_MONTH_NAME: Final = re.compile(rf"(?<![^\W\d_])(?:{_NAMES})(?![^\W\d_])", re.IGNORECASE)
_YEAR: Final = re.compile(r"(?<![0-9:])(?:[0-9]{4}|'?[0-9]{2}(?=$|\s))(?![0-9:])")


def order_told(text: str) -> bool | None:
    """Return whether a date has the day before the month, None if it does not tell.

    >>> order_told("25/09/2021"), order_told("09/25/2021"), order_told("05/09/2021")
    (True, False, None)
    """
    found = _SMALL_FIRST.fullmatch(text.strip()) if len(text) <= _MAX_CHARS else None
    if found is None:
        return None
    first, second = int(found["a"]), int(found["b"])
    if first == second or (first > 12) == (second > 12):
        return None
    return first > 12


def is_unsure(text: str) -> bool:
    """Return whether the day of a date could as well be its month.

    >>> is_unsure("05/09/2021"), is_unsure("05/05/2021"), is_unsure("25/09/2021")
    (True, False, False)
    """
    found = _SMALL_FIRST.fullmatch(text.strip()) if len(text) <= _MAX_CHARS else None
    return found is not None and found["a"] != found["b"] and order_told(text) is None


@lru_cache(maxsize=65_536)
def written_date(text: str, *, day_first: bool = True) -> Instant | None:
    """Return the instant of a date that people write, None if the text is none.

    Without a zone it is UTC. `day_first`: whether 05/09 is in September, where the date itself does
    not tell.

    >>> written_date("September 25, 2021").shown(), written_date("5/9/21", day_first=False).shown()
    ('2021-09-25T00:00:00Z', '2021-05-09T00:00:00Z')
    """
    text = text.strip()
    if not 6 <= len(text) <= _MAX_CHARS:
        return None
    if text[-1] == "]":  # Java adds the name of the zone: 2021-09-25T10:00:00Z[UTC]
        return iso_time(text.partition("[")[0])
    try:
        if found := _YEAR_FIRST.fullmatch(text):
            month, day = found["a"] or found["c"], found["b"] or found["d"] or "1"
            return _instant(found, month=int(month), day=int(day))
        if found := _SMALL_FIRST.fullmatch(text):
            small = int(found["a"]), int(found["b"])
            told = order_told(text)
            day, month = small if (day_first if told is None else told) else small[::-1]
            return _instant(found, month=month, day=day)
        if _MONTH_NAME.search(text) and _YEAR.search(text):
            return _by_dateutil(text, day_first=day_first)
    except (ValueError, OverflowError):
        pass
    return None


def date_of_digits(text: str) -> Instant | None:
    """Return the instant of eight digits such as 20210925, None if they are no date."""
    found = _DIGITS.fullmatch(text)
    if found is None:
        return None
    try:
        year, month, day = int(found["year"]), int(found["a"]), int(found["b"])
        return Instant(datetime(year, month, day, tzinfo=UTC).timestamp())
    except ValueError:
        return None


def _instant(found: re.Match[str], *, month: int, day: int) -> Instant:
    """Return the instant of a match. Raises `ValueError` if there is no such date."""
    year = int(found["year"])
    if len(found["year"]) == 2:
        year += 2000 if year < _PIVOT else 1900
    hour, minute, second = (int(found[part] or 0) for part in ("hour", "minute", "second"))
    half = (found["half"] or "").lower()
    if half:
        if not 1 <= hour <= 12:
            raise ValueError
        hour = hour % 12 + (12 if half[0] == "p" else 0)
    moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    zone = re.sub(r"[^0-9+-]", "", found["zone"] or "")
    ahead = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5])) if zone else timedelta()
    seconds = (moment - ahead if zone[:1] == "+" else moment + ahead).timestamp()
    return Instant(seconds + float(f"0.{found['part'] or 0}"))


def _by_dateutil(text: str, *, day_first: bool) -> Instant | None:
    # It takes what is missing from `default`: two that differ show whether the year was there.
    first, second = (
        _PARSER.parse(text, default=default, dayfirst=day_first, tzinfos=_zone)
        for default in (datetime(1904, 1, 1), datetime(1908, 1, 1))
    )
    if first != second:
        return None
    return Instant((first if first.tzinfo else first.replace(tzinfo=UTC)).timestamp())


def _zone(name: str | None, offset: int | None) -> timezone:
    seconds = _ZONES.get(name or "", 0) * 3600 if offset is None else offset
    return timezone(timedelta(seconds=seconds))
