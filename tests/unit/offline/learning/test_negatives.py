"""Skipped items (shown and not taken) of an event log, compared with plain loops."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.event_rules import DEFAULT_EVENT_RULES, EventRule
from app.offline.input.events import read_events
from app.offline.input.recipe import Recipe
from app.offline.learning.negatives import Skipped, negatives_of, skipped_of
from app.offline.learning.sequences import sequences_of
from app.offline.learning.signals import log_of
from tests.bundles import write_jsonl

IDS = ["a", "b", "c", "d"]
RULES = {**DEFAULT_EVENT_RULES, "glance": EventRule(weight=0.0)}


def read(folder, rows):
    """Make a log of (user, item, kind, timestamp, recommendation)."""
    names = ("user_id", "item_id", "event", "timestamp", "recommendation_id")
    lines = [dict(zip(names, row, strict=True)) for row in rows]
    return log_of(read_events(write_jsonl(folder / "log.jsonl", lines), Recipe()), IDS, RULES)


def beside(log):
    """Return {(user, item of the step): skipped items beside it}, where there are any."""
    sequences, shown = sequences_of(log.events, log.item_rows, log.weights, 4), skipped_of(log, 4)
    users, _ = sequences.positions()
    found = {}
    for step, (user, item) in enumerate(zip(users.tolist(), sequences.items, strict=True)):
        key = log.events.users[int(sequences.users[user])], IDS[item]
        left = [IDS[row] for row in shown.beside(step).tolist()]
        if left:
            found.setdefault(key, []).append(left)
    return found


def test_items_shown_on_the_page_of_a_step_and_not_taken_are_skipped(tmp_path):
    log = read(
        tmp_path,
        [
            ("u", "a", "impression", 1, "r1"),
            ("u", "b", "glance", 1, "r1"),
            ("u", "b", "impression", 1, "r1"),  # shown twice, kept once
            ("u", "c", "impression", 1, "r1"),
            ("u", "d", "unheard of", 1, "r1"),  # no kind that the recipe knows
            ("u", "gone", "impression", 1, "r1"),  # not in the catalogue
            ("u", "a", "click", 2, "r1"),
            ("v", "d", "impression", 1, "r1"),  # somebody else's page under the same id
            ("u", "d", "impression", 3, None),
            ("u", "d", "impression", 3, "r2"),  # a page that nothing was taken from
            ("u", "b", "purchase", 4, None),  # later, and not from a page
        ],
    )
    assert beside(log) == {("u:u", "a"): [["b", "c"]]}
    assert negatives_of(log, 4).skipped.beside(0).tolist() == [1, 2]


def test_items_taken_from_the_same_page_are_not_skipped(tmp_path):
    rows = [("u", item, "impression", 1, "r") for item in "abcd"]
    rows += [("u", "a", "click", 2, "r"), ("u", "b", "purchase", 3, "r")]
    assert beside(read(tmp_path, rows)) == {("u:u", "a"): [["c", "d"]], ("u:u", "b"): [["c", "d"]]}


def test_a_step_of_several_events_has_the_pages_of_all_of_them(tmp_path):
    """A click, then a purchase of the same item elsewhere: one step, two pages."""
    rows = [
        ("u", "d", "view", 1, None),
        ("u", "b", "impression", 1, "r1"),
        ("u", "a", "click", 2, "r1"),
        ("u", "c", "impression", 3, "r2"),
        ("u", "a", "purchase", 4, "r2"),
        ("u", "a", "view", 5, None),
    ]
    assert beside(read(tmp_path, rows)) == {("u:u", "a"): [["b", "c"]]}


def test_a_log_without_recommendations_has_no_skipped_items(tmp_path):
    for rows in ([], [("u", "a", "click", 1, None), ("u", "b", "impression", 1, None)]):
        shown = skipped_of(read(tmp_path, rows), 4)
        assert shown.beside(0).tolist() == []
        assert len(shown.items) == 0
    assert Skipped.nothing().beside(7).tolist() == []


EVENT = st.tuples(
    st.sampled_from(["u", "v"]),
    st.sampled_from([*IDS, "gone"]),
    st.sampled_from(["click", "impression", "impression", "dislike"]),
    st.sampled_from([None, 1.0, 2.0]),
    st.sampled_from([None, "r1", "r2", "r3"]),
)


def plain(rows):
    """As `beside`, in loops."""
    found = {}
    for user in {row[0] for row in rows}:
        mine = [row for row in rows if row[0] == user and row[1] in IDS]
        clicks = [row for row in mine if row[2] == "click"]
        clicks.sort(key=lambda row: -math.inf if row[3] is None else row[3])
        steps = []
        for _, item, _, _, page in clicks:
            if not steps or steps[-1][0] != item:
                steps.append((item, set()))
            steps[-1][1].add(page)
        for item, pages in steps:
            left = set()
            for page in pages - {None}:
                on_it = [row for row in mine if row[4] == page]
                left |= {row[1] for row in on_it if row[2] == "impression"} - {
                    row[1] for row in on_it if row[2] == "click"
                }
            if left:
                found.setdefault((f"u:{user}", item), []).append(sorted(left))
    return found


@settings(deadline=None)
@given(st.lists(EVENT, max_size=40))
def test_skipped_items_equal_plain_loops(tmp_path_factory, rows):
    assert beside(read(tmp_path_factory.getbasetemp(), rows)) == plain(rows)


def test_only_kinds_with_weight_0_are_impressions(tmp_path):
    lines = [
        {"user_id": "u", "item_id": "b", "event": "impression", "recommendation_id": "r"},
        {"user_id": "u", "item_id": "a", "recommendation_id": "r"},
    ]
    events = read_events(write_jsonl(tmp_path / "log.jsonl", lines), Recipe())
    for weight, shown in ((0.0, [1]), (0.1, []), (-0.1, [])):
        log = log_of(events, IDS, {**RULES, "impression": EventRule(weight=weight)})
        step = int(
            np.flatnonzero(sequences_of(log.events, log.item_rows, log.weights, 4).items == 0)[0]
        )
        assert skipped_of(log, 4).beside(step).tolist() == shown
