"""Columns of dates: ISO 8601, unix seconds, and dates as people write them.

Whether 05/09/2021 is in May or in September is decided over the whole column: one date such as
25/09/2021 tells it for all. The recipe may say it (`day_first`). If nothing does, the day comes
first, unless a time has AM or PM; the remarks of the column say so.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from app.domain.columns import Instant
from app.domain.values import NO_VALUES, Cell, Unusable, is_missing, iso_time, parse_time
from app.offline.input.values.column_remarks import MISSING, OUTSIDE, UNREADABLE, ColumnRemarks
from app.offline.input.values.written_dates import (
    date_of_digits,
    is_unsure,
    order_told,
    written_date,
)

_LEAST_YEAR: Final = 1000
_MOST_YEAR: Final = 2999
_LEAST_SECONDS: Final = 100_000.0
_INTEGER: Final = re.compile(r"[+-]?[0-9]+(?:\.0+)?")
_YEAR: Final = re.compile(r"[12][0-9]{3}")
_HALF_DAY: Final = re.compile(r"[0-9]\s*[ap]\.?m\b", re.IGNORECASE)


def is_date(cell: Cell) -> bool:
    """Return whether a cell is text that is a date, whichever of its numbers is the day."""
    return isinstance(cell, str) and bool(iso_time(cell) or written_date(cell))


def is_year(cell: Cell) -> bool:
    """Return whether a cell is the text of a year from 1000 to 2999."""
    return isinstance(cell, str) and bool(_YEAR.fullmatch(cell.strip()))


def read_dates(
    cells: Sequence[Cell], remarks: ColumnRemarks, day_first: bool | None
) -> list[Instant | None]:
    """Return the instants of a column of texts; those that cannot be read are remarked on."""
    first = days_first(_texts(cells), remarks, day_first)

    def read(cell: Cell) -> Instant | None:
        if is_year(cell):
            return Instant.of_year(int(cell))
        return iso_time(cell) or _written(cell, first) if isinstance(cell, str) else None

    return _each(cells, remarks, read)


def read_published(
    cells: Sequence[Cell], remarks: ColumnRemarks, day_first: bool | None
) -> list[Instant | None]:
    """Return when items were published; a year that is not within 1000–2999 is missing.

    Numbers are years or unix seconds; if all whole numbers of the column look like 20210925, they
    are dates.
    """
    first = days_first(_texts(cells), remarks, day_first)
    digits = all_digits(cells)

    def read(cell: Cell) -> Instant | None:
        instant = date_of_digits(digits_of(cell)) if digits and _is_integer(cell) else None
        if instant is None and isinstance(cell, str):
            instant = iso_time(cell)
        return instant or _published(cell, first)

    instants = _each(cells, remarks, read)
    if any(
        isinstance(cell, str) and written_date(cell) and not iso_time(cell)
        for cell in set(_texts(cells))
    ):
        remarks.read_as.insert(0, "dates as people write them")
    for row, instant in enumerate(instants):
        if instant is not None and not _FIRST <= instant.seconds < _END:
            remarks.lose(OUTSIDE, cells[row])
            instants[row] = None
    return instants


def days_first(texts: Iterable[str], remarks: ColumnRemarks, day_first: bool | None) -> bool:
    """Return whether days come before months in the dates of a column, and remark on it."""
    counted = Counter(texts)
    unsure = next(filter(is_unsure, counted), None)
    if unsure is None or day_first is not None:
        return day_first is not False
    told = Counter[bool | None]()
    for text, n in counted.items():
        told[order_told(text)] += n
    if told[True] and told[False]:
        remarks.read_as.append("warning: in some dates the day comes first, in others the month")
    if told[True] or told[False]:
        return told[True] >= told[False]
    first = not any(map(_HALF_DAY.search, counted))
    order = "day" if first else "month"
    remarks.read_as.append(
        f"warning: no date tells whether the day or the month comes first in {unsure!r}; "
        f"the {order} was taken (`day_first` in the recipe says it)"
    )
    return first


def _published(cell: Cell, day_first: bool) -> Instant | None:
    try:
        instant = parse_time(cell, "published_at", years=True)
    except Unusable:
        return _written(cell, day_first)
    # So small a number counts no seconds: it is a year that cannot be one, as 0, 975 or 12021, or
    # days, as spreadsheets count them.
    if instant is not None and not instant.is_year and abs(instant.seconds) < _LEAST_SECONDS:
        return _BEFORE
    return instant


def _written(cell: Cell, day_first: bool) -> Instant | None:
    return written_date(cell, day_first=day_first) if isinstance(cell, str) else None


def _each(
    cells: Sequence[Cell], remarks: ColumnRemarks, read: Callable[[Cell], Instant | None]
) -> list[Instant | None]:
    """Read each different cell once: dates come again and again."""
    known: dict[str, Instant | None] = {}  # of texts that are dates
    instants: list[Instant | None] = []
    for cell in cells:
        instant = known.get(cell) if isinstance(cell, str) else None
        if instant is None and not is_missing(cell):
            if isinstance(cell, str) and cell.strip() in NO_VALUES:
                remarks.lose(MISSING, cell)
            elif (instant := read(cell)) is None:
                remarks.lose(UNREADABLE, cell)
            elif isinstance(cell, str):
                known[cell] = instant
        instants.append(instant)
    return instants


def _texts(cells: Iterable[Cell]) -> list[str]:
    return [cell for cell in cells if isinstance(cell, str)]


def _is_integer(cell: Cell) -> bool:
    if isinstance(cell, str):
        return bool(_INTEGER.fullmatch(cell.strip()))
    return isinstance(cell, int | float) and not isinstance(cell, bool) and cell == cell // 1


def digits_of(cell: Cell) -> str:
    """Return the digits of a whole number."""
    return str(cell).strip().removesuffix(".0")


def all_digits(cells: Iterable[Cell]) -> bool:
    """Return whether all whole numbers of a column are dates such as 20210925."""
    found = False
    for cell in cells:
        if not is_missing(cell) and _is_integer(cell):
            if date_of_digits(digits_of(cell)) is None:
                return False
            found = True
    return found


_FIRST: Final = Instant.of_year(_LEAST_YEAR).seconds
_END: Final = Instant.of_year(_MOST_YEAR + 1).seconds
_BEFORE: Final = Instant(_FIRST - 1.0)
