"""The queries with words that a build learns from: logged, judged, and written by itself.

A held-out event that a search led to gives its real query, and no written one beside it. The other
held-out events give a query that the build writes for the item taken. Of these, queries that leave
a choice between items are preferred. Where nobody has used the catalogue, queries are written for
the items themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from app.engine.retrieval.lexical import LexicalSearch
from app.engine.scoring.modes import Mode
from app.offline.learning.examples import TrainingQuery
from app.offline.learning.gains import AlikeGains
from app.offline.learning.search_examples import MOST_QUERIES, SearchSide
from app.offline.learning.search_log import JudgedList, Searches, judged_queries
from app.offline.learning.synthetic_queries import QueryWriter
from app.offline.metrics.ranking import Numbers

QUERIES_PER_ITEM: Final = 4
"""Queries that are written for each item of a small catalogue without events."""

DRAWN_FOR_EVENT: Final = 3
"""Queries that are drawn for an event, of which at most one is asked."""

MOST_CHOICE: Final = 20
"""The more items hold all words of a query, the likelier it is asked, up to so many items. What one
item alone holds teaches nothing of the history, and words of titles are mostly of this kind."""


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
    events: Sequence[TrainingQuery], search: Search, seed: int
) -> list[TrainingQuery]:
    """Return some of the events with words that lead to their target; most leave a choice."""
    targets = np.array([event.target for event in events], np.int64)
    texts = search.writer.write(np.repeat(targets, DRAWN_FOR_EVENT))
    rng = np.random.default_rng(seed)
    # The largest of such keys are a sample without replacement (Efraimidis and Spirakis, 2006).
    keys = np.log(rng.random(len(texts))) / _weights(texts, search.side.words)
    keys = keys.reshape(len(events), DRAWN_FOR_EVENT)
    drawn, best = keys.argmax(axis=1), keys.max(axis=1, initial=-np.inf)
    some = np.sort(np.argsort(-best, kind="stable")[:MOST_QUERIES]).tolist()
    return [
        replace(events[at], query=text, kind="synthetic")
        for at in some
        if (text := texts[DRAWN_FOR_EVENT * at + int(drawn[at])])
    ]


def _weights(texts: Sequence[str], words: LexicalSearch) -> Numbers:
    """Return float64[m] > 0, by how many items hold all words of each text.

    A misspelt word stands in no item. Such a text has the mean weight, so that the share of these
    texts stays as it is.
    """
    holders = np.array([len(words.rows_with(text)) for text in texts], np.float64)
    weights = np.minimum(holders, MOST_CHOICE)
    held = weights > 0
    weights[~held] = weights[held].mean() if held.any() else 1.0
    return weights


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
