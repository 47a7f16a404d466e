"""The times in the rows of an event file.

Rows are read one by one, but two questions need the whole column: whether 05/09/2021 is in May or
in September, and whether 20210925 is a date or counts seconds. The column is read for them once,
when the first such time comes; most files have none.
"""

import math
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Final

from app.domain.values import MISSING_WORDS, Cell, Unusable, parse_time
from app.offline.input.values.column_remarks import ColumnRemarks
from app.offline.input.values.date_columns import all_digits, days_first, digits_of
from app.offline.input.values.written_dates import date_of_digits, is_unsure, written_date

_NAME: Final = "timestamp"
_DIGITS: Final = 8


class EventTimes:
    """Reads the times of one file. `remarks`: what was understood."""

    def __init__(self, column: Callable[[], Iterable[Cell]], day_first: bool | None) -> None:
        """Read times.

        Args:
            column: returns all times of the file as they are written.
            day_first: whether dates such as 05/09/2021 begin with the day; None = the column tells.
        """
        self._column = column
        self._given = day_first
        self.remarks = ColumnRemarks()

    def seconds(self, cell: Cell) -> float:
        """Return unix seconds, NaN where the time is missing. Raises `Unusable`."""
        if isinstance(cell, str) and (cell := cell.strip()) in MISSING_WORDS:
            return math.nan
        if _may_be_digits(cell) and self._digits_are_dates:
            date = date_of_digits(digits_of(cell))
            return math.nan if date is None else date.seconds
        try:
            moment = parse_time(cell, _NAME)
        except Unusable:
            if not isinstance(cell, str):
                raise
            moment = written_date(cell, day_first=is_unsure(cell) and self._day_is_first)
            if moment is None:
                raise
        return math.nan if moment is None else moment.seconds

    @cached_property
    def _day_is_first(self) -> bool:
        if self._given is not None:
            return self._given
        texts = (cell for cell in self._column() if isinstance(cell, str))
        return days_first(texts, self.remarks, None)

    @cached_property
    def _digits_are_dates(self) -> bool:
        return all_digits(self._column())


def _may_be_digits(cell: Cell) -> bool:
    if isinstance(cell, str):
        return len(cell) == _DIGITS and cell.isdecimal() and date_of_digits(cell) is not None
    return isinstance(cell, int) and date_of_digits(str(cell)) is not None
