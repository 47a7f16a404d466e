"""The calibration of a build: sigmoid(score) is the share that is taken, on new lists too."""

import numpy as np
import pytest

from app.engine.scoring.calibration import Calibration
from app.offline.learning.calibrate import calibrate


def lists(n, seed, scale=3.0, c=20):
    """Scores of n lists of c, one taken in each: the odds are e^(0.5 · score)."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, scale, (n, c))
    chances = np.exp(0.5 * scores)
    taken = np.zeros((n, c), bool)
    for line, odds in enumerate(chances):
        taken[line, rng.choice(c, p=odds / odds.sum())] = True
    return scores.ravel().astype(np.float32), taken.ravel()


def fitted(scores, taken, weights=None, share_found=1.0):
    weights = np.ones(len(scores), np.float32) if weights is None else weights
    arrays = calibrate(scores, taken, weights, share_found)
    return Calibration(arrays["knots"], arrays["log_odds"])


def shares(calibration, scores):
    return 1.0 / (1.0 + np.exp(-calibration.log_odds(scores)))


def test_the_share_that_is_taken_is_the_one_it_says():
    calibration = fitted(*lists(1500, seed=0))
    scores, taken = lists(1500, seed=1)
    said = shares(calibration, scores)
    assert said.mean() == pytest.approx(taken.mean(), rel=0.05)
    for part in np.array_split(np.argsort(scores), 5)[1:]:
        assert said[part].mean() == pytest.approx(taken[part].mean(), rel=0.25, abs=0.003)


def test_it_rises_even_where_the_shares_fall():
    scores = np.linspace(0, 1, 2000, dtype=np.float32)
    taken = np.zeros(2000, bool)
    taken[:1000:5] = True  # the lower half is taken more often
    taken[1000::20] = True
    log_odds = fitted(scores, taken).log_odds(scores)
    assert (np.diff(log_odds) > 0).all()


def test_a_candidate_counts_as_often_as_it_stands_for():
    scores, taken = lists(400, seed=2)
    weights = np.where(taken, 1.0, 10.0).astype(np.float32)
    said = shares(fitted(scores, taken, weights), scores)
    assert np.average(said, weights=weights) == pytest.approx(1 / 191, rel=0.05)


def test_queries_whose_item_was_not_found_count():
    scores, taken = lists(800, seed=3)
    all_found, half = fitted(scores, taken), fitted(scores, taken, share_found=0.5)
    ratio = shares(half, scores).mean() / shares(all_found, scores).mean()
    assert ratio == pytest.approx(0.5, rel=0.1)


def test_few_examples_give_one_knot():
    scores, taken = lists(5, seed=4)
    arrays = calibrate(scores, taken, np.ones(len(scores), np.float32), 1.0)
    assert len(arrays["knots"]) == 1
    assert arrays["log_odds"][0] == pytest.approx(np.log(5.5 / 95.5), rel=1e-5)
