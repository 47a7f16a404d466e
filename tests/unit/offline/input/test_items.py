"""Catalogues from files: one test per rule for a wrong row."""

import pytest

from app.core.errors import BadDataError, UsageError
from app.domain.columns import Instant
from app.offline.input.items import read_items
from app.offline.input.recipe import ItemColumns, Recipe
from tests.bundles import write_jsonl

GOOD = [{"id": f"good{n}", "title": "x"} for n in range(3)]


def items_of(tmp_path, rows, recipe=None):
    return read_items(write_jsonl(tmp_path / "items.jsonl", rows), recipe or Recipe())


def test_fields_and_attributes_become_typed_columns(tmp_path):
    row = {
        "id": 1,
        "title": " Heat ",
        "text": "A heist.",
        "categories": "Crime|Drama",
        "published_at": 1995,
        "price": 9.5,
        "tags": ["a"],
        "new": True,
        "added": "2016-01-02",
        "colour": "red",
    }
    items = items_of(tmp_path, [row, {"id": "b", "later": 1}])
    assert {name: values[0] for name, values in items.columns.items()} == {
        "id": "1",
        "title": "Heat",
        "text": "A heist.",
        "categories": ("Crime", "Drama"),
        "published_at": Instant.of_year(1995),
        "price": 9.5,
        "tags": ["a"],
        "new": True,
        "added": Instant(1451692800.0),
        "colour": "red",
        "later": None,
    }
    assert items.kinds["tags"] == "strings"
    assert items.kinds["new"] == "boolean"
    assert items.kinds["added"] == "time"
    assert items.columns["later"] == [None, 1.0]
    assert list(items.kinds) == list(items.columns)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"title": "x"}, "id is missing"),
        ({"id": ""}, "id is missing"),
        ({"id": "x" * 257}, "id is longer than 256 characters"),
        ({"id": "a\tb"}, "id holds a control character"),
        ({"id": 1.0}, "id is neither text nor an integer"),
        ({"id": True}, "id is neither text nor an integer"),
        ({"id": "a", "title": ["x"]}, "title is not text"),
        ({"id": "a", "text": {}}, "text is not text"),
        ({"id": "a", "categories": 5}, "categories are neither a list of texts nor text like a|b"),
        (
            {"id": "a", "published_at": 1451703845000},
            "published_at looks like milliseconds; unix seconds are wanted",
        ),
        (
            {"id": "a", "published_at": "soon"},
            "published_at is neither ISO 8601 nor unix seconds",
        ),
    ],
)
def test_a_wrong_item_row_is_counted_with_line_and_reason(tmp_path, bad, reason):
    items = items_of(tmp_path, [*GOOD, bad])
    assert items.ids == ["good0", "good1", "good2"]
    assert dict(items.tally.reasons) == {reason: 1}
    assert items.tally.examples == [f"line 4: {reason}"]
    assert items.tally.counts("item")["item_rejected"] == 1


def test_of_a_repeated_id_the_last_row_wins_and_is_counted(tmp_path):
    rows = [{"id": 1, "title": "old", "price": 5}, {"id": 2}, {"id": "1", "title": "new"}]
    items = items_of(tmp_path, rows)
    assert items.ids == ["2", "1"]
    assert items.columns["title"] == [None, "new"]
    assert items.columns["price"] == [None, None]
    assert items.tally.duplicates == 1


def test_a_missing_title_keeps_the_row_and_is_counted(tmp_path):
    items = items_of(tmp_path, [{"id": 1}, {"id": 2, "text": "words"}, {"id": 3, "title": "x"}])
    assert items.columns["title"] == [None, None, "x"]
    assert items.tally.noted == {"missing_title": 2, "missing_title_and_text": 1}


def test_half_of_the_rows_may_be_unusable(tmp_path):
    assert len(items_of(tmp_path, [{"id": 1}, {}])) == 1


def test_more_than_half_unusable_rows_refuse_the_file(tmp_path):
    with pytest.raises(BadDataError, match=r"2 of 3 rows.*2 × id is missing.*line 2"):
        items_of(tmp_path, [{"id": 1}, {}, {}])


def test_only_the_first_twenty_examples_are_kept_but_all_are_counted(tmp_path):
    items = items_of(tmp_path, [*({"id": n} for n in range(40)), *({} for _ in range(30))])
    assert len(items.tally.examples) == 20
    assert items.tally.rejected == 30


def test_a_file_without_items_is_refused(tmp_path):
    with pytest.raises(BadDataError, match="holds no items"):
        items_of(tmp_path, [])


def test_a_file_with_endless_columns_is_refused(tmp_path):
    with pytest.raises(BadDataError, match="more than 256 columns"):
        items_of(tmp_path, [{"id": n, f"column{n}": 1} for n in range(300)])


def test_columns_are_mapped_by_the_recipe(tmp_path):
    recipe = Recipe(items=ItemColumns(id="movieId", title="name"))
    items = items_of(tmp_path, [{"movieId": 5, "name": "Heat", "title": "hidden"}], recipe)
    assert items.ids == ["5"]
    assert items.columns["title"] == ["Heat"]
    assert set(items.columns) == {"id", "title", "text", "categories", "published_at"}


def test_a_recipe_that_names_a_column_that_is_not_there_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"items\.title names the column 'name'.*items\.jsonl"):
        items_of(tmp_path, [{"id": 1}], Recipe(items=ItemColumns(title="name")))
