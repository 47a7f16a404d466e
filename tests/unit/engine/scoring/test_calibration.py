"""A calibration: a rising line through its knots, which changes no order."""

import numpy as np
import pytest

from app.core.errors import BundleError
from app.engine.scoring.calibration import Calibration
from app.engine.scoring.scorer import Scorer
from app.offline.learning.fusion import fixed_sum

LINE = Calibration(np.array([-1.0, 0.0, 2.0]), np.array([-5.0, -4.0, 0.0]))


def test_it_passes_through_its_knots_and_rises_slowly_outside():
    scores = np.array([-3.0, -1.0, -0.5, 0.0, 1.0, 2.0, 50.0], np.float32)
    expected = [-5.2, -5.0, -4.5, -4.0, -2.0, 0.0, 4.8]
    np.testing.assert_allclose(LINE.log_odds(scores), expected, rtol=1e-6)
    assert LINE.log_odds(scores).dtype == np.float32


@pytest.mark.parametrize(
    ("knots", "log_odds"),
    [
        ([0.0, 0.0], [0.0, 1.0]),
        ([0.0, 1.0], [1.0, 1.0]),
        ([0.0, 1.0], [1.0, 0.0]),
        ([0.0], [0.0, 1.0]),
        ([], []),
        ([0.0, np.nan], [0.0, 1.0]),
    ],
)
def test_one_that_does_not_rise_is_refused(knots, log_odds):
    with pytest.raises(BundleError, match="does not rise"):
        Calibration(np.array(knots), np.array(log_odds))


def test_a_scorer_has_the_calibration_of_its_arrays():
    arrays = fixed_sum(("a",), {"a": 1.0})
    assert Scorer(arrays, 1).calibration is None
    knots = {"knots": np.array([0.0, 1.0]), "log_odds": np.array([-3.0, 0.0])}
    calibration = Scorer(arrays | knots, 1).calibration
    assert calibration.log_odds(np.array([0.5])).tolist() == [-1.5]
    with pytest.raises(BundleError, match="calibration"):
        Scorer(arrays | {"knots": knots["knots"]}, 1)
