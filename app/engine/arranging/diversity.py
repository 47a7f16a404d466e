"""The stage `diversity`: items that are unlike each other come before more of the same.

    each place:  the highest (1 − d) · relevance − d · likeness to what is chosen already
    relevance  = the mean of 1 − log(1 + rank) / log(1 + candidates), with ranks from 0,
                 and (score − lowest) / (highest − lowest)
    likeness   = the mean of the highest cosine and the mean cosine

This is maximal marginal relevance (MMR, Carbonell and Goldstein 1998) among the best candidates.
What earlier pages have shown is chosen already. Both halves of the relevance mean the same for log
odds and for a blend. The score knows where good candidates end. The rank still tells candidates
apart where a few exact titles score far above all others. The highest cosine keeps twins apart, the
mean one spreads the list. docs/diversity.md compares this with other ways, on films.

An item without a vector is neither like nor unlike others: it counts as the mean of those that have
one.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from app.core.types import Mask, Matrix, Rows, Vector
from app.engine.kernels.topk import Hits

POOL: Final = 100
"""So many of the best candidates are chosen from, or k if that is more."""

_NO_SPREAD: Final = 1e-9
"""Scores that differ by less are equal."""

_MOST_SHOWN: Final = 200
"""So many items of earlier pages count, the last ones shown."""


@dataclass(frozen=True, slots=True)
class Before:
    """What comes before the places that diversity fills.

    `shown`: int64[s], rows of earlier pages, oldest first. `fixed`: so many of the first candidates
    keep their places.
    """

    shown: Rows
    fixed: int = 0


def diverse(hits: Hits, k: int, weight: float, vectors: Matrix, before: Before) -> Hits:
    """Return candidates with k diverse ones first, and all others behind them in their order.

    Args:
        hits: the candidates, best first.
        k: how many places are filled.
        weight: d above, in [0, 1].
        vectors: float32[n, dim] of unit norm, of all rows; zeros = none.
        before: what counts as chosen already.
    """
    size = min(max(k, POOL), len(hits.rows))
    pool = vectors.take(hits.rows[:size], axis=0)
    gain = np.float32(1.0 - weight) * _relevance(hits.scores[:size])
    likeness = _Likeness(pool, vectors.take(before.shown[-_MOST_SHOWN:], axis=0))
    chosen: list[int] = []
    for place in range(min(k, size)):
        if place < before.fixed:
            at = place
        else:
            at = int((gain - np.float32(weight) * likeness.now(gain)).argmax())
        chosen.append(at)
        gain[at] = -np.inf
        likeness.choose(at)
    rest = np.ones(len(hits.rows), np.bool_)
    rest[chosen] = False
    positions = np.concatenate([np.array(chosen, np.int64), np.flatnonzero(rest)])
    return Hits(hits.rows[positions], hits.scores[positions])


def _relevance(scores: Vector) -> Vector:
    """Return float32[c] in [0, 1] for the scores of candidates in their order."""
    by_rank = 1.0 - np.log1p(np.arange(len(scores))) / np.log1p(len(scores))
    above = scores.astype(np.float64) - scores.min(initial=np.inf)
    by_score = above / max(above.max(initial=0.0), _NO_SPREAD)
    relevance: Vector = ((by_rank + by_score) / 2).astype(np.float32)
    return relevance


class _Likeness:
    """How like each of c candidates is to what is chosen."""

    def __init__(self, pool: Matrix, shown: Matrix) -> None:
        """Take float32[c, dim] of the candidates, and float32[s, dim] of what was shown."""
        self._pool = pool
        self._known: Mask = np.asarray(pool.any(axis=1), np.bool_)
        self._all_known = bool(self._known.all())
        shown = shown[shown.any(axis=1)]
        cosines = pool @ shown.T
        self._highest = cosines.max(axis=1, initial=-1.0)
        self._sum = cosines.sum(axis=1)
        self._n = len(shown)

    def now(self, gain: Vector) -> Vector:
        """Return float32[c]. `gain`: float32[c], -inf for the candidates that are chosen."""
        likeness: Vector = self._sum * np.float32(0.5 / max(self._n, 1))
        likeness += np.float32(0.5) * self._highest
        if not self._all_known:
            others = self._known & (gain > -np.inf)
            likeness[~self._known] = likeness[others].mean() if others.any() else 0.0
        return likeness

    def choose(self, at: int) -> None:
        """Count the candidate at a position as chosen; one without a vector is like nothing."""
        if not self._known[at]:
            return
        cosines = self._pool @ self._pool[at]
        np.maximum(self._highest, cosines, out=self._highest)
        self._sum += cosines
        self._n += 1
