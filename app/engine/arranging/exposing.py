"""The stage `exposure`: which of the candidates fill the places, so that groups get their share.

    the first k, in their order ▸ exchange until the floors and caps are met, at the least loss

Candidates that are in the same groups have one mix of groups. Of a mix the first ones are taken. An
exchange takes the last item of a mix out and the next one of another mix in. As long as single
exchanges, and then pairs of them, bring fewer violations, or a better list with as many, the best
one is done. Where an item is in one group at most, single exchanges reach the best list. Where
items are in several groups, pairs are tried as well; a test compares that with all possible lists.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.core.types import Rows
from app.domain.columns import Floats

Counts = npt.NDArray[np.int64]

_MOST_MIXES: Final = 16
_MOST_PAIRS: Final = 8
"""Of more mixes, and more often for one answer, pairs of exchanges would take too long."""

_BETTER: Final = 1e-9
_NO_ROWS: Final[Rows] = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class PlacesByMix:
    """The places of an answer, by mix of groups.

    Attributes:
        positions: int64[k], ascending: the candidates that fill the places.
        mixes: int64[c], the mix of each candidate; candidates of a mix are in the same groups.
        quotas: int64[t], how many places each mix has.
    """

    positions: Rows
    mixes: Rows
    quotas: Counts


def chosen(
    values: Floats, members: npt.NDArray[np.bool_], bounds: Sequence[tuple[int, int]], k: int
) -> PlacesByMix:
    """Choose k candidates, so that groups have between so many and so many of them.

    If no choice can do that, the violations are as few as possible.

    Args:
        values: float64[c], falling: what each candidate is worth.
        members: bool[g, c], which candidates are in which group.
        bounds: the least and the greatest number of each group.
        k: how many to choose; all, if there are fewer.
    """
    codes = (1 << np.arange(len(members))) @ members
    distinct, mixes = np.unique(codes, return_inverse=True)
    of_mix = [np.flatnonzero(mixes == mix) for mix in range(len(distinct))]
    quotas = np.bincount(mixes[:k], minlength=len(distinct))
    groups = (distinct[:, None] >> np.arange(len(members))) & 1
    least, most = np.array(bounds).T
    search = _Exchanges(
        values=[values[positions] for positions in of_mix],
        groups=groups,
        least=least,
        most=most,
    )
    if k < len(values):
        pairs = _MOST_PAIRS
        for _ in range(4 * k):
            if search.by_one(quotas):
                continue
            if not pairs or not search.by_two(quotas):
                break
            pairs -= 1
    taken = [positions[:quota] for positions, quota in zip(of_mix, quotas.tolist(), strict=True)]
    positions = np.sort(np.concatenate([_NO_ROWS, *taken]))
    return PlacesByMix(positions, mixes, quotas)


@dataclass(frozen=True, slots=True)
class _Exchanges:
    """The exchanges between mixes.

    Attributes:
        values: of the candidates of each mix, falling.
        groups: int64[t, g], 1 where a mix is in a group.
        least, most: int64[g].
    """

    values: Sequence[Floats]
    groups: Counts
    least: Counts
    most: Counts

    def by_one(self, quotas: Counts) -> bool:
        """Change the quotas, int64[t], by the best exchange; False if none makes them better."""
        out, into = self._possible(quotas)
        if not len(out):
            return False
        counts = quotas @ self.groups
        gains = self._values_at(quotas)[into] - self._values_at(quotas - 1)[out]
        best = self._best(counts, counts + self.groups[into] - self.groups[out], gains)
        if best is None:
            return False
        quotas[out[best]] -= 1
        quotas[into[best]] += 1
        return True

    def by_two(self, quotas: Counts) -> bool:
        """Change the quotas by the best pair of exchanges; False if none makes them better."""
        out, into = self._possible(quotas)
        if len(quotas) > _MOST_MIXES or not len(out):
            return False
        last, before = self._values_at(quotas - 1), self._values_at(quotas - 2)
        following, after = self._values_at(quotas), self._values_at(quotas + 1)
        counts = quotas @ self.groups
        if (
            not self._violations(counts[None])[0]
            and np.nanmax(following) <= np.nanmin(last) + _BETTER
        ):
            return False  # the best of all, and nothing is violated
        one, other = np.triu_indices(len(out))
        gains = (
            following[into[one]]
            - last[out[one]]
            + np.where(into[one] == into[other], after[into[one]], following[into[other]])
            - np.where(out[one] == out[other], before[out[one]], last[out[other]])
        )
        change = self.groups[into] - self.groups[out]
        best = self._best(counts, counts + change[one] + change[other], gains)
        if best is None:
            return False
        for exchange in (one[best], other[best]):
            quotas[out[exchange]] -= 1
            quotas[into[exchange]] += 1
        return True

    def _possible(self, quotas: Counts) -> tuple[Counts, Counts]:
        """Return the exchanges that there are: the mixes that they take out and take in."""
        n = len(quotas)
        out, into = (each.ravel() for each in np.divmod(np.arange(n * n), n))
        sizes = np.array([len(values) for values in self.values])
        possible = (out != into) & (quotas[out] > 0) & (quotas[into] < sizes[into])
        return out[possible], into[possible]

    def _best(self, counts: Counts, afterwards: Counts, gains: Floats) -> int | None:
        """Return which of m exchanges is the best; None if none makes the list better.

        Args:
            counts: int64[g], items in each group now.
            afterwards: int64[m, g], the same after each exchange.
            gains: float64[m], in value; NaN or -inf = it cannot be done.
        """
        now = int(self._violations(counts[None])[0])
        violations = self._violations(afterwards)
        violations[~np.isfinite(gains)] = np.iinfo(np.int64).max
        fewest = int(violations.min())
        gains = np.where(violations == fewest, gains, -np.inf)
        best = int(gains.argmax())
        better = fewest < now or (fewest == now and gains[best] > _BETTER)
        return best if better else None

    def _violations(self, counts: Counts) -> Counts:
        """Return int64[m] for int64[m, g]: how many items are missing, or too many."""
        missing = np.maximum(self.least - counts, 0)
        violations: Counts = (missing + np.maximum(counts - self.most, 0)).sum(axis=1)
        return violations

    def _values_at(self, positions: Counts) -> Floats:
        """Return float64[t]: of each mix the value at a position; NaN = there is none."""
        return np.array(
            [
                values[at] if 0 <= at < len(values) else np.nan
                for values, at in zip(self.values, positions.tolist(), strict=True)
            ]
        )
