"""What may be sent as an item: values, kinds, times, and what nasty bodies end in."""

import asyncio
import json
import math
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.api.item_input import MAX_ITEMS, ParsedItems, kinds_to_send, parse_items, parse_patch
from app.core.errors import InvalidRequestError
from app.domain.columns import Kind, decode_column, encode_column
from app.domain.values import column_value
from app.serving.ingest import Remark

ATTRIBUTES: dict[str, Kind] = {
    "text": "string",
    "categories": "strings",
    "published_at": "time",
    "price": "number",
    "brand": "string",
    "colours": "strings",
    "in_stock": "boolean",
    "added": "time",
}
NO_CATEGORIES = (
    "categories are neither a list of names or of objects with a name, nor text like a|b"
)
NO_NUMBER = "price is not a number: send it without quotes and currency, such as 39.9"
THERE = (
    "there is no such field; there are: id, title, text, categories, published_at, price, brand, "
    "colours, in_stock, added, hidden, available_from, available_until"
)


def items_of(body: bytes, attributes: Mapping[str, str]) -> ParsedItems:
    return asyncio.run(parse_items(body, attributes))


def parsed(*entries: object, attributes: Mapping[str, str] = ATTRIBUTES) -> ParsedItems:
    return items_of(json.dumps(entries).encode(), attributes)


def record_of(**fields: object) -> dict[str, object]:
    (record,) = parsed({"id": "a", **fields}).records.values()
    return {name: value for name, value in record.items() if name != "id"}


def refused(attributes: Mapping[str, str] = ATTRIBUTES, **fields: object) -> Remark:
    found = parsed({"id": "a", **fields}, attributes=attributes)
    assert found.records == {}
    (remark,) = found.rejected
    assert (remark.index, remark.code) == (0, "invalid_item")
    return remark


def test_an_item_becomes_a_record_ready_for_the_journal() -> None:
    sent = {
        "id": 31,
        "title": " Heat ",
        "text": "A heist.\nTwo men.",
        "categories": "Crime|Drama| Crime |",
        "published_at": 1995,
        "price": 9,
        "brand": " Warner ",
        "colours": ["red", "red", ""],
        "in_stock": True,
        "added": "2016-01-02T03:04:05.6+01:00",
        "hidden": True,
        "available_from": "2024-01-01",
        "available_until": 1_800_000_000.5,
    }
    (record,) = parsed(sent).records.values()

    assert record == {
        "id": "31",
        "title": "Heat",
        "text": "A heist.\nTwo men.",
        "categories": ["Crime", "Drama"],
        "published_at": 1995,
        "price": 9,
        "brand": " Warner ",
        "colours": ["red", "red", ""],
        "in_stock": True,
        "added": "2016-01-02T02:04:05Z",
        "hidden": True,
        "available_from": 1_704_067_200.0,
        "available_until": 1_800_000_000.5,
    }
    assert orjson.loads(orjson.dumps(record)) == record


