"""Baselines from behaviour in closed form: item-KNN, EASE and ridge; and the unlearned hybrid.

The constants were chosen once, on validation items of the `amazon-beauty` set. They are the same
for every catalogue.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.sparse as sp

from app.core.types import Matrix, Rows
from app.evaluation.baselines.base import (
    NEWEST,
    BaselineQuery,
    TrainingData,
    UnavailableError,
    check_dense,
    decayed,
    dense,
)
from app.evaluation.baselines.simple import Meaning
from app.offline.learning.neighbours import inverse_of


class ItemKnn:
    """Windowed item-KNN: which items follow within a few steps, divided by their popularity.

        s_ij = (a_ij + ¼ a_ji) / (c_i c_j)^0.2,   a_ij = Σ over steps d ≤ 8 from i to j of d^-½
        score_j = Σ_i 0.7^age_i · s_ij

    c is the number of events of an item. The power 0.2 weakens popularity without removing it.
    """

    window, back, power, decay = 8, 0.25, 0.2, 0.7

    def fit(self, train: TrainingData) -> None:
        """Count pairs: O(events · window) time and memory."""
        n = train.n_items
        follows = sp.csr_matrix((n, n), dtype=np.float32)
        for step in range(1, self.window + 1):
            pairs = [(s[:-step], s[step:]) for s in train.sequences if len(s) > step]
            if pairs:
                first = np.concatenate([a for a, _ in pairs])
                then = np.concatenate([b for _, b in pairs])
                weight = np.full(len(first), step**-0.5, np.float32)
                follows = follows + sp.csr_matrix((weight, (first, then)), shape=(n, n))
        shrink = sp.diags(np.maximum(train.counts(), 1.0).astype(np.float32) ** -self.power)
        self._near = (shrink @ (follows + self.back * follows.T) @ shrink).tocsr()

    def scores(self, queries: Sequence[BaselineQuery]) -> Matrix:
        """Return the decayed sum of the neighbours of each history's items."""
        taken = decayed([query.history for query in queries], self._near.shape[0], self.decay)
        return dense(taken @ self._near)


class Ease:
    """EASE: a regression of items on items without the diagonal.

        B = I − P / diag(P),   P = (X'X + λ)⁻¹

    The zero diagonal keeps an item from predicting itself.

    Source: H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", 2019.
    """

    ridge = 200.0

    def fit(self, train: TrainingData) -> None:
        """Invert the Gram matrix: O(n_items³) time, dense."""
        check_dense(train.n_items)
        taken = decayed(histories=train.sequences, n_items=train.n_items, decay=1.0, newest=None)
        inverse = inverse_gram(taken, self.ridge)
        inverse /= -np.diag(inverse)[None, :]
        np.fill_diagonal(inverse, 0.0)
        self._weights = inverse

    def scores(self, queries: Sequence[BaselineQuery]) -> Matrix:
        """Return X B; X has the items of each history, and their order does not matter."""
        taken = decayed(
            histories=[query.history for query in queries],
            n_items=len(self._weights),
            decay=1.0,
            newest=None,
        )
        return dense(taken @ self._weights)


class Ridge:
    """Ridge regression of the decayed future on the decayed past: W = (X'X + λ)⁻¹ X'Y.

    Every position of every sequence gives a row of X and Y. X has what came before it, with weights
    e^(−age/2), and Y what comes from there on, with e^(−distance). A history that asks has weights
    e^(−age/3).
    """

    past, future, history, ridge = np.exp(-1 / 2), np.exp(-1.0), np.exp(-1 / 3), 50.0

    def fit(self, train: TrainingData) -> None:
        """Solve for W: O(n_items³) time, dense."""
        check_dense(train.n_items)
        before, after = _past_and_future(
            sequences=train.sequences, n_items=train.n_items, past=self.past, future=self.future
        )
        cross = (before.T @ after).tocsr()
        inverse = inverse_gram(before, self.ridge)
        # The inverse P is symmetric, so W = P C = (C' P)': sparse times dense instead of dense
        # times dense.
        self._weights = np.ascontiguousarray((cross.T.tocsr() @ inverse).T)

    def scores(self, queries: Sequence[BaselineQuery]) -> Matrix:
        """Return the expected decayed future of each history."""
        taken = decayed([query.history for query in queries], len(self._weights), self.history)
        return dense(taken @ self._weights)


class Hybrid:
    """The unlearned hybrid: ridge + 0.05 · MiniLM similarity of titles."""

    meaning = 0.05

    def fit(self, train: TrainingData) -> None:
        """Fit both models."""
        self._behaviour, self._meaning = Ridge(), Meaning()
        self._behaviour.fit(train)
        self._meaning.fit(train)

    def scores(self, queries: Sequence[BaselineQuery]) -> Matrix:
        """Return the weighted sums."""
        meaning = np.float32(self.meaning) * self._meaning.scores(queries)
        return self._behaviour.scores(queries) + meaning


def _past_and_future(
    sequences: Sequence[Rows], n_items: int, past: float, future: float
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Return X and Y, sparse float32[positions, n_items]."""
    splits = [split for sequence in sequences for split in _splits(sequence)]
    before = decayed([past_items for past_items, _ in splits], n_items, past)
    # `decayed` gives the last item the highest weight. In the future that is the nearest one, so
    # the future is reversed.
    after = decayed([future_items[::-1] for _, future_items in splits], n_items, future)
    return before, after


def _splits(sequence: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Yield the past and the future of each position of a sequence."""
    newest = sequence[-NEWEST:]
    for position in range(1, len(newest)):
        yield newest[:position], newest[position:]


def inverse_gram(rows: sp.csr_matrix, ridge: float) -> Matrix:
    """Return float32[n, n], (X'X + ridge · I)⁻¹, by Cholesky factors in place.

    >>> inverse_gram(sp.csr_matrix(np.eye(2, dtype=np.float32)), 1.0).round(3).tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """
    gram = (rows.T @ rows).toarray(order="F").astype(np.float32, copy=False)
    gram[np.diag_indices_from(gram)] += ridge
    try:
        return inverse_of(gram)
    except ValueError as error:
        raise UnavailableError(str(error)) from error
