"""Sequences, held-out events, training queries, and signals of items."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.offline.input.events import Events
from app.offline.input.read_report import ReadReport
from app.offline.input.recipe import DEFAULT_EVENT_RULES
from app.offline.learning.examples import (
    MAX_EXAMPLES,
    MAX_HELD_OUT,
    held_out_counts,
    training_queries_of,
)
from app.offline.learning.negatives import Negatives, Skipped
from app.offline.learning.sequences import disliked_of, sequences_of
from app.offline.learning.signals import freshness_of, negative_events, popularity_of, trending_of
from tests.planted import NOBODY, NOTHING, as_sequences

N_ITEMS = 4


def log_of(rows):
    """Make a log of (user, item, weight, timestamp) with items as rows: (events, rows, weights)."""
    user, item, weight, time = (np.array(part) for part in zip(*rows, strict=True))
    none, kind = np.full(len(rows), np.nan), np.zeros(len(rows), np.int32)
    user, time, came_of = user.astype(np.int32), time.astype(float), np.full(len(rows), -1)
    log = Events([], [], [], [], user, item, kind, none, time, came_of, came_of, ReadReport("x"))
    return log, item.astype(np.int32), weight.astype(float)


EVENT = st.tuples(
    st.sampled_from([9, 2, 5]),
    st.integers(0, N_ITEMS + 1),  # the last two are unknown items
    st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    st.sampled_from([math.nan, 1.0, 2.0, 3.0]),
)


def plain(rows):
    """Return {user: [[item, weight], …]}, oldest first, repeats in a row as one."""
    of_user = {}
    for user, item, weight, time in rows:
        if weight > 0 and item < N_ITEMS:
            of_user.setdefault(user, []).append((item, weight, time))
    found = {}
    for user, events in sorted(of_user.items()):
        events.sort(key=lambda event: -math.inf if math.isnan(event[2]) else event[2])
        steps = found.setdefault(user, [])
        for item, weight, _ in events:
            if steps and steps[-1][0] == item:
                steps[-1][1] = max(steps[-1][1], weight)
            else:
                steps.append([item, weight])
    return found


@settings(deadline=None)
@given(st.lists(EVENT, min_size=1, max_size=50))
def test_sequences_equal_plain_loops(rows):
    found, expected = sequences_of(*log_of(rows), N_ITEMS), plain(rows)

    assert found.users.tolist() == list(expected)
    assert [found.of(at).tolist() for at in range(len(found))] == [
        [item for item, _ in steps] for steps in expected.values()
    ]
    weights = np.array([weight for steps in expected.values() for _, weight in steps])
    # A mean of 1 lets the rate of learning mean the same whatever the recipe's weights are.
    np.testing.assert_allclose(
        found.weights, weights / weights.mean() if len(weights) else weights, 1e-6
    )
    user, place = found.positions()
    assert found.items.tolist() == [found.of(u)[p] for u, p in zip(user, place, strict=True)]


def test_a_view_a_click_and_a_purchase_are_one_step():
    rows = [(0, 1, 0.5, 1), (0, 1, 1.0, 2), (0, 2, 1.0, 3), (0, 1, 3.0, 3), (0, 1, 0.5, 4)]
    found = sequences_of(*log_of(rows), N_ITEMS)
    assert found.of(0).tolist() == [1, 2, 1]
    np.testing.assert_allclose(found.weights, np.array([1, 1, 3]) / (5 / 3), 1e-6)


def test_disliked_items_are_those_of_negative_events():
    log, numbers, _ = log_of([(3, 1, 0, 1), (1, 2, 0, 1), (3, 0, 0, 2), (3, 9, 0, 3)])
    disliked = disliked_of(log, numbers, np.array([True, False, True, True]), N_ITEMS)
    assert disliked.users.tolist() == [3]
    assert disliked.of(0).tolist() == [1, 0]


@pytest.mark.parametrize("held_out", [[0, 0, 0], [1, 0, 2], [2, 0, 3]])
def test_the_last_events_are_held_out(held_out):
    lists = [[1, 2, 3], [0], [3, 2, 1, 0]]
    whole = as_sequences(lists, np.arange(8))
    rest = whole.without_last(np.array(held_out))
    assert [rest.of(u).tolist() for u in range(3)] == [
        one[: len(one) - n] for one, n in zip(lists, held_out, strict=True)
    ]
    assert rest.users.tolist() == whole.users.tolist()
    kept = [w for u, p, w in zip(*whole.positions(), whole.weights, strict=True)
            if p < len(lists[u]) - held_out[u]]  # fmt: skip
    assert rest.weights.tolist() == kept


def lists_of(lengths):
    return as_sequences([[0] * length for length in lengths])


@pytest.mark.parametrize("users", [3, 900, 1500, 9000])
def test_how_many_events_are_held_out(users):
    lengths = np.random.default_rng(users).integers(1, 120, users)
    held_out = held_out_counts(lists_of(lengths.tolist()), 0)
    each = min(max(math.ceil(8000 / users), 1), MAX_HELD_OUT)
    expected = [
        min(each, length // 4) if length >= 8 else min(each, length - 1, 1)
        for length in lengths.tolist()
    ]
    assert held_out.tolist() == expected
    assert (held_out < lengths).all()


def test_no_more_events_are_held_out_than_are_used():
    sequences = lists_of([2] * (MAX_EXAMPLES + 500))
    held_out, other = held_out_counts(sequences, 0), held_out_counts(sequences, 1)
    assert held_out.sum() == other.sum() == MAX_EXAMPLES
    assert (held_out_counts(sequences, 0) == held_out).all()
    # Whom it leaves out is chance, not the order of the log.
    assert (held_out != other).any()
    assert not held_out[: MAX_EXAMPLES // 2].all()


def test_without_users_there_are_no_queries():
    assert held_out_counts(NOBODY, 0).tolist() == []
    assert held_out_counts(lists_of([1, 1]), 0).tolist() == [0, 0]
    assert training_queries_of(lists_of([1, 1]), np.array([0, 0]), NOTHING) == []


def test_queries_are_about_items_new_to_the_user():
    sequences = as_sequences([[1, 2, 3], [0, 1, 0, 2], [3, 1]], [1, 1, 2, 1, 1, 1, 4, 1, 1])
    disliked = as_sequences([[2], [3, 1]])
    disliked.users[:] = [7, 1]  # a user without positive events, and the second of ours
    # Beside the third step of the first user, and the last one of the second: two pages each.
    shown = Skipped(
        np.array([2, 2, 6]), np.array([0, 1, 1]), np.array([0, 3, 5]), np.array([0, 1, 3, 0, 2])
    )
    first, second = training_queries_of(sequences, np.array([1, 2, 0]), Negatives(disliked, shown))

    assert (first.recent.tolist(), first.target, first.sample_weight) == ([2, 1], 3, 2.0)
    assert first.disliked.tolist() == []
    assert first.skipped.tolist() == [0]  # not what was taken then (3) or before (1, 2)
    # Place 2 took item 0 again: no query. Place 3 is asked with all that came before it.
    assert (second.recent.tolist(), second.target, second.sample_weight) == ([0, 1, 0], 2, 4.0)
    assert second.disliked.tolist() == [3, 1]
    assert second.skipped.tolist() == []


KINDS = ["click", "dislike", "rating", "impression", "strange"]


def test_negative_events_are_dislikes_and_low_values():
    rows = [(0, v) for v in (math.nan, 1.0)] + [(1, math.nan), (1, 5.0)]
    rows += [(2, v) for v in (math.nan, 3.4, 3.5, 5.0)] + [(3, math.nan), (4, -1.0)]
    kind, value = (np.array(part) for part in zip(*rows, strict=True))
    n = np.zeros(len(rows), np.int32)
    log = Events(["u"], ["i"], KINDS, [], n, n, kind, value, value, n, n, ReadReport("x"))
    expected = [False, False, True, True, False, True, False, False, False, False]
    assert negative_events(log, DEFAULT_EVENT_RULES).tolist() == expected


@settings(deadline=None)
@given(st.lists(EVENT, min_size=1, max_size=50))
def test_trending_is_popularity_that_halves_with_age(rows):
    timed = [row for row in rows if row[2] > 0 and not math.isnan(row[3])]
    expected = np.zeros(N_ITEMS)
    if timed:
        ages = [max(row[3] for row in timed) - row[3] for row in timed]
        half = max(float(np.quantile(ages, 0.05)), 1.0)
        for age, (_, item, weight, _) in zip(ages, timed, strict=True):
            if item < N_ITEMS:
                expected[item] += weight * 0.5 ** (age / half)
        expected = np.log1p(expected)
        expected /= max(expected.max(), 1e-30)
    found = trending_of(*log_of(rows), N_ITEMS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_recent_events_make_trending_and_all_events_popular():
    rows = [(0, 0, 1.0, day * 86400) for day in range(100)]
    rows += [(0, 1, 1.0, 99 * 86400 + hour) for hour in range(20)]
    assert trending_of(*log_of(rows), 2)[1] == 1.0
    assert popularity_of(*log_of(rows)[1:], 2)[0] == 1.0


@settings(deadline=None)
@given(st.lists(st.sampled_from([math.nan, 1.0, 2.0, 3.0, 4.0]), max_size=12))
def test_freshness_is_the_share_of_older_items(dates):
    dated = [date for date in dates if not math.isnan(date)]
    expected = [
        0.0 if math.isnan(date) else sum(o < date for o in dated) / len(dated) for date in dates
    ]
    np.testing.assert_allclose(freshness_of(np.array(dates, float)), expected, rtol=1e-6)