def test_what_is_missing_is_left_out() -> None:
    nothing = dict.fromkeys([*kinds_to_send(ATTRIBUTES)])
    assert record_of(**nothing) == {}
    assert record_of(title=" ", text="", brand="\n", categories=[" "], added="") == {}
    assert record_of(colours=[], price=0, in_stock=False, hidden=False) == {
        "colours": [],
        "price": 0,
        "in_stock": False,
        "hidden": False,
    }


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("published_at", "1995", 1995),
        ("published_at", 1995.0, 1995),
        ("published_at", "1995-03", "1995-03-01T00:00:00Z"),
        ("published_at", 999, "1970-01-01T00:16:39Z"),
        ("published_at", 3000, "1970-01-01T00:50:00Z"),
        ("added", 1995, "1970-01-01T00:33:15Z"),
        ("added", "0001-01-01", "0001-01-01T00:00:00Z"),
        ("added", -1.5, "1969-12-31T23:59:58Z"),
        ("available_from", 0, 0.0),
        ("available_from", 1995, 1995.0),
        ("price", 2**53, 2**53),
        ("price", 2**70, float(2**70)),
        ("price", -0.5, -0.5),
        ("text", "a\x00\u2028b", "a\x00\u2028b"),
    ],
)
def test_values_as_they_are_kept(name: str, value: object, kept: object) -> None:
    (found,) = record_of(**{name: value}).values()
    assert (found, type(found)) == (kept, type(kept))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("title", 7, "title is not text"),
        ("text", ["a"], "text is not text"),
        ("brand", True, "brand is not text"),
        ("categories", ["a", True], NO_CATEGORIES),
        ("categories", [{"id": 3}], NO_CATEGORIES),
        ("categories", 7, NO_CATEGORIES),
        ("colours", "red|blue", "colours is not a list of texts"),
        ("colours", [None], "colours is not a list of texts"),
        ("colours", {"a": "b"}, "colours is not a list of texts"),
        ("price", "9", NO_NUMBER),
        ("price", "", NO_NUMBER),
        ("price", "39,90 €", NO_NUMBER),
        ("price", True, "price is not a number"),
        ("price", [], "price is not a number"),
        ("price", 10**400, "price is not a number"),
        ("price", math.nan, "price is not a finite number"),
        ("price", math.inf, "price is not a finite number"),
        ("brand", -math.inf, "brand is not a finite number"),
        ("in_stock", 1, "in_stock is neither true nor false"),
        ("in_stock", "true", "in_stock is neither true nor false"),
        ("hidden", 0, "hidden is neither true nor false"),
        ("hidden", "", "hidden is neither true nor false"),
        ("added", True, "added is neither ISO 8601 nor unix seconds"),
        ("added", "yesterday", "added is neither ISO 8601 nor unix seconds"),
        ("added", {}, "added is neither ISO 8601 nor unix seconds"),
        ("added", -(10**12), "added is neither ISO 8601 nor unix seconds"),
        # Outside the years 1 to 9999 once in UTC: could not be shown.
        ("added", "0001-01-01T00:00:00+14:00", "added is neither ISO 8601 nor unix seconds"),
        ("added", "9999-12-31T23:59:59-14:00", "added is neither ISO 8601 nor unix seconds"),
        (
            "published_at",
            1_700_000_000_000,
            "published_at looks like milliseconds; unix seconds are wanted",
        ),
        (
            "available_until",
            1e11,
            "available_until looks like milliseconds; unix seconds are wanted",
        ),
        ("available_from", 10**400, "available_from is neither ISO 8601 nor unix seconds"),
        ("prize", 10**400, "prize cannot be stored"),
        ("x" * 257, 1, "the name of a field is longer than 256 characters"),
    ],
)
def test_wrong_values_are_refused_by_name(name: str, value: object, message: str) -> None:
    remark = refused(**{name: value})
    assert (remark.field, remark.message) == (name, message)


@pytest.mark.parametrize(
    "item_id", ["", "x" * 257, "a\nb", "a\x85", 1.5, True, None, [], {}, 10**300]
)
def test_wrong_ids_are_refused(item_id: object) -> None:
    (remark,) = parsed({"id": item_id, "title": "Heat"}).rejected
    assert (remark.code, remark.field) == ("invalid_item", "id")


def test_an_item_is_an_object_with_an_id() -> None:
    found = parsed(7, None, "a", [], {}, {"title": "Heat"}, {"id": "good"})
    assert found.records == {6: {"id": "good"}}
    assert [(r.index, r.message, r.field) for r in found.rejected] == [
        *((n, "an item is a JSON object", None) for n in range(4)),
        (4, "an item needs an id", "id"),
        (5, "an item needs an id", "id"),
    ]


def test_text_is_always_a_field_other_attributes_are_the_catalogues() -> None:
    bare: dict[str, str] = {}
    assert parsed({"id": "a", "text": "x"}, attributes=bare).records == {
        0: {"id": "a", "text": "x"}
    }
    found = parsed({"id": "a", "categories": ["a"]}, attributes=bare)
    assert found.records == {0: {"id": "a", "categories": ["a"]}}
    assert [(r.index, r.code, r.field) for r in found.unknown] == [
        (0, "unknown_field", "categories")
    ]


@pytest.mark.parametrize(
    "value", ["Oak & Co", 7, 0.5, True, ["a"], {"x": [1, None]}, 2**60, "", "null"]
)
def test_an_unknown_field_is_kept_as_it_was_sent(value: object) -> None:
    found = parsed({"id": "a", "title": "x", "maker": value})
    assert found.records == {0: {"id": "a", "title": "x", "maker": value}}
    assert found.rejected == ()
    (remark,) = found.unknown
    assert (remark.index, remark.code, remark.field) == (0, "unknown_field", "maker")
    assert remark.message == (
        "the catalogue has no such field: it is kept for the next build, and until then neither "
        "searched nor filtered"
    )


