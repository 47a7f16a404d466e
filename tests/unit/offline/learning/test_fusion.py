"""The choice of a model: what is better beyond chance is served, else the fixed order stays."""

import numpy as np
import pytest

from app.engine.scoring.scorer import Scorer
from app.offline.learning.fusion import choose, fixed_sum, mean_of
from app.offline.learning.train_scorer import train
from tests.planted import firsts, planted_lists

pytestmark = pytest.mark.learning


def test_a_model_that_finds_the_pattern_takes_the_place_of_a_wrong_order():
    examples = planted_lists()
    chosen = choose(examples, lambda columns: columns[2], 0)
    assert chosen.name != "fixed"
    assert chosen.gain.low > 0.0
    assert len(chosen.ndcg) == len(examples)  # few examples: all of them are held out once
    assert firsts(planted_lists(200, seed=9), Scorer(chosen.arrays, 4).score) > 0.85


def test_an_order_that_nothing_beats_stays():
    chosen = choose(planted_lists(), lambda columns: columns[0] + columns[1], 0)
    assert (chosen.name, chosen.arrays) == ("fixed", None)
    assert chosen.gain.value == 0.0


def test_two_builds_choose_the_same():
    one, again = (choose(planted_lists(), lambda columns: columns[2], 0) for _ in range(2))
    assert one.name == again.name
    assert all((one.arrays[name] == again.arrays[name]).all() for name in one.arrays)


def test_a_fixed_sum_is_served_as_a_network():
    names = ("a", "b", "c")
    columns = np.random.default_rng(0).normal(0, 5, (3, 40)).astype(np.float32)
    scores = Scorer(fixed_sum(names, {"a": 1.0, "c": -0.3}), 3).score(columns)
    np.testing.assert_allclose(scores, columns[0] - 0.3 * columns[2], rtol=1e-4, atol=1e-4)


def test_the_mean_of_networks_is_one_wider_network():
    examples = planted_lists()
    networks = [train(examples, seed, split_seed=0).arrays for seed in (1, 2, 3)]
    columns = np.ascontiguousarray(examples.features[:60].T, np.float32)
    expected = np.mean([Scorer(each, 4).score(columns) for each in networks], axis=0)
    np.testing.assert_allclose(Scorer(mean_of(networks), 4).score(columns), expected, atol=1e-4)
