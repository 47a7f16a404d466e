"""The baseline LambdaMART (`lightgbm`, extra `eval`): boosted trees over the other baselines."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from app.core.types import Matrix, Rows
from app.evaluation.baselines.base import (
    Baseline,
    BaselineQuery,
    TrainingData,
    UnavailableError,
    optional,
)
from app.evaluation.baselines.behaviour import ItemKnn, Ridge
from app.evaluation.baselines.simple import Bm25, Meaning, Popularity

BATCH = 256
N_CANDIDATES = {"ridge": 150, "knn": 50, "meaning": 50, "words": 50}
"""How many candidates each baseline gives."""


class _Sources:
    """Fitted baselines: their best items are the candidates, and their scores are features."""

    def __init__(self, train: TrainingData) -> None:
        self._models: dict[str, Baseline] = {
            "ridge": Ridge(),
            "knn": ItemKnn(),
            "meaning": Meaning(),
            "words": Bm25(),
            "popularity": Popularity(),
        }
        for model in self._models.values():
            model.fit(train)
        self._vectors = train.vectors

    def candidates(self, queries: Sequence[BaselineQuery]) -> list[tuple[Rows, Matrix]]:
        """Return for each query its candidates, int64[c], and their features, float32[c, f]."""
        scores = {name: model.scores(queries) for name, model in self._models.items()}
        return [
            self._one(query, {name: matrix[row] for name, matrix in scores.items()})
            for row, query in enumerate(queries)
        ]

    def _one(
        self, query: BaselineQuery, scores: dict[str, npt.NDArray[np.float32]]
    ) -> tuple[Rows, Matrix]:
        n = len(self._vectors)
        allowed = np.setdiff1d(np.arange(n), query.history)
        best = []
        for name, most in N_CANDIDATES.items():
            size = min(most, len(allowed))
            best.append(allowed[np.argpartition(-scores[name][allowed], size - 1)[:size]])
        rows = np.unique(np.concatenate(best)).astype(np.int64)
        columns: list[npt.NDArray[Any]] = []
        for values in scores.values():
            own = values[rows]
            columns += [own, _ranks(own)]
        recent = self._vectors[query.history[-3:]]
        cosines = self._vectors[rows] @ recent.T if len(recent) else np.zeros((len(rows), 1))
        length = np.full(len(rows), len(query.history))
        columns += [cosines[:, -1], cosines.max(axis=1), length]
        return rows, np.stack(columns, axis=1).astype(np.float32)


def _ranks(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return for each value how many values are higher; equal values have equal ranks."""
    ordered = np.sort(-values)
    return np.searchsorted(ordered, -values, side="left").astype(np.float32)


class LambdaMart:
    """LambdaMART, trained to rank each user's last training item.

    The other baselines are fitted twice: on all but the last training items, for the examples, and
    on all of them, for the answers. So the examples come from models that have not seen the target.
    Items that are not candidates get no score.
    """

    max_users = 10_000
    rounds = 200

    def fit(self, train: TrainingData) -> None:
        """Fit the other baselines, make examples, and boost trees."""
        lightgbm = optional("lightgbm")
        features, labels, groups = self._examples(train)
        data = lightgbm.Dataset(features, labels, group=groups, free_raw_data=True)
        self._trees: Any = lightgbm.train(
            {
                "objective": "lambdarank",
                "learning_rate": 0.05,
                "num_leaves": 31,
                "min_data_in_leaf": min(50, max(1, len(labels) // 20)),
                "lambdarank_truncation_level": 20,
                "feature_fraction": 0.8,
                "seed": train.seed,
                "deterministic": True,
                "verbosity": -1,
            },
            data,
            self.rounds,
        )
        self._n_items = train.n_items
        self._sources = _Sources(train)

    def _examples(self, train: TrainingData) -> tuple[Matrix, npt.NDArray[np.int8], list[int]]:
        users = [user for user, sequence in enumerate(train.sequences) if len(sequence) > 1]
        chosen = np.random.default_rng(train.seed).permutation(users)[: self.max_users].tolist()
        earlier = _Sources(replace(train, sequences=[s[:-1] for s in train.sequences]))
        features, labels, groups = [], [], []
        for start in range(0, len(chosen), BATCH):
            batch = [train.sequences[user] for user in chosen[start : start + BATCH]]
            lists = earlier.candidates([BaselineQuery(s[:-1]) for s in batch])
            for sequence, (rows, columns) in zip(batch, lists, strict=True):
                is_target = rows == sequence[-1]
                if is_target.any():  # a list without its target has no order to learn from
                    features.append(columns)
                    labels.append(is_target.astype(np.int8))
                    groups.append(len(rows))
        if not groups:
            raise UnavailableError("no training list contains its target: too few events")
        return np.concatenate(features), np.concatenate(labels), groups

    def scores(self, queries: Sequence[BaselineQuery]) -> Matrix:
        """Return the trees' scores of the candidates, -inf elsewhere."""
        scores = np.full((len(queries), self._n_items), -np.inf, np.float32)
        lists = self._sources.candidates(queries)
        values = self._trees.predict(np.concatenate([columns for _, columns in lists]))
        start = 0
        for row, (rows, _) in enumerate(lists):
            scores[row, rows] = values[start : start + len(rows)]
            start += len(rows)
        return scores
