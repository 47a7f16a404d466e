"""How much queries that people have typed count beside written ones.

A real query, logged or judged, counts as several written ones. How many is chosen with the simplest
model on held-out real queries where these are enough (`app.offline.learning.fusion`), and is a
constant otherwise.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from app.core.types import Matrix, Vector
from app.engine.scoring.scorer import Scorer
from app.offline.learning.examples import Examples
from app.offline.learning.fusion import MIN_REAL, MODELS, Fit, held_out_ndcg, real_of

_log = logging.getLogger(__name__)

TIMES: Final = (1.0, 8.0, 64.0)
"""How many written queries a real one may count as."""

USUAL_TIMES: Final = 8.0
"""As how many it counts where real queries are too few to choose."""


def mixed(
    examples: Examples,
    seed: int,
    score: Callable[[Scorer, Matrix], Vector] = Scorer.score,
    fit: Fit = MODELS["linear"],
) -> Examples:
    """Return the examples with the weights of real queries raised.

    Args:
        examples: of one mode.
        seed: of everything random.
        score: how a fitted scorer is used.
        fit: fits the simplest model.
    """
    real = real_of(examples.kinds)
    if real.all() or not real.any():
        return examples
    if np.count_nonzero(real) < MIN_REAL:
        return _weighted(examples, USUAL_TIMES)
    means = {}
    for times in TIMES:
        kinds, ndcg = held_out_ndcg(_weighted(examples, times), fit, seed, score)
        deciding = real_of(kinds)
        # Of many examples only some are held out, and perhaps hardly a real one among them.
        means[times] = float(ndcg[deciding].mean()) if deciding.sum() >= MIN_REAL // 2 else 0.0
        _log.info("real queries counted %g times: NDCG@10 %.4f", times, means[times])
    best = max(TIMES, key=means.__getitem__)
    return _weighted(examples, best if means[best] > 0.0 else USUAL_TIMES)


def _weighted(examples: Examples, times: float) -> Examples:
    raised = np.where(real_of(examples.kinds), np.float32(times), np.float32(1.0))
    return replace(examples, sample_weight=examples.sample_weight * raised)
