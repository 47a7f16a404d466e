"""Event logs from files: one test per rule for a wrong row, and for what a row means."""

import math
from pathlib import Path

import pytest

from app.core.caller import scoped
from app.core.errors import BadDataError, UsageError
from app.core.store_ports import user_key
from app.core.types import Event
from app.domain.columns import Instant
from app.domain.event_rules import DEFAULT_EVENT_RULES
from app.offline.input.event_files import events_of as events_to_import
from app.offline.input.events import Events, TimeBounds, read_events
from app.offline.input.exported_lines import line_of
from app.offline.input.read_report import ReadReport
from app.offline.input.recipe import EventColumns, Recipe
from app.offline.learning.signals import log_of
from tests.bundles import write_jsonl

CLICK = {"user_id": "u", "item_id": "i"}
NOW = 1_700_000_000.0
DAY_S = 86_400.0


def events_of(tmp_path, rows, recipe=None):
    return read_events(write_jsonl(tmp_path / "events.jsonl", rows), recipe or Recipe(), NOW)


def csv_events(tmp_path: Path, text: str, recipe: Recipe | None = None) -> Events:
    path = tmp_path / "events.csv"
    path.write_text(text)
    return read_events(path, recipe or Recipe(), NOW)


def kinds_and_values(log: Events) -> list[tuple[str, float | None]]:
    values = [None if math.isnan(value) else value for value in log.value.tolist()]
    return list(zip([log.kinds[code] for code in log.event], values, strict=True))


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
        ({"item_id": 1}, "exactly one of user_id and session_id is needed, not neither"),
        (
            {**CLICK, "session_id": "s"},
            "exactly one of user_id and session_id is needed, not both",
        ),
        ({"user_id": "u"}, "item_id is missing"),
        ({**CLICK, "user_id": "a\x00"}, "user_id contains a control character"),
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
        ({**CLICK, "query": ["a"]}, "query is not text"),
        ({**CLICK, "query": True}, "query is not text"),
        ({**CLICK, "query": "a" * 513}, "query is longer than 512 characters"),
    ],
)
def test_a_wrong_event_row_is_counted_with_line_and_reason(tmp_path, bad, reason):
    log = events_of(tmp_path, [CLICK, bad])
    assert len(log) == 1
    assert log.report.examples == [f"line 2: {reason}"]


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
    assert log.report.duplicates == 1
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


def test_events_remember_the_words_that_led_to_them(tmp_path):
    rows = [
        {**CLICK, "query": "gone", "event_id": 1},
        {**CLICK, "query": " red \n sofa"},
        CLICK,
        {**CLICK, "query": "red sofa", "user_id": "other"},
        {**CLICK, "query": 1984},
        {**CLICK, "query": None, "event_id": 1},
        {**CLICK, "query": "  "},
        {**CLICK, "query": "e\u0301" * 512},
    ]
    log = events_of(tmp_path, rows)
    assert log.queries == ["red sofa", "1984", "é" * 512]
    assert log.query.dtype == "int32"
    assert log.query.tolist() == [0, -1, 0, 1, -1, -1, 2]
    kept = log.only(log.query >= 1)
    assert [kept.queries[code] for code in kept.query] == ["1984", "é" * 512]

    names = Recipe(events=EventColumns(query="searched"))
    mapped = [{**CLICK, "query": "no", "searched": "yes"}, CLICK]
    assert events_of(tmp_path, mapped, names).queries == ["yes"]
    assert csv_events(tmp_path, "user_id,item_id,query\nu,i,007\nu,i,\n").queries == ["007"]


def contexts(path, recipe=None):
    """Return the contexts of the events of a file, and its report."""
    report = ReadReport(path.name)
    times = TimeBounds(now=NOW, undated=NOW)
    events = list(events_to_import(path, recipe or Recipe(), times, report))
    return [dict(event.context) for event in events], report


def test_a_context_is_an_object_or_a_column_for_each_value(tmp_path):
    rows = [
        {**CLICK, "context": {"device": " phone ", "hour": 14, "new": True, "none": None}},
        {**CLICK, "context.hour": "14", "context.section": "home"},
        CLICK,
        {**CLICK, "context": {"hour": 1, "city": ""}, "context.hour": 2},
    ]
    found, report = contexts(write_jsonl(tmp_path / "e.jsonl", rows))
    assert found == [
        {"device": "phone", "hour": 14.0, "new": True},
        {"hour": "14", "section": "home"},
        {},
        {"hour": 2.0},
    ]
    assert report.notes == []
    assert len(events_of(tmp_path, rows)) == 4


