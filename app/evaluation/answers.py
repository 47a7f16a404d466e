"""What a model answered to the cases, as arrays: the one form that all metrics are computed from.

The serving engine gives scored lists, and a baseline gives a score for every item. Both become
`Answers` here, and in both the ranks count ties half. This module does not know what a metric is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from app.core.ports import Engine
from app.core.ranking import RankRequest, RankResult
from app.core.types import Matrix, Rows
from app.evaluation.protocols import LIST_SIZE, Case
from app.offline.metrics.ranking import Numbers, ranks_in

BATCH = 64
"""Requests of one engine pass, as on a busy server."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers to n cases: lists of w positions, best first.

    Attributes:
        rows: int64[n, w], rows of the catalogue; -1 = the list ended before.
        scores: float64[n, w], -inf where the list ended before.
        target_position: int64[n], the position of the target item in its list; -1 = not in it.
        ranks: float64[n], rank of the target from 0, ties count half; inf = not returned.
        found_by: source -> bool[n, w]: it found the item at that position. Empty for baselines.
        seconds: time spent answering.
    """

    rows: Rows
    scores: Numbers
    target_position: Rows
    ranks: Numbers
    found_by: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.ranks)


@dataclass(frozen=True, slots=True)
class Numbering:
    """The catalogue row of each item id. The engine and all baselines are measured in these rows.

    `row_of`: item id -> row.
    """

    row_of: Mapping[str, int]

    @classmethod
    def of(cls, ids: Iterable[str]) -> "Numbering":
        """Return a numbering of ids in their order."""
        return cls({item_id: row for row, item_id in enumerate(ids)})

    def rows(self, ids: Iterable[str]) -> Rows:
        """Return int64[n], the rows of the known ids in their order; other ids are left out."""
        return np.array([self.row_of[i] for i in ids if i in self.row_of], dtype=np.int64)

    def targets(self, cases: Sequence[Case]) -> Rows:
        """Return int64[n], the row of each case's target; -1 if the catalogue does not have it."""
        names = (max(case.grades, key=case.grades.__getitem__) for case in cases)
        return np.array([self.row_of.get(name, -1) for name in names], dtype=np.int64)


def ask_engine(
    engine: Engine,
    requests: Sequence[RankRequest],
    targets: Rows,
    numbering: Numbering,
    label: str,
) -> Answers:
    """Return the engine's answers to all requests, asked in batches.

    Args:
        engine: what answers.
        requests: n requests.
        targets: int64[n], rows of the targets.
        numbering: rows of the item ids.
        label: what the progress bar shows.

    Raises:
        EngineError: a batch failed.
    """
    results: list[RankResult] = []
    spent_ms = 0.0
    with tqdm(total=len(requests), desc=label, unit=" requests", disable=None) as bar:
        for start in range(0, len(requests), BATCH):
            batch = engine.rank(requests[start : start + BATCH])
            results += batch.results
            times = batch.timings
            spent_ms += times.encode_ms + times.retrieve_ms + times.rerank_ms
            bar.update(len(batch.results))
    return replace(from_results(results, targets, numbering), seconds=spent_ms / 1e3)


def from_results(results: Sequence[RankResult], targets: Rows, numbering: Numbering) -> Answers:
    """Return the engine's lists as arrays; equal scores in a list are a tie, whatever their order.

    Items beyond the end of a list are unknown, so a tie with one of them is not seen.
    """
    answers = lists_of(
        [np.array([numbering.row_of.get(i.id, -1) for i in r.items], np.int64) for r in results],
        [np.array([item.score for item in r.items], np.float64) for r in results],
        targets,
    )
    found_by: dict[str, npt.NDArray[np.bool_]] = {}
    for row, result in enumerate(results):
        for position, item in enumerate(result.items):
            for hit in item.sources:
                if hit.name not in found_by:
                    found_by[hit.name] = np.zeros(answers.rows.shape, dtype=bool)
                found_by[hit.name][row, position] = True
    return replace(answers, found_by=found_by)


