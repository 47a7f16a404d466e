"""The scorer in numpy against the network that was trained."""

import numpy as np
import pytest
import torch

from app.core.errors import BundleError, EngineError
from app.engine.scoring.scorer import CLIP, Scorer
from app.offline.learning.train_scorer import HIDDEN, Network

N_FEATURES = 9


def network(seed=0):
    torch.manual_seed(seed)
    mean, deviation = torch.randn(N_FEATURES) * 3, torch.rand(N_FEATURES) * 2 + 0.1
    made = Network(mean, deviation)
    made.eval()  # dropout is for training only
    return made


def by_torch(made, columns):
    with torch.inference_mode():
        return made(torch.from_numpy(np.ascontiguousarray(columns.T))).numpy()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("spread", [1.0, 5.0, 1e6])
def test_the_scorer_is_the_network(seed, spread):
    """Far beyond the cut too: features of an item that is unlike all others."""
    made = network(seed)
    columns = np.random.default_rng(seed).standard_normal((N_FEATURES, 200)) * spread
    columns = columns.astype(np.float32)
    scores = Scorer(made.arrays(), N_FEATURES).score(columns)

    assert scores.shape == (200,)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, by_torch(made, columns), atol=1e-4)


def test_a_feature_is_cut_off_at_six_deviations():
    arrays = network().arrays()
    scorer = Scorer(arrays, N_FEATURES)
    edge = (arrays["mean"] + CLIP * arrays["deviation"])[:, None]
    far = np.full((N_FEATURES, 1), 1e30, np.float32)
    endless = np.full((N_FEATURES, 1), np.inf, np.float32)
    np.testing.assert_allclose(scorer.score(far), scorer.score(edge), rtol=1e-6)
    np.testing.assert_allclose(scorer.score(endless), scorer.score(edge), rtol=1e-6)
    assert scorer.score(edge * 0.9) != pytest.approx(scorer.score(edge))


def test_no_candidates_have_no_scores():
    assert Scorer(network().arrays(), N_FEATURES).score(np.empty((N_FEATURES, 0))).shape == (0,)


def test_features_that_are_all_far_from_zero_lose_no_digits():
    """Standardising inside the first layer subtracts large numbers from each other."""
    made = network()
    made.mean += 50.0
    rng = np.random.default_rng(0)
    columns = 50.0 + rng.standard_normal((N_FEATURES, 100)).astype(np.float32)
    scores = Scorer(made.arrays(), N_FEATURES).score(columns.astype(np.float32))
    np.testing.assert_allclose(scores, by_torch(made, columns.astype(np.float32)), atol=1e-3)


WRONG = {
    "mean": np.zeros(N_FEATURES - 1, np.float32),
    "deviation": np.ones(N_FEATURES + 1, np.float32),
    "w1": np.zeros((HIDDEN[0], N_FEATURES + 1), np.float32),
    "b1": np.zeros(HIDDEN[0] - 1, np.float32),
    "w2": np.zeros((HIDDEN[1], HIDDEN[0] + 1), np.float32),
    "b2": np.zeros(HIDDEN[1] + 1, np.float32),
    "w3": np.zeros(HIDDEN[1] - 1, np.float32),
}


@pytest.mark.parametrize("name", WRONG)
def test_arrays_that_do_not_fit_are_refused(name):
    arrays = network().arrays()
    with pytest.raises(BundleError):
        Scorer({**arrays, name: WRONG[name]}, N_FEATURES)
    del arrays[name]
    with pytest.raises(BundleError):
        Scorer(arrays, N_FEATURES)


# Shapes that numpy would stretch to fit, or that have no second axis: they give scores, or foreign
# errors, where the file is wrong.
STRETCHED = {
    "one deviation": ("deviation", np.ones(1, np.float32)),
    "one bias": ("b1", np.ones(1, np.float32)),
    "another bias": ("b2", np.ones(1, np.float32)),
    "a number": ("b2", np.array(0.0, np.float32)),
    "a flat layer": ("w2", np.ones(HIDDEN[0], np.float32)),
    "two scores": ("w3", np.ones((2, HIDDEN[1]), np.float32)),
}


@pytest.mark.parametrize("change", STRETCHED.values(), ids=STRETCHED)
def test_arrays_of_a_shape_that_would_be_stretched_are_refused(change):
    with pytest.raises(BundleError):
        Scorer({**network().arrays(), change[0]: change[1]}, N_FEATURES)


def test_a_scorer_for_other_features_is_refused():
    for n_features in (N_FEATURES - 1, N_FEATURES + 1):
        with pytest.raises(BundleError):
            Scorer(network().arrays(), n_features)


@pytest.mark.parametrize("name", ["w1", "b1", "w2", "b2", "w3", "mean"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_scorer_that_is_not_finite_is_refused(name, value):
    arrays = network().arrays()
    arrays[name].ravel()[0] = value
    with np.errstate(all="ignore"), pytest.raises(BundleError):
        Scorer(arrays, N_FEATURES)


def test_a_score_that_is_not_finite_is_an_error():
    scorer, columns = Scorer(network().arrays(), N_FEATURES), np.zeros((N_FEATURES, 3), np.float32)
    columns[2, 1] = np.nan
    with pytest.raises(EngineError):
        scorer.score(columns)
    scorer._w3 = np.full_like(scorer._w3, np.nan)
    with pytest.raises(EngineError):
        scorer.score(np.zeros((N_FEATURES, 3), np.float32))


@pytest.mark.parametrize("n", [1, 511, 512, 513, 1300])
def test_blocks_and_what_a_call_leaves_in_the_buffers_change_nothing(n):
    made = network()
    columns = np.random.default_rng(n).standard_normal((N_FEATURES, n)).astype(np.float32) * 6
    scorer = Scorer(made.arrays(), N_FEATURES)
    scorer.score(columns[:, ::-1].copy())
    np.testing.assert_allclose(scorer.score(columns), by_torch(made, columns), atol=1e-4)
