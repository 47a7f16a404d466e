"""Shapley values: how a value that several players reach together is shared among them.

The share of a player is the mean of what it adds, over all orders in which the players can come.
With n players that is a sum over the 2ⁿ coalitions, which is exact and fast for at most seven:

    share(j) = Σ over coalitions S without j:  |S|! (n − |S| − 1)! / n! · (value(S + j) − value(S))

The shares add up to value(all) − value(nobody). A player that never changes the value gets 0.
"""

from functools import lru_cache
from math import factorial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.core.types import Mask, Rows
from app.domain.columns import Floats


class _Joins(NamedTuple):
    """For each player: int64[n, 2ⁿ⁻¹] coalitions without it, with it, and float64 weights."""

    without: Rows
    joined: Rows
    weights: Floats


@lru_cache
def coalitions(n: int) -> Mask:
    """Return bool[2ⁿ, n], read-only: which players are in which coalition; nobody is first.

    >>> coalitions(2).tolist()
    [[False, False], [True, False], [False, True], [True, True]]
    """
    members: npt.NDArray[np.bool_] = (np.arange(2**n)[:, None] >> np.arange(n)) & 1 == 1
    members.setflags(write=False)
    return members


def shapley_values(values: Floats) -> Floats:
    """Return float64[n, m], the share of each player, of m games.

    Args:
        values: float64[2ⁿ, m], of each coalition in the order of `coalitions`.
    """
    steps = _steps(len(values).bit_length() - 1)
    added = values[steps.joined] - values[steps.without]
    shares: Floats = np.einsum("nc,ncm->nm", steps.weights, added)
    return shares


@lru_cache
def _steps(n: int) -> _Joins:
    members = coalitions(n)
    bits = 1 << np.arange(n)
    without = [np.flatnonzero(~members[:, player]) for player in range(n)]
    sizes = [members[rows].sum(axis=1) for rows in without]
    by_size = np.array([factorial(s) * factorial(n - s - 1) for s in range(n)]) / factorial(n)
    shape = n, 2**n // 2
    outside = np.array(without, np.int64).reshape(shape)
    weights = by_size[np.array(sizes, np.int64).reshape(shape)]
    return _Joins(outside, outside + bits[:, None], weights)
