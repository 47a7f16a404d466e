"""What the scorer learns from: candidates of real next events, drawn by the code that serves.

The sources were fitted without the events that are asked about here, so the scorer sees them as
they will be: wrong now and then. This module does not know how a scorer is trained.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from app.core.types import Matrix, Rows, Vector
from app.engine.catalogue.behaviour import RECENT
from app.engine.kernels.topk import topk_over
from app.engine.retrieval.resolve import ResolvedRequest
from app.engine.retrieval.sources import Source, retrieve
from app.offline.learning.negatives import Negatives
from app.offline.learning.sequences import Ints, Sequences
from app.offline.learning.signals import MAX_HISTORY

EXAMPLES = 8_000
"""Examples wanted; where users are fewer, each gives several."""
MOST_EXAMPLES = 30_000
MOST_HELD = 10

NEAR, FAR = 80, 60
"""Negatives of an example: the hardest by a rough order, and some of the rest at random."""

_BATCH = 64
_NO_ROWS: Rows = np.empty(0, np.int64)


class Describes(Protocol):
    """Computes features: `app.engine.kernels.features.Features`, or more than those."""

    names: tuple[str, ...]
    n_items: int

    def compute(
        self, recents: Sequence[Rows], lengths: Sequence[int], candidates: Sequence[Rows]
    ) -> Matrix:
        """Return float32[f, N], a column per candidate of each request, request after request."""
        ...


@dataclass(frozen=True, slots=True)
class TrainingQuery:
    """Somebody's history, newest first, the row they took next and what that event is worth.

    `avoided`: what they turned down, any time. `shown`: what they saw beside the row that they
    took, and left; never that row, nor one of the history.
    """

    recent: Rows
    target: int
    sample_weight: float
    avoided: Rows
    shown: Rows = field(default_factory=lambda: _NO_ROWS)


@dataclass(frozen=True, slots=True)
class Examples:
    """n lists of candidates, end to end; the first of each is the right one.

    Attributes:
        features: float16[N, f].
        offsets: int64[n + 1], where each list begins.
        log_weights: float32[N], log of how many candidates each one stands for.
        worth: float32[n].
        asked: how many questions there were; in the others no source found the answer.
        shown: how many of the lists hold what was shown beside the right one.
    """

    features: npt.NDArray[np.float16]
    offsets: Ints
    log_weights: Vector
    sample_weight: Vector
    asked: int
    shown: int

    def __len__(self) -> int:
        return len(self.sample_weight)


def held_back(sequences: Sequences, seed: int) -> Ints:
    """Return int64[n_users], how many of the last events of each user make questions.

    One where a user has fewer than eight, else at most a quarter; at least one event stays.
    """
    lengths = sequences.lengths
    each = int(np.clip(-(-EXAMPLES // max(len(lengths), 1)), 1, MOST_HELD))
    most = np.where(lengths >= 8, lengths // 4, np.minimum(lengths - 1, 1))
    held = np.minimum(each, most)
    order = np.random.default_rng(seed).permutation(len(lengths))
    held[order[np.cumsum(held[order]) > MOST_EXAMPLES]] = 0
    return held


def training_queries_of(
    sequences: Sequences, held: Ints, negatives: Negatives
) -> list[TrainingQuery]:
    """Return a question for each event held back whose item its user had not taken before."""
    avoided = negatives.avoided
    of_user = {int(user): place for place, user in enumerate(avoided.users)}
    found = []
    for user in np.flatnonzero(held).tolist():
        items = sequences.of(user)
        place = of_user.get(int(sequences.users[user]))
        shunned = items[:0] if place is None else avoided.of(place)
        for at in range(len(items) - int(held[user]), len(items)):
            if items[at] not in items[:at]:
                step = int(sequences.offsets[user]) + at
                sample_weight, left = float(sequences.weights[step]), negatives.shown.beside(step)
                left = left[~np.isin(left, items[: at + 1])]
                found.append(
                    TrainingQuery(items[:at][::-1], int(items[at]), sample_weight, shunned, left)
                )
    return found


def draw(
    questions: Sequence[TrainingQuery], sources: Sequence[Source], features: Describes, seed: int
) -> Examples:
    """Ask the sources, and keep the right candidate of each question and some wrong ones.

    Questions whose answer no source brings are left out: there is no order to learn from.
    """
    rng = np.random.default_rng(seed)
    kept: list[_Kept] = []
    for batch, candidates, columns in passes(questions, sources, features):
        ends = np.cumsum([0, *map(len, candidates)])
        for at, (question, rows) in enumerate(zip(batch, candidates, strict=True)):
            right = np.flatnonzero(rows == question.target)
            if right.size:
                block = columns[:, ends[at] : ends[at + 1]]
                order = rough_order(block, features.names)
                chosen, weights = _chosen(order, _unwanted(question, rows), rng)
                kept.append(_Kept.of(question, block, int(right[0]), chosen, weights))
    return _joined(kept, len(features.names), len(questions))


def passes(
    questions: Sequence[TrainingQuery], sources: Sequence[Source], features: Describes
) -> Iterator[tuple[Sequence[TrainingQuery], list[Rows], Matrix]]:
    """Yield batches: the questions, the candidates of each, and their features float32[f, N].

    What was shown is a candidate, whether a source brings it or not: whatever chose it then, it
    was in the running.
    """
    selection = topk_over(features.n_items)
    for start in range(0, len(questions), _BATCH):
        batch = questions[start : start + _BATCH]
        wants = [
            # Serving reads no longer histories than this.
            ResolvedRequest(
                recent=q.recent[:RECENT], length=min(len(q.recent), MAX_HISTORY), hidden=q.recent
            )
            for q in batch
        ]
        candidates = selection.union(
            [
                [*(hits.rows for hits in found.values()), question.shown]
                for question, found in zip(batch, retrieve(wants, sources), strict=True)
            ]
        )
        recents, lengths = [want.recent for want in wants], [want.length for want in wants]
        yield batch, candidates, features.compute(recents, lengths, candidates)


def rough_order(columns: Matrix, names: Sequence[str]) -> Vector:
    """Return float32[c], an unlearned score, high for candidates that are hard to tell apart."""
    first, taste = columns[0], columns[names.index("taste.total")]
    content_knn = columns[names.index("content_knn.total")]
    score: Vector = first + 0.05 * content_knn + 0.3 * taste
    return score


def _unwanted(question: TrainingQuery, rows: Rows) -> Ints:
    """Return int64[c], how surely each candidate was not wanted: 2 = seen and left, 0 = a guess."""
    sure = np.isin(rows, question.avoided).astype(np.int64)
    sure[np.isin(rows, question.shown)] = 2
    return sure


def _chosen(order: Vector, unwanted: Ints, rng: np.random.Generator) -> tuple[Ints, Vector]:
    """Return places of candidates to keep, and how many candidates each of them stands for."""
    # What somebody left or turned down is what to learn from; then what is hard to tell apart.
    places = np.lexsort((-order, -unwanted))
    near, rest = places[:NEAR], places[NEAR:]
    far = rng.permutation(rest)[:FAR]
    weight = len(rest) / max(len(far), 1)
    weights = np.concatenate([np.ones(len(near)), np.full(len(far), weight)])
    return np.concatenate([near, far]), weights.astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Kept:
    features: npt.NDArray[np.float16]
    log_weights: Vector
    sample_weight: float
    shown: bool

    @classmethod
    def of(
        cls, question: TrainingQuery, block: Matrix, right: int, chosen: Ints, weights: Vector
    ) -> "_Kept":
        """Keep the right candidate, in place 0, and the chosen others."""
        others = chosen != right
        places = np.concatenate([[right], chosen[others]])
        logs = np.concatenate([[0.0], np.log(weights[others])]).astype(np.float32)
        features = np.ascontiguousarray(block[:, places].T, np.float16)
        return cls(features, logs, question.sample_weight, question.shown.size > 0)


def _joined(kept: Sequence[_Kept], n_features: int, asked: int) -> Examples:
    lengths = [len(one.log_weights) for one in kept]
    empty = np.empty((0, n_features), np.float16)
    return Examples(
        np.concatenate([empty, *(one.features for one in kept)]),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.concatenate([np.empty(0, np.float32), *(one.log_weights for one in kept)]),
        np.array([one.sample_weight for one in kept], np.float32),
        asked,
        sum(one.shown for one in kept),
    )
