"""Sources learned from what people did: item to item, and the space of taste.

They read the rows a want took lately; without any they have nothing to say. What they hold is made
by `app.offline.learn`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.engine.candidates import Hits, Source, best_of, highest
from app.engine.wants import Want
from app.features import RECENT, Behaviour, Neighbours, TasteSpace

BEHAVIOUR_SIZE, ALIKE_SIZE, TASTE_SIZE = 200, 100, 350
"""Candidates of each source; about 470 together. Chosen on validation items of `amazon-beauty`."""


@dataclass(frozen=True, slots=True)
class Weighted:
    """A table of neighbours as part of a source: `decay` per step of age, `share` of the sum."""

    near: Neighbours
    decay: float
    share: float


class NeighbourSource:
    """The items that lie nearest to the recent ones: a decayed sum over tables of neighbours."""

    def __init__(self, name: str, tables: Sequence[Weighted], n_items: int, size: int) -> None:
        """Take the tables to add up, over a catalogue of `n_items`."""
        self.name = name
        self._size = size
        ages = np.arange(RECENT)
        self._tables = [
            (t.near, (t.share * t.decay**ages).astype(np.float32)[:, None]) for t in tables
        ]
        self._n_items = n_items

    def search(self, wants: Sequence[Want]) -> list[Hits | None]:
        """Return for each want with recent items the rows with the highest sums."""
        return [self._search(want) if want.recent.size else None for want in wants]

    def _search(self, want: Want) -> Hits:
        recent = want.recent[:RECENT]
        total = np.zeros(self._n_items, np.float32)
        for near, decayed in self._tables:
            nearest, weights = near.of(recent)
            weights *= decayed[: len(recent)]
            np.add.at(total, nearest.ravel(), weights.ravel())
        total[want.hidden] = 0.0
        if want.blocked is not None:
            np.putmask(total, want.blocked, 0.0)
        rows = np.flatnonzero(total > 0)
        scores = total.take(rows)
        if len(rows) > self._size:
            # Chosen among few: a partition is slow where most values are equal, here 0.
            top = np.argpartition(scores, len(rows) - self._size)[-self._size :]
            rows, scores = rows.take(top), scores.take(top)
        return best_of(rows, scores)


class TasteSource:
    """The items nearest to the user in the learned space: exact, one matrix product a batch."""

    name = "taste"

    def __init__(self, space: TasteSpace, size: int = TASTE_SIZE) -> None:
        """Search a space."""
        self._space, self._size = space, size

    def search(self, wants: Sequence[Want]) -> list[Hits | None]:
        """Return for each want with recent items the rows wanted most."""
        asked = [place for place, want in enumerate(wants) if want.recent.size]
        found: list[Hits | None] = [None] * len(wants)
        if asked:
            users = np.stack([self._space.user(wants[place].recent) for place in asked])
            for place, scores in zip(asked, users @ self._space.wanted.T, strict=True):
                found[place] = highest(scores, wants[place], self._size)
        return found


def behaviour_sources(behaviour: Behaviour, alike_share: float) -> tuple[Source, ...]:
    """Return the sources that bring candidates for people: *behaviour*, *alike*, *taste*.

    `alike_share`: weight of likeness in words beside what follows what, in *behaviour*.
    """
    n_items = behaviour.items.shape[1]
    tables: Mapping[str, Neighbours] = behaviour.tables
    first = next(iter(tables))
    parts = [Weighted(tables[first], behaviour.decays[first], 1.0)]
    alike = Weighted(tables["alike"], behaviour.decays["alike"], 1.0)
    if first != "alike":
        parts.append(Weighted(alike.near, alike.decay, alike_share))
    return (
        NeighbourSource("behaviour", parts, n_items, BEHAVIOUR_SIZE),
        NeighbourSource("alike", [alike], n_items, ALIKE_SIZE),
        TasteSource(behaviour.taste),
    )