def test_an_unknown_field_names_the_nearest_one_and_null_is_no_field() -> None:
    (remark,) = parsed({"id": "a", "Brandd": "x", "more": None}).unknown
    assert remark.message.endswith("; did you mean `brand`?")


def test_ids_lose_the_blanks_around_them() -> None:
    assert list(parsed({"id": " A1 "}).records.values()) == [{"id": "A1"}]


def test_of_one_id_the_last_item_counts() -> None:
    found = parsed(
        {"id": "a", "title": "1"},
        {"id": "b"},
        {"id": 7},
        {"id": "a", "title": "2"},
        {"id": "7", "title": "3"},
        {"id": "a", "title": "4"},
        {"id": "b", "title": 5},
    )
    assert {n: record.get("title") for n, record in found.records.items()} == {
        1: None,
        4: "3",
        5: "4",
    }
    assert [(r.index, r.code, r.field) for r in found.repeated] == [
        (0, "duplicate_item", "id"),
        (2, "duplicate_item", "id"),
        (3, "duplicate_item", "id"),
    ]
    assert [remark.index for remark in found.rejected] == [6]


def test_an_array_or_an_object_with_items() -> None:
    both = [b' \n[{"id": "a"}]', b' {"items": [{"id": "a"}]} ']
    assert [items_of(body, ATTRIBUTES).records for body in both] == [{0: {"id": "a"}}] * 2
    most = [{"id": n} for n in range(MAX_ITEMS)]
    assert len(parsed(*most).records) == MAX_ITEMS == 1000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"7",
        b"null",
        b"{}",
        b'{"items": []}',
        b'{"items": {"id": "a"}}',
        b'{"items": [{"id": "a"}], "more": 1}',
        b'[{"id": "a"}',
        b'[{"id": "a"}] x',
        b'[{"id": "\xff"}]',
        b'[{"id": "\\ud800"}]',
        b"[" * 100_000,
        b'[{"id": "a", "brand": ' + b"[" * 500 + b"]" * 500 + b"}]",
        b'{"items":' * 1000,
        json.dumps([{"id": n} for n in range(MAX_ITEMS + 1)]).encode(),
        json.dumps({"items": [{"id": n} for n in range(MAX_ITEMS + 1)]}).encode(),
        b'[{"id": ' + b"9" * 5000 + b"}]",
    ],
)
def test_bodies_that_are_wrong_as_a_whole(body: bytes) -> None:
    with pytest.raises((ValidationError, InvalidRequestError)):
        items_of(body, ATTRIBUTES)


def test_a_deep_value_is_refused_where_it_stands() -> None:
    deep: object = "x"
    for _ in range(100):
        deep = [deep]
    assert refused(brand=deep).message == "brand is not text"
    assert refused(colours=deep).message == "colours is not a list of texts"


def test_a_patch_holds_what_changes_and_none_for_what_goes() -> None:
    sent = {"title": None, "price": 7, "categories": [], "hidden": False, "available_from": None}
    assert parse_patch(json.dumps(sent).encode(), ATTRIBUTES) == {
        "title": None,
        "price": 7,
        "categories": None,
        "hidden": False,
        "available_from": None,
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{}", None),
        (b'{"id": "a"}', "id"),
        (b'{"price": "7"}', "price"),
        (b'{"price": NaN}', "price"),
        (b'{"price": 1e400}', "price"),
        (b'{"prize": 7}', "prize"),
    ],
)
def test_wrong_patches_are_refused(body: bytes, field: str | None) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        parse_patch(body, ATTRIBUTES)
    assert refusal.value.field == field


def test_an_unknown_field_of_a_patch_says_which_there_are() -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        parse_patch(b'{"zone": null}', ATTRIBUTES)
    assert refusal.value.message == THERE


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b'"a"', b"null", b"{", b'{"a":' * 300])
def test_a_patch_is_an_object(body: bytes) -> None:
    with pytest.raises(ValidationError):
        parse_patch(body, ATTRIBUTES)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.integers(10**15),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(), parts, max_size=3),
    max_leaves=6,
)
ITEMS = st.dictionaries(
    st.sampled_from([*kinds_to_send(ATTRIBUTES), "id", "other"]), ANY_JSON, max_size=6
)


