"""Catalogues and event logs from files: one test per rule for a wrong row."""

import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.columns import Instant
from app.errors import BadDataError, UsageError
from app.offline.dataset import read_items
from app.offline.events import Events, read_events
from app.offline.readers import read_rows
from app.offline.recipe import EventColumns, ItemColumns, Recipe
from app.offline.values import Unusable
from tests.bundles import write_jsonl

GOOD = [{"id": f"good{n}", "title": "x"} for n in range(3)]
CLICK = {"user_id": "u", "item_id": "i"}


def items_of(tmp_path, rows, recipe=None):
    return read_items(write_jsonl(tmp_path / "items.jsonl", rows), recipe or Recipe())


def events_of(tmp_path, rows, recipe=None):
    return read_events(write_jsonl(tmp_path / "events.jsonl", rows), recipe or Recipe())


def write(path, text):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# --- items


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


# --- events


def test_events_become_flat_arrays(tmp_path):
    log = events_of(
        tmp_path,
        [
            {"user_id": 7, "item_id": 1},
            {"session_id": "s", "item": 2, "event": "rating", "value": 4, "timestamp": 100},
            {"user": "7", "item_id": "1", "timestamp": "1970-01-01T00:00:05Z"},
        ],
    )
    assert (log.users, log.items, log.kinds) == (["u:7", "s:s"], ["1", "2"], ["click", "rating"])
    assert log.user.tolist() == [0, 1, 0]
    assert log.item.tolist() == [0, 1, 0]
    assert log.event.tolist() == [0, 1, 0]
    assert math.isnan(log.value[0])
    assert log.value[1] == 4.0
    assert math.isnan(log.timestamp[0])
    assert log.timestamp[1:].tolist() == [100.0, 5.0]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"item_id": 1}, "exactly one of user_id and session_id is wanted, neither given"),
        (
            {**CLICK, "session_id": "s"},
            "exactly one of user_id and session_id is wanted, both given",
        ),
        ({"user_id": "u"}, "item_id is missing"),
        ({**CLICK, "user_id": "a\x00"}, "user_id holds a control character"),
        ({"session_id": 1.5, "item_id": 1}, "session_id is neither text nor an integer"),
        ({**CLICK, "item_id": False}, "item_id is neither text nor an integer"),
        ({**CLICK, "event": 5}, "event is not text of at most 64 characters"),
        ({**CLICK, "value": "four"}, "value is not a number"),
        (
            {**CLICK, "timestamp": 1451703845000},
            "timestamp looks like milliseconds; unix seconds are wanted",
        ),
        ({**CLICK, "timestamp": "now"}, "timestamp is neither ISO 8601 nor unix seconds"),
        ({**CLICK, "event_id": 0.5}, "event_id is neither text nor an integer"),
    ],
)
def test_a_wrong_event_row_is_counted_with_line_and_reason(tmp_path, bad, reason):
    log = events_of(tmp_path, [CLICK, bad])
    assert len(log) == 1
    assert log.tally.examples == [f"line 2: {reason}"]


def test_more_than_half_unusable_events_refuse_the_file(tmp_path):
    with pytest.raises(BadDataError, match="2 of 3 rows"):
        events_of(tmp_path, [CLICK, {}, {}])


def test_of_a_repeated_event_id_the_last_row_wins_and_is_counted(tmp_path):
    rows = [
        {"user_id": "old", "item_id": "x", "event_id": 1},
        CLICK,
        CLICK,
        {"user_id": "new", "item_id": "y", "event_id": "1"},
    ]
    log = events_of(tmp_path, rows)
    assert log.tally.duplicates == 1
    assert (log.users, log.items) == (["u:u", "u:new"], ["i", "y"])
    assert log.user.tolist() == [0, 0, 1]


def test_the_recipe_says_columns_and_the_default_event(tmp_path):
    names = EventColumns(user_id="who", item_id="what", default_event="like")
    log = events_of(tmp_path, [{"who": 1, "what": 2, "user_id": "no"}], Recipe(events=names))
    assert (log.users, log.items, log.kinds) == (["u:1"], ["2"], ["like"])


def test_an_empty_log_is_a_log(tmp_path):
    assert len(events_of(tmp_path, [])) == len(Events.none()) == 0


# --- formats


def rows_of(path):
    return [(n, str(row) if isinstance(row, Unusable) else row) for n, row in read_rows(path)]


