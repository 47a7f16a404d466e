"""Columns: what goes in comes out, on flat arrays only."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import BundleError
from app.domain.columns import Instant, Kind, decode_column, encode_column


def optional(values):
    return st.lists(st.none() | values, max_size=20)


def shown(kind: Kind, values):
    column = decode_column(kind, encode_column(kind, values))
    assert len(column) == len(values)
    assert column.kind == kind
    return [column.value(row) for row in range(len(values))]


@settings(deadline=None)
@given(optional(st.text()))
def test_strings_come_back(values):
    assert shown("string", values) == values


@settings(deadline=None)
@given(optional(st.lists(st.text(), max_size=5)))
def test_lists_of_strings_come_back(values):
    assert shown("strings", values) == values


@settings(deadline=None)
@given(optional(st.booleans()))
def test_booleans_come_back(values):
    assert shown("boolean", values) == values


@settings(deadline=None)
@given(optional(st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_come_back_and_whole_ones_as_integers(values):
    for got, given_ in zip(shown("number", values), values, strict=True):
        assert got == given_
        if isinstance(given_, int):
            assert type(got) is int


@settings(deadline=None)
@given(optional(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31))))
def test_times_come_back_to_the_second_in_utc(moments):
    zoned = [None if m is None else m.replace(microsecond=0, tzinfo=UTC) for m in moments]
    values = [None if m is None else Instant(m.timestamp()) for m in zoned]
    expected = [None if m is None else m.isoformat().replace("+00:00", "Z") for m in zoned]
    assert shown("time", values) == expected


@settings(deadline=None)
@given(optional(st.integers(1, 9999)))
def test_years_come_back_as_integers(years):
    assert shown("time", [None if y is None else Instant.of_year(y) for y in years]) == years


def test_a_number_that_json_lacks_is_shown_as_missing():
    assert shown("number", [math.inf, -math.inf, math.nan, 1.0]) == [None, None, None, 1]


def test_numbers_of_each_kind_that_has_them():
    def numbers(kind: Kind, values):
        return decode_column(kind, encode_column(kind, values)).numbers().tolist()

    assert numbers("number", [1, 2.5]) == [1.0, 2.5]
    assert numbers("boolean", [True, False]) == [1.0, 0.0]
    assert math.isnan(numbers("boolean", [None])[0])
    assert numbers("time", [Instant(5.0)]) == [5.0]
    with pytest.raises(TypeError):
        numbers("string", ["a"])


def test_raw_bytes_of_a_text():
    column = decode_column("string", encode_column("string", ["é", None, "z"]))
    assert [column.raw(row) for row in range(3)] == ["é".encode(), b"", b"z"]


def test_no_array_holds_objects():
    arrays = [
        *encode_column("string", ["a", None]).values(),
        *encode_column("strings", [["a"], None]).values(),
        *encode_column("number", [1, None]).values(),
    ]
    assert all(array.dtype != object for array in arrays)


def test_an_unknown_kind_is_refused():
    with pytest.raises(BundleError):
        decode_column("colour", {})


@pytest.mark.parametrize(
    "change",
    [
        {"data": np.zeros(9, np.uint8)},
        {"offsets": np.zeros(9, np.int64)},
        {"offsets": np.zeros(0, np.int64)},
        {"present": np.zeros(9, np.uint8)},
        {"present": np.zeros(2, np.float32)},
        {"data": np.zeros((1, 3), np.uint8)},
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(change):
    with pytest.raises(BundleError):
        decode_column("string", {**encode_column("string", ["ab", "c"]), **change})


def test_a_missing_part_is_refused():
    arrays = encode_column("time", [Instant(1.0)])
    del arrays["year"]
    with pytest.raises(BundleError):
        decode_column("time", arrays)
