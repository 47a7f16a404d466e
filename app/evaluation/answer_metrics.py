"""The metrics of answers: a value per case, then means with intervals, then by groups of cases.

The answers of the engine and of every baseline go through the same functions; this module does not
know which model answered.
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

HISTORY_BUCKETS = ((0, 0), (1, 2), (3, 4), (5, 9), (10, 19), (20, 49), (50, None))
RELEVANT = 4.0
"""The grade from which a product counts as relevant."""

Table: TypeAlias = Mapping[str, Numbers]
"""Metric -> float64[n], a value per case."""


@dataclass(frozen=True, slots=True)
class ListContext:
    """What is known about the items and the users of n lists.

    Attributes:
        counts: float64[n_items], positive training events of each item.
        vectors: float32[n_items, dim] of unit norm: titles as the plain encoder encodes them, so
            they are the same for every model.
        histories: int64[n, h], the rows of each case's history, padded with -1.
    """

    counts: Numbers
    vectors: Matrix
    histories: Rows


def next_item_table(answers: Answers) -> dict[str, Numbers]:
    """Return recall, NDCG and reciprocal rank of the target of each case."""
    ranks = answers.ranks
    # A baseline's ranks are over all items, the engine's over its list. The reciprocal rank is cut
    # at the list's end for both, so that they can be compared.
    returned = np.where(ranks < answers.rows.shape[1], ranks, np.inf)
    return {
        **{f"recall@{k}": metrics.recall_at(ranks, k) for k in (5, 10, 50)},
        **{f"ndcg@{k}": metrics.ndcg_at(ranks, k) for k in (5, 10)},
        "mrr": metrics.reciprocal_rank(returned),
    }


def graded_table(
    judged: Answers, retrieved: Answers, cases: Sequence[Case], numbering: Numbering
) -> dict[str, Numbers]:
    """Return the metrics of graded queries.

    Args:
        judged: the answers with the judged items as candidates.
        retrieved: the answers over the whole catalogue; an item without a grade has gain 0.
        cases: the queries with their grades.
        numbering: rows of the item ids.
    """
    grades = [_by_row(case, numbering) for case in cases]
    table = {f"ndcg@{k}": _graded(judged, grades, k) for k in (5, 10)}
    table |= {f"retrieval_ndcg@{k}": _graded(retrieved, grades, k) for k in (5, 10)}
    table["retrieval_recall@50"] = _relevant_recall(retrieved, grades)
    return table


def _by_row(case: Case, numbering: Numbering) -> dict[int, float]:
    known = numbering.row_of
    return {known[item]: grade for item, grade in case.grades.items() if item in known}


def _graded(answers: Answers, grades: Sequence[Mapping[int, float]], k: int) -> Numbers:
    """Return float64[n], the NDCG@k of each list."""
    values = np.empty(len(answers))
    for case, judged in enumerate(grades):
        rows = answers.rows[case].tolist()
        gains = [metrics.gain_of(judged[row]) if row in judged else 0.0 for row in rows]
        ideal = [metrics.gain_of(grade) for grade in judged.values()]
        values[case] = metrics.graded_ndcg_at(
            scores=answers.scores[case], gains=gains, judged=ideal, k=k
        )
    return values


def _relevant_recall(answers: Answers, grades: Sequence[Mapping[int, float]]) -> Numbers:
    """Return float64[n], the share of the relevant items in the list; NaN where there are none."""
    values = np.full(len(answers), np.nan)
    for case, judged in enumerate(grades):
        relevant = {row for row, grade in judged.items() if grade >= RELEVANT}
        if relevant:
            listed = set(answers.rows[case].tolist())
            values[case] = len(relevant & listed) / len(relevant)
    return values


def list_table(answers: Answers, context: ListContext) -> dict[str, Numbers]:
    """Return diversity and novelty of the first ten of each list; they do not depend on targets."""
    lists = answers.rows[:, :TOP]
    table = {f"diversity@{TOP}": metrics.diversity(lists, context.vectors)}
    if context.counts.any():
        table[f"novelty@{TOP}"] = metrics.novelty(lists, context.counts)
    return table


def summary(table: Table, seed: int) -> dict[str, Estimate]:
    """Return every metric's mean with its interval; all metrics share the same resamples."""
    values = np.stack(list(table.values()), axis=1)
    return dict(zip(table, mean_intervals(values, seed), strict=True))


