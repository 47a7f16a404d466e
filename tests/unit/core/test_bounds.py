"""What is refused before native code reads it: arrays of another kind, rows and offsets outside."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.bounds import are_below, are_finite, are_offsets, is_plain, rise_in_lists


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_a_plain_array_has_its_type_and_shape_and_lies_as_c_reads_it():
    array = np.zeros((3, 4), np.float32)
    assert is_plain(array, np.float32, 3, 4)
    assert not is_plain(array, np.float32, 4, 3)
    assert not is_plain(array, np.float64, 3, 4)
    assert not is_plain(array.astype(">f4"), np.float32, 3, 4)
    assert not is_plain(array.T, np.float32, 4, 3)
    assert not is_plain(array, np.float32)
    assert is_plain(array[0], np.float32)
    assert not is_plain(array[:, 0], np.float32)
    odd = np.frombuffer(bytes(17), np.uint8)[1:].view(np.float32)
    assert not is_plain(odd, np.float32)


@pytest.mark.parametrize(
    ("offsets", "sound"),
    [
        (ints(0, 2, 2, 5), True),
        (ints(0), False),
        (ints(), False),
        (ints(1, 2, 2, 5), False),
        (ints(-1, 2, 2, 5), False),
        (ints(0, 2, 2, 4), False),
        (ints(0, 6, 2, 5), False),
        (ints(0, 2, -7, 5), False),
        (ints(0, 2, 2, 5).astype(np.int32), False),
        (ints(0, 2, 2, 5)[:, None], False),
    ],
)
def test_offsets_begin_at_0_never_fall_and_end_at_the_end(offsets, sound):
    assert are_offsets(offsets, 5) is sound
    assert are_offsets(offsets, 5, 3) is sound
    assert not are_offsets(offsets, 5, 2)


def test_no_lists_have_one_offset():
    assert are_offsets(ints(0), 0, 0)


def test_numbers_are_at_least_0_and_below_n():
    assert are_below(ints(0, 4), 5)
    assert are_below(ints(), 0)
    assert not are_below(ints(0, 5), 5)
    assert not are_below(ints(-1), 5)
    assert not are_below(ints(2_000_000_000).astype(np.int32), 5)
    assert not are_below(np.array([1.0]), 5)


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=5))
def test_lists_rise_each_by_itself(lists):
    offsets = np.cumsum([0, *map(len, lists)])
    flat = np.array([number for each in lists for number in each], np.int32)
    expected = all(sorted(set(each)) == each for each in lists)
    assert rise_in_lists(flat, offsets) is expected


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_number_that_is_none_is_seen(bad):
    numbers = np.full((40, 3), 3e38, np.float32)  # their sum is infinite
    assert are_finite(numbers)
    numbers[17, 1] = bad
    assert not are_finite(numbers)
    assert are_finite(np.empty(0, np.float32))
