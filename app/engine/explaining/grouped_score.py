"""The score of a request's candidates as a function of the groups of signals that take part.

    score = calibrated(network(features) + terms) + additions

A group that is absent takes the mean over all candidates, of its features and of its terms. So the
score of nobody, the baseline, is the same for all of them. What a group contributes is its Shapley
value (`app.engine.explaining.shapley`). Terms need no coalitions where nothing calibrates them, as
the Shapley value of a sum is the sum of the Shapley values. An addition that is absent is 0.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import compress
from math import fsum
from typing import Final, TypeAlias

import numpy as np

from app.core.explanation import GROUPS, Group
from app.core.types import Mask, Matrix, Rows, Vector
from app.domain.columns import Floats
from app.engine.explaining.shapley import coalitions, shapley_values
from app.engine.scoring.calibration import Calibration

Shares: TypeAlias = dict[Group, Floats]
Summand: TypeAlias = tuple[Group, Vector]
"""A group, and float32[c], what it adds to the score of each candidate."""

_ADJUSTED: Final = 8
"""How often the last digits of a sum are mended, at most."""


@dataclass(frozen=True, slots=True)
class NetworkScore:
    """The learned part of a score.

    Attributes:
        features: float32[f, c], of all candidates.
        groups: of each feature.
        reads: bool[f], whether the network reads a feature at all.
        score: float32[N] of float32[f, N].
    """

    features: Matrix
    groups: tuple[Group, ...]
    reads: Mask
    score: Callable[[Matrix], Vector]


@dataclass(frozen=True, slots=True)
class GroupedScore:
    """The score of the c candidates of one request.

    Attributes:
        network: None where no network scored them.
        terms: what is added to it.
        calibration: of the sum; None = the sum is the score.
        additions: what is added after that.
    """

    network: NetworkScore | None = None
    terms: Sequence[Summand] = ()
    calibration: Calibration | None = None
    additions: Sequence[Summand] = field(default=())

    def contributions(self, positions: Rows) -> tuple[float, Shares]:
        """Return the baseline, and of each group what it adds to int64[m] of the candidates.

        A group that the network does not read, and that adds nothing, is left out.
        """
        terms, additions = _by_group(self.terms), _by_group(self.additions)
        # An addition counts whole: nobody gets it but by a rule.
        shares: Shares = {group: values[positions] for group, values in additions.items()}
        baseline = 0.0
        if self.calibration is None:
            baseline = _add_up(shares, terms, positions)
            terms = {}
        if self.network is None and self.calibration is None:
            return baseline, shares
        in_network = self._in_network()
        players = [group for group in GROUPS if group in terms or group in in_network]
        values = self._values(players, terms, positions)
        for group, share in zip(players, shapley_values(values), strict=True):
            shares[group] = shares.get(group, 0.0) + share
        return baseline + float(values[0, 0]), shares

    def _in_network(self) -> Set[Group]:
        """Return the groups of features that the network reads and that differ anywhere."""
        network = self.network
        if network is None:
            return frozenset()
        features = network.features
        differ = (features != features[:, :1]).any(axis=1) & network.reads
        return set(compress(network.groups, differ.tolist()))

    def _values(
        self, players: Sequence[Group], terms: Mapping[Group, Floats], positions: Rows
    ) -> Floats:
        """Return float64[2ⁿ, m]: the score of each candidate for each coalition of n players."""
        members = coalitions(len(players))
        values = np.zeros((len(members), len(positions)))
        if self.network is not None:
            values += self._network_values(self.network, players, positions)
        for group, term in terms.items():
            present = members[:, players.index(group)][:, None]
            values += np.where(present, term[positions], term.mean())
        if self.calibration is not None:
            flat = values.ravel().astype(np.float32)
            values = self.calibration.log_odds(flat).astype(np.float64).reshape(values.shape)
        return values

    @staticmethod
    def _network_values(network: NetworkScore, players: Sequence[Group], positions: Rows) -> Floats:
        of_items = network.features.take(positions, axis=1)
        means = network.features.mean(axis=1, dtype=np.float64).astype(np.float32)
        present = _present(network.groups, tuple(players))[:, None, :]
        # The coalitions come last: there are more of them than items, and numpy is quick where the
        # last axis is long.
        inputs = np.where(present, of_items[:, :, None], means[:, None, None])
        scores = network.score(inputs.reshape(len(means), -1))
        values: Floats = scores.astype(np.float64).reshape(len(positions), -1).T
        return values


@lru_cache
def _present(groups: tuple[Group, ...], players: tuple[Group, ...]) -> Mask:
    """Return bool[f, 2ⁿ]: whether a feature takes part in a coalition; always without a player."""
    members = coalitions(len(players))
    return np.array(
        [
            members[:, players.index(group)] if group in players else np.ones(len(members), bool)
            for group in groups
        ]
    )


def _by_group(summands: Sequence[Summand]) -> dict[Group, Floats]:
    """Return the sum of the summands of each group."""
    sums: dict[Group, Floats] = {}
    for group, values in summands:
        sums[group] = sums.get(group, 0.0) + values.astype(np.float64)
    return sums


def _add_up(shares: Shares, sums: Mapping[Group, Floats], positions: Rows) -> float:
    """Add what each sum gives the candidates beyond its mean; return the sum of the means."""
    baseline = 0.0
    for group, values in sums.items():
        mean = float(values.mean())
        shares[group] = shares.get(group, 0.0) + values[positions] - mean
        baseline += mean
    return baseline


def adding_up(
    baseline: float, contributions: Mapping[Group, float], score: float
) -> dict[Group, float]:
    """Return contributions whose sum with the baseline is the score to the last digit.

    What rounding has left, the largest contribution takes.

    >>> adding_up(1.0, {"words": 0.5, "taste": 0.25}, 1.765625)
    {'words': 0.515625, 'taste': 0.25}
    """
    mended = dict(contributions)
    if not mended:
        return mended
    largest = max(mended, key=lambda group: abs(mended[group]))
    for _ in range(_ADJUSTED):
        before = mended[largest]
        mended[largest] += score - fsum([baseline, *mended.values()])
        if mended[largest] == before:
            break
    return mended
