"""One test per rule for a cell of a data file."""

import math
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.columns import Instant
from app.domain.values import (
    Unusable,
    convert,
    infer_kind,
    parse_categories,
    parse_event,
    parse_id,
    parse_number,
    parse_text,
    parse_time,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *(("a", "a"), (31, "31"), (-4, "-4"), ("x" * 256, "x" * 256), ("5.0", "5.0")),
        *((" A1 ", "A1"), ("\u00a0B 2\u3000", "B 2"), (" " * 9 + "x" * 256, "x" * 256)),
    ],
)
def test_an_id_is_text_or_an_integer(value, expected):
    assert parse_id(value, "id", whole_floats=False) == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "missing"),
        ("", "missing"),
        (" \t", "missing"),
        (math.nan, "missing"),
        *((word, "missing") for word in ("null", "NULL", r"\N", "None", "nan", "undefined")),
        ("x" * 257, "longer"),
        (10**256, "longer"),
        ("a\nb", "control"),
        ("a\n", "control"),
        ("\ta", "control"),
        ("a\x7fb", "control"),
        ("a\x85b", "control"),
        (True, "neither"),
        (31.0, "neither"),
        (["a"], "neither"),
        ({}, "neither"),
    ],
)
def test_what_is_no_id(value, reason):
    with pytest.raises(Unusable, match=reason):
        parse_id(value, "id", whole_floats=False)


@pytest.mark.parametrize(("value", "expected"), [(31.0, "31"), ("31.0", "31"), ("3.10", "3.10")])
def test_integers_of_a_column_with_gaps_may_come_as_floats(value, expected):
    assert parse_id(value, "id", whole_floats=True) == expected


@pytest.mark.parametrize("value", ["https://a.example/x\n", "\thttps://a.example/x\r\n"])
def test_line_breaks_around_an_id_of_a_table_go(value):
    assert parse_id(value, "id", whole_floats=True) == "https://a.example/x"


def test_a_float_with_a_fraction_is_never_an_id():
    with pytest.raises(Unusable):
        parse_id(31.5, "id", whole_floats=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1451703845, 1451703845.0),
        ("1451703845", 1451703845.0),
        (0.5, 0.5),
        (-1, -1.0),
        ("2016-01-02T03:04:05Z", 1451703845.0),
        ("2016-01-02T04:04:05+01:00", 1451703845.0),
        ("2016-01-02 03:04:05", 1451703845.0),
        ("2016-01-02", 1451692800.0),
        ("2016-01", 1451606400.0),
        (1995, 1995.0),
    ],
)
def test_a_time_is_iso_8601_or_unix_seconds(value, seconds):
    assert parse_time(value, "timestamp") == Instant(seconds)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59Z"),
        ("9999-12-31T23:59:59.999999-00:00", "9999-12-31T23:59:59Z"),
        ("0001-01-01T00:00:00.000001Z", "0001-01-01T00:00:00Z"),
    ],
)
def test_the_first_and_last_moments_can_be_shown(text, shown):
    assert parse_time(text, "timestamp").shown() == shown


@pytest.mark.parametrize("value", [1451703845000, "1451703845000", 1451703845000.0])
def test_milliseconds_are_refused_and_the_reason_says_so(value):
    with pytest.raises(Unusable, match="milliseconds"):
        parse_time(value, "timestamp")


@pytest.mark.parametrize(
    "value",
    [
        *("yesterday", "2016-13-01", True, [], -1e11, math.inf, 10**400),
        # In UTC, as times are shown, these lie outside the years 1 to 9999.
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
    ],
)
def test_what_is_no_time(value):
    with pytest.raises(Unusable):
        parse_time(value, "timestamp")


@pytest.mark.parametrize("value", [None, "", "  ", math.nan])
def test_a_missing_time(value):
    assert parse_time(value, "timestamp") is None


@pytest.mark.parametrize(
    ("value", "year"), [(1000, 1000), ("1995", 1995), (2016.0, 2016), (2999, 2999)]
)
def test_an_integer_from_1000_to_2999_is_a_year_where_years_are_meant(value, year):
    assert parse_time(value, "published_at", years=True) == Instant.of_year(year)


