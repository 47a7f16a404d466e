"""Chooses the model of a mode: a fixed sum, a linear one, a network, or the mean of three.

All of them can be served by `app.engine.scoring.scorer`: a sum is a network of two units, and three
networks are one that is three times as wide. Each model is measured on examples that it was not
fitted to: on the validation examples, or, where examples are few, fold by fold on all of them. The
simplest model stays unless a later one is better beyond chance. So with few examples the order
stays near the fixed one, and two builds of the same files choose the same.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from app.core.types import Matrix, Vector
from app.engine.scoring.scorer import Scorer
from app.offline.learning.calibrate import calibrate
from app.offline.learning.examples import KINDS, Examples
from app.offline.learning.sequences import Ints
from app.offline.learning.train_scorer import Arrays, Linear, ThreeNetworks, split, train
from app.offline.metrics.intervals import Estimate, paired_difference
from app.offline.metrics.ranking import Numbers, graded_ndcg_at, ndcg_at
from app.offline.threads import side_by_side

_log = logging.getLogger(__name__)

Fit: TypeAlias = Callable[[Examples, int], Arrays]
"""(examples, seed) -> the arrays of a scorer."""

Order: TypeAlias = Callable[[Matrix], Vector]
"""float32[f, c] -> float32[c], higher is better."""

TOP: Final = 10
FEW_EXAMPLES: Final = 20_000
"""With fewer, all of them are held out once, fold by fold. A tenth of 11,000 examples was too few:
by chance a network was refused that is better by a twentieth (docs/accuracy.md)."""
FOLDS: Final = 3

MIN_REAL: Final = 100
"""So many held-out queries that people have typed are enough to decide alone."""

TAKEN: Final = 0.5
"""From this gain on a candidate counts as taken in the calibration."""

_WIDE: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Chosen:
    """The model of a mode.

    Attributes:
        name: which it is; "fixed" = the fixed order stays.
        arrays: of the scorer; None for "fixed".
        ndcg: float64[v], of the held-out examples, by the chosen model.
        fixed_ndcg: the same by the fixed order.
        kinds: int8[v], where their queries come from, positions in `KINDS`.
        gain: mean of the difference, with its interval, over those that decided.
        calibration: arrays of the calibration of its scores (`app.offline.learning.calibrate`).
        scores: example -> float32[c], of the candidates of the held-out examples, by a model that
            was not fitted to them.
    """

    name: str
    arrays: Arrays | None
    ndcg: Numbers
    fixed_ndcg: Numbers
    kinds: npt.NDArray[np.int8]
    gain: Estimate
    calibration: Arrays
    scores: Mapping[int, Vector]


def _linear(examples: Examples, seed: int) -> Arrays:
    return train(examples, seed, make=Linear).arrays


def _network(examples: Examples, seed: int) -> Arrays:
    return train(examples, seed).arrays


def _three(examples: Examples, seed: int) -> Arrays:
    return train(examples, seed, make=ThreeNetworks).arrays


MODELS: Final[Mapping[str, Fit]] = {
    "linear": _linear,
    "network": _network,
    "three networks": _three,
}
"""From the simplest on."""


FEW: Final = "few features"
"""Name of a linear model of a few features. It has so few weights that it stays near the fixed
order, so the better estimate is enough to serve it."""


def few_features(positions: Sequence[int]) -> Fit:
    """Return what fits a linear model of the features at some positions."""

    def fit(examples: Examples, seed: int) -> Arrays:
        n, some = examples.features.shape[1], list(positions)
        arrays = train(replace(examples, features=examples.features[:, some]), seed, make=Linear)
        small = arrays.arrays
        mean, deviation = np.zeros(n, np.float32), np.ones(n, np.float32)
        first = np.zeros((len(small["w1"]), n), np.float32)
        mean[some], deviation[some] = small["mean"], small["deviation"]
        first[:, some] = small["w1"]
        return small | {"mean": mean, "deviation": deviation, "w1": first}

    return fit


def fixed_sum(names: Sequence[str], weights: Mapping[str, float]) -> Arrays:
    """Return the arrays of a scorer that gives the weighted sum of some features."""
    scale = np.float32(_WIDE)  # wide enough that nothing is clipped
    line = np.zeros(len(names), np.float32)
    for name, weight in weights.items():
        line[names.index(name)] = weight * scale
    return {
        "mean": np.zeros(len(names), np.float32),
        "deviation": np.full(len(names), scale),
        "w1": np.stack([line, -line]),
        "b1": np.zeros(2, np.float32),
        "w2": np.eye(2, dtype=np.float32),
        "b2": np.zeros(2, np.float32),
        "w3": np.array([1.0, -1.0], np.float32),
    }


def choose(
    examples: Examples,
    fixed: Order,
    seed: int,
    score: Callable[[Scorer, Matrix], Vector] = Scorer.score,
    models: Mapping[str, Fit] = MODELS,
) -> Chosen:
    """Fit all models and return the one to serve.

    Where enough of the held-out queries are real, logged or judged, only these decide.

    Args:
        examples: lists of candidates, the target first.
        fixed: the order that holds where nothing better is learned.
        seed: of everything random.
        score: how a fitted scorer is used; serving may add something to its score.
        models: to choose from, the simplest first.
    """
    held_out = _held_out(examples, seed)
    fixed_scores = _scores(examples, held_out, [fixed] * len(held_out))
    fixed_ndcg = ndcg_of_lists(examples, fixed_scores)
    kinds = examples.kinds[list(fixed_scores)]
    deciding = _deciding(kinds)
    best, best_ndcg, best_scores = "fixed", fixed_ndcg, fixed_scores
    arrays: Arrays | None = None
    fits = []
    for kept, _ in held_out:  # one after the other: each takes a copy of most of the examples
        part = examples if kept is None else examples.only(kept)
        fits.append(side_by_side([partial(fit, part, seed) for fit in models.values()]))
    for (name, fit), *fitted in zip(models.items(), *fits, strict=True):
        scores = _scores(examples, held_out, _orders(examples, fitted, score))
        ndcg = ndcg_of_lists(examples, scores)
        gain = paired_difference(ndcg[deciding], best_ndcg[deciding], seed)
        _log.info(
            "%s: NDCG@10 %.4f, %.4f before; the difference is %.4f (%.4f to %.4f)",
            name,
            ndcg[deciding].mean(),
            best_ndcg[deciding].mean(),
            gain.value,
            gain.low,
            gain.high,
        )
        if gain.low > 0.0 or (name == FEW and gain.value > 0.0):
            best, best_ndcg, best_scores = name, ndcg, scores
            arrays = fitted[0] if len(held_out) == 1 else fit(examples, seed)
    return Chosen(
        name=best,
        arrays=arrays,
        ndcg=best_ndcg,
        fixed_ndcg=fixed_ndcg,
        kinds=kinds,
        gain=paired_difference(best_ndcg[deciding], fixed_ndcg[deciding], seed),
        calibration=_calibration(examples, best_scores),
        scores=best_scores,
    )


def held_out_ndcg(
    examples: Examples, fit: Fit, seed: int, score: Callable[[Scorer, Matrix], Vector]
) -> tuple[npt.NDArray[np.int8], Numbers]:
    """Return int8[v] and float64[v]: the kind and the NDCG@10 of each held-out example."""
    held_out = _held_out(examples, seed)
    parts = [examples if kept is None else examples.only(kept) for kept, _ in held_out]
    fitted = side_by_side([partial(fit, part, seed) for part in parts])
    scores = _scores(examples, held_out, _orders(examples, fitted, score))
    return examples.kinds[list(scores)], ndcg_of_lists(examples, scores)


def _orders(
    examples: Examples, fitted: Sequence[Arrays], score: Callable[[Scorer, Matrix], Vector]
) -> list[Order]:
    return [partial(score, Scorer(each, examples.features.shape[1])) for each in fitted]


def real_of(kinds: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    """Return bool[v], which queries people have typed."""
    return np.isin(kinds, [KINDS.index("logged"), KINDS.index("judged")])


def _deciding(kinds: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    """Return bool[v], which held-out queries decide: the real ones, if they are enough, or all."""
    real = real_of(kinds)
    return real if np.count_nonzero(real) >= MIN_REAL else np.ones(len(kinds), np.bool_)


def _held_out(examples: Examples, seed: int) -> list[tuple[Ints | None, Ints]]:
    """Return pairs: the examples to fit on, None = all (they keep some back); those to measure."""
    n = len(examples)
    if n >= FEW_EXAMPLES:
        return [(None, split(n, seed)[1])]
    parts = np.array_split(np.random.default_rng(seed).permutation(n), FOLDS)
    everything = np.arange(n)
    return [(everything[~np.isin(everything, part)], part) for part in parts]


def _scores(
    examples: Examples, held_out: Sequence[tuple[Ints | None, Ints]], orders: Sequence[Order]
) -> dict[int, Vector]:
    """Return example -> float32[c], the scores of its candidates, by the order of its part."""
    scores: dict[int, Vector] = {}
    for (_, chosen), order in zip(held_out, orders, strict=True):
        for example in chosen.tolist():
            columns = np.ascontiguousarray(examples.features[_part(examples, example)].T)
            scores[example] = order(columns.astype(np.float32))
    return scores


def _part(examples: Examples, example: int) -> slice:
    return slice(int(examples.offsets[example]), int(examples.offsets[example + 1]))


def ndcg_of_lists(examples: Examples, scores: Mapping[int, Vector]) -> Numbers:
    """Return float64[v], the NDCG@10 of some examples; each candidate counts its weight."""
    return np.array(
        [_ndcg_of(examples, _part(examples, example), each) for example, each in scores.items()]
    )


def _ndcg_of(examples: Examples, part: slice, scores: Vector) -> float:
    gains = examples.gains[part]
    if gains[1:].any():
        # How many candidates each one stands for is left out: the best ten are hardly a sample.
        return graded_ndcg_at(scores=scores, gains=gains, judged=gains, k=TOP)
    rank = _rank_of_first(scores, np.exp(examples.log_weights[part]))
    return float(ndcg_at(np.array([rank]), TOP)[0])


def _rank_of_first(scores: Vector, weights: Vector) -> float:
    """Return the rank of the first candidate; ties count half, and each counts its weight."""
    higher, equal = weights[scores > scores[0]].sum(), weights[scores == scores[0]].sum()
    return float(higher + (equal - 1) / 2)


def _calibration(examples: Examples, scores: Mapping[int, Vector]) -> Arrays:
    parts = [examples.log_weights[_part(examples, example)] for example in scores]
    gains = [examples.gains[_part(examples, example)] for example in scores]
    return calibrate(
        np.concatenate([*scores.values()]),
        np.concatenate(gains) >= TAKEN,
        np.exp(np.concatenate(parts)),
        share_found=len(examples) / max(examples.n_queries, 1),
    )
