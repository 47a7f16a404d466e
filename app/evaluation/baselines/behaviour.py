"""Baselines from behaviour alone, in closed form: item-KNN, EASE, ridge; and the unlearned hybrid.

The constants were chosen once, on validation items of the `amazon-beauty` set, and are the same
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
    """Windowed item-KNN: what follows what within a few steps, tempered by popularity.

    s_ij = (a_ij + ¼ a_ji) / (c_i c_j)^0.2,   a_ij = Σ over steps d ≤ 8 from i to j of d^-½
    score_j = Σ_i 0.7^age_i · s_ij
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
        temper = sp.diags(np.maximum(train.counts(), 1.0).astype(np.float32) ** -self.power)
        self._near = (temper @ (follows + self.back * follows.T) @ temper).tocsr()

    def scores(self, queries: Sequence[BaselineQuery]) -> Matrix:
        """Return the decayed sum of the neighbours of each history."""
        taken = decayed([query.history for query in queries], self._near.shape[0], self.decay)
        return dense(taken @ self._near)


class Ease:
    """EASE: the item-to-item regression without a diagonal, B = I − P / diag(P), P = (X'X + λ)⁻¹.

    Source: H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", 2019.
    """

    ridge = 200.0

    def fit(self, train: TrainingData) -> None:
        """Invert the Gram matrix: O(n_items³) time, dense."""
        check_dense(train.n_items)
        taken = decayed(train.sequences, train.n_items, 1.0, None)
        inverse = inverse_gram(taken, self.ridge)
        inverse /= -np.diag(inverse)[None, :]
        np.fill_diagonal(inverse, 0.0)
        self._weights = inverse

    def scores(self, queries: Sequence[BaselineQuery]) -> Matrix:
        """Return X B for the sets of items in the histories; the order does not matter."""
        taken = decayed([query.history for query in queries], len(self._weights), 1.0, None)
        return dense(taken @ self._weights)


class Ridge:
    """Ridge from the decayed past to the decayed future: W = (X'X + λ)⁻¹ X'Y.

    A row of X and Y for every place in every sequence: X holds what came before it, e^(−age/2), Y
    what comes from there on, e^(−distance). Asked with e^(−age/3).
    """

    past, future, asked, ridge = np.exp(-1 / 2), np.exp(-1.0), np.exp(-1 / 3), 50.0

    def fit(self, train: TrainingData) -> None:
        """Solve: O(n_items³) time, dense."""
        check_dense(train.n_items)
        before, after = _past_and_future(train.sequences, train.n_items, self.past, self.future)
        cross = (before.T @ after).tocsr()
        inverse = inverse_gram(before, self.ridge)
        # P is symmetric, so W = P C = (C' P)': sparse times dense, instead of dense times dense.
        self._weights = np.ascontiguousarray((cross.T.tocsr() @ inverse).T)

    def scores(self, queries: Sequence[BaselineQuery]) -> Matrix:
        """Return the expected decayed future of each history."""
        taken = decayed([query.history for query in queries], len(self._weights), self.asked)
        return dense(taken @ self._weights)


class Hybrid:
    """The unlearned hybrid: ridge + 0.05 × MiniLM similarity of titles."""

    meaning = 0.05

    def fit(self, train: TrainingData) -> None:
        """Fit both."""
        self._behaviour, self._meaning = Ridge(), Meaning()
        self._behaviour.fit(train)
        self._meaning.fit(train)

    def scores(self, queries: Sequence[BaselineQuery]) -> Matrix:
        """Return the weighted sum."""
        meaning = np.float32(self.meaning) * self._meaning.scores(queries)
        return self._behaviour.scores(queries) + meaning


def _past_and_future(
    sequences: Sequence[Rows], n_items: int, past: float, future: float
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    places = [place for s in sequences for place in _places(s)]
    before = decayed([a for a, _ in places], n_items, past)
    # Read backwards, the nearest item of the future is the "newest".
    after = decayed([b[::-1] for _, b in places], n_items, future)
    return before, after


def _places(sequence: Rows) -> Iterator[tuple[Rows, Rows]]:
    newest = sequence[-NEWEST:]
    for place in range(1, len(newest)):
        yield newest[:place], newest[place:]


def inverse_gram(rows: sp.csr_matrix, ridge: float) -> Matrix:
    """Return float32[n, n], (X'X + ridge · 1)⁻¹, by Cholesky in place.

    >>> inverse_gram(sp.csr_matrix(np.eye(2, dtype=np.float32)), 1.0).round(3).tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """
    gram = (rows.T @ rows).toarray(order="F").astype(np.float32, copy=False)
    gram[np.diag_indices_from(gram)] += ridge
    try:
        return inverse_of(gram)
    except ValueError as error:
        raise UnavailableError(str(error)) from error
