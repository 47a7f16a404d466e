"""Turns a score into log odds: sigmoid(score) is then the share of such candidates that is taken.

A calibration is a rising line through some knots, so it never changes an order. It is fitted at
build time, mode by mode, on examples that the network has not seen (`app.offline.learning`).
Outside its knots it rises slowly: nothing is known there, and likes or exact words, which are added
to the network's score, must not make a share of all but one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.core.errors import BundleError
from app.core.types import Vector
from app.domain.columns import Floats

_FAR: Final = 1_000.0
"""Further than any score lies from the knots."""

_RISE_OUTSIDE: Final = 0.1


class Calibration:
    """The calibration of one mode.

    Attributes:
        knots: float64[m], the scores of its knots.
    """

    def __init__(self, knots: npt.NDArray[Any], log_odds: npt.NDArray[Any]) -> None:
        """Take two float[m], m > 0, both rising: some scores, and their log odds.

        Raises:
            BundleError: they do not rise, or do not fit each other.
        """
        x, y = np.asarray(knots, np.float64), np.asarray(log_odds, np.float64)
        fits = x.ndim == 1 and x.shape == y.shape and len(x) > 0
        if not fits or not np.isfinite([x, y]).all() or (np.diff([x, y]) <= 0).any():
            raise BundleError("the calibration of the bundle does not rise")
        self.knots = x
        self._x = np.concatenate([[x[0] - _FAR], x, [x[-1] + _FAR]])
        self._y = np.concatenate([[y[0] - _FAR * _RISE_OUTSIDE], y, [y[-1] + _FAR * _RISE_OUTSIDE]])

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "Calibration | None":
        """Return what the arrays of a scorer say, if they say something. Raises `BundleError`."""
        if "knots" not in arrays:
            return None
        return cls(arrays["knots"], arrays.get("log_odds", arrays["knots"][:0]))

    @classmethod
    def mean(cls, parts: Sequence[tuple["Calibration", float]]) -> "Calibration":
        """Return the calibration to the mean share of several, each with its weight of a sum 1."""
        knots = np.unique(np.concatenate([part.knots for part, _ in parts]))
        share = np.zeros(len(knots))
        for part, weight in parts:
            share += weight / (1.0 + np.exp(-part.exact_log_odds(knots)))
        return cls(knots, np.log(share) - np.log1p(-share))

    def log_odds(self, scores: Vector) -> Vector:
        """Return float32[n] for float32[n], in the same order."""
        log_odds: Vector = self.exact_log_odds(scores).astype(np.float32)
        return log_odds

    def exact_log_odds(self, scores: Floats | Vector) -> Floats:
        """Return the same as float64[n]."""
        log_odds: Floats = np.interp(scores, self._x, self._y)
        return log_odds
