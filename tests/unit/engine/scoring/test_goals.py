"""Heads: the shares of the goals, their mixture, and the calibration of the sum."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import BundleError
from app.engine.scoring.calibration import Calibration
from app.engine.scoring.exactness import HOLDS_ALL, RANGE, RAREST
from app.engine.scoring.goals import LEAST_SHARE, GoalHeads

NAMES = ("click", "purchase", "share")
N = 30
KNOTS = np.array([-3.0, 0.0, 4.0], np.float32)
SHARES = np.random.default_rng(1).uniform(0.01, 1.0, (len(NAMES), N + 1)).astype(np.float32)
ROWS = np.arange(N)


def arrays():
    found = {"shares": SHARES}
    for goal in range(len(NAMES)):
        found[f"history/knots_{goal}"] = KNOTS
        found[f"history/log_odds_{goal}"] = KNOTS * np.float32(0.5) - np.float32(goal)
    return found


HEADS = GoalHeads.of(NAMES, arrays(), ("history",))


def worth_of(*goals, rows=ROWS):
    return HEADS.worth("history", rows, goals)


def test_one_goal_adds_the_log_of_its_share():
    added, calibration = worth_of(("purchase", 1.0))
    np.testing.assert_allclose(added, np.log(SHARES[1, :N]), rtol=1e-5)
    np.testing.assert_allclose(calibration.log_odds(KNOTS), KNOTS * 0.5 - 1, atol=1e-6)


def test_several_goals_add_the_log_of_their_mean_share():
    added, _ = worth_of(("click", 0.25), ("purchase", 1.0))
    mean = (SHARES[0] * 0.25 + SHARES[1]) / 1.25
    np.testing.assert_allclose(added, np.log(mean[:N]), rtol=1e-4, atol=1e-6)


weights = st.floats(0.01, 1.0)


@given(st.tuples(weights, weights, weights), st.floats(0.01, 1.0))
def test_only_the_ratios_of_weights_count(some, factor):
    goals = tuple(zip(NAMES, some, strict=True))
    added, calibration = worth_of(*goals)
    scaled, other = worth_of(*[(name, weight * factor) for name, weight in goals])
    np.testing.assert_allclose(scaled, added, rtol=1e-4, atol=1e-6)
    scores = np.linspace(-20, 20, 50, dtype=np.float32)
    np.testing.assert_allclose(
        other.log_odds(scores), calibration.log_odds(scores), rtol=1e-4, atol=1e-5
    )


@given(st.tuples(weights, weights, weights))
def test_a_mixed_calibration_gives_the_mean_share_and_rises(some):
    total = sum(some)
    _, calibration = worth_of(*zip(NAMES, some, strict=True))
    parts = [Calibration(KNOTS, KNOTS * 0.5 - goal) for goal in range(3)]
    shares = [1 / (1 + np.exp(-part.exact_log_odds(KNOTS))) for part in parts]
    mean = sum(w / total * share for w, share in zip(some, shares, strict=True))
    np.testing.assert_allclose(1 / (1 + np.exp(-calibration.log_odds(KNOTS))), mean, rtol=1e-5)
    scores = np.linspace(-50, 150, 400, dtype=np.float32)
    assert (np.diff(calibration.exact_log_odds(scores)) > 0).all()


def test_a_later_item_has_the_share_of_the_last_column():
    added, _ = worth_of(("click", 1.0), rows=np.array([N, N + 7]))
    np.testing.assert_allclose(added, np.log(SHARES[0, [N, N]]), rtol=1e-5)


def test_goals_that_another_bundle_had_change_nothing():
    assert worth_of(("like", 1.0)) is None
    one, both = worth_of(("click", 1.0)), worth_of(("click", 1.0), ("like", 1.0))
    np.testing.assert_array_equal(one[0], both[0])


def test_goals_add_less_than_exact_words():
    tiny = GoalHeads.of(NAMES, arrays() | {"shares": SHARES * np.float32(1e-9)}, ("history",))
    assert tiny.worth("history", ROWS, (("click", 1.0),))[0].min() >= np.log(LEAST_SHARE) - 1e-6
    assert -np.log(LEAST_SHARE) + 2 * RANGE < RAREST + HOLDS_ALL


@pytest.mark.parametrize(
    "wrong",
    [
        {"shares": SHARES[:2]},
        {"shares": SHARES[0]},
        {"shares": SHARES * 0},
        {"shares": SHARES * np.float32(np.nan)},
        {"history/knots_2": KNOTS[:0]},
        {"history/log_odds_0": KNOTS[::-1]},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_arrays_that_do_not_fit_are_refused(wrong):
    with pytest.raises(BundleError):
        GoalHeads.of(NAMES, arrays() | wrong, ("history",))


@pytest.mark.parametrize("name", list(arrays()))
def test_missing_arrays_are_refused(name):
    some = arrays()
    del some[name]
    with pytest.raises(BundleError):
        GoalHeads.of(NAMES, some, ("history",))