def test_columns_of_a_table_spell_the_values_of_a_context(tmp_path):
    path = tmp_path / "e.csv"
    path.write_text(
        "user_id,item_id,context.hour,context.zip,platform,context\nu,i,14,014,tv,x\nu,i,,true,,y\n"
    )
    found, report = contexts(path)
    assert found == [{"hour": 14.0, "zip": "014"}, {"zip": True}]
    assert report.notes == ["columns that were not used: 'context', 'platform'"]

    recipe = Recipe(events=EventColumns(context={"device": "platform"}))
    found, report = contexts(path, recipe)
    assert found == [{"device": "tv", "hour": 14.0, "zip": "014"}, {"zip": True}]
    assert report.notes == ["columns that were not used: 'context'"]
    with pytest.raises(UsageError, match=r"events\.context names the column 'os', which"):
        read_events(path, Recipe(events=EventColumns(context={"os": "os"})), NOW)


@pytest.mark.parametrize(
    ("context", "reason"),
    [
        ({"a": []}, "context: a is neither text, number, true nor false"),
        ({"a": "x" * 257}, "context: a is longer than 256 characters"),
        ({f"a{n}": n for n in range(17)}, "context: there are more than 16 names"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_row_with_a_wrong_context_is_counted(tmp_path, context, reason):
    log = events_of(tmp_path, [CLICK, {**CLICK, "context": context}])
    assert log.report.examples == [f"line 2: {reason}"]


def test_exported_events_are_imported_with_their_words(tmp_path):
    here = (("device", "最新"), ("hour", 14.0), ("new", False))
    stored = Event("1", "u:u", "i", "click", NOW, query='"a" 最新', context=here)
    path = tmp_path / "events.jsonl"
    path.write_bytes(line_of(stored) + line_of(Event("2", "u:u", "i", "click", NOW)))
    assert not {b"query", b"context"} & set(path.read_bytes().splitlines()[1].split(b'"'))
    times, report = TimeBounds(now=NOW, undated=NOW), ReadReport(path.name)
    back = list(events_to_import(path, Recipe(), times, report))
    assert back[0] == stored
    assert [event.query for event in back] == ['"a" 最新', ""]


def test_exported_events_are_imported_into_their_namespace(tmp_path):
    stored = [
        Event(scoped(name, "1"), str(user_key("u", None, name)), "i", "click", NOW)
        for name in ("", "shopA", "shopB")
    ]
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(map(line_of, stored)))
    assert b"\\u001f" not in path.read_bytes()
    times, report = TimeBounds(now=NOW, undated=NOW), ReadReport(path.name)
    assert list(events_to_import(path, Recipe(), times, report)) == stored
    log = read_events(path, Recipe(), NOW)
    assert (log.users, len(log), log.report.duplicates) == ([each.user for each in stored], 3, 0)
    assert not any("not used" in note for note in log.report.notes)


@pytest.mark.parametrize("namespace", ["shop A", "shop\x1fA", 7, "-"])
def test_a_row_of_no_namespace_is_counted(tmp_path, namespace):
    log = events_of(tmp_path, [CLICK, {**CLICK, "namespace": namespace}])
    assert log.report.examples[0].startswith("line 2: namespace is not a name")


def test_the_recipe_says_columns_and_the_default_event(tmp_path):
    names = EventColumns(user_id="who", item_id="what", default_event="like")
    log = events_of(tmp_path, [{"who": 1, "what": 2, "user_id": "no"}], Recipe(events=names))
    assert (log.users, log.items, log.kinds) == (["u:1"], ["2"], ["like"])


def test_an_empty_log_is_a_log(tmp_path):
    assert len(events_of(tmp_path, [])) == len(Events.none()) == 0


# --- columns of stars


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("user_id,item_id,rating,timestamp", "rating"),
        ("user,item,stars,timestamp", "stars"),
        ("session_id,item_id,star_rating,timestamp", "star_rating"),
    ],
)
def test_stars_without_a_kind_are_ratings(tmp_path, header, column):
    log = csv_events(tmp_path, f"{header}\n1,31,0.5,1260759144\n1,32,5.0,1260759145\n")
    assert kinds_and_values(log) == [("rating", 0.5), ("rating", 5.0)]
    note = f"column {column!r} was read as the value of 2 ratings; a value from 3.5 is positive"
    assert log.report.notes == [note]
    learned = log_of(log, ["31", "32"], DEFAULT_EVENT_RULES)
    assert learned.weights.tolist() == [0.0, 1.0]
    assert learned.is_negative.tolist() == [True, False]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"rating": 2}, ("rating", 2.0)),
        ({"rating": "2.5"}, ("rating", 2.5)),
        ({"rating": None, "stars": 4}, ("rating", 4.0)),
        ({"event": "rating", "stars": 4}, ("rating", 4.0)),
        ({"event": " ", "value": None, "rating": 1}, ("rating", 1.0)),
        # Somebody saw to the kind or the value: then the column is something else.
        ({"event": "purchase", "rating": 1}, ("purchase", None)),
        ({"event": "rating", "value": 3, "rating": 1}, ("rating", 3.0)),
        ({"value": 3, "rating": 1}, ("click", 3.0)),
        ({"rating": " "}, ("click", None)),
        ({}, ("click", None)),
    ],
)
def test_which_rows_are_ratings(tmp_path, row, expected):
    assert kinds_and_values(events_of(tmp_path, [{**CLICK, **row}])) == [expected]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (EventColumns(value="stars"), ("rating", 2.0)),
        (EventColumns(value="stars", default_event="watch"), ("watch", 2.0)),
        (EventColumns(value="score"), ("rating", 2.0)),
        (EventColumns(default_event="purchase"), ("rating", 2.0)),
    ],
)
def test_stars_and_recipes(tmp_path, columns, expected):
    rows = [{**CLICK, "stars": 2, "score": None}]
    assert kinds_and_values(events_of(tmp_path, rows, Recipe(events=columns))) == [expected]