def test_json_lines(tmp_path):
    text = b'\xef\xbb\xbf{"id":1}\n\n[1]\n{"id":\n{"id":"\xff"}\n{"id":NaN}\n{"id":"\\ud800"}\n{}'
    assert rows_of(write(tmp_path / "a.jsonl", text)) == [
        (1, {"id": 1}),
        (3, "the line is not a JSON object"),
        (4, "the line is not JSON"),
        (5, "the line is not JSON"),
        (6, "the line is not JSON"),
        (7, "the line is not JSON"),
        (8, {}),
    ]


def test_csv_lines_are_counted_through_quoted_line_breaks(tmp_path):
    text = '\ufeffid,title\r\n1,"two\nlines"\n\n2\n3,"bad"quote\n4,"a ""b"""\n'
    assert rows_of(write(tmp_path / "a.CSV", text)) == [
        (2, {"id": "1", "title": "two\nlines"}),
        (5, "the row has more or fewer cells than the header"),
        (6, "the line is not CSV"),
        (7, {"id": "4", "title": 'a "b"'}),
    ]


def test_csv_bytes_that_are_not_utf8_cost_one_row(tmp_path):
    path = write(tmp_path / "a.csv", b"id,title\n1,\xff\n2,x\n")
    assert rows_of(path) == [(2, "the line is not UTF-8"), (3, {"id": "2", "title": "x"})]


def test_a_csv_quote_that_never_ends_refuses_the_file(tmp_path):
    with pytest.raises(BadDataError, match="quote in line 3"):
        rows_of(write(tmp_path / "a.csv", 'id,title\n1,x\n2,"open\n3,y\n'))


def test_csv_cells_become_typed(tmp_path):
    text = "id,price,code,fresh,published_at\n1.0,9.50,007,true,1995\n2.0,,010,false,\n"
    items = read_items(write(tmp_path / "a.csv", text), Recipe())
    assert items.ids == ["1", "2"]
    assert items.columns["price"] == [9.5, None]
    assert items.columns["code"] == ["007", "010"]
    assert items.columns["fresh"] == [True, False]
    assert items.columns["published_at"] == [Instant.of_year(1995), None]


def test_parquet_types(tmp_path):
    moment = datetime(2016, 1, 2, 3, 4, 5, tzinfo=UTC)
    table = pa.table(
        {
            "id": pa.array([1.0, 2.0, None]),
            "categories": [["a"], None, ["b"]],
            "published_at": pa.array([1995.0, math.nan, 1996.0]),
            "at": pa.array([moment, None, moment], pa.timestamp("ns", "Europe/Berlin")),
            "day": [date(2016, 1, 2), None, None],
            "price": pa.array([Decimal("9.50"), None, None]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    items = read_items(tmp_path / "a.parquet", Recipe())
    assert items.ids == ["1", "2"]
    assert items.tally.examples == ["line 3: id is missing"]
    assert items.columns["categories"] == [("a",), None]
    assert items.columns["published_at"] == [Instant.of_year(1995), None]
    assert items.columns["at"] == [Instant(1451703845.0), None]
    assert items.columns["day"] == [Instant(1451692800.0), None]
    assert items.columns["price"] == [9.5, None]


def test_the_ending_tells_the_format(tmp_path):
    with pytest.raises(UsageError, match=r"\.jsonl, \.csv, \.parquet"):
        read_items(write(tmp_path / "a.txt", ""), Recipe())


def test_a_file_that_is_not_there_is_bad_data(tmp_path):
    for ending in ("jsonl", "csv", "parquet"):
        with pytest.raises(BadDataError, match="No such file"):
            rows_of(tmp_path / f"a.{ending}")


def test_a_damaged_parquet_file_is_bad_data(tmp_path):
    pq.write_table(pa.table({"id": [*range(1000)]}), tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    for damaged in (whole[:-10], b"", whole[:200] + b"\xff" * 64 + whole[264:]):
        with pytest.raises(BadDataError, match=r"a\.parquet"):
            rows_of(write(tmp_path / "a.parquet", damaged))


@pytest.mark.parametrize("text", ["id,id\n1,2\n", '"id\n'])
def test_a_csv_header_that_cannot_be_used_is_bad_data(tmp_path, text):
    with pytest.raises(BadDataError):
        rows_of(write(tmp_path / "a.csv", text))


def test_an_empty_csv_file_has_no_rows(tmp_path):
    assert rows_of(write(tmp_path / "a.csv", "")) == []
