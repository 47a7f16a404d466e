"""Catalogues and event logs from files: one test per rule for a wrong row."""

import math

import pytest

from app.core.errors import BadDataError, UsageError
from app.domain.columns import Instant
from app.offline.input.events import Events, read_events
from app.offline.input.items import read_items
from app.offline.input.recipe import EventColumns, ItemColumns, Recipe
from tests.bundles import write_jsonl

GOOD = [{"id": f"good{n}", "title": "x"} for n in range(3)]
CLICK = {"user_id": "u", "item_id": "i"}


def items_of(tmp_path, rows, recipe=None):
    return read_items(write_jsonl(tmp_path / "items.jsonl", rows), recipe or Recipe())


def events_of(tmp_path, rows, recipe=None):
    return read_events(write_jsonl(tmp_path / "events.jsonl", rows), recipe or Recipe())


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
        ({**CLICK, "recommendation_id": []}, "recommendation_id is neither text nor an integer"),
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


def test_events_of_one_recommendation_have_one_code(tmp_path):
    rows = [
        {**CLICK, "recommendation_id": "b", "event_id": 1},
        CLICK,
        {**CLICK, "recommendation_id": 7},
        {**CLICK, "recommendation_id": "7", "user_id": "other"},
        {**CLICK, "recommendation_id": None},
        {**CLICK, "recommendation_id": "c", "event_id": 1},
        {**CLICK, "recommendation_id": "b"},
    ]
    codes = events_of(tmp_path, rows).recommendation
    # The first row is replaced by the sixth.
    assert codes.dtype == "int32"
    assert codes[[0, 3]].tolist() == [-1, -1]
    assert codes[1] == codes[2] >= 0
    assert len({*codes[[1, 4, 5]].tolist(), -1}) == 4

    names = EventColumns(recommendation_id="shown_in")
    mapped = [{**CLICK, "recommendation_id": "no", "shown_in": "yes"}, CLICK]
    assert events_of(tmp_path, mapped, Recipe(events=names)).recommendation.tolist() == [0, -1]


def test_the_recipe_says_columns_and_the_default_event(tmp_path):
    names = EventColumns(user_id="who", item_id="what", default_event="like")
    log = events_of(tmp_path, [{"who": 1, "what": 2, "user_id": "no"}], Recipe(events=names))
    assert (log.users, log.items, log.kinds) == (["u:1"], ["2"], ["like"])


def test_an_empty_log_is_a_log(tmp_path):
    assert len(events_of(tmp_path, [])) == len(Events.none()) == 0