@pytest.mark.parametrize("value", [999, 3000, 1995.5])
def test_other_numbers_are_seconds_even_there(value):
    assert parse_time(value, "published_at", years=True) == Instant(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a|b", ("a", "b")),
        (["a", "b"], ("a", "b")),
        (" a | |b|a", ("a", "b")),
        ("a", ("a",)),
        ([], None),
        ("|", None),
        (None, None),
        ("", None),
        (["a", 5], ("a", "5")),
    ],
)
def test_categories(value, expected):
    assert parse_categories(value) == expected


@pytest.mark.parametrize("value", [5, True, {"a": 1}, ["a", True], [{"id": 5}], [None]])
def test_what_are_no_categories(value):
    with pytest.raises(Unusable):
        parse_categories(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(" Heat ", "Heat"), ("", None), (None, None), (1984, "1984"), (7.0, "7")],
)
def test_text(value, expected):
    assert parse_text(value, "title") == expected


@pytest.mark.parametrize("value", [True, ["a"], {}])
def test_what_is_no_text(value):
    with pytest.raises(Unusable):
        parse_text(value, "title")


@pytest.mark.parametrize(("value", "expected"), [(None, "click"), ("", "click"), (" buy ", "buy")])
def test_the_kind_of_an_event(value, expected):
    assert parse_event(value, "click") == expected


@pytest.mark.parametrize("value", [5, "x" * 65, "a\0b", []])
def test_what_is_no_kind_of_an_event(value):
    with pytest.raises(Unusable):
        parse_event(value, "click")


def test_numbers():
    assert parse_number("4.5", "value") == 4.5
    assert parse_number(4, "value") == 4.0
    assert parse_number("4,5", "value") == 4.5
    assert parse_number("$1,299.00", "value") == 1299.0
    assert all(math.isnan(parse_number(cell, "value")) for cell in (None, " ", "N/A", r"\N"))


@pytest.mark.parametrize("value", ["four", True, math.inf, "1e999", [], "1_000", "e5", "1.2.3"])
def test_what_is_no_number(value):
    with pytest.raises(Unusable):
        parse_number(value, "value")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2.5, None], "number"),
        ([True, None], "boolean"),
        ([["a"], []], "strings"),
        (["2016-01-02", "2016-01-02T03:04:05Z"], "time"),
        (["a", "b"], "string"),
        ([1, "a"], "string"),
        ([1, True], "string"),
        (["1", "2"], "string"),
        (["2016-01-02", "soon"], "string"),
        ([2**53 + 1], "string"),
        ([None, math.nan, ""], "string"),
        ([["a", 1]], "string"),
    ],
)
def test_kinds_are_inferred_over_the_whole_column(values, kind):
    assert infer_kind(values, text_cells=False) == kind


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2.5", "-3e2", ".5", ""], "number"),
        (["True", "false"], "boolean"),
        (["2016-01-02", ""], "time"),
        (["1", "x"], "string"),
        (["007", "008"], "string"),
        (["nan"], "string"),
        (["e5"], "string"),
    ],
)
def test_text_cells_are_looked_into(cells, kind):
    assert infer_kind(cells, text_cells=True) == kind


def test_mixed_values_become_text_as_in_json():
    values = [1, 2.0, 2.5, True, "a", ["b", 1], {"c": None}, None]
    shown = [convert(value, "string") for value in values]
    assert shown == ["1", "2", "2.5", "true", "a", '["b",1]', '{"c":null}', None]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(JSON)
def test_any_value_is_used_or_refused_but_never_breaks_the_reader(value):
    for parse in (
        lambda v: parse_id(v, "id", whole_floats=True),
        lambda v: parse_text(v, "title"),
        parse_categories,
        lambda v: parse_event(v, "click"),
        lambda v: parse_number(v, "value"),
        lambda v: parse_time(v, "time", years=True),
    ):
        with suppress(Unusable):
            parse(value)


@settings(deadline=None)
@given(st.lists(JSON, max_size=5), st.booleans())
def test_any_column_converts_to_the_kind_inferred_for_it(values, text_cells):
    if text_cells:
        values = [value for value in values if isinstance(value, str)]
    kind = infer_kind(values, text_cells=text_cells)
    for value in values:
        convert(value, kind)
