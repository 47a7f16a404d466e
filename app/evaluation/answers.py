"""What a model answered to the cases, as arrays: the one form that everything is measured on.

The serving engine gives scored lists, a baseline gives a score for every item; both become
`Answers` here, with the same ties-count-half rank. This module does not know what a metric is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from app.core.ports import Engine
from app.core.types import Matrix, RankRequest, RankResult, Rows
from app.evaluation.protocols import LIST_SIZE, Case
from app.offline.metrics.ranking import Numbers, ranks_in

BATCH = 64
"""Requests of one engine pass: what a busy server takes at once."""

Asks = Sequence[RankRequest]


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers to n cases, w places each, best first.

    Attributes:
        rows: int64[n, w], rows of the shelf; -1 = the list ended before.
        scores: float64[n, w], -inf where the list ended before.
        at: int64[n], the place of the item to find in its list; -1 = not in it.
        ranks: float64[n], rank of the item to find from 0, ties half; inf = not returned.
        brought: source -> bool[n, w]: it brought the item at that place. Empty for baselines.
        seconds: what answering took.
    """

    rows: Rows
    scores: Numbers
    at: Rows
    ranks: Numbers
    brought: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.ranks)


@dataclass(frozen=True, slots=True)
class Numbering:
    """Which row of the shelf an item is; both engine and baselines are measured in these rows."""

    row_of: Mapping[str, int]

    @classmethod
    def of(cls, ids: Iterable[str]) -> "Numbering":
        """Return a numbering of ids in their order."""
        return cls({name: row for row, name in enumerate(ids)})

    def rows(self, ids: Iterable[str]) -> Rows:
        """Return int64[n], the rows of the known ids in their order."""
        return np.array([self.row_of[i] for i in ids if i in self.row_of], dtype=np.int64)

    def targets(self, cases: Sequence[Case]) -> Rows:
        """Return int64[n], the row of the one item to find; -1 if the catalogue lacks it."""
        names = (max(case.grades, key=case.grades.__getitem__) for case in cases)
        return np.array([self.row_of.get(name, -1) for name in names], dtype=np.int64)


def ask_engine(
    engine: Engine, requests: Asks, targets: Rows, numbering: Numbering, label: str
) -> Answers:
    """Return what the engine answers to all requests, in batches. Raises `EngineError`."""
    results: list[RankResult] = []
    spent_ms = 0.0
    with tqdm(total=len(requests), desc=label, unit=" asked", disable=None) as bar:
        for start in range(0, len(requests), BATCH):
            batch = engine.rank(requests[start : start + BATCH])
            results += batch.results
            times = batch.timings
            spent_ms += times.encode_ms + times.retrieve_ms + times.rerank_ms
            bar.update(len(batch.results))
    return replace(from_results(results, targets, numbering), seconds=spent_ms / 1e3)


def from_results(results: Sequence[RankResult], targets: Rows, numbering: Numbering) -> Answers:
    """Lay out the engine's lists; equal scores inside a list make a tie, whatever their order.

    Items beyond the end of a list are unknown: a tie with them is not seen.
    """
    answers = lists_of(
        [np.array([numbering.row_of.get(i.id, -1) for i in r.items], np.int64) for r in results],
        [np.array([item.score for item in r.items], np.float64) for r in results],
        targets,
    )
    brought: dict[str, npt.NDArray[np.bool_]] = {}
    for place, result in enumerate(results):
        for at, item in enumerate(result.items):
            for hit in item.sources:
                if hit.name not in brought:
                    brought[hit.name] = np.zeros(answers.rows.shape, dtype=bool)
                brought[hit.name][place, at] = True
    return replace(answers, brought=brought)


def lists_of(rows: Sequence[Rows], scores: Sequence[Numbers], targets: Rows) -> Answers:
    """Pad lists of uneven length, each best first, to one width; ranks are those in the lists."""
    width = max(1, *map(len, rows)) if rows else 1
    all_rows = np.full((len(rows), width), -1, dtype=np.int64)
    all_scores = np.full((len(rows), width), -np.inf)
    for place, (mine, values) in enumerate(zip(rows, scores, strict=True)):
        all_rows[place, : len(mine)] = mine
        all_scores[place, : len(mine)] = values
    at = _places(all_rows, targets)
    ranks = np.where(at >= 0, ranks_in(all_scores, at), np.inf)
    return Answers(all_rows, all_scores, at, ranks)


def _places(rows: Rows, targets: Rows) -> Rows:
    found = (rows == targets[:, None]) & (targets >= 0)[:, None]
    return np.where(found.any(axis=1), np.argmax(found, axis=1), -1)


def mask(scores: Matrix, requests: Asks, numbering: Numbering) -> Matrix:
    """Set -inf, in place, where a request does not let an item come back; return the scores."""
    for row, request in enumerate(requests):
        if request.candidates is not None:
            inside = numbering.rows(request.candidates)
            kept = scores[row, inside]
            scores[row] = -np.inf
            scores[row, inside] = kept
        if request.exclude:
            scores[row, numbering.rows(request.exclude)] = -np.inf
    return scores


def from_scores(scores: Matrix, targets: Rows, width: int = LIST_SIZE) -> Answers:
    """Make lists of masked float32[n, n_items]; ranks are exact over all items, not over the list.

    Equal scores share a rank; which of them stand in a list is decided by their rows, which
    carry no meaning (see `eval_catalogue.Anonymiser`).
    """
    width = min(width, scores.shape[1])
    part = np.argpartition(-scores, width - 1, axis=1)[:, :width]
    there = np.take_along_axis(scores, part, axis=1)
    order = np.argsort(-there, axis=1, kind="stable")
    rows, best = np.take_along_axis(part, order, 1), np.take_along_axis(there, order, 1)
    ranks = np.where(targets >= 0, ranks_in(scores, np.maximum(targets, 0)), np.inf)
    ranked = np.isfinite(best)
    rows = np.where(ranked, rows, -1)
    values: Numbers = np.where(ranked, best, -np.inf).astype(np.float64)
    return Answers(rows, values, _places(rows, targets), ranks)


def concatenated(parts: Sequence[Answers]) -> Answers:
    """Return the answers of several folds or batches as one, padded to the widest."""
    width = max(part.rows.shape[1] for part in parts)
    names = dict.fromkeys(name for part in parts for name in part.brought)

    def wide(array: npt.NDArray[Any], fill: float) -> npt.NDArray[Any]:
        return np.pad(array, ((0, 0), (0, width - array.shape[1])), constant_values=fill)

    def flags(part: Answers, name: str) -> npt.NDArray[np.bool_]:
        return wide(part.brought.get(name, np.zeros((len(part), width), dtype=bool)), False)

    return Answers(
        np.concatenate([wide(part.rows, -1) for part in parts]),
        np.concatenate([wide(part.scores, -np.inf) for part in parts]),
        np.concatenate([part.at for part in parts]),
        np.concatenate([part.ranks for part in parts]),
        {name: np.concatenate([flags(part, name) for part in parts]) for name in names},
        sum(part.seconds for part in parts),
    )
