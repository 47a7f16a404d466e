"""The goals of a log: the kinds of positive events, and by which of them each step was taken.

A user who clicks an item today and buys it tomorrow has taken it by both kinds, whichever of the
events a step came from. So a step counts for all kinds by which its user ever took its item. This
module does not know what is learned of goals.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from app.core.types import Rows
from app.domain.columns import Floats
from app.offline.learning.sequences import Ints, steps_of
from app.offline.learning.signals import EventLog

LEAST: Final = 500
"""Pairs of a user and an item that a kind of event needs before it is a goal."""

MOST: Final = 16
"""Goals of a log, the frequent ones first."""


@dataclass(frozen=True, slots=True)
class StepGoals:
    """By which goals the steps of some sequences were taken.

    Attributes:
        names: kinds of events, the most frequent first.
        taken_by: int64[m], of each step; bit g is set where goal g is among them.
        items: int64[m], the row of each step.
    """

    names: tuple[str, ...]
    taken_by: Ints
    items: Rows

    def counts(self, steps: Ints, n_items: int) -> tuple[Floats, Floats]:
        """Count some steps: float64[n_items] of each item, and float64[g, n_items] by goal.

        `steps`: int64[s], positions of them, each once.
        """
        items, taken_by = self.items[steps], self.taken_by[steps]
        by_goal = [
            np.bincount(items, taken_by >> goal & 1, n_items) for goal in range(len(self.names))
        ]
        return np.bincount(items, minlength=n_items).astype(np.float64), np.array(by_goal)


def step_goals_of(log: EventLog, n_items: int, least: int = LEAST) -> StepGoals | None:
    """Return the goals of the steps of a log's sequences; None where no kind is frequent enough."""
    rows, steps = steps_of(log.events, log.item_rows, log.weights, n_items)
    kinds = log.events.event[rows]
    pairs = log.events.user[rows].astype(np.int64) * n_items + log.item_rows[rows]
    by_kind = {name: np.unique(pairs[kinds == code]) for code, name in enumerate(log.events.kinds)}
    frequent = [name for name, taken in by_kind.items() if len(taken) >= least]
    names = sorted(frequent, key=lambda name: (-len(by_kind[name]), name))[:MOST]
    if not names:
        return None
    firsts = np.flatnonzero(np.diff(steps, prepend=-1))
    taken_by = np.zeros(len(firsts), np.int64)
    for goal, name in enumerate(names):
        taken_by |= np.isin(pairs[firsts], by_kind[name]).astype(np.int64) << goal
    return StepGoals(tuple(names), taken_by, log.item_rows[rows[firsts]].astype(np.int64))