def test_stars_that_are_no_number_are_counted(tmp_path):
    log = events_of(tmp_path, [{**CLICK, "rating": "good"}, {**CLICK, "rating": 5}])
    assert log.report.examples == ["line 1: rating is not a number"]


def test_columns_that_are_not_used_are_named(tmp_path):
    text = "user_id,item_id,event,rating,score\n1,a,click,5,0.1\n"
    assert csv_events(tmp_path, text).report.notes == [
        "columns that were not used: 'rating', 'score'"
    ]
    rows = [{**CLICK, **{f"c{n:02}": 1 for n in range(12)}}]
    (note,) = events_of(tmp_path, rows).report.notes
    assert note.endswith("'c08', 'c09' and 2 more")


# --- times


@pytest.mark.parametrize(
    ("ahead_s", "expected"),
    [(-1.0, -1.0), (0.0, 0.0), (1.0, 0.0), (12 * 3600.0, 0.0), (DAY_S, 0.0)],
)
def test_a_time_ahead_of_ours_is_cut_to_now(tmp_path, ahead_s, expected):
    rows = [{**CLICK, "timestamp": NOW + ahead_s}]
    assert events_of(tmp_path, rows).timestamp.tolist() == [NOW + expected]
    path = tmp_path / "events.jsonl"
    imported = events_to_import(path, Recipe(), TimeBounds(NOW), ReadReport(path.name))
    assert [event.time for event in imported] == [NOW + expected]


@pytest.mark.parametrize("moment", [NOW + DAY_S + 1, "2099-01-01", "9999-12-31T23:59:59Z"])
def test_a_later_time_is_refused_and_counted(tmp_path, moment):
    log = events_of(tmp_path, [{**CLICK, "timestamp": NOW}, {**CLICK, "timestamp": moment}])
    assert log.timestamp.tolist() == [NOW]
    assert log.report.examples == ["line 2: timestamp lies more than a day ahead"]
    assert log.report.counts("event")["event_rejected"] == 1


