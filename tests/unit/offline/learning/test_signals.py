"""Weights, popularity and histories against plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import BundleError
from app.domain.columns import decode_column, encode_column
from app.offline.input.events import Events
from app.offline.input.read_report import ReadReport
from app.offline.input.recipe import EventRule, Recipe
from app.offline.learning.signals import (
    MAX_HISTORY,
    item_rows_of,
    positive_weights,
    rated_of,
    rating_events,
    user_arrays,
)
from app.serving.stores.bundle_users import BundleUserStore


def log_of(rows, weights):
    """Make a log of (user, item, kind, value, timestamp) and its positive weights."""
    users, items, kinds, values, times = zip(*rows, strict=True)

    def codes(names):
        distinct = list(dict.fromkeys(names))
        return distinct, np.array([distinct.index(name) for name in names], np.int32)

    (user_names, user), (item_names, item), (kind_names, kind) = map(codes, (users, items, kinds))
    value, time = np.array(values, float), np.array(times, float)
    none = np.full(len(rows), -1, np.int32)
    log = Events(
        user_names,
        item_names,
        kind_names,
        [],
        user,
        item,
        kind,
        value,
        time,
        none,
        none,
        ReadReport("x"),
    )
    return log, positive_weights(log, weights)


def test_which_events_are_positive():
    rows = [
        ("u:1", "a", "click", math.nan, 0),
        ("u:1", "a", "rating", 3.5, 0),
        ("u:1", "a", "rating", 3.0, 0),
        ("u:1", "a", "rating", math.nan, 0),
        ("u:1", "a", "dislike", math.nan, 0),
        ("u:1", "a", "impression", math.nan, 0),
        ("u:1", "a", "strange", math.nan, 0),
        ("u:1", "a", "purchase", math.nan, 0),
    ]
    assert log_of(rows, Recipe().weights)[1].tolist() == [1, 1, 0, 0, 0, 0, 0, 3]


def test_the_ratings_are_of_one_kind_on_one_scale():
    def chosen(rows, weights=None):
        log, _ = log_of(rows, weights or Recipe().weights)
        return rating_events(log, weights or Recipe().weights).tolist()

    weights = {
        "rating": EventRule(weight=1.0, positive_from=3.5),
        "watch": EventRule(weight=1.0, positive_from=0.3),
        "stars": EventRule(weight=1.0, positive_from=7.0),
        "purchase": EventRule(weight=1.0),
    }
    watched = [("u:1", "a", "watch", 0.5, 0)] * 3
    stars = ("u:1", "a", "stars", 9.0, 0)
    rating, unvalued = ("u:1", "a", "rating", 1.0, 0), ("u:1", "a", "rating", math.nan, 0)
    bought = ("u:1", "a", "purchase", 5.0, 0)  # a quantity
    assert chosen([*watched, stars, rating, unvalued, bought], weights) == [
        *[False] * 4,
        True,
        False,
        False,
    ]
    assert chosen([*watched, stars, unvalued, bought], weights) == [*[True] * 3, *[False] * 3]
    assert chosen([unvalued, bought], weights) == [False, False]
    weights["rating"] = EventRule(weight=1.0)  # every rating is positive
    assert chosen([stars, rating], weights) == [False, True]


def test_one_good_rating_does_not_make_an_item_the_best():
    rows = [("u:1", "often", "rating", 4.8, 0)] * 30 + [
        ("u:1", "once", "rating", 5.0, 0),
        ("u:1", "bad", "rating", 1.0, 0),
        ("u:1", "gone", "rating", 5.0, 0),
    ]
    log, _ = log_of(rows, Recipe().weights)
    numbers, _ = item_rows_of(log, ["once", "often", "bad", "never"])
    rated = rated_of(numbers, log.value, 4)
    assert rated is not None
    mean, m = (30 * 4.8 + 5 + 1) / 32, 32 / 3
    expected = [(5 + m * mean) / (1 + m), (144 + m * mean) / (30 + m), (1 + m * mean) / (1 + m)]
    assert rated[:3] == pytest.approx(expected, rel=1e-6)
    assert rated[1] > rated[0] > rated[2]
    assert np.isnan(rated[3])
    assert rated_of(numbers[:0], log.value[:0], 4) is None


EVENT = st.tuples(
    st.sampled_from(["u:1", "u:2", "s:1", "u:é", "u:𝄞"]),
    st.sampled_from(["a", "b", "gone", "lost"]),
    st.sampled_from(["click", "dislike"]),
    st.just(math.nan),
    st.sampled_from([math.nan, 1.0, 2.0, 3.0]),
)


@settings(deadline=None)
@given(st.lists(EVENT, min_size=1, max_size=60))
async def test_histories_equal_a_plain_loop(rows):
    log, weights = log_of(rows, {"click": EventRule(weight=1.0)})
    numbers, unknown = item_rows_of(log, ["b", "a"])
    ids = decode_column("string", _strings(["b", "a"]))
    store = BundleUserStore(user_arrays(log, numbers, weights, unknown), ids)
    for user in {row[0] for row in rows}:
        clicks = [row for row in rows if row[0] == user and row[2] == "click"]
        clicks.sort(key=lambda row: -math.inf if math.isnan(row[4]) else row[4])
        assert await store.history(user) == tuple(row[1] for row in clicks)


async def test_only_the_newest_200_count():
    rows = [("u:1", f"i{n}", "click", math.nan, n) for n in range(MAX_HISTORY + 50)]
    log, weights = log_of([*rows, ("u:2", "i0", "click", math.nan, 0)], Recipe().weights)
    numbers, unknown = item_rows_of(log, [f"i{n}" for n in range(100)])
    ids = decode_column("string", _strings([f"i{n}" for n in range(100)]))
    store = BundleUserStore(user_arrays(log, numbers, weights, unknown), ids)
    assert await store.history("u:1") == tuple(f"i{n}" for n in range(50, MAX_HISTORY + 50))
    assert await store.history("u:2") == ("i0",)


def _strings(values):
    return encode_column("string", values)


@pytest.mark.parametrize(
    "change",
    [
        {"history/items": np.array([0, 9], np.int32)},
        {"history/items": np.array([-1, 0], np.int32)},
        {"history/offsets": np.array([0, 1], np.int64)},
        {"history/offsets": np.array([0, 1, 1], np.int64)},
    ],
)
def test_histories_that_do_not_fit_are_refused(change):
    log, weights = log_of(
        [("u:1", "a", "click", 0, 0), ("u:2", "a", "click", 0, 0)], Recipe().weights
    )
    ids = decode_column("string", _strings(["a"]))
    arrays = user_arrays(log, *item_rows_of(log, ["a"])[:1], weights, [])
    with pytest.raises(BundleError):
        BundleUserStore({**arrays, **change}, ids)
    del arrays["history/items"]
    with pytest.raises(BundleError):
        BundleUserStore(arrays, ids)
