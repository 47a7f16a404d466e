"""From answers to the figures of a report: per case, then with intervals, then by bucket.

This module does not know which model answered: the engine and every baseline pass through here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from app.core.types import Matrix, Rows
from app.evaluation.answers import Answers, Numbering
from app.evaluation.protocols import Case
from app.offline.metrics import ranking as metrics
from app.offline.metrics.intervals import Estimate, mean_intervals, ratio_interval
from app.offline.metrics.ranking import Numbers

TOP = 10
"""The length of the lists that coverage, novelty, diversity and popularity are measured on."""

BUCKETS = ((0, 0), (1, 2), (3, 4), (5, 9), (10, 19), (20, 49), (50, None))
RELEVANT = 4.0
"""The grade from which a product is what was asked for."""

Table: TypeAlias = Mapping[str, Numbers]
"""Metric -> float64[n], a value per case."""


@dataclass(frozen=True, slots=True)
class Context:
    """What lists are judged against.

    `counts`: float64[n_items], positive training events. `vectors`: float32[n_items, dim], unit
    rows: the plain encoder's title vectors, the same for every model. `taken`: int64[n, h], the
    rows of each case's history, padded with -1.
    """

    counts: Numbers
    vectors: Matrix
    taken: Rows


def next_item_table(answers: Answers) -> dict[str, Numbers]:
    """Return recall, NDCG and reciprocal rank of the one item to find."""
    ranks = answers.ranks
    return {
        **{f"recall@{k}": metrics.recall_at(ranks, k) for k in (5, 10, 50)},
        **{f"ndcg@{k}": metrics.ndcg_at(ranks, k) for k in (5, 10)},
        "mrr": metrics.reciprocal_rank(np.where(ranks < answers.rows.shape[1], ranks, np.inf)),
    }


def graded_table(
    judged: Answers, retrieved: Answers, cases: Sequence[Case], numbering: Numbering
) -> dict[str, Numbers]:
    """Return NDCG of the judged items reranked, and of lists out of all items (unjudged = 0)."""
    grades = [_by_row(case, numbering) for case in cases]
    table = {f"ndcg@{k}": _graded(judged, grades, k) for k in (5, 10)}
    table |= {f"retrieval_ndcg@{k}": _graded(retrieved, grades, k) for k in (5, 10)}
    table["retrieval_recall@50"] = _found(retrieved, grades)
    return table


def _by_row(case: Case, numbering: Numbering) -> dict[int, float]:
    known = numbering.row_of
    return {known[item]: grade for item, grade in case.grades.items() if item in known}


def _graded(answers: Answers, grades: Sequence[Mapping[int, float]], k: int) -> Numbers:
    values = np.empty(len(answers))
    for place, judged in enumerate(grades):
        rows = answers.rows[place]
        gains = [metrics.gain_of(judged[row]) if row in judged else 0.0 for row in rows.tolist()]
        ideal = [metrics.gain_of(grade) for grade in judged.values()]
        values[place] = metrics.graded_ndcg_at(answers.scores[place], gains, ideal, k)
    return values


def _found(answers: Answers, grades: Sequence[Mapping[int, float]]) -> Numbers:
    """Return the share of the fitting products that the list holds; NaN where there are none."""
    values = np.full(len(answers), np.nan)
    for place, judged in enumerate(grades):
        fitting = {row for row, grade in judged.items() if grade >= RELEVANT}
        if fitting:
            values[place] = len(fitting & set(answers.rows[place].tolist())) / len(fitting)
    return values


def list_table(answers: Answers, context: Context) -> dict[str, Numbers]:
    """Return what the first ten of each list are like, whether or not they are right."""
    lists = answers.rows[:, :TOP]
    table = {f"diversity@{TOP}": metrics.diversity(lists, context.vectors)}
    if context.counts.any():
        table[f"novelty@{TOP}"] = metrics.novelty(lists, context.counts)
    return table


def summary(table: Table, seed: int) -> dict[str, Estimate]:
    """Return every metric's mean with its interval; users are drawn once for all of them."""
    values = np.stack(list(table.values()), axis=1)
    return dict(zip(table, mean_intervals(values, seed), strict=True))


def lift(answers: Answers, context: Context, seed: int) -> Estimate:
    """Return the popularity lift: lists against the same users' histories, both in events an item.

    Users without a history are left out.
    """
    shown = metrics.mean_over(answers.rows[:, :TOP], context.counts)
    taken = metrics.mean_over(context.taken, context.counts)
    ratio = ratio_interval(shown, taken, seed)
    return Estimate(ratio.value - 1.0, ratio.low - 1.0, ratio.high - 1.0)


def exposure(answers: Answers, n_items: int) -> dict[str, float]:
    """Return coverage and Gini of the first ten: facts about all lists, so without an interval."""
    counts = metrics.exposure(answers.rows[:, :TOP], n_items)
    return {
        f"coverage@{TOP}": round(metrics.coverage(counts), 6),
        f"gini@{TOP}": round(metrics.gini(counts), 6),
    }


def by_history(table: Table, cases: Sequence[Case], seed: int) -> list[dict[str, Any]]:
    """Return the metrics for each bucket of history length that has cases."""
    taken = np.array([case.taken for case in cases])
    found = []
    for low, high in BUCKETS:
        inside = (taken >= low) & (taken <= (np.inf if high is None else high))
        if inside.any():
            part = summary({name: values[inside] for name, values in table.items()}, seed)
            found.append(
                {
                    "history": _label(low, high),
                    "n_users": int(inside.sum()),
                    "metrics": {name: estimate.document() for name, estimate in part.items()},
                }
            )
    return found


def _label(low: int, high: int | None) -> str:
    if high is None:
        return f"{low}+"
    return str(low) if low == high else f"{low}–{high}"


def by_source(answers: Answers) -> dict[str, dict[str, float | None]]:
    """Return for each source its part in the first ten places.

    `hits`: share of the found items (rank < 10) that it brought; several may bring the same one.
    `only`: share that nothing else brought. `places`: share of all places it brought.
    """
    hit = answers.ranks < TOP
    people = np.arange(len(answers))
    mine = {name: flags[people, answers.at] & hit for name, flags in answers.brought.items()}
    together = np.sum(list(mine.values()), axis=0)
    filled = max(int((answers.rows[:, :TOP] >= 0).sum()), 1)
    return {
        name: {
            "hits": _share(mine[name], hit),
            "only": _share(mine[name] & (together == 1), hit),
            "places": round(float(flags[:, :TOP].sum() / filled), 6),
        }
        for name, flags in answers.brought.items()
    }


def pool_recall(answers: Answers) -> tuple[dict[str, float], dict[str, float]]:
    """Return, of long lists: each source's recall of the item to find, and that of all together.

    The second: `recall`, and `mean`, the number of candidates of a request.
    """
    n = max(len(answers), 1)
    found = answers.at >= 0
    people = np.arange(len(answers))
    recall = {
        name: round(float((flags[people, answers.at] & found).sum() / n), 6)
        for name, flags in answers.brought.items()
    }
    size = float((answers.rows >= 0).sum() / n)
    return recall, {"recall": round(float(found.sum() / n), 6), "mean": round(size, 2)}


def _share(part: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]) -> float | None:
    return round(float(part.sum() / whole.sum()), 6) if whole.any() else None