@pytest.mark.parametrize("moment", ["2099-06-01", NOW + 30 * DAY_S, NOW + DAY_S])
def test_one_row_of_the_future_does_not_outweigh_a_year_of_events(tmp_path, moment):
    rows = [
        {"user_id": f"u{n}", "item_id": "old", "timestamp": NOW - DAY_S * (365 - n)}
        for n in range(365)
    ]
    rows.append({"user_id": "v", "item_id": "new", "timestamp": moment})
    rules = Recipe(weights={"click": {"weight": 0.5, "half_life_days": 14}}).weights
    log = log_of(events_of(tmp_path, rows), ["old", "new"], rules)
    of_item = [log.weights[log.item_rows == n].sum() for n in (0, 1)]
    assert of_item[0] > 9.0
    assert of_item[1] <= 0.5


@pytest.mark.parametrize(
    "moment", ["0001-01-01", -62_135_596_800, "1969-12-31T23:59:59.9Z", 0, 5e-324]
)
def test_the_earliest_times_are_times(tmp_path, moment):
    rows = [{**CLICK, "timestamp": moment}, {**CLICK, "item_id": "j", "timestamp": NOW}]
    rules = Recipe(weights={"click": {"weight": 1.0, "half_life_days": 1e-300}}).weights
    log = log_of(events_of(tmp_path, rows), ["i", "j"], rules)
    assert 0.0 < log.weights[0] < 1e-11
    assert log.weights[1] == 1.0


def test_an_event_has_the_same_id_whenever_its_file_is_read(tmp_path):
    rows = [CLICK, {**CLICK, "timestamp": NOW + 3600}, {**CLICK, "timestamp": NOW - 3600}]
    path = write_jsonl(tmp_path / "events.jsonl", rows)
    ids = []
    for now in (NOW, NOW + 10, NOW + 7200):
        times = TimeBounds(now, undated=now)
        found = list(events_to_import(path, Recipe(), times, ReadReport(path.name)))
        assert [event.time for event in found] == [now, min(NOW + 3600, now), NOW - 3600]
        ids.append([event.id for event in found])
    assert ids[0] == ids[1] == ids[2]


# --- kinds


@pytest.mark.parametrize(
    ("kind", "nearest"),
    [
        ("purchases", "nearest kind: 'purchase'"),
        ("put_in_basket", "nearest kind: 'basket'"),
        ("dislikes", "nearest kind: 'dislike'"),
        (
            "zap",
            "known kinds: click, view, cart, purchase, like, dislike, rating, impression, "
            "add_to_basket, add_to_cart, add_to_wishlist, basket and 73 more",
        ),
    ],
)
def test_a_kind_without_a_rule_is_warned_about(tmp_path, kind, nearest):
    rows = [CLICK, {**CLICK, "event": kind}, {**CLICK, "event": kind}]
    log = log_of(events_of(tmp_path, rows), ["i"], DEFAULT_EVENT_RULES)
    message = f"events of kind {kind!r} have no rule, so they shape nothing; {nearest}"
    assert log.events.report.notes == [f"warning: 2 × {message}"]
    assert log.events.report.counts("event")["unknown_event"] == 2
    assert f"  warning: 2 × {message}" in log.events.report.lines()


@pytest.mark.parametrize(
    ("kind", "known"),
    [("Purchase", "purchase"), ("ADD TO CART", "add_to_cart"), ("addtocart", "add_to_cart")],
)
def test_a_kind_is_known_however_it_is_spelled(tmp_path, kind, known):
    log = events_of(tmp_path, [{**CLICK, "event": kind}, {**CLICK, "event": known}])
    assert log.kinds == [known]
    assert log.report.notes == [
        f"1 × events of kind {kind!r} have no rule; they are read as {known!r}"
    ]


def test_a_rule_of_the_recipe_keeps_its_spelling(tmp_path):
    recipe = Recipe.model_validate({"weights": {"AddToCart": {"weight": 5.0}}})
    assert events_of(tmp_path, [{**CLICK, "event": "AddToCart"}], recipe).kinds == ["AddToCart"]


@pytest.mark.parametrize(
    ("kind", "weight"),
    [("order", 3.0), ("transaction", 3.0), ("add_to_cart", 2.0), ("play", 1.0), ("page_view", 0.5)],
)
def test_words_that_many_programs_send_have_weights(tmp_path, kind, weight):
    log = log_of(events_of(tmp_path, [{**CLICK, "event": kind}]), ["i"], Recipe().weights)
    assert log.weights.tolist() == [weight]
    assert log.events.report.notes == []


