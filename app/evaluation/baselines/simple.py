"""Baselines that learn nothing: popularity, meaning, words, and words with meaning."""

import re
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from app.core.types import Matrix
from app.evaluation.baselines.base import BaselineQuery, TrainingData, decayed, dense

TEXT_DECAY = float(np.exp(-0.5))
"""Weight of an older item of the history, relative to the next newer one."""

_WORD = re.compile(r"\w+")


class Popularity:
    """The same list for every user: items with the most positive events first."""

    def fit(self, train: TrainingData) -> None:
        """Count the events of each item."""
        self._counts = train.counts().astype(np.float32)

    def scores(self, queries: Sequence[BaselineQuery]) -> Matrix:
        """Return the counts, once per query."""
        return np.tile(self._counts, (len(queries), 1))


class Meaning:
    """MiniLM alone: inner product of titles with the query, or with the decayed history."""

    def fit(self, train: TrainingData) -> None:
        """Keep the vectors of the titles."""
        self._vectors = train.vectors

    def scores(self, queries: Sequence[BaselineQuery]) -> Matrix:
        """Return inner products with the titles.

        The sum of a history is not normalised, so a longer history gives higher scores. That does
        not change the order, but it matters where the scores are added to others (`Hybrid`).
        """
        taken = decayed([query.history for query in queries], len(self._vectors), TEXT_DECAY)
        vectors = dense(taken @ self._vectors)
        for row, query in enumerate(queries):
            if query.query_vector is not None:
                vectors[row] = query.query_vector
        return vectors @ self._vectors.T


class Bm25:
    """Okapi BM25 over the words of titles.

    A history is asked with the words of its items; the words of older items weigh less.

    score = Σ_w q_w · idf_w · tf (k1 + 1) / (tf + k1 (1 − b + b · length / mean length))
    """

    k1, b = 1.2, 0.75

    def fit(self, train: TrainingData) -> None:
        """Compute the weights of the words of all titles."""
        words = [_WORD.findall(title.casefold()) for title in train.titles]
        self._column = {w: i for i, w in enumerate(dict.fromkeys(w for ws in words for w in ws))}
        counts = self._counted(words)
        length = np.asarray(counts.sum(axis=1)).ravel()
        seen = np.asarray((counts > 0).sum(axis=0)).ravel()
        idf = np.log1p((len(words) - seen + 0.5) / (seen + 0.5))
        # Only the non-zero cells are computed, so the matrix stays sparse.
        cells = counts.tocoo()
        norm = self.k1 * (1 - self.b + self.b * length / max(length.mean(), 1e-9))
        weight = idf[cells.col] * cells.data * (self.k1 + 1) / (cells.data + norm[cells.row])
        self._weights = sp.csr_matrix((weight, (cells.row, cells.col)), shape=counts.shape)
        self._items = counts.minimum(1)

    def scores(self, queries: Sequence[BaselineQuery]) -> Matrix:
        """Return the BM25 of each title for each query or history."""
        words = self._counted([_WORD.findall(query.query.casefold()) for query in queries])
        taken = decayed([query.history for query in queries], self._items.shape[0], TEXT_DECAY)
        return dense((words + taken @ self._items) @ self._weights.T)

    def _counted(self, texts: Sequence[Sequence[str]]) -> sp.csr_matrix:
        cells = [
            (row, self._column[word])
            for row, words in enumerate(texts)
            for word in words
            if word in self._column
        ]
        rows, columns = np.array(cells, np.int64).reshape(-1, 2).T
        shape = (len(texts), max(len(self._column), 1))
        return sp.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)


class WordsAndMeaning:
    """BM25 plus MiniLM, each divided by its highest score for the query."""

    def fit(self, train: TrainingData) -> None:
        """Fit both models."""
        self._parts = (Bm25(), Meaning())
        for part in self._parts:
            part.fit(train)

    def scores(self, queries: Sequence[BaselineQuery]) -> Matrix:
        """Return the sums of the scaled scores."""
        total = np.float32(0.0)
        for part in self._parts:
            scores = part.scores(queries)
            total = total + scores / np.maximum(scores.max(axis=1, keepdims=True), 1e-9)
        return np.asarray(total, np.float32)
