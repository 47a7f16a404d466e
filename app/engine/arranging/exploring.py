"""The stage `explore`: fills each place by a draw, with the probability that the request names.

    each place:  with probability e     a draw among all that are left: softmax(logits)
                 otherwise              the first one that is left

    propensity of an item at a place = e · softmax(item) + (1 − e) · [it is the first one left]

The propensity is exact, given the places before: what estimates of other rankings are made from
(inverse propensity scoring). The logits are the scores. Log odds are taken as they are: items are
drawn by their odds of being taken. A blend is divided by its spread, the difference of its
quartiles, in which a few exact titles far above all others do not count. No logit is more than 10
below the highest: every candidate can be drawn.
"""

import random
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.core.types import Vector
from app.domain.columns import Floats
from app.engine.arranging.exposing import PlacesByMix

_FARTHEST: Final = 10.0
_QUARTILES: Final = 1.349
"""The distance of the quartiles of a normal distribution, in standard deviations."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """The places of an answer: positions of candidates, how likely each was, and if by a draw.

    A place is `by_draw` where another candidate than the first one left stands on it.
    """

    positions: list[int]
    propensities: list[float]
    by_draw: list[bool]


def drawn(  # noqa: PLR0913 - each by its name
    logits: Floats,
    k: int,
    *,
    explore: float,
    source: random.Random,
    fixed: int = 0,
    within: PlacesByMix | None = None,
) -> Drawn:
    """Fill up to k places with candidates.

    Args:
        logits: float64[c], of the candidates in their order.
        k: the number of places.
        explore: probability of a draw, in [0, 1].
        source: what is random.
        fixed: so many of the first candidates keep their places.
        within: how many places each mix of groups has; None = mixes do not matter.
    """
    free = np.ones(len(logits), np.bool_)
    left = None if within is None else within.quotas.copy()
    result = Drawn([], [], [])
    for place in range(k):
        allowed = free if within is None or left is None else free & (left[within.mixes] > 0)
        open_ = np.flatnonzero(allowed)
        if not len(open_):
            break
        best = at = int(open_[0])
        propensity = 1.0
        if place >= fixed:
            shares = np.exp(np.maximum(logits[open_] - logits[open_].max(), -_FARTHEST))
            shares /= shares.sum()
            number = 0
            if source.random() < explore:
                number = _pick(shares, source.random())
                at = int(open_[number])
            propensity = explore * float(shares[number]) + (1.0 - explore) * (at == best)
        result.positions.append(at)
        result.propensities.append(min(propensity, 1.0))
        result.by_draw.append(at != best)
        free[at] = False
        if left is not None and within is not None:
            left[within.mixes[at]] -= 1
    return result


def _pick(shares: Floats, number: float) -> int:
    """Return which of the shares, which add up to 1, a number in [0, 1) falls into."""
    return min(int(np.searchsorted(shares.cumsum(), number, side="right")), len(shares) - 1)


def logits_of(scores: Vector, *, is_log_odds: bool) -> Floats:
    """Return float64[c] for the scores of candidates, float32[c]."""
    logits = scores.astype(np.float64)
    if is_log_odds or not len(logits):
        return logits
    low, high = np.quantile(logits, [0.25, 0.75])
    spread = (high - low) / _QUARTILES
    return logits / spread if spread > 0 else logits
