"""Sources learned from what people did: item to item, and the space of taste.

They read the rows a want took lately; without any they have nothing to say. What they hold is made
by `app.offline.learn`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.engine.candidates import Source, hits_where
from app.engine.selection import Hits, Piece, Selection, Summand
from app.engine.selection_kernel import selection_over
from app.engine.wants import Want
from app.features import RECENT, Behaviour, Neighbours, TasteSpace
from app.types import Rows

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

    def __init__(
        self, name: str, tables: Sequence[Weighted], size: int, selection: Selection
    ) -> None:
        """Take the tables to add up."""
        self.name = name
        self._size, self._selection = size, selection
        ages = np.arange(RECENT)
        self._tables = [
            (t.near, (t.share * t.decay**ages).astype(np.float32)[:, None]) for t in tables
        ]

    def search(self, wants: Sequence[Want]) -> list[Hits | None]:
        """Return for each want with recent items the rows with the highest sums."""
        return hits_where(_took_something, wants, self._nearest)

    def _nearest(self, wants: Sequence[Want]) -> list[Hits]:
        sums = [list(self._summands(want.recent[:RECENT])) for want in wants]
        return self._selection.best_sums(sums, [want.without for want in wants], self._size)

    def _summands(self, recent: Rows) -> Iterator[Summand]:
        for near, decayed in self._tables:
            nearest, weights = near.of(recent)
            weights *= decayed[: len(recent)]
            yield Piece(nearest, weights), 1.0


class TasteSource:
    """The items nearest to the user in the learned space: exact, one matrix product a batch."""

    name = "taste"

    def __init__(self, space: TasteSpace, selection: Selection, size: int = TASTE_SIZE) -> None:
        """Search a space."""
        self._space, self._size, self._selection = space, size, selection

    def search(self, wants: Sequence[Want]) -> list[Hits | None]:
        """Return for each want with recent items the rows wanted most."""
        return hits_where(_took_something, wants, self._nearest)

    def _nearest(self, wants: Sequence[Want]) -> list[Hits]:
        users = np.stack([self._space.user(want.recent) for want in wants])
        scores = list(users @ self._space.wanted.T)
        without = [want.without for want in wants]
        return self._selection.best(scores, without, [self._size] * len(wants))


def _took_something(want: Want) -> bool:
    return want.recent.size > 0


def behaviour_sources(behaviour: Behaviour, alike_share: float) -> tuple[Source, ...]:
    """Return the sources that bring candidates for people: *behaviour*, *alike*, *taste*.

    `alike_share`: weight of likeness in words beside what follows what, in *behaviour*.
    """
    selection = selection_over(behaviour.items.shape[1])
    tables: Mapping[str, Neighbours] = behaviour.tables
    first = next(iter(tables))
    parts = [Weighted(tables[first], behaviour.decays[first], 1.0)]
    alike = Weighted(tables["alike"], behaviour.decays["alike"], 1.0)
    if first != "alike":
        parts.append(Weighted(alike.near, alike.decay, alike_share))
    return (
        NeighbourSource("behaviour", parts, BEHAVIOUR_SIZE, selection),
        NeighbourSource("alike", [alike], ALIKE_SIZE, selection),
        TasteSource(behaviour.taste, selection),
    )