def popularity_lift(answers: Answers, context: ListContext, seed: int) -> Estimate:
    """Return how much more popular the lists are than the same users' histories.

        lift = mean popularity of the lists / mean popularity of the histories − 1

    Popularity is the number of training events of an item. 0 = the same, 1 = twice as popular,
    below 0 = less popular. Users without a history are left out.
    """
    listed = metrics.mean_over(answers.rows[:, :TOP], context.counts)
    taken = metrics.mean_over(context.histories, context.counts)
    ratio = ratio_interval(listed, taken, seed)
    return Estimate(ratio.value - 1.0, ratio.low - 1.0, ratio.high - 1.0)


def exposure(answers: Answers, n_items: int) -> dict[str, float]:
    """Return coverage and Gini of the first ten.

    Both are facts about all lists together, so they have no interval.
    """
    counts = metrics.exposure(answers.rows[:, :TOP], n_items)
    return {
        f"coverage@{TOP}": round(metrics.coverage(counts), 6),
        f"gini@{TOP}": round(metrics.gini(counts), 6),
    }


def by_history(table: Table, cases: Sequence[Case], seed: int) -> list[dict[str, Any]]:
    """Return the metrics for each bucket of history lengths that has cases."""
    lengths = np.array([case.history_length for case in cases])
    buckets = []
    for low, high in HISTORY_BUCKETS:
        inside = (lengths >= low) & (lengths <= (np.inf if high is None else high))
        if inside.any():
            means = summary({name: values[inside] for name, values in table.items()}, seed)
            buckets.append(
                {
                    "history": _label(low, high),
                    "n_users": int(inside.sum()),
                    "metrics": {name: estimate.document() for name, estimate in means.items()},
                }
            )
    return buckets


def _label(low: int, high: int | None) -> str:
    if high is None:
        return f"{low}+"
    return str(low) if low == high else f"{low}–{high}"


def by_source(answers: Answers) -> dict[str, dict[str, float | None]]:
    """Return each source's share of the first ten positions.

    `hits`: share of the targets in the first ten that the source found; several sources may find
    the same item. `only`: share of them that no other source found. `places`: share of all filled
    positions whose item it found.
    """
    is_hit = answers.ranks < TOP
    case = np.arange(len(answers))
    hits = {
        name: flags[case, answers.target_position] & is_hit
        for name, flags in answers.found_by.items()
    }
    n_sources = np.sum(list(hits.values()), axis=0)
    n_filled = max(int((answers.rows[:, :TOP] >= 0).sum()), 1)
    return {
        name: {
            "hits": _share(hits[name], is_hit),
            "only": _share(hits[name] & (n_sources == 1), is_hit),
            "places": round(float(flags[:, :TOP].sum() / n_filled), 6),
        }
        for name, flags in answers.found_by.items()
    }


def pool_recall(answers: Answers) -> tuple[dict[str, float], dict[str, float]]:
    """Return the recall of the target in long lists: of each source, and of all sources together.

    The second also has `mean`, the mean number of candidates of a request.
    """
    n = max(len(answers), 1)
    is_found = answers.target_position >= 0
    case = np.arange(len(answers))
    recall = {
        name: round(float((flags[case, answers.target_position] & is_found).sum() / n), 6)
        for name, flags in answers.found_by.items()
    }
    size = float((answers.rows >= 0).sum() / n)
    return recall, {"recall": round(float(is_found.sum() / n), 6), "mean": round(size, 2)}


def _share(part: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]) -> float | None:
    return round(float(part.sum() / whole.sum()), 6) if whole.any() else None
