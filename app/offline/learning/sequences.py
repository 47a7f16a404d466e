"""The positive events of users as sequences of item rows: the form that all learning reads.

A sequence is kept in flat arrays, never as a Python object per event. This module does not know
files or models.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from app.domain.columns import offsets_of
from app.offline.input.events import Events

Ints: TypeAlias = npt.NDArray[np.int64]
Weights: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sequences:
    """The positive events of n users on known items, each user's oldest first.

    A position in `items` is called a step.

    Attributes:
        users: int64[n], user codes of the event log. Every user here has at least one item.
        items: int64[m], rows of the catalogue, user after user.
        weights: float32[m], weight of each event, > 0, with mean 1.
        offsets: int64[n + 1], where the items of each user begin.
    """

    users: Ints
    items: Ints
    weights: Weights
    offsets: Ints

    def __len__(self) -> int:
        """Return the number of users."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Ints:
        """Return int64[n], events a user."""
        return np.diff(self.offsets)

    def of(self, user: int) -> Ints:
        """Return the rows of one user, oldest first."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def positions(self) -> tuple[Ints, Ints]:
        """Return two int64[m]: the user of each step, and its position in the user's sequence."""
        user = np.repeat(np.arange(len(self)), self.lengths)
        return user, np.arange(len(self.items)) - self.offsets[user]

    def before_last(self, held_out: Ints) -> npt.NDArray[np.bool_]:
        """Return bool[m]: false for the last `held_out[u]` steps of each user u."""
        user, position = self.positions()
        before: npt.NDArray[np.bool_] = position < (self.lengths - held_out)[user]
        return before

    def without_last(self, held_out: Ints) -> "Sequences":
        """Return the sequences without the last `held_out[u]` steps of each user u.

        A user of whom nothing is left is left out.
        """
        lengths = self.lengths - held_out
        keep, left = self.before_last(held_out), lengths > 0
        return Sequences(
            users=self.users[left],
            items=self.items[keep],
            weights=self.weights[keep],
            offsets=offsets_of(lengths[left]),
        )


def sequences_of(
    events: Events, item_rows: npt.NDArray[np.int32], weights: npt.NDArray[np.float64], n_items: int
) -> Sequences:
    """Return the sequences of the positive events on known items.

    Events are ordered by time, then in input order. Events without a time count as the oldest.
    Repeats of one item in a row (a view, a click, then a purchase) are one step; its weight is the
    highest of their weights.

    Args:
        events: the log.
        item_rows: int32[n_events], catalogue rows; n_items and above: unknown items.
        weights: float64[n_events], > 0 for positive events.
        n_items: size of the catalogue.
    """
    rows, steps = steps_of(events=events, item_rows=item_rows, weights=weights, n_items=n_items)
    user, items = events.user[rows].astype(np.int64), item_rows[rows].astype(np.int64)
    if not len(rows):
        return Sequences(
            users=user, items=items, weights=np.empty(0, np.float32), offsets=np.zeros(1, np.int64)
        )
    starts = np.flatnonzero(np.diff(steps, prepend=-1))
    step_weights = np.maximum.reduceat(weights[rows], starts)
    users, lengths = np.unique(user[starts], return_counts=True)
    # With mean 1 the learning rates mean the same for every scale of event weights.
    step_weights = (step_weights / step_weights.mean()).astype(np.float32)
    return Sequences(
        users=users, items=items[starts], weights=step_weights, offsets=offsets_of(lengths)
    )


def steps_of(
    events: Events, item_rows: npt.NDArray[np.int32], weights: npt.NDArray[np.float64], n_items: int
) -> tuple[Ints, Ints]:
    """Return which events make up which step of the sequences; arguments as in `sequences_of`.

    Returns:
        int64[p], positions in the log of the positive events on known items, in the order of the
        sequences; int64[p], the step (position in `Sequences.items`) that each is part of.
    """
    rows = np.flatnonzero((weights > 0) & (item_rows < n_items))
    time = np.nan_to_num(events.timestamp[rows], nan=-np.inf)
    rows = rows[np.lexsort((time, events.user[rows]))]
    user, items = events.user[rows], item_rows[rows]
    is_first = np.ones(len(rows), np.bool_)
    is_first[1:] = (user[1:] != user[:-1]) | (items[1:] != items[:-1])
    return rows, np.cumsum(is_first, dtype=np.int64) - 1


def disliked_of(
    events: Events,
    item_rows: npt.NDArray[np.int32],
    is_negative: npt.NDArray[np.bool_],
    n_items: int,
) -> Sequences:
    """Return the known items of each user's negative events, by time; see `sequences_of`."""
    return sequences_of(
        events=events, item_rows=item_rows, weights=is_negative.astype(np.float64), n_items=n_items
    )
