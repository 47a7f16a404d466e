"""What users did, as sequences of item rows: the form that all learning reads.

Flat arrays, never a Python object per event. This module does not know files or models.
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

    Attributes:
        users: int64[n], codes of the event log; nobody here is without items.
        items: int64[m], rows of the catalogue, user after user.
        weights: float32[m], what each event is worth, > 0, with mean 1.
        offsets: int64[n + 1], where each user's items begin.
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

    def places(self) -> tuple[Ints, Ints]:
        """Return (int64[m] user, int64[m] place in the user's sequence, from 0) of each event."""
        user = np.repeat(np.arange(len(self)), self.lengths)
        return user, np.arange(len(self.items)) - self.offsets[user]

    def without_last(self, held: Ints) -> "Sequences":
        """Return the sequences without the last `held[u]` events of each user u: never all."""
        user, place = self.places()
        keep = place < (self.lengths - held)[user]
        offsets = offsets_of(self.lengths - held)
        return Sequences(self.users, self.items[keep], self.weights[keep], offsets)


def sequences_of(
    events: Events, numbers: npt.NDArray[np.int32], weights: npt.NDArray[np.float64], n_items: int
) -> Sequences:
    """Return what the positive events on known items came to.

    Ordered by time, then in input order; events without a time count as the oldest. Repeats in a
    row (a view, a click, then a purchase of one item) are one step, worth the most of them.

    Args:
        events: the log.
        numbers: int32[n_events], catalogue rows; n_items and above: unknown items.
        weights: float64[n_events], > 0 for positive events.
        n_items: size of the catalogue.
    """
    rows, steps = steps_of(events, numbers, weights, n_items)
    user, items = events.user[rows].astype(np.int64), numbers[rows].astype(np.int64)
    if not len(rows):
        return Sequences(user, items, np.empty(0, np.float32), np.zeros(1, np.int64))
    starts = np.flatnonzero(np.diff(steps, prepend=-1))
    sample_weight = np.maximum.reduceat(weights[rows], starts)
    users, lengths = np.unique(user[starts], return_counts=True)
    sample_weight = (sample_weight / sample_weight.mean()).astype(np.float32)
    return Sequences(users, items[starts], sample_weight, offsets_of(lengths))


def steps_of(
    events: Events, numbers: npt.NDArray[np.int32], weights: npt.NDArray[np.float64], n_items: int
) -> tuple[Ints, Ints]:
    """Return which events make which step of the sequences; arguments as in `sequences_of`.

    Returns:
        int64[p], places of the positive events on known items in the log, in the order of the
        sequences; int64[p], the place in `Sequences.items` of the step that each is part of.
    """
    rows = np.flatnonzero((weights > 0) & (numbers < n_items))
    time = np.nan_to_num(events.timestamp[rows], nan=-np.inf)
    rows = rows[np.lexsort((time, events.user[rows]))]
    user, items = events.user[rows], numbers[rows]
    first = np.ones(len(rows), np.bool_)
    first[1:] = (user[1:] != user[:-1]) | (items[1:] != items[:-1])
    return rows, np.cumsum(first, dtype=np.int64) - 1


def avoided_of(
    events: Events,
    numbers: npt.NDArray[np.int32],
    avoided: npt.NDArray[np.bool_],
    n_items: int,
) -> Sequences:
    """Return the known items of each user's negative events, by time; see `sequences_of`."""
    sample_weight = avoided.astype(np.float64)
    return sequences_of(events, numbers, sample_weight, n_items)
