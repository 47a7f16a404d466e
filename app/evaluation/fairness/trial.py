"""The part `fairness` of a result: who and what is served how well, and what a change costs."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from app.core.ports import Engine
from app.core.types import Attributes, Matrix, Rows
from app.evaluation.answers import Answers, Numbering
from app.evaluation.fairness import trade_off
from app.evaluation.fairness.groups import (
    ItemGroups,
    UserGroup,
    attribute_groups,
    field_groups,
    popularity_parts,
    thirds,
)
from app.evaluation.fairness.measures import (
    TOP,
    Document,
    item_group_table,
    shown_of_all,
    user_group_table,
)
from app.evaluation.protocols import Case
from app.offline.metrics.ranking import Numbers, mean_over, ndcg_at

Opener: TypeAlias = Callable[[Path], Engine]


@dataclass(frozen=True, slots=True)
class FairnessTrial:
    """A bundle, and n users who were asked about.

    Attributes:
        bundle: path of the bundle.
        cases: one of each user.
        numbering: rows of the items.
        counts: float64[n_items], positive training events of each item.
        vectors: float32[n_items, dim] of unit norm: the titles as the plain encoder encodes them.
        histories: int64[n, h], the rows of each user's history, padded with -1.
        attributes: who each user is.
        field: a field of the items, of a kind of `GROUPABLE`, that groups them; "" = none.
        seed: of intervals, and of the half that chooses.
    """

    bundle: Path
    cases: Sequence[Case]
    numbering: Numbering
    counts: Numbers
    vectors: Matrix
    histories: Rows
    attributes: Sequence[Attributes]
    field: str
    seed: int

    def document(self, answers: Answers, open_engine: Opener) -> Document:
        """Return the part of the result.

        Args:
            answers: the engine's to the cases.
            open_engine: opens the bundle as it is served.

        Raises:
            BundleError, EngineError: as opening and asking do.
        """
        with closing(open_engine(self.bundle)) as engine:
            parts = [popularity_parts(self.counts)]
            if self.field:
                parts.append(self._by_field(engine))
            lists, targets = answers.rows[:, :TOP], self.numbering.targets(self.cases)
            return {
                **shown_of_all(lists, len(self.counts)),
                "items": {
                    groups.by: item_group_table(lists, targets, groups, self.seed)
                    for groups in parts
                },
                "users": user_group_table(
                    self._user_groups(),
                    ndcg_at(answers.ranks, TOP),
                    mean_over(lists, self.counts),
                    mean_over(self.histories, self.counts),
                    self.seed,
                ),
                "trade_off": self._trade_off(engine, targets, parts),
            }

    def _by_field(self, engine: Engine) -> ItemGroups:
        items = [engine.item(name) for name in self.numbering.row_of]
        values = [None if item is None else item.fields.get(self.field) for item in items]
        return field_groups(self.field, values)

    def _user_groups(self) -> list[UserGroup]:
        lengths = np.array([case.history_length for case in self.cases], np.float64)
        return [
            *thirds("activity", lengths),
            *thirds("popularity of taste", mean_over(self.histories, self.counts)),
            *attribute_groups(self.attributes),
        ]

    def _trade_off(self, engine: Engine, targets: Rows, parts: Sequence[ItemGroups]) -> Document:
        choosing = np.random.default_rng(self.seed).permutation(len(self.cases)) % 2 == 0
        if choosing.all():  # a single user
            choosing = ~choosing
        requests = [case.request for case in self.cases]
        same = trade_off.SameRequests(engine, requests, targets, self.numbering)
        base = same.shown(trade_off.PLAIN)
        floor = self._floor(base.only(choosing), targets[choosing], parts)
        members = {"tail_share": parts[0].members("tail")}
        if floor is not None:
            members["floor_share"] = parts[1].members(floor.label)
        settings = [trade_off.PLAIN, *trade_off.settings_of(floor)]
        by_half: tuple[list[Document], list[Document]] = ([], [])
        for setting in settings:
            shown = base if setting is trade_off.PLAIN else same.shown(setting)
            for rows, half in zip(by_half, (choosing, ~choosing), strict=True):
                rows.append(
                    {"field": setting.field, "value": setting.value}
                    | trade_off.measured(
                        shown.only(half), base.only(half), members, self.vectors, self.seed
                    )
                )
        fields = list(dict.fromkeys(setting.field for setting in settings[1:]))
        return {
            "n_choosing": int(choosing.sum()),
            "n_users": int((~choosing).sum()),
            "floor": None if floor is None else {"field": floor.field, "group": floor.label},
            "chosen": trade_off.chosen(by_half[0], fields),
            "most_lost": trade_off.MOST_LOST,
            "settings": by_half[1],
        }

    def _floor(
        self, base: trade_off.Shown, targets: Rows, parts: Sequence[ItemGroups]
    ) -> trade_off.FloorGroup | None:
        """Return the group of the field that is shown most rarely for what users took of it."""
        if len(parts) == 1:
            return None
        table = item_group_table(base.lists, targets, parts[1], self.seed)
        label = trade_off.least_shown(table)
        return None if label is None else trade_off.FloorGroup(parts[1].by, label)
