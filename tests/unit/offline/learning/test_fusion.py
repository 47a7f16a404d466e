"""The choice of a model: what is better beyond chance is served, else the fixed order stays."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from app.engine.scoring.scorer import Scorer
from app.offline.learning.examples import KINDS
from app.offline.learning.fusion import choose, few_features, fixed_sum
from app.offline.learning.train_scorer import ThreeNetworks, train
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


def test_three_networks_are_served_as_one_wider_network():
    torch.manual_seed(0)
    examples = planted_lists()
    model = ThreeNetworks(torch.zeros(4), torch.full((4,), 2.0)).eval()
    rows = examples.features[:60].astype(np.float32)
    with torch.inference_mode():
        each = model.outputs(torch.from_numpy(rows)).numpy()
    assert each.shape == (3, 60)
    assert not np.allclose(each[0], each[1])
    served = Scorer(model.arrays(), 4).score(np.ascontiguousarray(rows.T))
    np.testing.assert_allclose(served, each.mean(0), atol=1e-5)


def test_three_networks_find_the_pattern():
    arrays = train(planted_lists(), 0, make=ThreeNetworks).arrays
    assert firsts(planted_lists(200, seed=9), Scorer(arrays, 4).score) > 0.85


def test_real_queries_decide_where_they_are_enough():
    """The written queries reward a feature that says nothing of real ones."""
    examples = planted_lists(600)
    kinds = np.full(600, KINDS.index("synthetic"), np.int8)
    kinds[:200] = KINDS.index("judged")
    features = examples.features.copy()
    start = examples.offsets[200]
    features[start:, :2] *= -1
    mixed_up = replace(examples, features=features, kinds=kinds)

    def right(columns):
        return columns[0] + columns[1]

    chosen = choose(mixed_up, right, 0)
    assert (chosen.name, len(chosen.ndcg)) == ("fixed", 600)
    assert chosen.fixed_ndcg[chosen.kinds == KINDS.index("judged")].mean() > 0.99
    all_written = replace(mixed_up, kinds=np.full(600, KINDS.index("synthetic"), np.int8))
    assert choose(all_written, right, 0).name != "fixed"


def test_a_model_of_a_few_features_reads_no_others():
    examples = planted_lists()
    arrays = few_features([0, 1])(examples, 0)
    assert (arrays["w1"][:, 2:] == 0.0).all()
    share = firsts(planted_lists(200, seed=9), Scorer(arrays, 4).score)
    assert share > 0.8
    assert firsts(planted_lists(200, seed=9), Scorer(arrays, 4).score, shift=50.0) == share


def test_lists_with_several_gains_are_measured_by_graded_ndcg():
    examples = planted_lists(40)
    gains = examples.gains.copy()
    gains[examples.offsets[:-1] + 1] = 0.5

    def worst_first(columns):
        return -columns[0] - columns[1]

    chosen = choose(replace(examples, gains=gains), worst_first, 0, models={})
    start, end = examples.offsets[:2]
    listed = gains[start:end][::-1]
    discounts = 1 / np.log2(np.arange(2, len(listed) + 2))
    expected = (listed * discounts)[:10].sum() / (1.0 + 0.5 * discounts[1])
    assert np.isclose(chosen.fixed_ndcg, expected).any()
