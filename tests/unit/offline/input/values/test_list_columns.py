"""Lists in the cells of a column, and how their separators are guessed."""

from typing import Any

import pytest

from app.offline.input.values.list_columns import ListColumn


def read(*cells: Any, separator: str | None = None, has_levels: bool = True) -> list[Any]:
    column = ListColumn("categories", separator, has_levels=has_levels)
    return column.finish([column.take(cell) for cell in cells])


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["Tea|Hot", "Tea, iced"], [("Tea", "Hot"), ("Tea, iced",)]),
        (["Tea; Hot", "Cups"], [("Tea", "Hot"), ("Cups",)]),
        (["Tea, Hot", "Cups;Mugs"], [("Tea", "Hot"), ("Cups", "Mugs")]),
        (["Shoes, Boots", "Home > Bath, Home > Kitchen"],
         [("Shoes", "Boots"), ("Home", "Bath", "Kitchen")]),
        (["Books, Music & Games", "Toys"], [("Books, Music & Games",), ("Toys",)]),
        (["Arts, Crafts and Sewing", "Food, Drink & Tea > Tea"],
         [("Arts, Crafts and Sewing",), ("Food, Drink & Tea", "Tea")]),
        (["Doctors, Health & Care", "Notaries, Mail"],
         [("Doctors", "Health & Care"), ("Notaries", "Mail")]),
        (["Tea, Salt & Pepper", "Tea"], [("Tea", "Salt & Pepper"), ("Tea",)]),
        (["Tools, Hardware; Home", "Garden"], [("Tools, Hardware", "Home"), ("Garden",)]),
        ([r"Bags\, small,Shoes"], [("Bags, small", "Shoes")]),
        (["a\nb"], [("a", "b")]),
        ([["Arts, Crafts"], "Toys, Dolls"], [("Arts, Crafts",), ("Toys, Dolls",)]),
        (["['Arts, Crafts', 'x']", None], [("Arts, Crafts", "x"), None]),
        ([5, 6.0, "N/A", " "], [("5",), ("6",), None, None]),
        (["Tea &amp; more;Hot"], [("Tea & more", "Hot")]),
    ],
)  # fmt: skip
def test_separators_are_guessed(cells: list[Any], names: list[Any]) -> None:
    assert read(*cells) == names


def test_texts_that_come_often_but_never_apart_are_names() -> None:
    assert set(read(*["Tools, Hardware"] * 10, "Toys")) == {("Tools, Hardware",), ("Toys",)}
    assert read(*["Tools, Hardware"] * 10, "Tools")[0] == ("Tools", "Hardware")


def test_the_recipe_says_the_separator() -> None:
    assert read("Tea, iced / Hot", separator=" / ") == [("Tea, iced", "Hot")]
    assert read("Arts, Crafts & Sewing", separator=",") == [("Arts", "Crafts & Sewing")]
    assert read("Tea, Hot|x", "Home > Bath", separator="") == [("Tea, Hot|x",), ("Home", "Bath")]


def test_tags_have_no_levels() -> None:
    assert read("a > b, c and d, e, f", has_levels=False) == [("a > b", "c and d", "e", "f")]


def test_what_was_done_is_said() -> None:
    column = ListColumn("tags", None)
    column.finish([column.take(cell) for cell in ("a, b", "c", True, "null")])
    assert column.remarks.line("tags") == (
        "column 'tags': lists, split at each comma (a guess: [separators] tags = \"\" in the "
        "recipe keeps texts whole); 1 not readable, so missing ('True'); 1 missing ('null')"
    )
    whole = ListColumn("tags", None)
    whole.finish([whole.take("a b")])
    assert whole.remarks.line("tags") is None
