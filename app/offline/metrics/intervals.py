"""Confidence intervals of means: bootstrap over users or queries.

All metrics of a report share the same resamples, so they are comparable and cost one pass. This
module does not know what the values mean.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval; all NaN where there are no values."""

    value: float
    low: float
    high: float

    def document(self) -> dict[str, float | None]:
        """Return the estimate for JSON, which has no NaN: null takes its place."""
        named = {"value": self.value, "low": self.low, "high": self.high}
        return {name: None if np.isnan(x) else round(float(x), 6) for name, x in named.items()}


def mean_intervals(
    values: npt.NDArray[np.float64], seed: int, resamples: int = RESAMPLES
) -> list[Estimate]:
    """Return mean and interval of each column of float64[n, m]; users are drawn with replacement.

    NaN (a user for whom a metric does not exist) is left out of its column. Each resample is a
    vector of weights, how often each user was drawn: one matrix product then serves all metrics.

        interval = 2.5 % and 97.5 % quantile of Σ_u w_u x_u / Σ_u w_u,  w ~ multinomial(n)

    >>> mean_intervals(np.ones((4, 1)), seed=0)
    [Estimate(value=1.0, low=1.0, high=1.0)]
    """
    n, m = values.shape
    exists = ~np.isnan(values)
    if n == 0:
        return [Estimate(np.nan, np.nan, np.nan)] * m
    filled = np.where(exists, values, 0.0)
    both = np.concatenate([filled, exists.astype(np.float64)], axis=1)
    sums = np.stack([weights @ both for weights in _weights(n, seed, resamples)])
    drawn = _ratio(sums[:, :m], sums[:, m:])
    means = _ratio(filled.sum(axis=0)[None], exists.sum(axis=0)[None].astype(np.float64))[0]
    low, high = _quantiles(drawn)
    return [Estimate(*map(float, row)) for row in zip(means, low, high, strict=True)]


def ratio_interval(
    above: npt.NDArray[np.float64],
    below: npt.NDArray[np.float64],
    seed: int,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return Σ above / Σ below with its interval; users with a NaN on either side are left out.

    >>> ratio_interval(np.array([2.0, 4.0]), np.array([1.0, 2.0]), seed=0)
    Estimate(value=2.0, low=2.0, high=2.0)
    """
    exists = ~(np.isnan(above) | np.isnan(below))
    both = np.stack([above[exists], below[exists]], axis=1)
    if not len(both):
        return Estimate(np.nan, np.nan, np.nan)
    sums = np.stack([weights @ both for weights in _weights(len(both), seed, resamples)])
    low, high = _quantiles(_ratio(sums[:, :1], sums[:, 1:]))
    value = _ratio(both[:, :1].sum(axis=0), both[:, 1:].sum(axis=0))
    return Estimate(float(value[0]), float(low[0]), float(high[0]))


def paired_difference(
    new: npt.NDArray[np.float64],
    old: npt.NDArray[np.float64],
    seed: int,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return mean(new − old) over the same users, with its interval.

    `low` > 0: new is better. `high` < 0: new is worse. Otherwise no difference was shown.

    >>> paired_difference(np.array([1.0, 0.5]), np.array([0.5, 0.0]), seed=0)
    Estimate(value=0.5, low=0.5, high=0.5)
    """
    return mean_intervals((new - old)[:, None], seed, resamples)[0]


def _weights(n: int, seed: int, resamples: int) -> Iterator[npt.NDArray[np.float64]]:
    """Yield float64[n], how often each user was drawn, once per resample."""
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64)


def _quantiles(drawn: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return float64[2, m], the ends of the interval; NaN where a metric never existed."""
    ends = np.full((2, drawn.shape[1]), np.nan)
    known = ~np.isnan(drawn).any(axis=0)
    if known.any():
        ends[:, known] = np.quantile(drawn[:, known], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return ends


def _ratio(
    above: npt.NDArray[np.float64], below: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
