"""Dates as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.offline.input.values.written_dates import (
    date_of_digits,
    is_unsure,
    order_told,
    written_date,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("March 3, 2019", "2019-03-03T00:00:00Z"),
        ("3 Mar 2019", "2019-03-03T00:00:00Z"),
        ("3rd of March, 2019", "2019-03-03T00:00:00Z"),
        ("03-Mar-19", "2019-03-03T00:00:00Z"),
        ("Sun, 03 Mar 2019 08:30:00 +0100", "2019-03-03T07:30:00Z"),
        ("Sun, 03 Mar 2019 08:30:00 GMT", "2019-03-03T08:30:00Z"),
        ("Sun Mar  3 08:30:00 EST 2019", "2019-03-03T13:30:00Z"),
        ("Sun Mar 03 08:30:00 +0000 2019", "2019-03-03T08:30:00Z"),
        ("March 2019", "2019-03-01T00:00:00Z"),
        ("31/03/2019", "2019-03-31T00:00:00Z"),
        ("3/31/2019 4:05 PM", "2019-03-31T16:05:00Z"),
        ("3/31/19", "2019-03-31T00:00:00Z"),
        ("31/12/71", "1971-12-31T00:00:00Z"),
        ("31.03.2019 16:05:30", "2019-03-31T16:05:30Z"),
        ("2019/03/31", "2019-03-31T00:00:00Z"),
        ("2019/3", "2019-03-01T00:00:00Z"),
        ("2019-3-1", "2019-03-01T00:00:00Z"),
        ("2019.03.31", "2019-03-31T00:00:00Z"),
        ("2019年3月31日", "2019-03-31T00:00:00Z"),
        ("31. März 2019", "2019-03-31T00:00:00Z"),
        ("1er août 2019", "2019-08-01T00:00:00Z"),
        ("5 de enero de 2019", "2019-01-05T00:00:00Z"),
        ("5 gennaio 2019", "2019-01-05T00:00:00Z"),
        ("2019-03-03T08:30:00+01:00[Europe/Paris]", "2019-03-03T07:30:00Z"),
        ("April 1, 1066", "1066-04-01T00:00:00Z"),
    ],
)
def test_common_forms_are_read(text: str, shown: str) -> None:
    moment = written_date(text)
    assert moment is not None
    assert moment.shown() == shown


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "2019", "5", "March", "March 3", "10:30", "31/31/2019", "30/02/2019"),
        *("March of the Penguins", "Windows 95 May", "1/2", "12.5", "20190331", "x" * 100),
        *("3/31/2019 14:05 PM", "May 2019 or later", "Room 3, 4/2/1 2019"),
    ],
)
def test_what_is_no_date(text: str) -> None:
    assert written_date(text) is None


def test_a_day_and_a_month_may_be_exchanged() -> None:
    shown = [str(found.shown())[:10] for first in (True, False)
             if (found := written_date("04/05/2019", day_first=first))]  # fmt: skip
    assert shown == ["2019-05-04", "2019-04-05"]
    assert [is_unsure(text) for text in ("04/05/2019", "04/04/2019", "2019/04/05")] == [
        True,
        False,
        False,
    ]
    assert [order_told(text) for text in ("14/05/19", "05.14.2019", "soon")] == [True, False, None]


def test_eight_digits_are_a_date() -> None:
    moment = date_of_digits("20190331")
    assert moment is not None
    assert moment.shown() == "2019-03-31T00:00:00Z"
    assert [date_of_digits(text) for text in ("20191331", "99999999", "2019033")] == [None] * 3


@given(st.text(alphabet="0123456789/.-: ,APMTZmaysept+年月", max_size=24))
def test_any_text_is_read_or_not(text: str) -> None:
    moment = written_date(text)
    assert moment is None or moment.shown()


@pytest.mark.parametrize(
    "text",
    [
        "25 сентября 2021",
        "25 сентября 2021 г.",
        "25 сен 2021",
        "25 września 2021",
        "25 wrz 2021 r.",
    ],
)
def test_months_in_russian_and_polish(text: str) -> None:
    found = written_date(text)
    assert found is not None
    assert found.shown() == "2021-09-25T00:00:00Z"


def test_a_german_time_may_end_with_its_word() -> None:
    found = written_date("25.9.2021 14:30 Uhr")
    assert found is not None
    assert found.shown() == "2021-09-25T14:30:00Z"
