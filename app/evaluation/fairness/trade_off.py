"""What it costs to show more of a catalogue: each setting of the request fields that do so.

    diversity         items beside each other that are unlike
    popularity_bias   below 0: items that few took come up; above 0: they go down
    exposure          a floor: the least share of the places that one group of items has

Half of the users choose: the group that gets the floor, and for each field the setting that shows
most of the catalogue and loses little accuracy. The other half is what the figures are about, so
that no setting is praised on the users it was chosen on. The rank of an item is its place in the
list here: an arranged list does not follow its scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.core.ports import Engine
from app.core.ranking import RankRequest
from app.core.types import Matrix, Rows
from app.domain.exposure import ExposureWish, GroupBounds, checked_exposure
from app.evaluation.answers import Numbering, ask_engine, by_place
from app.evaluation.fairness.measures import TOP, Document, shown_of_all
from app.offline.metrics.intervals import mean_intervals, paired_difference
from app.offline.metrics.ranking import Numbers, diversity, mean_over, ndcg_at

DIVERSITIES: Final = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
BIASES: Final = (-1.0, -0.7, -0.5, -0.3, -0.2, -0.1, 0.1, 0.3, 1.0)
FLOORS: Final = (0.1, 0.2, 0.3, 0.4, 0.5)

MOST_LOST: Final = 0.02
"""The share of NDCG@10 that the chosen setting of a field may lose."""

_GAINS: Final = {
    "diversity": f"diversity@{TOP}",
    "popularity_bias": f"coverage@{TOP}",
    "exposure": "floor_share",
}
"""Request field -> the figure that it is there to raise."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of one request field; `changes` are those of the request."""

    field: str
    value: float
    changes: Mapping[str, Any]


PLAIN: Final = Setting("plain", 0.0, {})
"""The lists as they are without any of it."""


@dataclass(frozen=True, slots=True)
class FloorGroup:
    """The group of items that gets a floor: one value of a field of the items."""

    field: str
    label: str


def settings_of(floor: FloorGroup | None) -> list[Setting]:
    """Return the settings to measure; without a group, none with a floor."""
    settings = [Setting("diversity", value, {"diversity": value}) for value in DIVERSITIES]
    settings += [Setting("popularity_bias", value, {"popularity_bias": value}) for value in BIASES]
    if floor is not None:
        for least in FLOORS:
            wish = ExposureWish(field=floor.field, groups={floor.label: GroupBounds(min=least)})
            # That the values of the field make groups is known by now.
            text = checked_exposure(wish, {floor.field: "string"}, {})
            settings.append(Setting("exposure", least, {"exposure": text}))
    return settings


@dataclass(frozen=True, slots=True)
class Shown:
    """What n users were shown: int64[n, k] lists, and float64[n], the NDCG@10 of each."""

    lists: Rows
    accuracy: Numbers

    def only(self, users: npt.NDArray[np.bool_]) -> "Shown":
        """Return the part of some users, bool[n]."""
        return Shown(self.lists[users], self.accuracy[users])


@dataclass(frozen=True, slots=True)
class SameRequests:
    """Asks an engine the same n requests under one setting after the other.

    Attributes:
        engine: what answers.
        requests: n requests.
        targets: int64[n], the row of what each user took; -1 = an item outside the catalogue.
        numbering: rows of the items.
    """

    engine: Engine
    requests: Sequence[RankRequest]
    targets: Rows
    numbering: Numbering

    def shown(self, setting: Setting) -> Shown:
        """Return the first ten of each request under a setting. Raises `EngineError`."""
        answers = ask_engine(
            engine=self.engine,
            requests=[each._replace(k=TOP, **setting.changes) for each in self.requests],
            targets=self.targets,
            numbering=self.numbering,
            label=f"{setting.field} {setting.value:g}",
        )
        return Shown(answers.rows, ndcg_at(by_place(answers).ranks, TOP))


def measured(
    shown: Shown, base: Shown, members: Mapping[str, Numbers], vectors: Matrix, seed: int
) -> Document:
    """Return what a setting costs and brings beside the plain lists of the same users, as JSON.

    Args:
        shown: under the setting.
        base: without it.
        members: name of a figure -> float64[n_items], 1 for the items whose share of the places it
            is.
        vectors: float32[n_items, dim] of unit norm: what makes items of a list unlike each other.
        seed: of the intervals.
    """
    lost = paired_difference(base.accuracy, shown.accuracy, seed)
    whole = float(base.accuracy.mean()) or np.nan
    return {
        f"ndcg@{TOP}": mean_intervals(shown.accuracy[:, None], seed)[0].document(),
        "lost": {
            name: None if np.isnan(whole) else round(value / whole, 6)
            for name, value in (("value", lost.value), ("low", lost.low), ("high", lost.high))
        },
        **shown_of_all(shown.lists, len(vectors)),
        f"diversity@{TOP}": round(float(np.nanmean(diversity(shown.lists, vectors))), 6),
        **{
            name: round(float(np.nanmean(mean_over(shown.lists, of_group))), 6)
            for name, of_group in members.items()
        },
    }


def chosen(rows: Sequence[Document], fields: Sequence[str]) -> dict[str, float | None]:
    """Return for each field the value that shows most and loses at most `MOST_LOST`.

    Of `diversity` it is the most diverse list, of `exposure` the largest share for the group, of
    `popularity_bias` the widest coverage.
    Where all lose more, or none shows more than the plain lists: None.

    Args:
        rows: the figures of the users who choose, each with its `field` and `value`; the first is
            that of the plain lists.
        fields: to choose for.
    """
    plain, *others = rows
    found: dict[str, float | None] = {}
    for name in fields:
        gain = _GAINS[name]
        good = [
            row
            for row in others
            if row["field"] == name
            and (row["lost"]["value"] or 0.0) <= MOST_LOST
            and row[gain] > plain[gain]
        ]
        best = max(good, key=lambda row: float(row[gain]), default=None)
        found[name] = None if best is None else best["value"]
    return found


def least_shown(rows: Sequence[Document], least_relevance: float = 0.02) -> str | None:
    """Return the group of `item_group_table` that is shown most rarely for what users took of it.

    Groups that hardly anybody took are left out, and those that are shown as often as taken.
    """
    rare = [
        row
        for row in rows
        if (row["relevance"] or 0.0) >= least_relevance
        and row["ratio"]["value"] is not None
        and row["ratio"]["value"] < 1.0
        and not str(row["group"]).startswith("(")
    ]
    least = min(rare, key=lambda row: float(row["ratio"]["value"]), default=None)
    return None if least is None else str(least["group"])
