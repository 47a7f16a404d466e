"""What users did not want: items of negative events, and items shown and skipped.

Every answer of the service has a recommendation id, and events that followed from the answer carry
it. Events of kinds with weight 0 (impressions) say which items were shown. Positive events say
which of them the user took. The other shown items were skipped: known negatives, where any other
item is only assumed to be one.

The lookups contain events with a recommendation id only. This module does not know how examples are
drawn.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.core.types import Rows
from app.offline.input.events import Events
from app.offline.learning.sequences import Ints, Sequences, disliked_of, steps_of
from app.offline.learning.signals import EventLog

_NO_ROWS: Rows = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Skipped:
    """The items that were shown beside the steps of some sequences, and not taken there.

    A page is one recommendation as one user saw it.

    Attributes:
        steps: int64[p], positions in `Sequences.items` of steps that came from a page, ascending.
            A step that came from several pages is there several times.
        pages: int64[p], the page that each of them came from.
        offsets: int64[q + 1], where the items of each page begin.
        items: int64[m], rows of the catalogue, page after page, each row once a page.
    """

    steps: Ints
    pages: Ints
    offsets: Ints
    items: Rows

    @classmethod
    def nothing(cls) -> "Skipped":
        """Return the result for a log without recommendations."""
        return cls(steps=_NO_ROWS, pages=_NO_ROWS, offsets=np.zeros(1, np.int64), items=_NO_ROWS)

    def beside(self, step: int) -> Rows:
        """Return int64[n]: the rows that were shown beside a step and not taken, ascending."""
        first, last = np.searchsorted(self.steps, [step, step + 1]).tolist()
        pages = self.pages[first:last].tolist()
        parts = [self.items[self.offsets[page] : self.offsets[page + 1]] for page in pages]
        return np.unique(np.concatenate([_NO_ROWS, *parts]))


@dataclass(frozen=True, slots=True)
class Negatives:
    """What users did not want.

    `disliked`: the items of negative events, per user of the log. `skipped`: the items shown and
    not taken, per step of the sequences that the same log gives.
    """

    disliked: Sequences
    skipped: Skipped


def negatives_of(log: EventLog, n_items: int) -> Negatives:
    """Return the negatives of a log over a catalogue of `n_items`."""
    disliked = disliked_of(
        events=log.events, item_rows=log.item_rows, is_negative=log.is_negative, n_items=n_items
    )
    return Negatives(disliked, skipped_of(log, n_items))


def skipped_of(log: EventLog, n_items: int) -> Skipped:
    """Return the items shown beside each step of the sequences of a log, and not taken.

    All events that make up a step count, each with its own recommendation.
    """
    recommended = log.events.recommendation >= 0
    impressions = np.flatnonzero(log.is_impression & recommended & (log.item_rows < n_items))
    if not len(impressions):
        return Skipped.nothing()
    taken, steps = steps_of(
        events=log.events, item_rows=log.item_rows, weights=log.weights, n_items=n_items
    )
    from_page = recommended[taken]
    taken, steps = taken[from_page], steps[from_page]
    pages, page_of_taken = np.unique(_page_ids(log.events, taken), return_inverse=True)
    ids = _page_ids(log.events, impressions)
    # Nothing is learned from a page from which nobody took anything.
    on_used_page = np.isin(ids, pages)
    page_of_shown = np.searchsorted(pages, ids[on_used_page])
    # One integer stands for an item on a page, so that the set operations work on plain arrays.
    shown_cells = page_of_shown * n_items + log.item_rows[impressions[on_used_page]]
    skipped_cells = np.setdiff1d(shown_cells, page_of_taken * n_items + log.item_rows[taken])
    offsets = np.searchsorted(skipped_cells, np.arange(len(pages) + 1) * n_items)
    return Skipped(steps=steps, pages=page_of_taken, offsets=offsets, items=skipped_cells % n_items)


def _page_ids(events: Events, rows: npt.NDArray[np.intp]) -> Ints:
    """Return int64[n]: equal for events of one user that came from one recommendation."""
    return (events.user[rows].astype(np.int64) << 32) | events.recommendation[rows]
