"""Whole columns: their kinds, their values, and what is said of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.columns import Instant, encode_column
from app.offline.input.values.column_remarks import ColumnRemarks
from app.offline.input.values.date_columns import read_published
from app.offline.input.values.list_columns import ListColumn
from app.offline.input.values.typed_columns import read_column


def column(*cells: Any, text_cells: bool = True, **more: Any) -> tuple[str, list[Any], str | None]:
    read = read_column(cells, text_cells=text_cells, **more)
    return read.kind, read.values, read.remarks.line("c")


@pytest.mark.parametrize(
    ("cells", "values", "said"),
    [
        (["1.5", "N/A", "", "3"], [1.5, None, None, 3.0], "column 'c': numbers; 1 missing ('N/A')"),
        (["7", "-", "-"], [7.0, None, None], "column 'c': numbers; 2 missing ('-')"),
        (
            ["7", r"\N", "null"],
            [7.0, None, None],
            "column 'c': numbers; 2 missing ('\\\\N', 'null')",
        ),
        (["$5", "$1,250.50"], [5.0, 1250.5], "column 'c': numbers (money in $)"),
        (
            ["12,90 EUR", "1.250,00 EUR", "none"],
            [12.9, 1250.0, None],
            "column 'c': numbers (money in €; a comma marks decimals); 1 missing ('none')",
        ),
        (
            ["1,299", "899"],
            [1299.0, 899.0],
            "column 'c': numbers (no number tells whether 1,299 is more than a thousand; it was "
            "taken so)",
        ),
        (["1,299", "899.5", "1e2"], [1299.0, 899.5, 100.0], "column 'c': numbers"),
        (
            ["€3", "£4"],
            [3.0, 4.0],
            "column 'c': numbers (money in £, €; warning: several currencies are mixed)",
        ),
        (
            ["£1", "£2", "£3", "£4", "call us"],
            [1.0, 2.0, 3.0, 4.0, None],
            "column 'c': numbers (money in £); 1 not readable, so missing ('call us')",
        ),
        (["USD 3", "$4", "5 usd"], [3.0, 4.0, 5.0], "column 'c': numbers (money in $)"),
        (["1", "2", "3"], [1.0, 2.0, 3.0], None),
    ],
)
def test_numbers(cells: list[str], values: list[Any], said: str | None) -> None:
    assert column(*cells) == ("number", values, said)


@pytest.mark.parametrize(
    "cells",
    [
        ["38", "40", "M"],
        ["007", "12"],
        ["$5", "$6", "cheap"],
        ["N/A", "-"],
        ["1.2.3", "4"],
        ["A 12", "B 13"],
        ["12345678901234567890", "5"],
        ["$$", "$"],
    ],
)
def test_other_texts_stay_texts(cells: list[str]) -> None:
    assert column(*cells)[0] == "string"


def test_a_role_that_asks_for_numbers_takes_half_of_them() -> None:
    cells = ["12", "ask", "15"]
    assert column(*cells)[0] == "string"
    assert column(*cells, is_number=True)[1] == [12.0, None, 15.0]
    assert column("12", "ask", "us", is_number=True)[0] == "string"
    assert column("$5 - $9", "ask", "from $3", is_number=True)[1] == [5.0, None, 3.0]
    assert column("$5 - $9", "$4")[0] == "string"


def test_json_texts_are_numbers_only_where_numbers_are_meant() -> None:
    assert column("12", "15", text_cells=False)[0] == "string"
    assert column("12", "15", text_cells=False, is_number=True)[:2] == ("number", [12.0, 15.0])
    assert column("$12", "15 USD", text_cells=False)[1] == [12.0, 15.0]
    assert column(12, "N/A", 15.5, text_cells=False)[1] == [12.0, None, 15.5]
    assert column(12, "15", None, text_cells=False)[1] == [12.0, 15.0, None]
    assert column(12, "big", text_cells=False)[0] == "string"


def test_truth_values_with_gaps() -> None:
    said = "column 'c': true or false; 1 missing ('n/a')"
    assert column("true", "n/a", "FALSE") == ("boolean", [True, None, False], said)
    assert column(True, "null", text_cells=False)[1] == [True, None]


def test_dates() -> None:
    day = Instant(1553990400.0)
    assert column("2019-03-31", "N/A")[1] == [day, None]
    assert column("31/03/2019", "March 31, 2019", "2019-03-31")[:2] == ("time", [day] * 3)
    cells = ["31/03/2019", "4/5/2019", "5/5/2019", "6/5/2019", "soon"]
    kind, values, said = column(*cells)
    assert kind == "time"
    assert values[0] == day
    assert values[1].shown() == "2019-05-04T00:00:00Z"
    assert values[4] is None
    assert said == "column 'c': times; 1 not readable, so missing ('soon')"
    assert column("31/03/2019", "soon", "later")[0] == "string"
    years = column("31/03/2019", "March 31, 2019", "2019")[1]
    assert [found.shown() for found in years] == [day.shown(), day.shown(), 2019]
    assert column("2019", "2020", "31/03/2019")[0] == "string"


def test_texts() -> None:
    cells = ["Oak &amp; Co", "NULL", "", "<b>Pine</b>", "NA", "None"]
    values = ["Oak & Co", None, None, "Pine", "NA", "None"]
    assert column(*cells) == ("string", values, "column 'c': 1 missing ('NULL')")


def test_lists_as_text_and_of_objects() -> None:
    assert column("['a', 'b']", "[]", "")[:2] == ("strings", [["a", "b"], [], None])
    assert column('["a"]', "[sic]")[0] == "string"
    objects = [[{"id": 1, "name": "Pixar"}], None]
    assert column(*objects, text_cells=False)[1] == [["Pixar"], None]
    assert column([{"id": 1}], text_cells=False)[0] == "string"


TEXTS = st.text(max_size=12) | st.from_regex(r"[$€]?[0-9]{1,4}([.,/-][0-9]{1,4}){0,3} ?[a-z]?")
CELLS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@given(st.lists(CELLS, max_size=6) | st.lists(TEXTS, max_size=6), st.booleans())
def test_any_column_is_read(cells: list[Any], is_number: bool) -> None:
    text_cells = all(isinstance(cell, str) for cell in cells)
    read = read_column(cells, text_cells=text_cells, is_number=is_number)
    assert len(read.values) == len(cells)
    encode_column(read.kind, read.values)
    encode_column("time", read_published(cells, ColumnRemarks(), None))
    names = ListColumn("categories", None, has_levels=True)
    encode_column("strings", names.finish([names.take(cell) for cell in cells]))


@pytest.mark.parametrize(
    "word", ["#DIV/0!", "#VALUE!", "#NV", "NaT", "n.a.", "k.A.", "n/d", "Unknown", "-inf"]
)
def test_a_failed_formula_and_no_statement_are_missing_in_a_column_of_numbers(word):
    read = read_column(["5", word, "7.5", ""], text_cells=True)
    assert (read.kind, read.values) == ("number", [5.0, None, 7.5, None])
    assert read.remarks.line("stock") == f"column 'stock': numbers; 1 missing ({word!r})"


def test_a_text_of_html_alone_is_missing():
    assert read_column(["Mug", "&nbsp;", "<br>"], text_cells=True).values == ["Mug", None, None]


@pytest.mark.parametrize("sign", ["¥", "￥"])
def test_wide_signs_of_a_currency_are_the_usual_ones(sign):
    read = read_column(["¥12.90", f"{sign}15.00"], text_cells=True)
    assert read.values == [12.9, 15.0]
    assert read.remarks.line("p") == "column 'p': numbers (money in ¥)"
