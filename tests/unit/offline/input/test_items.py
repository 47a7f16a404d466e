"""Catalogues from files: one test per rule for a wrong row."""

import math

import orjson
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
        ({"id": "a\tb"}, "id contains a control character"),
        ({"id": 1.0}, "id is neither text nor an integer"),
        ({"id": True}, "id is neither text nor an integer"),
        ({"id": "a", "title": ["x"]}, "title is not text"),
        ({"id": "a", "text": {}}, "text is not text"),
    ],
)
def test_a_wrong_item_row_is_counted_with_line_and_reason(tmp_path, bad, reason):
    items = items_of(tmp_path, [*GOOD, bad])
    assert items.ids == ["good0", "good1", "good2"]
    assert dict(items.report.reasons) == {reason: 1}
    assert items.report.examples == [f"line 4: {reason}"]
    assert items.report.counts("item")["item_rejected"] == 1


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # An empty row wipes nothing out, wherever it stands.
        ([{"title": "a", "price": 5}, {}], {"title": "a", "price": 5}),
        ([{}, {"title": "a"}, {"title": " ", "text": None}], {"title": "a", "text": None}),
        ([{"price": math.nan, "n": None}, {"price": 0, "n": False}], {"price": 0, "n": False}),
        # The first value that is not empty counts, field by field.
        ([{"title": "a", "price": 5}, {"title": "b", "text": "t"}], {"title": "a", "text": "t"}),
        ([{"price": 1}, {"price": 2}, {"price": 3}], {"price": 1}),
        ([{"published_at": ""}, {"published_at": 1995}], {"published_at": Instant.of_year(1995)}),
        # Lists are united, in order, each text once.
        ([{"categories": "A|B"}, {"categories": ["B", "C"]}], {"categories": ("A", "B", "C")}),
        ([{"tags": ["x"]}, {}, {"tags": ["y", "x"]}, {"tags": ["z"]}], {"tags": ["x", "y", "z"]}),
        ([{"tags": []}, {"tags": ["y", "y"]}, {"tags": ["x"]}], {"tags": ["y", "x"]}),
        # Anything else is no list of texts.
        ([{"odd": ["x"]}, {"odd": "y"}], {"odd": ["x"]}),
        ([{"odd": "x"}, {"odd": ["y"]}], {"odd": "x"}),
        ([{"odd": [["x"]]}, {"odd": [["y"]]}], {"odd": '[["x"]]'}),
    ],
)
def test_rows_of_one_id_are_put_together(tmp_path, rows, expected):
    others = [{"id": "before", "title": "o"}, {"id": "after", "title": "o"}]
    path = tmp_path / "items.jsonl"
    lines = [others[0], *({"id": 7, **row} for row in rows), others[1]]
    # Not `write_jsonl`: it would spell NaN, which is no JSON.
    path.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    items = read_items(path, Recipe())
    assert items.ids == ["before", "7", "after"]
    assert {name: items.columns[name][1] for name in expected} == expected
    assert all(len(values) == 3 for values in items.columns.values())
    assert items.report.duplicates == len(rows) - 1


def test_rows_of_one_id_need_not_follow_each_other(tmp_path):
    rows = [{"id": 1, "title": "a"}, {"id": 2, "later": 1}, {"id": "1", "later": 2, "title": "b"}]
    items = items_of(tmp_path, rows)
    assert items.ids == ["1", "2"]
    assert items.columns["title"] == ["a", None]
    assert items.columns["later"] == [2.0, 1.0]


def test_an_unusable_row_of_an_id_adds_nothing(tmp_path):
    rows = [{"id": 1, "title": "a"}, {"id": 1, "title": ["b"], "text": "t"}, {"id": 1, "price": 2}]
    items = items_of(tmp_path, rows)
    assert (items.columns["title"], items.columns["text"]) == (["a"], [None])
    assert items.columns["price"] == [2.0]
    assert (items.report.rejected, items.report.duplicates) == (1, 1)


