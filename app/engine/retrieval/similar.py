"""Which items are similar to given ones: by content, by behaviour, or by both.

The one meaning of "like" for `like` in a request, and for whatever else asks for similar items.

    content(i, j)    cos(text i, text j)
    behaviour(i, j)  0.35 · cos(input embedding i, input embedding j) + 0.2 · follows(i, j)
    both(i, j)       content(i, j) + behaviour(i, j)

`follows` is how strongly j stands among the neighbours of i in the strongest table, divided by the
fourth root of how often j was taken: else what is popular would follow everything. The strongest
neighbour of i has 1. Where i or j came after the behaviour was learned, 0.35 · content
takes the place of behaviour. Where nothing was learned at all, `both` and `behaviour` are content.

Near to several items means near to each of them, not to their mean, which may be like none:

    near(i, j)       both(i, j), relative to the ten items that are most similar to i
    similarity(j)    ¾ · the highest near(i, j) over the items i + ¼ · the mean

So an item whose ten nearest lie far away counts as much as one in a crowd, and what is near to
several of the items comes before what is near to one. The numbers were chosen on half of
`tests/data/similar-pairs.jsonl` (docs/accuracy.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.core.ranking import By
from app.core.types import Matrix, Rows, Vector
from app.engine.catalogue.behaviour import Behaviour
from app.engine.kernels.topk import Exclusion, Hits
from app.engine.retrieval.index import VectorIndex

MOST_LIKED: Final = 20
"""How many items of one request are looked at: each of them costs a search."""

NEAR_TEXTS, LEAST_NEAR_TEXTS = 200, 40
NEAR_NEIGHBOURS, LEAST_NEIGHBOURS = 100, 20
"""Candidates in all, and for each item at least, from the texts and from the table."""

TASTE_WEIGHT: Final = 0.35
TABLE_WEIGHT: Final = 0.2
POPULARITY_POWER: Final = 0.25

REFERENCE: Final = 10
"""How many of the most similar candidates make the scale of one item."""

LEAST_REFERENCE: Final = 0.3
"""The scale is at least this: an item that nothing is similar to does not make noise large."""

HIGHEST_SHARE: Final = 0.75


@dataclass(frozen=True, slots=True)
class Liked:
    """Items to be near to: int64[l] ≥ 1 rows, each once, and float32[l] weights in (0, 1]."""

    rows: Rows
    weights: Vector

    @classmethod
    def equally(cls, rows: Rows) -> "Liked":
        """Return items that all count in full."""
        return cls(rows, np.ones(len(rows), np.float32))


class Similarity:
    """Similarity between the items of a catalogue."""

    def __init__(self, vectors: Matrix, index: VectorIndex, behaviour: Behaviour | None) -> None:
        """Take float32[n, dim], unit rows, what searches them, and what was learned, if anything.

        The arrays are not copied: they may change between two calls.
        """
        self._vectors, self._index, self._behaviour = vectors, index, behaviour

    def similar(
        self,
        liked: Sequence[Liked],
        exclusions: Sequence[Exclusion],
        size: int,
        by: By = "both",
    ) -> list[Hits]:
        """Return for each of some groups of items the `size` rows most similar to them.

        Equal ones are in the order of their rows. The items themselves are among the rows, unless
        they are excluded.
        """
        found = []
        for each, rows in zip(liked, self._candidates(liked, exclusions), strict=True):
            scores = self.scores(each, rows, by)
            order = np.lexsort((rows, -scores))[:size]
            found.append(Hits(rows[order], scores[order]))
        return found

    def scores(self, liked: Liked, rows: Rows, by: By = "both") -> Vector:
        """Return float32[c]: how similar each of the rows (int64[c], each once) is to the items.

        It depends on all rows: the most similar ones make the scale, on which they have about 1.
        """
        if not len(rows):
            return np.empty(0, np.float32)
        near = self._pairs(liked.rows, rows, by)
        others = near[:, ~np.isin(rows, liked.rows)]
        if others.shape[1]:
            first = max(others.shape[1] - REFERENCE, 0)
            reference = np.partition(others, first, axis=1)[:, first:].mean(axis=1)
            near *= (liked.weights / np.maximum(reference, LEAST_REFERENCE))[:, None]
        mixed = HIGHEST_SHARE * near.max(axis=0) + (1 - HIGHEST_SHARE) * near.mean(axis=0)
        return np.asarray(mixed, np.float32)

    def pairs(self, liked: Liked, rows: Rows, by: By = "both") -> Matrix:
        """Return float32[l, c]: how similar each row is to each item, by the item's own weight."""
        return liked.weights[:, None] * self._pairs(liked.rows, rows, by)

    def _pairs(self, items: Rows, rows: Rows, by: By) -> Matrix:
        """Return float32[l, c], how similar each item is to each row."""
        vectors, behaviour = self._vectors, self._behaviour
        content: Matrix = vectors.take(items, axis=0) @ vectors.take(rows, axis=0).T
        if behaviour is None or by == "content":
            return content
        inputs = behaviour.taste.inputs
        near = inputs.take(items, axis=0) @ inputs.take(rows, axis=0).T
        # Nothing was learned of a new item. Its mean place in the space is near to everything.
        new = items >= behaviour.n_learned, rows >= behaviour.n_learned
        if new[0].any() or new[1].any():
            near = np.where(new[0][:, None] | new[1], content, near)
        near *= TASTE_WEIGHT
        near += TABLE_WEIGHT * _follows(behaviour, items, rows)
        return near + content if by == "both" else np.asarray(near, np.float32)

    def _candidates(self, liked: Sequence[Liked], exclusions: Sequence[Exclusion]) -> list[Rows]:
        """Return for each group of items the rows to look at, each once, no excluded ones."""
        found: list[list[Rows]] = [[] for _ in liked]
        # A search takes one mask: groups with the same one are searched for together.
        by_mask: dict[int, list[int]] = {}
        for position, excluded in enumerate(exclusions):
            by_mask.setdefault(id(excluded.blocked), []).append(position)
        for positions in by_mask.values():
            items = np.concatenate([liked[position].rows for position in positions])
            owners = np.repeat(positions, [len(liked[position].rows) for position in positions])
            probes = self._vectors.take(items, axis=0)
            some = probes.any(axis=1)
            sizes = {
                position: max(NEAR_TEXTS // len(liked[position].rows), LEAST_NEAR_TEXTS)
                + len(exclusions[position].hidden)
                for position in positions
            }
            if some.any():
                most, mask = max(sizes.values()), exclusions[positions[0]].blocked
                _, nearest = self._index.search(probes[some], most, mask)
                for position, rows in zip(owners[some].tolist(), nearest, strict=True):
                    near = rows[: sizes[position]]
                    found[position].append(near[near >= 0])
        return [
            _allowed([*texts, *self._neighbours(each.rows)], excluded)
            for texts, each, excluded in zip(found, liked, exclusions, strict=True)
        ]

    def _neighbours(self, items: Rows) -> list[Rows]:
        """Return the strongest neighbours of the items."""
        if self._behaviour is None:
            return []
        rows, weights = self._behaviour.strongest.of(items)
        size = max(NEAR_NEIGHBOURS // len(items), LEAST_NEIGHBOURS)
        return [rows[:, :size][weights[:, :size] > 0].astype(np.int64)]


def _allowed(lists: Sequence[Rows], excluded: Exclusion) -> Rows:
    """Return int64[c], growing: each row of the lists once, but for those that are excluded."""
    rows = np.unique(np.concatenate([*lists, np.empty(0, np.int64)]))
    if excluded.blocked is not None:
        rows = rows[~excluded.blocked[rows]]
    return np.setdiff1d(rows, excluded.hidden, assume_unique=True)


def _follows(behaviour: Behaviour, items: Rows, rows: Rows) -> Matrix:
    """Return float32[l, c] in [0, 1]: how strongly each row follows each item."""
    near, weights = behaviour.strongest.of(items)
    # The counts are logarithms.
    weights *= np.exp(-POPULARITY_POWER * behaviour.items[0].take(near))
    weights /= np.maximum(weights.max(axis=1, keepdims=True), np.float32(1e-9))
    order = np.argsort(rows)
    places = np.searchsorted(rows, near, sorter=order)
    columns = order.take(places, mode="clip")
    found = (rows.take(columns) == near) & (weights > 0)
    follows = np.zeros((len(items), len(rows)), np.float32)
    line, at = np.nonzero(found)
    follows[line, columns[line, at]] = weights[line, at]
    return follows