def lists_of(rows: Sequence[Rows], scores: Sequence[Numbers], targets: Rows) -> Answers:
    """Return lists of uneven length, each best first, padded to one width.

    Ranks are those within the lists.
    """
    width = max(1, *map(len, rows)) if rows else 1
    all_rows = np.full((len(rows), width), -1, dtype=np.int64)
    all_scores = np.full((len(rows), width), -np.inf)
    for row, (items, values) in enumerate(zip(rows, scores, strict=True)):
        all_rows[row, : len(items)] = items
        all_scores[row, : len(items)] = values
    position = _positions(all_rows, targets)
    ranks = np.where(position >= 0, ranks_in(all_scores, position), np.inf)
    return Answers(rows=all_rows, scores=all_scores, target_position=position, ranks=ranks)


def by_place(answers: Answers) -> Answers:
    """Return answers whose ranks are the places in their lists, whatever the scores are.

    A list that diversity, shares or rules have arranged does not follow its scores.
    """
    places = answers.target_position.astype(np.float64)
    return replace(answers, ranks=np.where(places >= 0, places, np.inf))


def _positions(rows: Rows, targets: Rows) -> Rows:
    """Return int64[n], the position of each target in its list; -1 = not in it."""
    is_target = (rows == targets[:, None]) & (targets >= 0)[:, None]
    return np.where(is_target.any(axis=1), np.argmax(is_target, axis=1), -1)


def mask_excluded(scores: Matrix, requests: Sequence[RankRequest], numbering: Numbering) -> Matrix:
    """Set -inf, in place, where a request excludes an item or does not name it as a candidate."""
    for row, request in enumerate(requests):
        if request.candidates is not None:
            inside = numbering.rows(request.candidates)
            candidate_scores = scores[row, inside]
            scores[row] = -np.inf
            scores[row, inside] = candidate_scores
        if request.exclude:
            scores[row, numbering.rows(request.exclude)] = -np.inf
    return scores


def from_scores(scores: Matrix, targets: Rows, width: int = LIST_SIZE) -> Answers:
    """Return lists of masked float32[n, n_items]; ranks are exact over all items, not over a list.

    Equal scores share a rank. Which of them are in a list is decided by their rows, which have no
    meaning (see `eval_catalogue.Anonymiser`).
    """
    width = min(width, scores.shape[1])
    part = np.argpartition(-scores, width - 1, axis=1)[:, :width]
    part_scores = np.take_along_axis(scores, part, axis=1)
    order = np.argsort(-part_scores, axis=1, kind="stable")
    rows, best = np.take_along_axis(part, order, 1), np.take_along_axis(part_scores, order, 1)
    ranks = np.where(targets >= 0, ranks_in(scores, np.maximum(targets, 0)), np.inf)
    is_ranked = np.isfinite(best)
    rows = np.where(is_ranked, rows, -1)
    values: Numbers = np.where(is_ranked, best, -np.inf).astype(np.float64)
    return Answers(rows=rows, scores=values, target_position=_positions(rows, targets), ranks=ranks)


def concatenated(parts: Sequence[Answers]) -> Answers:
    """Return the answers of several folds or batches as one, padded to the widest."""
    width = max(part.rows.shape[1] for part in parts)
    names = dict.fromkeys(name for part in parts for name in part.found_by)

    def widened(array: npt.NDArray[Any], fill: float) -> npt.NDArray[Any]:
        return np.pad(array, ((0, 0), (0, width - array.shape[1])), constant_values=fill)

    def flags(part: Answers, name: str) -> npt.NDArray[np.bool_]:
        nothing = np.zeros((len(part), width), dtype=bool)
        return widened(part.found_by.get(name, nothing), False)

    return Answers(
        rows=np.concatenate([widened(part.rows, -1) for part in parts]),
        scores=np.concatenate([widened(part.scores, -np.inf) for part in parts]),
        target_position=np.concatenate([part.target_position for part in parts]),
        ranks=np.concatenate([part.ranks for part in parts]),
        found_by={name: np.concatenate([flags(part, name) for part in parts]) for name in names},
        seconds=sum(part.seconds for part in parts),
    )