@given(st.lists(ITEMS, min_size=1, max_size=4))
def test_whatever_is_sent_is_kept_as_json_or_refused(entries: list[dict[str, Any]]) -> None:
    found = parsed(*entries)
    places = [*found.records, *(remark.index for remark in (*found.rejected, *found.repeated))]
    assert sorted(places) == list(range(len(entries)))
    for record in found.records.values():
        # JSON and back, and through the columns of a bundle and back.
        assert orjson.loads(orjson.dumps(record)) == record
        for name, kind in ATTRIBUTES.items():
            assert shown(kind, record.get(name)) == record.get(name)


def shown(kind: Kind, value: object) -> object:
    """Return what a column of a bundle shows of a record's value."""
    return decode_column(kind, encode_column(kind, [column_value(kind, value)])).value(0)


KINDS_CHANGED = [
    # value of a record, then what columns of each kind show: text, number, texts, boolean, time
    (None, None, None, None, None, None),
    ("", None, None, None, None, None),
    (True, "true", None, None, True, None),
    (0, "0", 0, None, None, "1970-01-01T00:00:00Z"),
    (1995, "1995", 1995, None, None, 1995),
    (2.5, "2.5", 2.5, None, None, "1970-01-01T00:00:02Z"),
    (2**53, "9007199254740992", 2**53, None, None, None),
    ("7", "7", 7, None, None, "1970-01-01T00:00:07Z"),
    ("true", "true", None, None, None, None),
    ("2016-01-02T03:04:05Z", "2016-01-02T03:04:05Z", None, None, None, "2016-01-02T03:04:05Z"),
    ([], "[]", None, [], None, None),
    (["a"], '["a"]', None, ["a"], None, None),
]


@pytest.mark.parametrize(("value", "expected"), [(value, rest) for value, *rest in KINDS_CHANGED])
def test_a_record_fits_columns_of_other_kinds(value: object, expected: list[object]) -> None:
    """The attributes may have been of other kinds when a record was journalled."""
    kinds: list[Kind] = ["string", "number", "strings", "boolean", "time"]
    assert [shown(kind, value) for kind in kinds] == expected


def test_html_goes_out_of_texts_as_in_files() -> None:
    record = record_of(title="Salt &amp; Pepper", text="<p>For <b>two</b></p>", brand="O&#39;Neil")
    assert record == {"title": "Salt & Pepper", "text": "For two", "brand": "O'Neil"}
    assert record_of(title="x<3 & y", text="<p></p>", brand="AT&T") == {
        "title": "x<3 & y",
        "brand": "AT&T",
    }


def test_categories_have_the_forms_of_files() -> None:
    sent = [{"id": 4, "name": "Kitchen"}, ["Home > Bath"], 7]
    assert record_of(categories=sent) == {"categories": ["Kitchen", "Home", "Bath", "7"]}


@pytest.mark.parametrize("name", ["ID", "item_id", "sku", "product_id"])
def test_an_id_under_another_name_is_recognised(name: str) -> None:
    (remark,) = parsed({name: "1", "title": "x"}).rejected
    assert remark == Remark(0, "invalid_item", f"an item needs an id: send `{name}` as `id`", "id")


def test_so_many_unknown_fields_are_warned_of_and_no_more() -> None:
    fields = {f"x{n}": 1 for n in range(600)}
    found = parsed({"id": "a", **fields}, {"id": "b", **fields})
    assert len(found.records) == 2
    assert len(found.unknown) == 1000


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e400"])
def test_no_unknown_field_is_dropped_in_silence(value: str) -> None:
    body = f'[{{"id":"1","stock":{value}}}]'.encode()
    (remark,) = items_of(body, ATTRIBUTES).rejected
    assert (remark.message, remark.field) == ("stock is not a finite number", "stock")


def test_a_single_item_is_told_what_a_body_is() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        items_of(b'{"id":"1","title":"x"}', ATTRIBUTES)
    assert caught.value.message == "there is no such field; there are: items"


@pytest.mark.parametrize("name", ["titel", "Title"])
def test_a_patch_names_the_nearest_field(name: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_patch(f'{{"{name}":"x"}}'.encode(), ATTRIBUTES)
    assert caught.value.message.startswith("there is no such field; did you mean `title`?")
    assert caught.value.field == name
