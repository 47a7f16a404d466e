"""Small files of real kinds that once failed, read as a user expects.

They lie outside the repository (`RECSERVE_SHARED`/field). Each has a check here by its name.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.offline.input.items import Items, read_items
from app.offline.input.recipe import Recipe

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


CHECKS: dict[str, Callable[[], None]] = {
    "latin1.csv": latin1,
    "tab.tsv": tab,
    "json_array.json": json_array,
    "json_nan.jsonl": json_nan,
    "space_after_comma.csv": space_after_comma,
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_file_of_the_field_is_read_as_expected(name: str) -> None:
    required = os.environ.get("RECSERVE_REQUIRE_DATA") == "1"
    if not required and not (FIELD / name).exists():
        pytest.skip(f"RECSERVE_SHARED has no field/{name}")
    CHECKS[name]()
