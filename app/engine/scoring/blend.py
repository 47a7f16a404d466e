"""The part of the score that is a documented, fixed blend: words, dislikes, and what is popular.

    score      = learned + 10 · match, where somebody took something
    match      = cos(query, item) + 0.3 · coverage(query, title) − 0.4 · max(0, cos(disliked, item))
    unlearned  = match + 0.5 · cos(taste, item)
               + 0.15 · popularity(item) + 0.1 · trending(item) + 0.05 · freshness(item)

Cosines are in [-1, 1], everything else in [0, 1]; an absent part adds nothing. The weight of
coverage was chosen on queries with human grades (docs/accuracy.md); the others are not tuned on any
data: words lead, taste bends, what is popular, trending or new breaks near-ties.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from app.core.types import Matrix, Rows, Vector
from app.engine.kernels.topk import Gather, TopK
from app.engine.retrieval.lexical import Words
from app.engine.retrieval.resolve import ResolvedRequest

COVERAGE_WEIGHT = 0.3
TASTE_WEIGHT = 0.5
DISLIKE_WEIGHT = 0.4
SIGNAL_WEIGHTS = {"popularity": 0.15, "trending": 0.1, "freshness": 0.05}

LEARNED_MATCH_WEIGHT = 10.0
"""What a match is worth beside the learned score, whose unit is a log of odds: words lead."""


class Blend:
    """The fixed blend over one catalogue."""

    def __init__(
        self, vectors: Matrix, words: Words, signals: Mapping[str, Vector], topk: TopK
    ) -> None:
        """Take float32[n, dim] unit rows, the words of titles, and float32[n] for each signal."""
        self._vectors, self._words, self._topk = vectors, words, topk
        self._signals: Vector = np.zeros(len(vectors), np.float32)
        self.change(np.arange(len(vectors)), signals)

    def change(self, rows: Rows, signals: Mapping[str, Vector]) -> None:
        """Take the signals of some rows (int64[c]) anew, of float32[n] for each signal."""
        self._signals[rows] = 0.0
        for name, weight in SIGNAL_WEIGHTS.items():
            self._signals[rows] += weight * signals[name][rows]

    def scores(
        self,
        wants: Sequence[ResolvedRequest],
        rows: Sequence[Rows],
        learned: Sequence[Vector | None],
    ) -> list[Vector]:
        """Return float32[len(rows)] of each want: the score of each candidate.

        `learned`: float32[len(rows)], or None where nothing was learned for a want.
        """
        asked = [
            Gather(
                rows=mine,
                base=want.cosines,
                summands=self._words.titles(want.query) if want.query else (),
                more=self._signals if known is None else None,
            )
            for want, mine, known in zip(wants, rows, learned, strict=True)
        ]
        found = self._topk.gather(asked, COVERAGE_WEIGHT)
        for place, (want, mine, known) in enumerate(zip(wants, rows, learned, strict=True)):
            self._add_rare(found[place], want, mine)
            if known is not None:
                found[place] = known + LEARNED_MATCH_WEIGHT * found[place]
            elif want.taste_vector is not None:
                found[place] += TASTE_WEIGHT * self._cosines(mine, want.taste_vector)
        return found

    def _add_rare(self, score: Vector, want: ResolvedRequest, rows: Rows) -> None:
        """Add to the match what few wants have, or few catalogues."""
        if want.query_vector is not None and want.cosines is None:
            score += self._cosines(rows, want.query_vector)
        if want.disliked is not None:
            score -= DISLIKE_WEIGHT * np.maximum(self._cosines(rows, want.disliked), 0.0)

    def _cosines(self, rows: Rows, vector: Vector) -> Vector:
        near: Vector = self._vectors.take(rows, axis=0) @ vector
        return near
