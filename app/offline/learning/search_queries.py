"""The queries with words that a build learns from: logged, judged, and written by itself.

A held-out event that a search led to gives its real query, and no written one beside it. The other
held-out events give a query that the build writes for the item taken. Where nobody has used the
catalogue, queries are written for the items themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from app.engine.scoring.modes import Mode
from app.offline.learning.examples import TrainingQuery
from app.offline.learning.gains import AlikeGains
from app.offline.learning.search_examples import MOST_QUERIES, SearchSide
from app.offline.learning.search_log import JudgedList, Searches, judged_queries
from app.offline.learning.synthetic_queries import QueryWriter

QUERIES_PER_ITEM: Final = 4
"""Queries that are written for each item of a small catalogue without events."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is needed to learn from queries.

    Attributes:
        side: the texts of the items.
        writer: writes queries.
        searches: those that led to the steps of the sequences.
        judged: queries with graded items.
    """

    side: SearchSide
    writer: QueryWriter
    searches: Searches
    judged: Sequence[JudgedList]


def asked_by_mode(
    search: Search,
    steps: Sequence[int],
    events: Sequence[TrainingQuery],
    logged: Sequence[tuple[int, TrainingQuery]],
    seed: int,
) -> dict[Mode, list[TrainingQuery]]:
    """Return the queries of the modes with words.

    Args:
        search: what they are made of.
        steps: of the held-out events.
        events: a query without words for each of them.
        logged: a query with words for each search that led to a held-out step, behind the step.
        seed: of the sample.
    """
    searched = {step for step, _ in logged}
    others = [query for step, query in zip(steps, events, strict=True) if step not in searched]
    queries = [*(query for _, query in logged), *_written_for_events(others, search, seed)]
    return {
        "words": [*queries, *judged_queries(search.judged)],
        "both": [query for query in queries if query.recent.size or query.sides.size],
    }


def _written_for_events(
    queries: Sequence[TrainingQuery], search: Search, seed: int
) -> list[TrainingQuery]:
    """Return some of the queries with words that lead to their target."""
    order = np.random.default_rng(seed).permutation(len(queries))[:MOST_QUERIES]
    some = [queries[position] for position in np.sort(order).tolist()]
    targets = np.array([query.target for query in some], np.int64)
    return [
        replace(query, query=text, kind="synthetic")
        for query, text in zip(some, search.writer.write(targets), strict=True)
        if text
    ]


def written_for_items(search: Search, seed: int) -> list[TrainingQuery]:
    """Return queries that are written for items: what a catalogue alone can teach."""
    n_items = len(search.side.vectors)
    rng = np.random.default_rng(seed)
    times = -(-min(MOST_QUERIES, QUERIES_PER_ITEM * n_items) // max(n_items, 1))
    rows = np.concatenate([rng.permutation(n_items) for _ in range(times)])[:MOST_QUERIES]
    none = np.empty(0, np.int64)
    return [
        TrainingQuery(
            recent=none,
            target=row,
            sample_weight=1.0,
            disliked=none,
            query=text,
            kind="synthetic",
            gains=AlikeGains(search.side.vectors, row, none),
        )
        for row, text in zip(rows.tolist(), search.writer.write(rows), strict=True)
        if text
    ]
