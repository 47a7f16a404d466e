"""Sources learned from what people did: item to item, and the space of taste.

They read the rows a want took lately; without any they have nothing to say. What they hold is made
by `app.offline.learn`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.engine.candidates import Hits, Source
from app.engine.wants import Want
from app.features import RECENT, Behaviour, Neighbours, TasteSpace
from app.types import Rows, Vector

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
        """Take the tables to add up. Holds buffers, so that one thread at a time may use it."""
        self.name = name
        self._size = size
        ages = np.arange(RECENT)
        self._tables = [
            (t.near, (t.share * t.decay**ages).astype(np.float32)[:, None]) for t in tables
        ]
        self._sum = np.zeros(n_items, np.float32)
        self._mark = np.empty(n_items, np.int32)

    def search(self, wants: Sequence[Want]) -> list[Hits | None]:
        """Return for each want with recent items the rows with the highest sums."""
        return [self._search(want) if want.recent.size else None for want in wants]

    def _search(self, want: Want) -> Hits:
        recent = want.recent[:RECENT]
        touched = []
        for near, weights in self._tables:
            rows = near.rows[recent].ravel()
            np.add.at(self._sum, rows, (near.weights[recent] * weights[: len(recent)]).ravel())
            touched.append(rows)
        rows = np.concatenate(touched)
        places = np.arange(len(rows), dtype=np.int32)
        self._mark[rows] = places
        rows = rows[self._mark[rows] == places].astype(np.int64)
        self._sum[want.hidden] = 0.0
        scores = self._sum[rows]
        self._sum[rows] = 0.0
        return _best(rows, scores, self._size)


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
                found[place] = self._best(scores, wants[place].hidden)
        return found

    def _best(self, scores: Vector, hidden: Rows) -> Hits:
        scores[hidden] = -np.inf
        rows = np.argpartition(-scores, min(self._size, len(scores)) - 1)[: self._size]
        return _sorted(*_kept(rows, scores[rows], -np.inf))


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


def _best(rows: Rows, scores: Vector, size: int) -> Hits:
    """Return the `size` highest positive scores, best first."""
    rows, scores = _kept(rows, scores, 0.0)
    if len(rows) > size:
        top = np.argpartition(-scores, size - 1)[:size]
        rows, scores = rows[top], scores[top]
    return _sorted(rows, scores)


def _kept(rows: Rows, scores: Vector, least: float) -> tuple[Rows, Vector]:
    keep = scores > least
    return rows[keep], scores[keep]


def _sorted(rows: Rows, scores: Vector) -> Hits:
    order = np.argsort(-scores, kind="stable")
    return Hits(rows[order], scores[order])
