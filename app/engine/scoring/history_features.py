"""The features of the group *history*: what the user took, who the user is, and where it is asked.

    tables, taste, item, user   of the recent items (`app.engine.kernels.features`); 0 but for those
                                of the item where there are none
    side                        of the values of user attributes and of the context; 0 where none is
                                known. A bundle that learned nothing of them has no such features

Training and serving compute them by this code.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from app.core.types import Matrix, Rows
from app.engine.catalogue.behaviour import Behaviour
from app.engine.catalogue.side_values import SideValues
from app.engine.kernels.features import Features, features_over, log_ranks
from app.engine.retrieval.resolve import ResolvedRequest

_SIDE: Final = ("score", "who", "where", "rank", "taste", "known")
_ITEM: Final = "item.popularity"


class HistoryFeatures:
    """Computes the features of a catalogue. It has buffers, so one thread at a time uses it.

    Attributes:
        names: of the features, in order, as `group.feature`.
        n_items: size of the catalogue.
    """

    def __init__(self, features: Features, behaviour: Behaviour) -> None:
        """Take what computes the features of recent items, and what was learned."""
        self._features, self._items = features, behaviour.items
        self._sides = None if behaviour.sides is None else SideFeatures(behaviour, behaviour.sides)
        self.names = features.names + (() if self._sides is None else self._sides.names)
        self.n_items = features.n_items

    @classmethod
    def over(cls, behaviour: Behaviour) -> "HistoryFeatures":
        """Return the features of what was learned, as fast as they can be computed here."""
        return cls(features_over(behaviour), behaviour)

    def compute(self, requests: Sequence[ResolvedRequest], candidates: Sequence[Rows]) -> Matrix:
        """Return float32[f, N], a column per candidate of each request, request after request.

        Args:
            requests: with recent items, or values of who and where.
            candidates: int64[c] rows of each, each row once.
        """
        taken = self._of_recent(requests, candidates)
        if self._sides is None:
            return taken
        return np.concatenate([taken, self._sides.compute(requests, candidates)])

    def _of_recent(self, requests: Sequence[ResolvedRequest], candidates: Sequence[Rows]) -> Matrix:
        known = [request.recent.size > 0 for request in requests]
        some = [n for n, is_known in enumerate(known) if is_known]
        computed = self._features.compute(
            [requests[n].recent for n in some],
            [requests[n].length for n in some],
            [candidates[n] for n in some],
        )
        if all(known):
            return computed
        sizes = [len(rows) for rows in candidates]
        out = np.zeros((len(self._features.names), sum(sizes)), np.float32)
        out[:, np.repeat(known, sizes)] = computed
        first = self._features.names.index(_ITEM)
        rows = np.concatenate([np.empty(0, np.int64), *candidates])
        out[first : first + len(self._items)] = self._items.take(rows, axis=1)
        return out


class SideFeatures:
    """Computes the features of who and where. One thread at a time uses it.

    score    log(1 + how often the item was taken) + who + where: what such people take
    who      sum of the lifts of the user's values
    where    sum of the lifts of the context's values
    rank     log(1 + how many candidates have a higher score)
    taste    inner product of the item with the values, in the space of taste
    known    how many values there are
    """

    names: Final = tuple(f"side.{name}" for name in _SIDE)

    def __init__(self, behaviour: Behaviour, sides: SideValues) -> None:
        """Take what was learned."""
        self._sides = sides
        self._popularity, self._targets = behaviour.items[0], behaviour.taste.targets
        # All 0; what a request adds is taken away again.
        self._lifts = np.zeros(len(self._popularity), np.float32)

    def compute(self, requests: Sequence[ResolvedRequest], candidates: Sequence[Rows]) -> Matrix:
        """See `HistoryFeatures`."""
        out = np.zeros((len(_SIDE), sum(map(len, candidates))), np.float32)
        end = 0
        for request, rows in zip(requests, candidates, strict=True):
            block, end = out[:, end : end + len(rows)], end + len(rows)
            if not request.sides.size or not len(rows):
                continue
            for line, codes in enumerate(self._sides.split(request.sides), start=1):
                self._sides.add_lifts(codes, self._lifts)
                self._lifts.take(rows, out=block[line])
                self._sides.clear(codes, self._lifts)
            block[0] = self._popularity.take(rows) + block[1] + block[2]
            block[3] = log_ranks(block[:1])[0]
            taste = self._sides.vectors.take(request.sides, axis=0).sum(axis=0)
            block[4] = self._targets.take(rows, axis=0) @ taste
            block[5] = len(request.sides)
        return out
