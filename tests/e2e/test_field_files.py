"""Small files of real kinds that once failed, read as a user expects.

They lie outside the repository (`RECSERVE_SHARED`/field). Each has a check here by its name.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.offline.input.events import read_events
from app.offline.input.items import Items, read_items
from app.offline.input.recipe import Recipe
from app.offline.learning.signals import log_of

FIELD = Path(os.environ.get("RECSERVE_SHARED", "../shared")) / "field"


def items_of(name: str) -> Items:
    return read_items(FIELD / name, Recipe())


def latin1() -> None:
    items = items_of("latin1.csv")
    assert items.columns["title"][:2] == ["Amélie poster", "Café sign"]
    assert len(items) == 5
    assert items.report.read_as == "comma, Windows-1252, 2 columns"


def tab() -> None:
    items = items_of("tab.tsv")
    assert items.columns["title"] == ["Oak lamp", "Pine shelf"]
    assert items.columns["price"] == [12.5, 20.0]


def json_array() -> None:
    assert items_of("json_array.json").columns["title"] == ["Oak lamp", "Pine shelf"]


def json_nan() -> None:
    assert items_of("json_nan.jsonl").columns["price"] == [None, 3.0, 4.0]


def space_after_comma() -> None:
    assert items_of("space_after_comma.csv").columns["title"] == ["Lamp, big", "Chair", "Rug"]


def price_money() -> None:
    assert items_of("price_money.csv").columns["price"] == [12.99, 1299.0, 45.0]


def price_one_na() -> None:
    items = items_of("price_one_na.csv")
    assert items.columns["price"] == [12.99, None, 45.0]
    assert items.report.notes == ["column 'price': numbers; 1 missing ('N/A')"]


def categories_comma() -> None:
    names = items_of("categories_comma.csv").columns["categories"]
    assert names == [("Drinks", "Hot"), ("Kitchen", "Cups"), ("Kitchen", "Pots")]


def categories_objects() -> None:
    names = items_of("categories_objects.jsonl").columns["categories"]
    assert names == [("Drinks",), ("Kitchen",)]


def date_text() -> None:
    items = items_of("date_text.csv")
    shown = [day and day.shown()[:10] for day in items.columns["published_at"]]
    assert shown == ["2021-09-25"] * 3 + [None, "2021-09-25", None]
    assert items.report.rejected == 0


def year_zero() -> None:
    items = items_of("year_zero.csv")
    assert [day and day.shown() for day in items.columns["published_at"]] == [None] * 3 + [1999]
    assert items.report.noted["unreadable_published_at"] == 3


def id_blanks() -> None:
    assert items_of("id_blanks.csv").ids == ["A1", "A2"]


def html_text() -> None:
    columns = items_of("html_text.csv").columns
    assert columns["title"] == ["Men's Cap & Scarf", "Plain hat"]
    assert columns["text"] == ["Soft wool set.", "x"]


def shopify_variants() -> None:
    names = {"id": "Handle", "title": "Title", "text": "Body (HTML)", "categories": "Tags"}
    recipe = Recipe.model_validate({"items": names})
    items = read_items(FIELD / "shopify_variants.csv", recipe)
    assert items.columns["title"] == ["Anchor Wrist Band", "Plain Ring"]
    assert items.columns["text"] == ["Leather band with an anchor.", "A ring."]
    assert items.columns["categories"] == [("Leather", "Anchor"), ("Ring",)]
    assert items.columns["Variant Price"] == [69.99, 20.0]


def semicolon() -> None:
    items = items_of("semicolon.csv")
    assert items.columns["title"] == ["Oak lamp", "Pine shelf"]
    assert items.columns["categories"] == [("Lighting",), ("Storage",)]
    assert items.columns["price"] == [265.0, 1995.0]


def header_case() -> None:
    items = items_of("header_case.csv")
    assert (items.ids, items.columns["title"]) == (["1", "2"], ["Oak lamp", "Pine shelf"])


def rating_column() -> None:
    log = read_events(FIELD / "rating_column.csv", Recipe())
    assert log.kinds == ["rating"]
    assert log.value.tolist() == [0.5, 5.0]
    learned = log_of(log, log.items, Recipe().weights)
    assert (learned.weights > 0).tolist() == [False, True]


def future_row() -> None:
    log = read_events(FIELD / "future_row.csv", Recipe())
    assert "P50" not in log.items
    assert dict(log.report.reasons) == {"timestamp lies more than a day ahead": 1}
    assert log.items[0] == "P1"


CHECKS: dict[str, Callable[[], None]] = {
    "semicolon.csv": semicolon,
    "header_case.csv": header_case,
    "latin1.csv": latin1,
    "tab.tsv": tab,
    "json_array.json": json_array,
    "json_nan.jsonl": json_nan,
    "space_after_comma.csv": space_after_comma,
    "price_money.csv": price_money,
    "price_one_na.csv": price_one_na,
    "categories_comma.csv": categories_comma,
    "categories_objects.jsonl": categories_objects,
    "date_text.csv": date_text,
    "year_zero.csv": year_zero,
    "id_blanks.csv": id_blanks,
    "html_text.csv": html_text,
    "shopify_variants.csv": shopify_variants,
    "rating_column.csv": rating_column,
    "future_row.csv": future_row,
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_file_of_the_field_is_read_as_expected(name: str) -> None:
    required = os.environ.get("RECSERVE_REQUIRE_DATA") == "1"
    if not required and not (FIELD / name).exists():
        pytest.skip(f"RECSERVE_SHARED has no field/{name}")
    CHECKS[name]()
