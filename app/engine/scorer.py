"""The learned scorer: a small network over the features of a pair, in numpy.

It reads arrays that `app.offline.train` wrote; it does not know where features come from.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import BundleError, EngineError
from app.types import Matrix, Vector

CLIP = 6.0
"""Standard deviations at which a feature is cut off, in training and here."""


class Scorer:
    """score = W₃ relu(W₂ relu(W₁ x + b₁) + b₂), x = clip((features − mean) / deviation, ±6)."""

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]], n_features: int) -> None:
        """Take `mean`, `deviation` float32[f], `w1` [h, f], `b1`, `w2` [g, h], `b2`, `w3` [g].

        Raises:
            BundleError: the arrays do not fit each other or the features.
        """
        try:
            _check_shapes(arrays, n_features)
            mean, deviation = arrays["mean"], arrays["deviation"]
            self._low = (mean - CLIP * deviation)[:, None]
            self._high = (mean + CLIP * deviation)[:, None]
            # Standardising is linear: it costs nothing inside the first layer.
            self._w1 = np.ascontiguousarray(arrays["w1"] / deviation)
            self._b1 = (arrays["b1"] - self._w1 @ mean)[:, None]
            self._w2, self._b2 = arrays["w2"], arrays["b2"][:, None]
            self._w3 = arrays["w3"]
            self.score(np.zeros((n_features, 1), np.float32))
        except (KeyError, ValueError, TypeError, EngineError) as error:
            raise BundleError("the scorer of the bundle does not fit its features") from error

    def score(self, features: Matrix) -> Vector:
        """Return float32[N] for float32[f, N], a column per candidate.

        Raises:
            EngineError: a score is not finite.
        """
        inputs = np.clip(features, self._low, self._high)
        hidden = np.maximum(self._w1 @ inputs + self._b1, 0.0)
        hidden = np.maximum(self._w2 @ hidden + self._b2, 0.0)
        scores: Vector = self._w3 @ hidden
        if not np.isfinite(scores).all():
            raise EngineError("the scorer gave a score that is not finite")
        return scores


def _check_shapes(arrays: Mapping[str, npt.NDArray[Any]], n_features: int) -> None:
    """Refuse what numpy would stretch to fit. Raises `ValueError`, `KeyError`."""
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
