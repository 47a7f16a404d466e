"""Shapley values are the mean of what a player adds, over all orders of the players."""

from itertools import permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.engine.explaining.shapley import coalitions, shapley_values


def by_permutations(values):
    """The definition: every order of the players, one after the other."""
    n = len(values).bit_length() - 1
    shares, orders = np.zeros((n, values.shape[1])), list(permutations(range(n)))
    for order in orders:
        coalition = 0
        for player in order:
            joined = coalition | 1 << player
            shares[player] += values[joined] - values[coalition]
            coalition = joined
    return shares / len(orders)


@given(n=st.integers(0, 5), seed=st.integers(0, 10_000))
def test_shares_are_the_means_over_all_orders(n, seed):
    values = np.random.default_rng(seed).normal(size=(2**n, 3))
    np.testing.assert_allclose(shapley_values(values), by_permutations(values), atol=1e-12)


def test_a_player_that_changes_nothing_gets_exactly_nothing():
    members = coalitions(4)
    values = np.random.default_rng(1).normal(size=(8, 5))
    # The values depend on players 0, 1 and 3 alone.
    of_others = members[:, 0] + 2 * members[:, 1] + 4 * members[:, 3]
    assert shapley_values(values[of_others])[2].tolist() == [0.0] * 5


def test_seven_players_share_all_there_is():
    values = np.random.default_rng(2).normal(size=(128, 4))
    np.testing.assert_allclose(shapley_values(values).sum(axis=0), values[-1] - values[0])
