"""Filters: what they accept, and that one item and a whole catalogue are judged alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidRequestError
from app.core.types import JsonValue
from app.domain.columns import Instant, decode_column, encode_column
from app.domain.filters import filter_text, matches, parse_filter
from app.engine.catalogue.attributes import Attributes

KINDS = {
    "genres": "strings",
    "brand": "string",
    "price": "number",
    "sale": "boolean",
    "made": "time",
}
ITEMS: list[dict[str, JsonValue]] = [
    {"genres": ["a", "b"], "brand": "x", "price": 5.0, "sale": True, "made": 0.0},
    {"genres": ["b"], "brand": "y", "price": 50.0, "sale": False, "made": 788918400.0},
    {"genres": [], "brand": None, "price": None, "sale": None, "made": None},
    {"genres": None, "brand": "x", "price": 0.0, "sale": True, "made": 820454400.0},
    {"genres": ["a", "a", "c"], "brand": "", "price": -1.5, "sale": None, "made": 1e9},
]


def _attributes() -> Attributes:
    columns = {}
    for name, kind in KINDS.items():
        values = [item[name] for item in ITEMS]
        if kind == "time":
            values = [None if v is None else Instant(float(str(v))) for v in values]  # type: ignore[misc]
        columns[name] = decode_column(kind, encode_column(kind, values))  # type: ignore[arg-type]
    return Attributes(columns, len(ITEMS))


def passing(raw: dict[str, object]) -> list[int]:
    test = parse_filter(filter_text(raw), KINDS)
    return [place for place, item in enumerate(ITEMS) if matches(test, item)]


@pytest.mark.parametrize(
    ("raw", "rows"),
    [
        ({"genres": {"any": ["a"]}}, [0, 4]),
        ({"genres": {"any": ["a", "b"]}}, [0, 1, 4]),
        ({"genres": {"all": ["a", "b"]}}, [0]),
        ({"genres": {"all": ["a", "a"]}}, [0, 4]),
        ({"genres": {"not": ["a"]}}, [1, 2, 3]),
        ({"genres": {"exists": True}}, [0, 1, 2, 4]),
        ({"genres": {"exists": False}}, [3]),
        ({"brand": {"eq": "x"}}, [0, 3]),
        ({"brand": {"not": "x"}}, [1, 2, 4]),
        ({"brand": {"any": [""]}}, [4]),
        ({"price": {"gte": 0, "lt": 50}}, [0, 3]),
        ({"price": {"gt": 0, "lte": 50}}, [0, 1]),
        ({"price": {"any": [5, 0]}}, [0, 3]),
        ({"price": {"all": [5]}}, [0]),
        ({"price": {"not": [5]}}, [1, 2, 3, 4]),
        ({"sale": {"eq": True}}, [0, 3]),
        ({"sale": {"not": True}}, [1, 2, 4]),
        ({"made": {"eq": 1995}}, [1]),
        ({"made": {"gt": 1995}}, [3, 4]),
        ({"made": {"lte": 1995}}, [0, 1]),
        ({"made": {"lt": "1995-01-01"}}, [0]),
        ({"made": {"any": [1970, "1996-01-01"]}}, [0, 3]),
        ({"$or": [{"brand": {"eq": "y"}}, {"price": {"lt": 0}}]}, [1, 4]),
        ({"$not": [{"brand": {"eq": "x"}}, {"price": {"lt": 0}}]}, [1, 2]),
        ({"$and": [{"brand": {"eq": "x"}}, {"price": {"gt": 1}}]}, [0]),
        ({"brand": {"eq": "x"}, "price": {"gt": 1}}, [0]),
    ],
)
def test_what_passes(raw: dict[str, object], rows: list[int]) -> None:
    test = parse_filter(filter_text(raw), KINDS)

    assert passing(raw) == rows
    assert np.flatnonzero(_attributes().passing(test)).tolist() == rows


_TESTS = st.one_of(
    st.builds(
        lambda op, values: {"genres": {op: values}},
        st.sampled_from(["any", "all", "not"]),
        st.lists(st.sampled_from(["a", "b", "c", "z"]), min_size=1, max_size=3),
    ),
    st.builds(
        lambda op, value: {"price": {op: value}},
        st.sampled_from(["gt", "gte", "lt", "lte", "eq"]),
        st.sampled_from([-1.5, 0, 5, 5.0, 49.9, 50]),
    ),
    st.builds(
        lambda op, value: {"made": {op: value}},
        st.sampled_from(["gt", "gte", "lt", "lte", "eq"]),
        st.sampled_from([1970, 1995, 1996, "1995-01-01", 10**9]),
    ),
    st.builds(
        lambda op, values: {"price": {op: values}},
        st.sampled_from(["any", "all", "not"]),
        st.lists(st.sampled_from([-1.5, 5, 5.0, 50, 7]), min_size=1, max_size=3),
    ),
    st.builds(
        lambda op, values: {"made": {op: values}},
        st.sampled_from(["any", "all", "not"]),
        st.lists(st.sampled_from([1970, 1995, 1996, "1995-01-01", 10**9]), min_size=1, max_size=4),
    ),
    st.builds(
        lambda field, flag: {field: {"exists": flag}}, st.sampled_from(list(KINDS)), st.booleans()
    ),
    st.builds(lambda flag: {"sale": {"eq": flag}}, st.booleans()),
)
_TREES = st.recursive(
    _TESTS,
    lambda inner: st.builds(
        lambda group, parts: {group: parts},
        st.sampled_from(["$and", "$or", "$not"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
)


@given(_TREES)
def test_one_item_and_all_of_them_are_judged_alike(raw: dict[str, object]) -> None:
    test = parse_filter(filter_text(raw), KINDS)

    assert np.flatnonzero(_attributes().passing(test)).tolist() == passing(raw)


@pytest.mark.parametrize(
    ("raw", "field", "said"),
    [
        ({"colour": {"eq": "red"}}, "filter.colour", "brand, genres, made, price, sale"),
        ({"prices": {"lte": 5}}, "filter.prices", "no such field; did you mean `price`? there are"),
        ({"$or": [{"Brand": {"eq": "x"}}]}, "filter.$or.0.Brand", "did you mean `brand`?"),
        ({"genre": {"any": ["x"]}}, "filter.genre", "did you mean `genres`?"),
        ({"brand": "x"}, "filter.brand", "object"),
        ({"brand": {}}, "filter.brand", "object"),
        ({"brand": {"eq": 5}}, "filter.brand.eq", "string"),
        ({"brand": {"eq": ["x"]}}, "filter.brand.eq", "string"),
        ({"brand": {"gt": "x"}}, "filter.brand.gt", "numbers or times"),
        ({"brand": {"like": "x"}}, "filter.brand.like", "no such operator"),
        ({"brand": {"any": []}}, "filter.brand.any", "list"),
        ({"brand": {"any": "x"}}, "filter.brand.any", "list"),
        ({"brand": {"any": ["x"] * 1001}}, "filter.brand.any", "1000"),
        (
            {"$or": [{"brand": {"any": ["x"] * 1000}}] * 5 + [{"brand": {"eq": "x"}}]},
            "filter.$or.5.brand.eq",
            "5,000 values in all",
        ),
        ({"price": {"gte": True}}, "filter.price.gte", "number"),
        ({"price": {"gte": "5"}}, "filter.price.gte", "number"),
        ({"sale": {"eq": 1}}, "filter.sale.eq", "boolean"),
        ({"made": {"gte": "soon"}}, "filter.made.gte", "ISO 8601"),
        ({"made": {"gte": 1.6e12}}, "filter.made.gte", "milliseconds"),
        ({"sale": {"exists": 1}}, "filter.sale.exists", "true or false"),
        ({"$or": {}}, "filter.$or", "list"),
        ({"$or": []}, "filter.$or", "list"),
        ({"$or": [5]}, "filter.$or.0", "object"),
        ({"$nor": [{}]}, "filter.$nor", "no such field"),
        ({"$or": [{"sale": {"exists": True}}] * 65}, "filter.$or.64.sale.exists", "64"),
    ],
)
def test_what_is_wrong_is_named(raw: dict[str, object], field: str, said: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_filter(filter_text(raw), KINDS)

    assert caught.value.field == field
    assert said in caught.value.message


@pytest.mark.parametrize("depth", [9, 100, 200])
def test_a_deep_filter_is_refused(depth: int) -> None:
    raw: dict[str, object] = {"sale": {"exists": True}}
    for _ in range(depth):
        raw = {"$and": [raw]}

    with pytest.raises(InvalidRequestError):
        parse_filter(filter_text(raw), KINDS)


def test_one_filter_has_one_spelling() -> None:
    one = filter_text({"a": {"gte": 1, "lt": 2}, "b": {"eq": "x"}})

    assert one == filter_text({"b": {"eq": "x"}, "a": {"lt": 2, "gte": 1}})
    assert filter_text({}) == filter_text(None) == ""


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        filter_text({"price": {"gte": 2**70}})
