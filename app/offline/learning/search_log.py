"""What people searched for, as material to learn from: logged searches, and judged queries.

A search of a log is a positive event together with the words that led to it. Only searches of
held-out events become training queries, because the sources must not have seen the targets.
Judgements need no such care: no source knows them.

This module does not know how examples are drawn.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from app.core.types import Rows, Vector
from app.offline.input.judgements import Judgements
from app.offline.learning.examples import MAX_EXAMPLES, TrainingQuery, queries_by_step
from app.offline.learning.gains import JudgedGains, gains_of_grades
from app.offline.learning.negatives import Negatives
from app.offline.learning.sequences import Ints, Sequences, steps_of
from app.offline.learning.signals import EventLog


@dataclass(frozen=True, slots=True)
class Searches:
    """The words that led to steps of some sequences.

    Attributes:
        queries: the different words.
        steps: int64[p], positions in `Sequences.items`, ascending. A step to which several
            wordings led is there several times.
        words: int64[p], positions in `queries`.
    """

    queries: Sequence[str]
    steps: Ints
    words: Ints

    def of(self, step: int) -> list[str]:
        """Return the wordings that led to a step."""
        first, last = np.searchsorted(self.steps, [step, step + 1]).tolist()
        return [self.queries[code] for code in self.words[first:last].tolist()]


@dataclass(frozen=True, slots=True)
class JudgedList:
    """A query, and how well some items fit it.

    Attributes:
        query: the words.
        rows: int64[j], rows of the catalogue, ascending.
        grades: float32[j], higher = fits better.
    """

    query: str
    rows: Rows
    grades: Vector


def searches_of(log: EventLog, n_items: int) -> Searches:
    """Return the words that led to the steps of the sequences of a log.

    If several events make up a step (a click, then a purchase), each wording counts once.
    """
    rows, steps = steps_of(
        events=log.events, item_rows=log.item_rows, weights=log.weights, n_items=n_items
    )
    codes = log.events.query[rows].astype(np.int64)
    found = np.unique(np.stack([steps[codes >= 0], codes[codes >= 0]]), axis=1)
    return Searches(queries=log.events.queries, steps=found[0], words=found[1])


def held_out_searchers(searches: Searches, sequences: Sequences, seed: int) -> Ints:
    """Return int64[n_users]: 1 for a sample of those whose only step is a search, otherwise 0.

    `held_out_counts` holds nothing of such a user out. But a visitor who searches, takes one item
    and leaves is what most search logs consist of. So half of them are held out whole. The other
    half stays, because popularity counts them.
    """
    searched = np.zeros(len(sequences.items), np.bool_)
    searched[searches.steps] = True
    alone = np.flatnonzero(sequences.lengths == 1)
    alone = alone[searched[sequences.offsets[alone]]]
    held_out = np.zeros(len(sequences), np.int64)
    sample = np.random.default_rng(seed).permutation(alone)[: min(len(alone) // 2, MAX_EXAMPLES)]
    held_out[sample] = 1
    return held_out


def logged_by_step(
    searches: Searches, sequences: Sequences, held_out: Ints, negatives: Negatives
) -> Iterator[tuple[int, TrainingQuery]]:
    """Yield a query with words for each search that led to a held-out step, behind the step.

    As in `training_queries_of`, an item that is earlier in the user's sequence is no target.

    Args:
        searches: of the same log as the sequences.
        sequences: all positive events.
        held_out: int64[n_users], how many of the last steps of each user are held out: the sum of
            `held_out_counts` and `held_out_searchers`. `Sequences.without_last` leaves them out.
        negatives: negative events and skipped items of the same log.
    """
    for step, query in queries_by_step(sequences, held_out, negatives):
        for words in searches.of(step):
            yield step, replace(query, query=words, kind="logged")


def judged_queries(lists: Sequence[JudgedList]) -> list[TrainingQuery]:
    """Return a query for each judged one whose items are not all of one grade."""
    if not lists:
        return []
    grades = np.concatenate([each.grades for each in lists])
    lowest, highest = float(grades.min()), float(grades.max())
    none = np.empty(0, np.int64)
    return [
        TrainingQuery(
            recent=none,
            target=-1,
            sample_weight=1.0,
            disliked=none,
            query=each.query,
            kind="judged",
            gains=JudgedGains(each.rows, gains_of_grades(each.grades, lowest, highest)),
        )
        for each in lists
        if each.grades.min() < each.grades.max()
    ]


def judged_lists(judgements: Judgements) -> list[JudgedList]:
    """Return the judged items of each query, in the order of `Judgements.queries`."""
    starts = np.searchsorted(judgements.query, np.arange(len(judgements.queries) + 1)).tolist()
    return [
        JudgedList(
            query=query,
            rows=judgements.item_rows[start:end].astype(np.int64),
            grades=judgements.grades[start:end],
        )
        for query, (start, end) in zip(judgements.queries, pairwise(starts), strict=True)
    ]
