"""The baseline ALS: matrix factorisation by the library `implicit` (extra `eval`)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from app.core.types import Matrix
from app.evaluation.baselines.base import BaselineQuery, TrainingData, decayed, optional


class Als:
    """Implicit-feedback ALS. The user vector of a history is solved for when it is asked.

    Source: Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", 2008.
    """

    factors, regularization, alpha, iterations = 128, 0.05, 10.0, 15

    def fit(self, train: TrainingData) -> None:
        """Factorise the matrix of users and items."""
        als = optional("implicit.als")
        self._n_items = train.n_items
        # The library runs its own threads, and warns if BLAS would start more in each of them.
        with threadpool_limits(1, "blas"):
            self._model = als.AlternatingLeastSquares(
                factors=min(self.factors, max(2, train.n_items // 2)),
                regularization=self.regularization,
                alpha=self.alpha,
                iterations=self.iterations,
                random_state=train.seed,
            )
            self._model.fit(self._taken(train.sequences), show_progress=False)

    def scores(self, queries: Sequence[BaselineQuery]) -> Matrix:
        """Return inner products of user and item vectors."""
        with threadpool_limits(1, "blas"):
            users = self._model.recalculate_user(
                np.arange(len(queries)), self._taken([query.history for query in queries])
            )
        items = np.asarray(self._model.item_factors, dtype=np.float32)
        return np.asarray(users, dtype=np.float32) @ items.T

    def _taken(self, histories: Sequence[npt.NDArray[np.int64]]) -> sp.csr_matrix:
        return decayed(histories=histories, n_items=self._n_items, decay=1.0, newest=None)
