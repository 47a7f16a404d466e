"""The groups that are compared: of items, and of users.

    items   by how often they were taken (head, middle, tail), and by the values of a field
    users   by how much they took, by how popular that is, and by their attributes

This module does not know what was recommended.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.core.types import Attributes, JsonValue
from app.offline.metrics.ranking import Numbers

GROUPABLE: Final = frozenset({"string", "strings", "boolean"})
"""Kinds of fields whose values make groups of items."""

MOST_GROUPS: Final = 20
"""The values of a field that most items have; what is left is one group together."""

OTHERS: Final = "(others)"
MISSING: Final = "(no value)"

PARTS: Final = ("head", "middle", "tail")
THIRDS: Final = ("lower third", "middle third", "upper third")
LEAST_USERS: Final = 10
"""Smaller groups of users are left out: their means say nothing."""


@dataclass(frozen=True, slots=True)
class ItemGroups:
    """n items in g groups.

    Attributes:
        by: what they are grouped by.
        labels: g names.
        weights: float64[n, g], how much of each item belongs to each group; a row sums to 1.
    """

    by: str
    labels: tuple[str, ...]
    weights: npt.NDArray[np.float64]

    def members(self, label: str) -> npt.NDArray[np.float64]:
        """Return float64[n]: 1 for each item that is in a group, however much."""
        return (self.weights[:, self.labels.index(label)] > 0.0).astype(np.float64)


@dataclass(frozen=True, slots=True)
class UserGroup:
    """Some of n users. `members`: bool[n]."""

    by: str
    label: str
    members: npt.NDArray[np.bool_]


def popularity_parts(counts: Numbers) -> ItemGroups:
    """Return head, middle and tail of float64[n], how often each item was taken.

    The head is the most popular items that were taken a third of all times; the middle the next
    ones, with another third; the tail is all other items.

    >>> popularity_parts(np.array([1.0, 4.0, 3.0, 1.0, 0.0])).weights.argmax(axis=1).tolist()
    [2, 0, 1, 2, 2]
    """
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    total = max(float(counts.sum()), 1.0)
    part = np.empty(len(counts), np.int64)
    part[order] = np.minimum((before * len(PARTS) / total).astype(np.int64), len(PARTS) - 1)
    if not counts.any():
        part[:] = len(PARTS) - 1
    return ItemGroups("popularity", PARTS, np.eye(len(PARTS))[part])


def field_groups(field: str, values: Sequence[JsonValue]) -> ItemGroups:
    """Return the items by their values of a field; one with several counts for each in part.

    >>> groups = field_groups("genre", [["a", "b"], "a", None])
    >>> groups.labels, groups.weights.tolist()
    (('a', 'b', '(no value)'), [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    """
    names = [_names(value) for value in values]
    common = Counter(name for some in names for name in some).most_common()
    labels = [name for name, _ in common[:MOST_GROUPS]]
    if len(common) > MOST_GROUPS:
        labels.append(OTHERS)
    if not all(names):
        labels.append(MISSING)
    place = {label: position for position, label in enumerate(labels)}
    weights = np.zeros((len(names), len(labels)))
    for row, some in enumerate(names):
        for name in some or [MISSING]:
            weights[row, place[name if name in place else OTHERS]] += 1.0 / max(len(some), 1)
    return ItemGroups(field, tuple(labels), weights)


def _names(value: JsonValue) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return list(dict.fromkeys(_named(each) for each in values if each is not None))


def _named(value: JsonValue) -> str:
    """Return the name of a value, as `exposure` of a request names it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def thirds(by: str, values: Numbers) -> list[UserGroup]:
    """Return users by thirds of float64[n]; equal values stay together, NaN is in no group.

    >>> [group.members.tolist() for group in thirds("x", np.array([1.0, 2.0, 3.0]))]
    [[True, False, False], [False, True, False], [False, False, True]]
    """
    known = ~np.isnan(values)
    if not known.any():
        return []
    ends = np.quantile(values[known], [1 / 3, 2 / 3])
    third = np.searchsorted(ends, np.where(known, values, 0.0), side="left")
    groups = [UserGroup(by, label, known & (third == n)) for n, label in enumerate(THIRDS)]
    return [group for group in groups if group.members.any()]


def attribute_groups(users: Sequence[Attributes]) -> list[UserGroup]:
    """Return users by the values of their attributes; numbers by thirds, small groups left out."""
    known: list[Mapping[str, object]] = [dict(each) for each in users]
    groups: list[UserGroup] = []
    for name in sorted({name for each in known for name in each}):
        values = [each.get(name) for each in known]
        if all(_is_number(value) for value in values if value is not None):
            numbers = [np.nan if value is None else float(str(value)) for value in values]
            groups += thirds(name, np.array(numbers))
            continue
        counted = Counter(str(value) for value in values if value is not None)
        for label, _ in counted.most_common(MOST_GROUPS):
            members = np.array([value is not None and str(value) == label for value in values])
            groups.append(UserGroup(name, label, members))
    return [group for group in groups if group.members.sum() >= LEAST_USERS]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
