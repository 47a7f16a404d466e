"""The scorer against its formula."""

import numpy as np
import pytest

from app.engine.scorer import Scorer
from app.errors import EngineError


def network(rng, f=7, h=6, g=5):
    shapes = {"w1": (h, f), "b1": h, "w2": (g, h), "b2": g, "w3": g, "mean": f}
    arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return arrays | {"deviation": rng.uniform(0.5, 2, f).astype(np.float32)}


def formula(arrays, features):
    centred = (features - arrays["mean"][:, None]) / arrays["deviation"][:, None]
    hidden = arrays["w1"] @ np.clip(centred, -6, 6) + arrays["b1"][:, None]
    hidden = arrays["w2"] @ np.maximum(hidden, 0) + arrays["b2"][:, None]
    return arrays["w3"] @ np.maximum(hidden, 0)


@pytest.mark.parametrize("n", [0, 1, 511, 512, 513, 1300])
def test_scores_equal_the_formula(n):
    rng = np.random.default_rng(n)
    arrays = network(rng)
    features = rng.standard_normal((7, n)).astype(np.float32) * 6
    scorer = Scorer(arrays, 7)
    for _ in range(2):  # what one call leaves in the buffers is nothing to the next
        np.testing.assert_allclose(scorer.score(features), formula(arrays, features), atol=1e-4)


def test_a_score_that_is_not_finite_is_an_error():
    scorer = Scorer(network(np.random.default_rng(0)), 7)
    with pytest.raises(EngineError):
        scorer.score(np.full((7, 3), np.nan, np.float32))
