"""Fits the calibration of a mode: which share of the candidates with some score is taken.

The held-out candidates are put in order of their scores and cut into bins that contain equally many
taken ones. Where the shares of neighbouring bins do not rise, the bins are joined (isotonic
regression). Each bin that is left is a knot: its mean score, and the log odds of its share.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from app.core.types import Vector
from app.domain.columns import Floats
from app.offline.learning.sequences import Ints
from app.offline.learning.train_scorer import Arrays

TAKEN_PER_BIN: Final = 20
"""So many that the share of a bin is known to about a fifth of it."""

MOST_BINS: Final = 40
_LEAST_RISE: Final = 1e-3


def calibrate(
    scores: Vector, taken: npt.NDArray[np.bool_], weights: Vector, share_found: float
) -> Arrays:
    """Return `knots` and `log_odds`, float32[m], for `app.engine.scoring.calibration`.

    Args:
        scores: float32[N], of candidates of examples that the model was not fitted to.
        taken: bool[N], which of them were taken; at least one was.
        weights: float32[N], how many candidates each one stands for.
        share_found: share of the queries whose taken item is among the candidates. The others have
            as many candidates, and none of theirs was taken.
    """
    order = np.argsort(scores, kind="stable")
    scores, taken = scores[order].astype(np.float64), taken[order]
    counts = weights[order].astype(np.float64)
    n_bins = int(np.clip(int(np.count_nonzero(taken)) // TAKEN_PER_BIN, 1, MOST_BINS))
    total = max(int(np.count_nonzero(taken)), 1)
    before = np.cumsum(taken, dtype=np.int64) - taken
    bins = np.minimum(before * n_bins // total, n_bins - 1)
    n_all = _sums(bins, counts, n_bins)
    n_taken = _sums(bins, counts * taken * share_found, n_bins)
    knots, log_odds = _rising(_sums(bins, counts * scores, n_bins) / n_all, n_taken, n_all)
    return {"knots": knots.astype(np.float32), "log_odds": log_odds.astype(np.float32)}


def _sums(bins: Ints, values: Floats, n_bins: int) -> Floats:
    return np.bincount(bins, values, n_bins).astype(np.float64)


def _rising(mean: Floats, n_taken: Floats, n_all: Floats) -> tuple[Floats, Floats]:
    """Join neighbouring bins until scores and log odds rise; return both."""
    pools: list[tuple[float, float, float]] = []
    for bin_ in zip(mean.tolist(), n_taken.tolist(), n_all.tolist(), strict=True):
        pools.append(bin_)
        while len(pools) > 1 and not _rises(*pools[-2:]):
            (m1, t1, a1), (m2, t2, a2) = pools[-2:]
            pools[-2:] = [((m1 * a1 + m2 * a2) / (a1 + a2), t1 + t2, a1 + a2)]
    return np.array([pool[0] for pool in pools]), np.array([_log_odds(pool) for pool in pools])


def _log_odds(pool: tuple[float, float, float]) -> float:
    """Return the log odds of the share; half a candidate more on both sides keeps them finite."""
    _, n_taken, n_all = pool
    return float(np.log((n_taken + 0.5) / (n_all - n_taken + 0.5)))


def _rises(low: tuple[float, float, float], high: tuple[float, float, float]) -> bool:
    return high[0] >= low[0] + _LEAST_RISE and _log_odds(high) >= _log_odds(low) + _LEAST_RISE
