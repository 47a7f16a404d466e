"""Searches of an event log as training queries, compared with plain loops; judged lists."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.event_rules import DEFAULT_EVENT_RULES
from app.offline.input.events import read_events
from app.offline.input.judgements import read_judgements
from app.offline.input.recipe import Recipe
from app.offline.learning.examples import held_out_counts, training_queries_of
from app.offline.learning.negatives import negatives_of
from app.offline.learning.search_log import (
    held_out_searchers,
    judged_lists,
    judged_queries,
    logged_by_step,
    searches_of,
)
from app.offline.learning.sequences import sequences_of
from app.offline.learning.signals import log_of
from tests.bundles import write_jsonl

IDS = ["a", "b", "c", "d"]


def read(folder, rows):
    """Make a log of (user, item, kind, query), one second apart, with its sequences."""
    lines = [
        {"user_id": user, "item_id": item, "event": kind, "query": query, "timestamp": time}
        for time, (user, item, kind, query) in enumerate(rows)
    ]
    events = read_events(write_jsonl(folder / "log.jsonl", lines), Recipe())
    log = log_of(events, IDS, DEFAULT_EVENT_RULES)
    return log, sequences_of(log.events, log.item_rows, log.weights, len(IDS))


def queries_of(log, sequences, held_out):
    searches, negatives = searches_of(log, len(IDS)), negatives_of(log, len(IDS))
    found = logged_by_step(searches, sequences, np.array(held_out), negatives)
    return [query for _, query in found]


def plain(found):
    """What the queries say, with ids."""
    return [
        (query.query, [IDS[row] for row in query.recent.tolist()], IDS[query.target])
        for query in found
    ]


def test_a_search_that_led_to_a_held_out_event_is_a_query(tmp_path):
    rows = [
        ("u", "a", "click", "too early"),  # not held out: the sources see it
        ("u", "b", "click", None),
        ("u", "d", "dislike", "turned away from"),
        ("u", "c", "click", "red sofa"),
        ("u", "d", "impression", "only shown"),
        ("u", "gone", "click", "not in the catalogue"),
        ("u", "a", "click", "taken before"),
    ]
    log, sequences = read(tmp_path, rows)
    (found,) = queries_of(log, sequences, [3])
    assert plain([found]) == [("red sofa", ["b", "a"], "c")]
    assert found.disliked.tolist() == [3]
    # But for the words, it is the query that histories are learned from.
    (alike,) = (
        query
        for query in training_queries_of(sequences, np.array([3]), negatives_of(log, len(IDS)))
        if query.target == 2
    )
    assert alike.query == ""
    assert alike.sample_weight == found.sample_weight
    assert alike.recent.tolist() == found.recent.tolist()


def test_each_wording_of_a_step_counts_once(tmp_path):
    rows = [
        ("u", "a", "click", None),
        ("u", "b", "view", "sofa"),
        ("u", "b", "click", "sofa"),
        ("u", "b", "cart", "red sofa"),
        ("u", "b", "purchase", None),
    ]
    log, sequences = read(tmp_path, rows)
    assert plain(queries_of(log, sequences, [1])) == [
        ("sofa", ["a"], "b"),
        ("red sofa", ["a"], "b"),
    ]


def test_half_of_those_who_searched_once_and_left_are_held_out_whole(tmp_path):
    rows = [(f"once{n}", "a", "click", "sofa") for n in range(9)]
    rows += [("no words", "b", "click", None), ("often", "c", "click", "x")]
    rows += [("often", "d", "click", "y"), ("nothing taken", "a", "dislike", "z")]
    log, sequences = read(tmp_path, rows)
    searches = searches_of(log, len(IDS))
    held_out = held_out_searchers(searches, sequences, 0)
    named = {log.events.users[user] for user in sequences.users[held_out == 1].tolist()}
    assert len(named) == held_out.sum() == 4
    assert all(name.startswith("u:once") for name in named)
    other = held_out_searchers(searches, sequences, 1)
    assert other.sum() == 4
    assert (other != held_out).any()  # whom it takes is chance, not the order of the log

    both = held_out + held_out_counts(sequences, 0)
    assert plain(queries_of(log, sequences, both)) == [("sofa", [], "a")] * 4 + [("y", ["c"], "d")]
    assert len(sequences.without_last(both)) == len(sequences) - 4


EVENT = st.tuples(
    st.sampled_from(["u", "v", "w"]),
    st.sampled_from([*IDS, "gone"]),
    st.sampled_from(["click", "purchase", "dislike", "impression"]),
    st.sampled_from([None, "red", "red sofa", "sofa"]),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(EVENT, min_size=1, max_size=30), st.data())
def test_queries_are_those_of_a_plain_loop(tmp_path_factory, rows, data):
    log, sequences = read(tmp_path_factory.mktemp("log"), rows)
    held_out = [data.draw(st.integers(0, int(length))) for length in sequences.lengths]
    expected = []
    for user, n in zip(sequences.users.tolist(), held_out, strict=True):
        steps = []
        for who, item, kind, query in rows:
            taken = kind in {"click", "purchase"} and item in IDS
            if f"u:{who}" == log.events.users[user] and taken:
                if not steps or steps[-1][0] != item:
                    steps.append((item, set()))
                steps[-1][1].update({query} - {None})
        items = [item for item, _ in steps]
        for at in range(len(steps) - n, len(steps)):
            if items[at] not in items[:at]:
                history = items[:at][::-1]
                expected += [(words, history, items[at]) for words in sorted(steps[at][1])]
    assert sorted(plain(queries_of(log, sequences, held_out))) == sorted(expected)


def test_judgements_become_a_list_for_each_query(tmp_path):
    rows = [("sofa", "c", 1), ("red sofa", "b", 4), ("sofa", "a", 2), ("gone", "x", 1)]
    lines = [dict(zip(("query", "item_id", "grade"), row, strict=True)) for row in rows]
    path = write_jsonl(tmp_path / "judged.jsonl", lines)
    found = judged_lists(read_judgements(path, Recipe(), IDS))
    assert [(one.query, one.rows.tolist(), one.grades.tolist()) for one in found] == [
        ("sofa", [0, 2], [2.0, 1.0]),
        ("red sofa", [1], [4.0]),
    ]
    assert (found[0].rows.dtype, found[0].grades.dtype) == (np.int64, np.float32)
    assert judged_lists(read_judgements(path, Recipe(), [])) == []


def test_a_judged_query_wants_what_has_high_grades(tmp_path):
    rows = [("sofa", "c", 1), ("red sofa", "b", 4), ("sofa", "a", 3), ("red sofa", "a", 4)]
    lines = [dict(zip(("query", "item_id", "grade"), row, strict=True)) for row in rows]
    path = write_jsonl(tmp_path / "judged.jsonl", lines)
    (found,) = judged_queries(judged_lists(read_judgements(path, Recipe(), IDS)))
    # Nothing tells the items of "red sofa" apart.
    assert (found.query, found.kind, found.recent.tolist()) == ("sofa", "judged", [])
    gains = found.gains.of(np.arange(4))
    np.testing.assert_allclose(gains, [3 / 7, np.nan, 0.0, np.nan], rtol=1e-6)
    assert judged_queries([]) == []