def test_variants_in_csv(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text(
        "Handle,Title,Tags,Price\nband,Wrist Band,Leather|Anchor,69.99\nband,,,55\nband,,Gold,\n"
        "ring,Plain Ring,Ring,20\n"
    )
    names = ItemColumns(id="Handle", title="Title", categories="Tags")
    items = read_items(path, Recipe(items=names))
    assert items.columns["title"] == ["Wrist Band", "Plain Ring"]
    assert items.columns["categories"] == [("Leather", "Anchor", "Gold"), ("Ring",)]
    assert items.columns["Price"] == [69.99, 20.0]
    assert items.report.lines()[0] == "items.csv: 4 rows, 0 unusable, 2 duplicates"


def test_uniting_many_lists_of_one_item_takes_linear_time(tmp_path):
    n = 20_000
    items = items_of(tmp_path, [{"id": 1, "tags": [f"t{k}"]} for k in range(n)])
    assert items.columns["tags"] == [[f"t{k}" for k in range(n)]]


def csv_items(tmp_path, text, recipe=None):
    path = tmp_path / "items.csv"
    path.write_text(text)
    return read_items(path, recipe or Recipe())


def test_what_cannot_be_read_of_our_fields_is_missing_and_the_item_stays(tmp_path):
    rows = [
        {"id": 1, "categories": {"id": 3}, "published_at": "soon"},
        {"id": 2, "categories": True, "published_at": 1451703845000},
        {"id": 3, "categories": [{"name": "Tea"}], "published_at": "March 3, 2019"},
    ]
    items = items_of(tmp_path, rows)
    assert items.columns["categories"] == [None, None, ("Tea",)]
    assert items.columns["published_at"] == [None, None, Instant(1551571200.0)]
    counted = items.report.counts("item")
    assert (counted["unreadable_categories"], counted["unreadable_published_at"]) == (2, 2)
    assert counted["item_rejected"] == 0


def test_html_goes_out_of_titles_texts_and_attributes(tmp_path):
    items = csv_items(
        tmp_path,
        "id,title,text,maker\n"
        "1,Salt &amp; Pepper,<p>For <b>two</b></p>,O&#39;Neil\n"
        "2,Plain <3,x,Tom & Co\n3,<p></p>,,\n",
    )
    assert items.columns["title"] == ["Salt & Pepper", "Plain <3", None]
    assert items.columns["text"] == ["For two", "x", None]
    assert items.columns["maker"] == ["O'Neil", "Tom & Co", None]
    assert items.report.notes == [
        "column 'title': HTML was taken out of 2 texts",
        "column 'text': HTML was taken out of 1 texts",
    ]


def test_what_programs_write_for_nothing_is_no_value(tmp_path):
    items = csv_items(
        tmp_path,
        "id,title,text,maker,price\n7,null,\\N,NaN,N/A\n7,Lamp,Warm,Acme,5\n8,Null,None,x,-\n\\N,a,b,c,1\n",
    )
    assert items.ids == ["7", "8"]
    assert items.columns["title"] == ["Lamp", "Null"]
    assert items.columns["text"] == ["Warm", "None"]
    assert items.columns["maker"] == ["Acme", "x"]
    assert items.columns["price"] == [5.0, None]
    assert dict(items.report.reasons) == {"id is missing": 1}


def test_a_text_may_be_a_list_of_paragraphs(tmp_path):
    items = items_of(tmp_path, [{"id": 1, "text": ["First.", "Second."]}])
    assert items.columns["text"] == ["First.\nSecond."]


def test_a_price_in_json_texts_is_a_number(tmp_path):
    rows = [{"id": 1, "price": "12.50", "size": "38"}, {"id": 2, "price": "ask", "size": "40"},
            {"id": 3, "price": "15.00", "size": "41"}]  # fmt: skip
    items = items_of(tmp_path, rows)
    assert items.columns["price"] == [12.5, None, 15.0]
    assert items.kinds["size"] == "string"
    named = Recipe.model_validate({"roles": {"rating": "size"}})
    assert items_of(tmp_path, rows, named).columns["size"] == [38.0, 40.0, 41.0]


def test_lists_in_texts(tmp_path):
    text = 'id,categories,Tags,colours\n1,"Tea, Hot","a, b",red/blue\n1,Cold,c,green\n2,Cups,,\n'
    recipe = Recipe.model_validate({"separators": {"colours": "/"}})
    items = csv_items(tmp_path, text, recipe)
    assert items.columns["categories"] == [("Tea", "Hot", "Cold"), ("Cups",)]
    assert items.columns["Tags"] == [["a", "b", "c"], None]
    assert items.columns["colours"] == [["red", "blue", "green"], None]
    assert csv_items(tmp_path, "id,tags\n1,some words\n").kinds["tags"] == "string"


def test_a_separator_for_a_column_that_is_not_there(tmp_path):
    recipe = Recipe.model_validate({"separators": {"colour": "/"}})
    with pytest.raises(UsageError, match=r"separators: items\.csv has no other column 'colour'"):
        csv_items(tmp_path, "id,colours\n1,red\n", recipe)


def test_days_and_months_are_told_by_the_recipe(tmp_path):
    text = "id,published_at,added\n1,04/05/2019,04/05/2019\n"
    items = csv_items(tmp_path, text, Recipe(day_first=False))
    shown = [items.columns[name][0].shown()[:10] for name in ("published_at", "added")]
    assert shown == ["2019-04-05"] * 2


def test_a_missing_title_keeps_the_row_and_is_counted(tmp_path):
    items = items_of(tmp_path, [{"id": 1}, {"id": 2, "text": "words"}, {"id": 3, "title": "x"}])
    assert items.columns["title"] == [None, None, "x"]
    assert items.report.noted == {"missing_title": 2, "missing_title_and_text": 1}


def test_half_of_the_rows_may_be_unusable(tmp_path):
    assert len(items_of(tmp_path, [{"id": 1}, {}])) == 1


def test_more_than_half_unusable_rows_refuse_the_file(tmp_path):
    with pytest.raises(BadDataError, match=r"2 of 3 rows.*2 × id is missing.*line 2"):
        items_of(tmp_path, [{"id": 1}, {}, {}])


def test_only_the_first_twenty_examples_are_kept_but_all_are_counted(tmp_path):
    items = items_of(tmp_path, [*({"id": n} for n in range(40)), *({} for _ in range(30))])
    assert len(items.report.examples) == 20
    assert items.report.rejected == 30


def test_a_file_without_items_is_refused(tmp_path):
    with pytest.raises(BadDataError, match="contains no items"):
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
