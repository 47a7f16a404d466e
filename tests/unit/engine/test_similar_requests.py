"""Requests that say nothing but which items to be similar to."""

import numpy as np
import pytest

from app.core.ranking import RankRequest
from tests.small_engine import small_engine


def like(engine, *items, **more):
    request = RankRequest(like=items, exclude=frozenset(items), k=6, **more)
    return engine.rank([request]).results[0].items


def test_what_is_popular_only_decides_between_items_that_are_equally_near():
    shares = {"love": 1.0, "mob": 0.5, "dull1": 0.9}
    plain, popular = small_engine(copies=2), small_engine(shares, copies=2)
    first = [item.id for item in like(popular, "alien")]
    nearness = {item.id: item.score for item in like(plain, "alien")}

    assert first[:2] == ["star", "robot"] or first[:2] == ["robot", "star"]
    found = [nearness[name] for name in first if name in nearness]
    assert found == sorted(found, reverse=True)
    for item in like(popular, "alien"):
        assert item.score == pytest.approx(nearness.get(item.id, item.score), abs=1e-5)


def test_equally_near_items_come_by_popularity():
    titles = {"one": "lamp", "two": "lamp", "three": "lamp", "four": "lamp"}
    engine = small_engine({"three": 0.9, "four": 0.4, "two": 0.1}, titles=titles)

    found = like(engine, "one")

    assert [item.id for item in found] == ["three", "four", "two"]
    assert np.ptp([item.score for item in found]) < 1e-5


def test_without_behaviour_all_ways_are_one_and_a_batch_may_mix_them():
    engine = small_engine()
    ways = ("behaviour", "content", "both")
    batch = [RankRequest(like=("heist",), exclude=frozenset({"heist"}), by=by) for by in ways]

    results = engine.rank(batch).results

    assert results[0].items == results[1].items == results[2].items
    assert results[0].items[0].id == "mob"
