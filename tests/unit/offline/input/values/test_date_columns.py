"""Columns of dates: what the whole column decides."""

from typing import Any

import pytest

from app.offline.input.values.column_remarks import ColumnRemarks
from app.offline.input.values.date_columns import read_dates, read_published


def published(*cells: Any, day_first: bool | None = None) -> tuple[list[Any], str | None]:
    remarks = ColumnRemarks()
    instants = read_published(cells, remarks, day_first)
    shown = [None if instant is None else instant.shown() for instant in instants]
    return [str(day)[:10] if isinstance(day, str) else day for day in shown], remarks.line("p")


def test_every_form_beside_the_others() -> None:
    cells = ["2019-03-31", 2019, "1995", "1995.0", 1553990400, "1553990400", "Mar 31, 2019", None]
    days = ["2019-03-31", 2019, 1995, 1995, "2019-03-31", "2019-03-31", "2019-03-31", None]
    assert published(*cells) == (days, "column 'p': dates as people write them")


@pytest.mark.parametrize(
    ("cells", "days", "said"),
    [
        (["soon", "2019-03-31"], [None, "2019-03-31"], "1 not readable, so missing ('soon')"),
        (["N/A", r"\N", ""], [None] * 3, "2 missing ('N/A', '\\\\N')"),
        ([1553990400000], [None], "1 not readable, so missing ('1553990400000')"),
        ([[], {}, True], [None] * 3, "3 not readable, so missing ('[]', '{}', 'True')"),
        (
            [0, -44, "800", 3000, 9999],
            [None] * 5,
            "5 outside the years 1000 to 2999, so missing ('0', '-44', '800', …)",
        ),
        (
            ["0800-01-01", "9999-12-31", -1e11],
            [None] * 3,
            "2 outside the years 1000 to 2999, so missing ('0800-01-01', '9999-12-31'); "
            "1 not readable, so missing ('-100000000000.0')",
        ),
        ([1000, 2999], [1000, 2999], None),
    ],
)
def test_what_is_missing_is_said(cells: list[Any], days: list[Any], said: str | None) -> None:
    found, line = published(*cells)
    assert found == days
    assert (line is None) == (said is None)
    assert line is None or set(line.removeprefix("column 'p': ").split("; ")) == set(
        str(said).split("; ")
    )


def test_eight_digits_are_dates_if_all_are() -> None:
    assert published("20190331", 20200101, None)[0] == ["2019-03-31", "2020-01-01", None]
    assert published(20190331, 1553990400)[0] == ["1970-08-22", "2019-03-31"]


def test_one_date_tells_for_all_which_number_is_the_day() -> None:
    assert published("04/05/2019", "31/05/2019")[0] == ["2019-05-04", "2019-05-31"]
    assert published("04/05/2019", "05/31/2019")[0] == ["2019-04-05", "2019-05-31"]


def test_what_no_date_tells_is_said() -> None:
    days, said = published("04/05/2019", "06/07/2019")
    assert days == ["2019-05-04", "2019-07-06"]
    assert said is not None
    assert "no date tells whether the day or the month comes first in '04/05/2019'" in said
    assert "the day was taken" in said
    assert published("04/05/2019 3:15 PM")[0] == ["2019-04-05"]
    assert published("04/05/2019", day_first=False)[0] == ["2019-04-05"]


def test_dates_that_disagree_are_said() -> None:
    days, said = published("31/05/2019", "30/05/2019", "05/31/2019", "04/05/2019")
    assert days[3] == "2019-05-04"
    assert said is not None
    assert "in some dates the day comes first, in others the month" in said


def test_attributes_keep_far_times() -> None:
    (instant,) = read_dates(["9999-12-31"], ColumnRemarks(), None)
    assert instant is not None
    assert instant.shown() == "9999-12-31T00:00:00Z"


@pytest.mark.parametrize("cell", [12021, "12021", "44464", 44464.0, -12021])
def test_numbers_too_small_for_seconds_are_no_times(cell: Any) -> None:
    days, said = published(cell, 1999)
    assert days == [None, 1999]
    assert said is not None
    assert "1 outside the years 1000 to 2999, so missing" in said
