"""Models that predict the value of a rating: means, biases, and a value head over neighbours.

    mean         of all ratings
    item         mean + bias of the item
    item + user  mean + bias of the item + bias of the user
    value head   these, and what the user's ratings of similar items were above or below them

All are least squares fits, shrunk towards 0. Two items are similar if the same users rate both
above what was to be expected, or below it: the cosine of what is left of their ratings. The numbers
were chosen on the ratings before the held-out ones of `ml-latest-small` (docs/accuracy.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.sparse as sp

from app.domain.columns import Floats
from app.offline.learning.sequences import Ints

ITEM_COUNT: Final = 2.0
"""Ratings of an item that count as much for its bias as 0 does."""
USER_COUNT: Final = 5.0
"""The same of a user."""
PAIR_COUNT: Final = 10.0
"""Common raters of two items that count as much for their similarity as 0 does."""
NEIGHBOURS: Final = 50
NEIGHBOUR_COUNT: Final = 0.2
"""Sum of similarities that counts as much for what neighbours say as 0 does."""

_ROUNDS: Final = 10
_LEAST: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Ratings:
    """m ratings: int64[m] users and items, and float64[m] values."""

    users: Ints
    items: Ints
    values: Floats


@dataclass(frozen=True, slots=True)
class Biases:
    """How far the ratings of items and users lie above or below the mean of all."""

    mean: float
    items: Floats
    users: Floats

    @classmethod
    def of(cls, known: Ratings, n_users: int, n_items: int) -> "Biases":
        """Fit both in turn."""
        mean = float(known.values.mean())
        rest, users = known.values - mean, np.zeros(n_users)
        items = np.zeros(n_items)
        for _ in range(_ROUNDS):
            items = _shrunk(known.items, rest - users[known.users], n_items, ITEM_COUNT)
            users = _shrunk(known.users, rest - items[known.items], n_users, USER_COUNT)
        return cls(mean, items, users)

    def predict(self, users: Ints, items: Ints) -> Floats:
        """Return float64[m], the expected ratings of some users and items."""
        return self.mean + self.items[items] + self.users[users]


class ValueHead:
    """Biases, and what similar items that the user has rated say beyond them."""

    def __init__(self, known: Ratings, biases: Biases) -> None:
        """Take the ratings that are known, and their biases."""
        shape = (len(biases.users), len(biases.items))
        rest = known.values - biases.predict(known.users, known.items)
        self._biases = biases
        self._rest = sp.csc_matrix((rest, (known.users, known.items)), shape)
        ones = np.ones(len(rest))
        self._rated = sp.csc_matrix((ones, (known.users, known.items)), shape)
        self._by_user = sp.csr_matrix(self._rest)
        squares = np.asarray(self._rest.multiply(self._rest).sum(axis=0)).ravel()
        self._norms = np.sqrt(np.maximum(squares, _LEAST))

    def predict(self, users: Ints, items: Ints) -> Floats:
        """Return float64[m], the expected ratings of some users and items."""
        expected = self._biases.predict(users, items)
        for user in np.unique(users).tolist():
            asked = np.flatnonzero(users == user)
            expected[asked] += self._beyond(user, items[asked])
        return expected

    def _beyond(self, user: int, items: Ints) -> Floats:
        """Return float64[t], what the neighbours say of int64[t] items."""
        start, end = self._by_user.indptr[user : user + 2]
        rated, rest = self._by_user.indices[start:end], self._by_user.data[start:end]
        if not len(rated):
            return np.zeros(len(items))
        common = (self._rated[:, items].T @ self._rated[:, rated]).toarray()
        products = (self._rest[:, items].T @ self._rest[:, rated]).toarray()
        cosines = products / np.outer(self._norms[items], self._norms[rated])
        near = np.maximum(cosines * common / (common + PAIR_COUNT), 0.0)
        near[items[:, None] == rated[None]] = 0.0
        if len(rated) > NEIGHBOURS:
            edge = np.partition(near, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS]
            near[near < edge[:, None]] = 0.0
        beyond: Floats = near @ rest / (near.sum(axis=1) + NEIGHBOUR_COUNT)
        return beyond


def predictions(
    known: Ratings, users: Ints, items: Ints, n_users: int, n_items: int
) -> Mapping[str, Floats]:
    """Return float64[m] of each model: what it expects of int64[m] users and items."""
    mean = float(known.values.mean())
    alone = _shrunk(known.items, known.values - mean, n_items, ITEM_COUNT)
    biases = Biases.of(known, n_users, n_items)
    return {
        "mean": np.full(len(users), mean),
        "item": mean + alone[items],
        "item + user": biases.predict(users, items),
        "value head": ValueHead(known, biases).predict(users, items),
    }


def _shrunk(codes: Ints, rest: Floats, n: int, count: float) -> Floats:
    """Return float64[n], the means of `rest` by code, as if each had `count` more of 0."""
    return np.bincount(codes, rest, n) / (np.bincount(codes, minlength=n) + count)
