"""Exploration: the draws have the propensities that are said, so estimates from them are right."""

import random
from collections import Counter
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.arranging.exploring import Drawn, drawn, logits_of
from app.engine.arranging.exposing import PlacesByMix

LOGITS = np.array([3.0, 2.5, 2.4, 1.0, 0.5, 0.0])
ROUNDS = 8_000


def draw(seed: int, explore: float, k: int = 3, **more: object) -> Drawn:
    return drawn(LOGITS, k, explore=explore, source=random.Random(seed), **more)  # type: ignore[arg-type]


def test_without_draws_the_order_stays_and_is_certain() -> None:
    found = draw(1, 0.0, 6)
    assert (found.positions, found.propensities) == ([0, 1, 2, 3, 4, 5], [1.0] * 6)
    assert not any(found.by_draw)


def test_a_seed_draws_the_same_and_another_one_does_not() -> None:
    assert draw(7, 0.8, 6) == draw(7, 0.8, 6)
    assert len({tuple(draw(seed, 0.8, 6).positions) for seed in range(30)}) > 10


@pytest.mark.parametrize("explore", [0.2, 1.0])
def test_frequencies_are_the_propensities(explore: float) -> None:
    """Of every beginning of a list that comes often, and every item behind it."""
    behind: dict[tuple[int, ...], Counter[int]] = {}
    said: dict[tuple[tuple[int, ...], int], float] = {}
    for seed in range(ROUNDS):
        found = draw(seed, explore)
        for place, item in enumerate(found.positions):
            before = tuple(found.positions[:place])
            behind.setdefault(before, Counter())[item] += 1
            assert said.setdefault((before, item), found.propensities[place]) == pytest.approx(
                found.propensities[place]
            )
    checked = 0
    for (before, item), propensity in said.items():
        n = behind[before].total()
        if n < 400:
            continue
        bound = 5 * sqrt(propensity * (1 - propensity) / n) + 1 / n
        assert abs(behind[before][item] / n - propensity) < bound
        checked += 1
    assert checked > 8


def test_the_propensities_of_all_items_at_a_place_add_up_to_one() -> None:
    said = {}
    for seed in range(3_000):
        found = draw(seed, 1.0, 1)
        said[found.positions[0]] = found.propensities[0]
    assert sum(said.values()) == pytest.approx(1.0)


def test_inverse_propensities_estimate_another_ranking() -> None:
    """Each item has a planted reward; the other ranking wants items that are rarely shown."""
    rewards = np.array([0.1, 0.3, 0.2, 0.9, 0.5, 0.7])
    wanted = np.array([0.0, 0.0, 0.0, 0.5, 0.0, 0.5])  # the ranking to estimate: its probabilities
    estimates = []
    chance = random.Random(1)
    for seed in range(ROUNDS):
        found = draw(seed, 0.6, 1)
        item, propensity = found.positions[0], found.propensities[0]
        reward = chance.random() < rewards[item]
        estimates.append(wanted[item] / propensity * reward)
    error = float(np.std(estimates)) / sqrt(ROUNDS)
    assert abs(float(np.mean(estimates)) - float(wanted @ rewards)) < 4 * error
    assert error < 0.05


def test_fixed_places_are_not_drawn() -> None:
    for seed in range(50):
        found = draw(seed, 1.0, 4, fixed=2)
        assert (found.positions[:2], found.propensities[:2]) == ([0, 1], [1.0, 1.0])


def test_kinds_keep_their_places() -> None:
    mixes = np.array([0, 0, 0, 1, 1, 1])
    quotas = np.array([1, 2])
    within = PlacesByMix(np.array([0, 3, 4]), mixes, quotas)
    for seed in range(100):
        found = draw(seed, 0.9, within=within)
        assert sorted(mixes[found.positions].tolist()) == [0, 1, 1]
    assert quotas.tolist() == [1, 2]
    assert draw(1, 0.0, within=within).positions == [0, 3, 4]


def test_a_draw_that_finds_the_best_one_left_is_no_draw() -> None:
    for seed in range(200):
        found = draw(seed, 1.0, 6)
        best = [min(set(range(6)) - set(found.positions[:place])) for place in range(6)]
        assert found.by_draw == [
            item != first for item, first in zip(found.positions, best, strict=True)
        ]


@pytest.mark.parametrize("scores", [[1.0], [2.0] * 5, [100.0, 1.0, 0.9, 0.8, 0.7], [-1e30, 1e30]])
def test_any_scores_have_propensities(scores: list[float]) -> None:
    logits = logits_of(np.array(scores, np.float32), is_log_odds=False)
    for seed in range(20):
        found = drawn(logits, 9, explore=1.0, source=random.Random(seed))
        assert sorted(found.positions) == list(range(len(scores)))
        assert all(0.0 < each <= 1.0 for each in found.propensities)


@given(st.integers(0, 10_000), st.floats(0, 1), st.integers(0, 8), st.integers(1, 9))
def test_nothing_is_lost_or_doubled(seed: int, explore: float, k: int, n: int) -> None:
    logits = np.sort(np.random.default_rng(seed).standard_normal(n))[::-1]
    found = drawn(logits, k, explore=explore, source=random.Random(seed))
    assert len(found.positions) == len(set(found.positions)) == min(k, n)
    assert len(found.propensities) == len(found.by_draw) == len(found.positions)


def test_log_odds_are_drawn_by_their_odds_and_a_blend_by_its_spread() -> None:
    scores = np.array([9.0, 0.3, 0.2, 0.1, 0.0, -0.1], np.float32)
    assert logits_of(scores, is_log_odds=True).tolist() == pytest.approx(scores.tolist())
    one = logits_of(scores, is_log_odds=False)
    other = logits_of(scores * np.float32(100), is_log_odds=False)
    assert one.tolist() == pytest.approx(other.tolist(), rel=1e-5)
    # What lies far above all others does not make them equal.
    assert one[1] - one[2] > 0.3
    last = [draw.propensities[0] for draw in (_first_place(one, seed) for seed in range(5))]
    assert min(last) >= 1e-6


def _first_place(logits: np.ndarray, seed: int) -> Drawn:
    return drawn(logits, 1, explore=1.0, source=random.Random(seed))
