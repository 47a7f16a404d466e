"""Ways to learn an order from examples: the scorer that is served, and models to compare it with.

All of them see the same examples and features, and all stop by the same validation examples. This
module does not know where candidates come from, nor which users are asked about.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor
from torch.nn import functional

from app.core.types import Matrix, Vector
from app.engine.scoring.scorer import Scorer
from app.evaluation.baselines.base import optional
from app.offline.learning.examples import Examples
from app.offline.learning.sequences import Ints
from app.offline.learning.train_scorer import (
    Linear,
    Loss,
    Model,
    Network,
    listwise,
    split,
    train,
)

Score: TypeAlias = Callable[[Matrix], Vector]
"""float32[f, N], a column per candidate -> float32[N]; higher is better."""

Fit: TypeAlias = Callable[[Examples, int], Score]
"""(examples, seed) -> the learned score. May raise `UnavailableError`."""

ROUNDS, PATIENCE = 500, 30
"""The most trees, and the number of trees without a gain after which boosting stops."""


def pairwise(scores: Tensor, log_weights: Tensor, _: Tensor) -> Tensor:
    """Return the mean of −log σ(target − negative) over the negatives, each with its weight.

    Source: Rendle and others, BPR: Bayesian Personalized Ranking, UAI 2009.
    """
    weights = log_weights[:, 1:].exp()
    losses = functional.softplus(scores[:, 1:] - scores[:, :1])
    return (weights * losses).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


def pointwise(scores: Tensor, log_weights: Tensor, _: Tensor) -> Tensor:
    """Return −log σ(target) − Σ log σ(−negative): each candidate is classified by itself."""
    weights = log_weights[:, 1:].exp()
    negatives = (weights * functional.softplus(scores[:, 1:])).sum(dim=1)
    return functional.softplus(-scores[:, 0]) + negatives


def _trained(
    examples: Examples,
    seed: int,
    make: Callable[[Tensor, Tensor], Model] = Network,
    loss_of: Loss = listwise,
) -> Score:
    arrays = train(examples=examples, seed=seed, make=make, loss_of=loss_of).arrays
    return Scorer(arrays, examples.features.shape[1]).score


network: Fit = _trained
linear: Fit = partial(_trained, make=Linear)
network_by_pairs: Fit = partial(_trained, loss_of=pairwise)
network_by_points: Fit = partial(_trained, loss_of=pointwise)


def lambdamart(examples: Examples, seed: int) -> Score:
    """Boost trees by LambdaMART (`lightgbm`); NDCG@10 of the validation examples ends it.

    Source: Burges, From RankNet to LambdaRank to LambdaMART, 2010.
    """
    lightgbm = optional("lightgbm")
    training, validation = (
        _dataset(lightgbm, examples, part) for part in split(len(examples), seed)
    )
    trees: Any = lightgbm.train(
        {
            "objective": "lambdarank",
            "metric": "ndcg",
            "eval_at": [10],
            "learning_rate": 0.05,
            "num_leaves": 31,
            "min_data_in_leaf": min(50, max(1, len(examples) // 20)),
            "lambdarank_truncation_level": 20,
            "feature_fraction": 0.8,
            "seed": seed,
            "deterministic": True,
            "verbosity": -1,
        },
        training,
        ROUNDS,
        valid_sets=[validation],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )
    return lambda columns: np.asarray(trees.predict(columns.T), np.float32)


def _dataset(lightgbm: Any, examples: Examples, chosen: Ints) -> Any:  # noqa: ANN401 - no types
    """Return the chosen lists as a `lightgbm` data set; only the target of each has label 1."""
    parts = [slice(examples.offsets[one], examples.offsets[one + 1]) for one in chosen.tolist()]
    sizes = [part.stop - part.start for part in parts]
    rows = np.concatenate([examples.features[part] for part in parts]).astype(np.float32)
    labels = np.zeros(len(rows), np.int8)
    labels[np.cumsum([0, *sizes[:-1]])] = 1
    return lightgbm.Dataset(rows, labels, group=sizes)
