"""A name that comes twice, NaN, and bodies that are too much are refused; all other JSON is not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidRequestError
from app.core.strict_json import MAX_VALUES, check_names, check_size

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON, st.integers(0, 3))
def test_what_every_reader_reads_alike_is_taken(value: object, n_known: int) -> None:
    try:
        body = json.dumps(value, allow_nan=False).encode()
    except ValueError:  # an infinity
        return
    check_size(body)
    check_names(body, n_known)


@pytest.mark.parametrize(
    "body",
    [
        b'{"k":1,"k":1}',
        b'{"k":1,"\\u006b":2}',
        b'{"filter":{"a":{"eq":1},"a":{"eq":2}}}',
        b'[{"a":{"b":1,"c":[{"d":1,"d":1}]}}]',
    ],
)
def test_a_name_that_comes_twice_is_refused(body: bytes) -> None:
    n_known = 0 if body.startswith(b"[") else 1
    with pytest.raises(InvalidRequestError, match="comes twice in an object"):
        check_names(body, n_known)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
def test_what_is_no_number_is_refused_unless_the_entry_is(number: bytes) -> None:
    body = b'{"context":{"a":%b}}' % number
    with pytest.raises(InvalidRequestError, match=f"{number.decode()} is no number"):
        check_names(body, 1)
    check_names(body, 1, with_nan=True)


def test_colons_in_texts_are_looked_at_closely() -> None:
    check_names(b'{"query":"a:b::c"}', 1)
    with pytest.raises(InvalidRequestError):
        check_names(b'{"query":"a:b::c","query":"x"}', 1)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000])
def test_what_is_nested_without_end_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="nested too deeply"):
        check_names(body, 1)


@pytest.mark.parametrize("piece", [b"0,", b"{}", b"[]", b'"a":1,'])
def test_too_many_values_are_refused_before_they_are_read(piece: bytes) -> None:
    check_size(b"[" + piece * (MAX_VALUES - 1))
    with pytest.raises(InvalidRequestError, match="at most 65,536 values"):
        check_size(b"[" + piece * MAX_VALUES)
