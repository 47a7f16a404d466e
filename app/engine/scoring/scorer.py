"""The learned scorer: a small network over the features of a pair, in numpy.

It reads arrays that `app.offline.learning.train_scorer` wrote; it does not know where features
come from.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from app.core.errors import BundleError, EngineError
from app.core.types import Matrix, Vector
from app.engine.scoring.calibration import Calibration

_BLOCK = 512
"""Columns that are scored together: so few that their layers stay in the CPU's caches."""

CLIP = 6.0
"""Standard deviations at which a feature is clipped, in training and here."""


class Scorer:
    """The network of one bundle. It has buffers, so one thread at a time uses it.

    score = W₃ relu(W₂ relu(W₁ x + b₁) + b₂), x = clip((features − mean) / deviation, ±6).

    Attributes:
        reads: bool[f], which features have any weight.
        calibration: of the score of an item, once all is added to it; None = it has none.
    """

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]], n_features: int) -> None:
        """Take `mean`, `deviation` float32[f], `w1` [h, f], `b1`, `w2` [g, h], `b2`, `w3` [g].

        They may have a calibration, too: `knots`, `log_odds` float32[m].

        Raises:
            BundleError: the arrays do not fit each other or the features.
        """
        try:
            _check_shapes(arrays, n_features)
            mean, deviation = arrays["mean"], arrays["deviation"]
            self._low = (mean - CLIP * deviation)[:, None]
            self._high = (mean + CLIP * deviation)[:, None]
            # Standardising is linear, so the first layer does it at no cost.
            w1 = arrays["w1"] / deviation
            b1 = arrays["b1"] - w1 @ mean
            # Biases are one more column of weights, for a row of ones: faster than adding them.
            self._w1 = np.concatenate([w1, b1[:, None]], axis=1)
            w2 = np.concatenate([arrays["w2"], arrays["b2"][:, None]], axis=1)
            self._w2, self._w3 = w2, arrays["w3"]
            self.reads = (arrays["w1"] != 0.0).any(axis=0)
            self._inputs = np.ones((n_features + 1, _BLOCK), np.float32)
            self._first = np.ones((len(w1) + 1, _BLOCK), np.float32)
            self._second = np.empty((len(w2), _BLOCK), np.float32)
            self.calibration = Calibration.of(arrays)
            self.score(np.zeros((n_features, 1), np.float32))
        except (KeyError, ValueError, TypeError, EngineError) as error:
            raise BundleError("the scorer of the bundle does not fit its features") from error

    def score(self, features: Matrix) -> Vector:
        """Return float32[N] for float32[f, N], a column per candidate.

        Raises:
            EngineError: a score is not finite.
        """
        n = features.shape[1]
        scores = np.empty(n, np.float32)
        for start in range(0, n, _BLOCK):
            block = features[:, start : start + _BLOCK]
            self._block(block, scores[start : start + _BLOCK])
        if not np.isfinite(scores).all():
            raise EngineError("the scorer gave a score that is not finite")
        return scores

    def _block(self, features: Matrix, out: Vector) -> None:
        n = features.shape[1]
        inputs, first, second = self._inputs[:, :n], self._first[:, :n], self._second[:, :n]
        np.maximum(features, self._low, out=inputs[:-1])
        np.minimum(inputs[:-1], self._high, out=inputs[:-1])
        np.matmul(self._w1, inputs, out=first[:-1])
        np.maximum(first[:-1], 0.0, out=first[:-1])
        np.matmul(self._w2, first, out=second)
        np.maximum(second, 0.0, out=second)
        np.matmul(self._w3, second, out=out)


def _check_shapes(arrays: Mapping[str, npt.NDArray[Any]], n_features: int) -> None:
    """Refuse shapes that numpy would broadcast. Raises `ValueError`, `KeyError`."""
    h, g = len(arrays["b1"]), len(arrays["b2"])
    shapes: dict[str, tuple[int, ...]] = {
        "mean": (n_features,),
        "deviation": (n_features,),
        "w1": (h, n_features),
        "b1": (h,),
        "w2": (g, h),
        "b2": (g,),
        "w3": (g,),
    }
    if any(arrays[name].shape != shape for name, shape in shapes.items()):
        raise ValueError("shapes")
