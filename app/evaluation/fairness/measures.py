"""The measures of fairness: pure functions over lists, groups and held-out items.

    exposure of a group   the share of the places of the lists that its items hold, mean over users
    relevance of a group  the share of the held-out items that belong to it: what users took
    ratio                 exposure / relevance: 1 = shown as often as taken, below 1 = too rarely

All places of a list count the same, as they do in `exposure` of a request. Gini and coverage are in
`app.offline.metrics.ranking`.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from app.core.types import Rows
from app.evaluation.fairness.groups import ItemGroups, UserGroup
from app.offline.metrics import ranking
from app.offline.metrics.intervals import Estimate, mean_intervals, ratio_interval
from app.offline.metrics.ranking import Numbers

TOP = 10
"""The places of a list that count."""

Document: TypeAlias = dict[str, Any]


def place_shares(lists: Rows, groups: ItemGroups) -> npt.NDArray[np.float64]:
    """Return float64[n, g]: the share of the places of int64[n, k] lists that each group holds.

    -1 = no item; a row of NaN for an empty list.

    >>> groups = ItemGroups("x", ("a", "b"), np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]))
    >>> place_shares(np.array([[0, 1], [2, -1]]), groups).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    shares = [ranking.mean_over(lists, weights) for weights in groups.weights.T]
    return np.stack(shares, axis=1)


def item_group_table(
    lists: Rows, targets: Rows, groups: ItemGroups, seed: int
) -> list[dict[str, Any]]:
    """Return exposure, relevance and their ratio of each group of items, as JSON.

    Args:
        lists: int64[n, k], what n users were shown.
        targets: int64[n], what each of them took; -1 = an item outside the catalogue.
        groups: of the items.
        seed: of the intervals.
    """
    shown = place_shares(lists, groups)
    taken = place_shares(targets[:, None], groups)
    both = (lists >= 0).any(axis=1) & (targets >= 0)
    rows = []
    for number, label in enumerate(groups.labels):
        exposure, relevance = shown[both, number], taken[both, number]
        rows.append(
            {
                "group": label,
                "n_items": round(float(groups.weights[:, number].sum()), 1),
                "exposure": _rounded(exposure.mean() if len(exposure) else np.nan),
                "relevance": _rounded(relevance.mean() if len(relevance) else np.nan),
                "ratio": ratio_interval(exposure, relevance, seed).document(),
            }
        )
    return rows


def user_group_table(
    groups: Sequence[UserGroup], accuracy: Numbers, listed: Numbers, taken: Numbers, seed: int
) -> list[dict[str, Any]]:
    """Return accuracy and popularity lift of each group of users, as JSON.

        lift = mean popularity of the lists / mean popularity of the histories − 1

    Args:
        groups: of n users.
        accuracy: float64[n], the NDCG@10 of each user's list.
        listed: float64[n], the mean popularity of each user's list.
        taken: float64[n], that of each user's history; NaN = none.
        seed: of the intervals.
    """
    rows = []
    for group in groups:
        inside = group.members
        ratio = ratio_interval(listed[inside], taken[inside], seed)
        lift = Estimate(ratio.value - 1.0, ratio.low - 1.0, ratio.high - 1.0)
        rows.append(
            {
                "by": group.by,
                "group": group.label,
                "n_users": int(inside.sum()),
                f"ndcg@{TOP}": mean_intervals(accuracy[inside][:, None], seed)[0].document(),
                f"popularity_lift@{TOP}": lift.document(),
            }
        )
    return rows


def shown_of_all(lists: Rows, n_items: int) -> Document:
    """Return Gini and coverage of all lists together.

    >>> shown_of_all(np.array([[0], [0]]), 4)
    {'gini@10': 0.75, 'coverage@10': 0.25}
    """
    counts = ranking.exposure(lists, n_items)
    return {
        f"gini@{TOP}": round(ranking.gini(counts), 6),
        f"coverage@{TOP}": round(ranking.coverage(counts), 6),
    }


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
