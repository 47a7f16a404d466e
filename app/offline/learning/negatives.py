"""What users did not want: what they turned down, and what they were shown and left.

An answer of the service has an id, and events that came of it carry it: those of kinds without
weight (impressions) say what was shown, positive ones what was taken. The rest was looked at and
left: a negative that is known, where any other item is only guessed to be one. Lookups hold events
with a recommendation only. This module does not know how examples are drawn.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.core.types import Rows
from app.offline.input.events import Events
from app.offline.learning.sequences import Ints, Sequences, avoided_of, steps_of
from app.offline.learning.signals import Log

_NO_ROWS: Rows = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Shown:
    """What was shown beside the steps of some sequences, and not taken from there.

    A page is a recommendation as one user saw it.

    Attributes:
        steps: int64[p], places in `Sequences.items` that came of a page, ascending; one place may
            have come of several.
        pages: int64[p], the page that each of them came of.
        offsets: int64[q + 1], where the items of each page begin.
        items: int64[m], rows of the catalogue, page after page, each once a page.
    """

    steps: Ints
    pages: Ints
    offsets: Ints
    items: Rows

    @classmethod
    def nothing(cls) -> "Shown":
        """Return what a log without recommendations says."""
        return cls(_NO_ROWS, _NO_ROWS, np.zeros(1, np.int64), _NO_ROWS)

    def beside(self, step: int) -> Rows:
        """Return int64[n], the rows that were shown beside a step and not taken, ascending."""
        first, last = np.searchsorted(self.steps, [step, step + 1]).tolist()
        pages = self.pages[first:last].tolist()
        parts = [self.items[self.offsets[page] : self.offsets[page + 1]] for page in pages]
        return np.unique(np.concatenate([_NO_ROWS, *parts]))


@dataclass(frozen=True, slots=True)
class Negatives:
    """What users did not want.

    `avoided`: items of negative events, per user of the log. `shown`: per step of the sequences
    that the same log came to.
    """

    avoided: Sequences
    shown: Shown


def negatives_of(log: Log, n_items: int) -> Negatives:
    """Return what a log says of what was not wanted, in a catalogue of `n_items`."""
    avoided = avoided_of(log.events, log.numbers, log.avoided, n_items)
    return Negatives(avoided, shown_of(log, n_items))


def shown_of(log: Log, n_items: int) -> Shown:
    """Return what was shown beside each step of the sequences of a log, and not taken.

    All events that made a step count, each with its own recommendation.
    """
    recommended = log.events.recommendation >= 0
    shows = np.flatnonzero(log.shown & recommended & (log.numbers < n_items))
    if not len(shows):
        return Shown.nothing()
    taken, steps = steps_of(log.events, log.numbers, log.weights, n_items)
    came = recommended[taken]
    taken, steps = taken[came], steps[came]
    pages, page = np.unique(_page_ids(log.events, taken), return_inverse=True)
    ids = _page_ids(log.events, shows)
    there = np.isin(ids, pages)  # nothing is learned from a page that nobody took anything from
    shown_on = np.searchsorted(pages, ids[there])
    # A cell is an item on a page.
    cells = shown_on * n_items + log.numbers[shows[there]]
    left = np.setdiff1d(cells, page * n_items + log.numbers[taken])
    offsets = np.searchsorted(left, np.arange(len(pages) + 1) * n_items)
    return Shown(steps, page, offsets, left % n_items)


def _page_ids(events: Events, rows: npt.NDArray[np.intp]) -> Ints:
    """Return int64[n], equal for events of one user that came of one recommendation."""
    return (events.user[rows].astype(np.int64) << 32) | events.recommendation[rows]