@pytest.mark.parametrize("kind", ["impression", "seen", "click"])
def test_a_kind_with_a_rule_is_known_whatever_its_weight(tmp_path, kind):
    rules = Recipe(weights={"seen": {"weight": 0.0}}).weights
    log = log_of(events_of(tmp_path, [{**CLICK, "event": kind}]), ["i"], rules)
    assert log.events.report.notes == []


@pytest.mark.parametrize("kind", [None, "", " ", " click", "click  "])
def test_a_blank_kind_is_the_default_one(tmp_path, kind):
    rows = [{**CLICK, "event": kind}, {**CLICK, "event": "like"}]
    assert kinds_and_values(events_of(tmp_path, rows)) == [("click", None), ("like", None)]


# --- ids, values and times as programs and people write them


def test_nobody_is_called_null(tmp_path):
    nobody = ["null", "NULL", "\\N", "None", "nan", "undefined", "  ", ""]
    rows = "".join(f"{user},i\n" for user in nobody)
    known = "".join(f" u{n} , i\n" for n in range(9))
    log = csv_events(tmp_path, f"user_id,item_id\n{rows}{known}")
    assert log.users == [f"u:u{n}" for n in range(9)]
    assert log.items == ["i"]
    reason = "exactly one of user_id and session_id is needed, not neither"
    assert dict(log.report.reasons) == {reason: 8}


def test_a_session_stands_in_for_a_user_called_null(tmp_path):
    text = "user_id,session_id,item_id\nnull,s1,a\nu1,\\N,a\nu2,NULL,null\nu3,,b\n"
    log = csv_events(tmp_path, text)
    assert log.users == ["s:s1", "u:u1", "u:u3"]
    assert dict(log.report.reasons) == {"item_id is missing": 1}


def test_values_may_be_money_or_missing(tmp_path):
    text = 'user_id,item_id,event,value\nu,a,order,$12.50\nu,b,order,N/A\nu,c,order,"4,5"\n'
    log = csv_events(tmp_path, text)
    assert kinds_and_values(log) == [("order", 12.5), ("order", None), ("order", 4.5)]


@pytest.mark.parametrize(
    ("times", "days"),
    [
        (["31/03/2019", "04/05/2019"], ["2019-03-31", "2019-05-04"]),
        (["04/05/2019", "03/31/2019 4:00 PM"], ["2019-04-05", "2019-03-31"]),
        (["March 3, 2019", "Sun, 03 Mar 2019 08:30:00 +0000"], ["2019-03-03"] * 2),
        (["20190331", "20190401"], ["2019-03-31", "2019-04-01"]),
        (["20190331", "1553990400"], ["1970-08-22", "2019-03-31"]),
        (["N/A", "\\N"], [None, None]),
    ],
)
def test_times_as_people_write_them(tmp_path, times, days):
    rows = "".join(f'u,i,"{time}"\n' for time in times)
    log = csv_events(tmp_path, f"user_id,item_id,timestamp\n{rows}")
    shown = [None if math.isnan(t) else Instant(t).shown()[:10] for t in log.timestamp.tolist()]
    assert shown == days
    assert log.report.rejected == 0


def test_times_that_nothing_tells_are_said_once(tmp_path):
    rows = [{**CLICK, "timestamp": "04/05/2019"}, {**CLICK, "timestamp": "05/04/2019"}]
    (note,) = events_of(tmp_path, rows).report.notes
    assert "no date tells whether the day or the month comes first" in note
    log = events_of(tmp_path, rows, Recipe(day_first=False))
    assert [Instant(t).shown()[:10] for t in log.timestamp.tolist()] == ["2019-04-05", "2019-05-04"]
    assert log.report.notes == []


def test_a_row_of_the_future_is_counted_and_counts_for_nothing(tmp_path):
    rows = [CLICK, {**CLICK, "item_id": "new", "timestamp": "2099-01-01"},
            {**CLICK, "item_id": "newer", "timestamp": "31/12/2098"}]  # fmt: skip
    rows += [CLICK] * 3
    log = events_of(tmp_path, rows)
    assert log.items == ["i"]
    assert dict(log.report.reasons) == {"timestamp lies more than a day ahead": 2}
