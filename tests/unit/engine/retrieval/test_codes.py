"""Codes: ids and part numbers, however they are spelled."""

import numpy as np
import pytest

from app.core.errors import BundleError
from app.engine.retrieval.codes import (
    MAX_ITEMS,
    Codes,
    code_arrays,
    code_of,
    codes_in,
    is_distinctive,
)


def codes_over(titles, texts=None, names=None) -> Codes:
    return Codes(code_arrays(titles, texts or [""] * len(titles), names), len(titles))


@pytest.mark.parametrize(
    ("one", "others"),
    [
        ("WH-1000XM4", ["wh1000xm4", "WH 1000 XM4", "Wh_1000-xm4", "ＷＨ１０００ＸＭ４"]),
        ("978-0-439-06486-4", ["9780439064864", "978 0439064864"]),
        ("0439064864", ["439064864", " 0439064864\n"]),
        ("54-OR323014", ["54or323014", "54/OR-323014"]),
    ],
)
def test_a_code_is_its_letters_and_digits(one, others):
    assert {code_of(other) for other in others} == {code_of(one)}
    codes = codes_over([None, "other"], names=[[one], ["x"]])
    assert [codes.rows(code_of(other)).tolist() for other in others] == [[0]] * len(others)


@pytest.mark.parametrize("text", ["", "!?", "a" * 65, "\u200b"])
def test_what_is_no_code_finds_nothing(text):
    assert code_of(text) == ""
    assert codes_over(["a"], names=[["a"]]).rows(code_of(text)).tolist() == []


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("Sony WH-1000XM4 (2020), 16GB", ["wh1000xm4"]),
        ("part 12345678 of SKU-1018/B", ["12345678", "sku1018b"]),
        ("no digits at-all", []),
        ("in 1999 and 20x30", []),
    ],
)
def test_codes_in_a_text_are_those_that_can_hardly_be_anything_else(text, codes):
    assert list(codes_in(text)) == codes
    assert all(map(is_distinctive, codes))


def test_a_code_that_many_share_names_none():
    few = codes_over(["AB-12345"] * MAX_ITEMS)
    many = codes_over(["AB-12345"] * (MAX_ITEMS + 1))
    assert few.rows("ab12345").tolist() == list(range(MAX_ITEMS))
    assert many.rows("ab12345").tolist() == []


def test_codes_must_be_sound():
    arrays = code_arrays(["AB-12345"], [""], None)
    assert Codes(arrays, 1).rows("ab12345").tolist() == [0]
    for wrong in (
        {},
        {**arrays, "code/rows": np.array([1], np.int32)},
        {**arrays, "code/rows": np.array([], np.int32)},
        {**arrays, "code/keys": arrays["code/keys"].astype(np.float64)},
    ):
        with pytest.raises(BundleError):
            Codes(wrong, 1)
