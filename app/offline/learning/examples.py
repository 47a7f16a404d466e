"""The examples that the scorer learns from: ranked candidates of held-out events.

For each held-out event the sources are asked as they are in serving. The item that the user took
is the positive candidate, and a sample of the other candidates are negatives. The sources were
fitted without the held-out events. So the scorer sees them as they will be: sometimes wrong.

This module does not know how a scorer is trained.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from app.core.types import Codes, Matrix, Rows, Vector
from app.engine.catalogue.behaviour import RECENT
from app.engine.kernels.topk import topk_over
from app.engine.retrieval.resolve import ResolvedRequest
from app.engine.retrieval.sources import Source, retrieve
from app.offline.learning.gains import Gains
from app.offline.learning.negatives import Negatives
from app.offline.learning.sequences import Ints, Sequences
from app.offline.learning.signals import MAX_HISTORY

TARGET_EXAMPLES = 8_000
"""How many examples are aimed at. Where there are fewer users, each user gives several."""
MAX_EXAMPLES = 30_000
MAX_HELD_OUT = 10
"""At most this many events of one user are held out."""

HARD_NEGATIVES, RANDOM_NEGATIVES = 80, 60
"""Negatives of an example: those with the highest unlearned score, and a sample of the rest."""

_UNLEARNED_WEIGHTS: Final = {"content_knn.total": 0.05, "taste.total": 0.3, "side.score": 0.02}

Kind: TypeAlias = Literal["history", "synthetic", "logged", "judged"]
"""Where a query comes from: a user's next event without words, words that were written for it or
for an item, words of a search log, words that people judged items for."""

KINDS: Final[tuple[Kind, ...]] = ("history", "synthetic", "logged", "judged")

_BATCH = 64
_NO_ROWS: Rows = np.empty(0, np.int64)
_NO_CODES: Codes = np.empty(0, np.int32)


class FeatureComputer(Protocol):
    """Computes the features of candidates."""

    names: tuple[str, ...]
    n_items: int

    def compute(self, requests: Sequence[ResolvedRequest], candidates: Sequence[Rows]) -> Matrix:
        """Return float32[f, N]: a column per candidate, request after request."""
        ...


@dataclass(frozen=True, slots=True)
class TrainingQuery:
    """A user's history and the item that the user took next.

    Attributes:
        recent: int64[h], rows of the history, newest first.
        target: row of the item taken next.
        sample_weight: weight of that event in the loss.
        disliked: int64[d], rows of the user's negative events, at any time.
        skipped: int64[s], rows shown on the same page as the target and not taken. It contains
            neither the target nor rows of the history.
        query: the words that led to the target; "" = there were none.
        sides: int32[s], codes of who took the target, and where.
        forgotten: int64[f], rows of a history that the request does not know. They do not come
            back either: the user took them, so they are no negatives.
        kind: where it comes from.
        gains: what is wanted instead of a single target; None = the target.
        taken_by: the goals by which the target was taken, as in `StepGoals`; -1 = not known.
    """

    recent: Rows
    target: int
    sample_weight: float
    disliked: Rows
    skipped: Rows = field(default_factory=lambda: _NO_ROWS)
    query: str = ""
    sides: Codes = field(default_factory=lambda: _NO_CODES)
    forgotten: Rows = field(default_factory=lambda: _NO_ROWS)
    kind: Kind = "history"
    gains: Gains | None = None
    taken_by: int = -1

    @property
    def hidden(self) -> Rows:
        """int64[h], rows that do not come back."""
        return np.concatenate([self.recent, self.forgotten])


@dataclass(frozen=True, slots=True)
class Examples:
    """n lists of candidates, end to end. The first candidate of each list has the highest gain.

    Attributes:
        features: float16[N, f].
        offsets: int64[n + 1], where each list begins.
        log_weights: float32[N], log of the number of candidates that each one stands for.
        gains: float32[N], from 0 to 1: 1 for the target of a query and 0 for the others, or, where
            a query has none, how much it wants each candidate.
        kinds: int8[n], positions in `KINDS`.
        sample_weight: float32[n], weight of each list in the loss.
        n_queries: how many queries there were. Those whose target no source found are left out.
        n_with_skipped: how many of the lists contain skipped items.
        rows: int32[N], rows of the candidates.
        taken_by: int64[n], see `TrainingQuery`; -1 also where a list has no single target.
    """

    features: npt.NDArray[np.float16]
    offsets: Ints
    log_weights: Vector
    gains: Vector
    kinds: npt.NDArray[np.int8]
    sample_weight: Vector
    n_queries: int
    n_with_skipped: int
    rows: npt.NDArray[np.int32]
    taken_by: Ints

    def __len__(self) -> int:
        return len(self.sample_weight)

    def only(self, lists: Ints) -> "Examples":
        """Return the lists at int64[m] positions, in that order; the counts stay."""
        first, last = self.offsets[lists], self.offsets[lists + 1]
        at = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])
        return replace(
            self,
            features=self.features[at],
            offsets=np.concatenate([[0], np.cumsum(last - first)]).astype(np.int64),
            log_weights=self.log_weights[at],
            gains=self.gains[at],
            kinds=self.kinds[lists],
            sample_weight=self.sample_weight[lists],
            rows=self.rows[at],
            taken_by=self.taken_by[lists],
        )


def held_out_counts(sequences: Sequences, seed: int) -> Ints:
    """Return int64[n_users]: how many of the last events of each user are held out.

    A user with fewer than eight events gives at most one, any other user at most a quarter. At
    least one event of each user remains to fit on.
    """
    lengths = sequences.lengths
    per_user = int(np.clip(-(-TARGET_EXAMPLES // max(len(lengths), 1)), 1, MAX_HELD_OUT))
    allowed = np.where(lengths >= 8, lengths // 4, np.minimum(lengths - 1, 1))
    held_out = np.minimum(per_user, allowed)
    order = np.random.default_rng(seed).permutation(len(lengths))
    held_out[order[np.cumsum(held_out[order]) > MAX_EXAMPLES]] = 0
    return held_out


def training_queries_of(
    sequences: Sequences, held_out: Ints, negatives: Negatives
) -> list[TrainingQuery]:
    """Return a query for each held-out event whose item is not earlier in the user's sequence.

    Args:
        sequences: all positive events.
        held_out: int64[n_users], how many of the last events of each user are held out.
        negatives: negative events and skipped items of the same event log.
    """
    return [query for _, query in queries_by_step(sequences, held_out, negatives)]


def queries_by_step(
    sequences: Sequences, held_out: Ints, negatives: Negatives
) -> Iterator[tuple[int, TrainingQuery]]:
    """Yield the queries of `training_queries_of`, each behind the step that took its target.

    If all events of a user are held out, the first of them has an empty history.
    """
    disliked = negatives.disliked
    position_of = {int(user): position for position, user in enumerate(disliked.users)}
    for user in np.flatnonzero(held_out).tolist():
        items = sequences.of(user)
        position = position_of.get(int(sequences.users[user]))
        disliked_rows = items[:0] if position is None else disliked.of(position)
        for at in range(len(items) - int(held_out[user]), len(items)):
            if items[at] not in items[:at]:
                step = int(sequences.offsets[user]) + at
                skipped = negatives.skipped.beside(step)
                yield (
                    step,
                    TrainingQuery(
                        recent=items[:at][::-1],
                        target=int(items[at]),
                        sample_weight=float(sequences.weights[step]),
                        disliked=disliked_rows,
                        skipped=skipped[~np.isin(skipped, items[: at + 1])],
                    ),
                )


def draw_examples(  # noqa: PLR0913 - two of them have defaults
    queries: Sequence[TrainingQuery],
    sources: Sequence[Source],
    features: FeatureComputer,
    seed: int,
    *,
    order: Callable[[Matrix, Sequence[str]], Vector] | None = None,
    requests_of: Callable[[Sequence[TrainingQuery]], list[ResolvedRequest]] | None = None,
) -> Examples:
    """Ask the sources, and keep the target of each query together with some negatives.

    A query whose target no source brings is left out, and so is one of whose candidates none has a
    gain: there is no order to learn from it.

    Args:
        queries: the queries.
        sources: asked for each of them.
        features: of their candidates.
        seed: of the sample.
        order: (features, their names) -> float32[c], says which negatives are hard to tell from the
            target; None = `unlearned_score`.
        requests_of: makes requests of queries; None = `history_requests`.
    """
    order, requests_of = order or unlearned_score, requests_of or history_requests
    rng = np.random.default_rng(seed)
    lists: list[_SampledList] = []
    for batch, candidates, columns in candidate_batches(queries, sources, features, requests_of):
        ends = np.cumsum([0, *map(len, candidates)])
        for at, (query, rows) in enumerate(zip(batch, candidates, strict=True)):
            if query.gains is None and not (rows == query.target).any():
                continue
            block = columns[:, ends[at] : ends[at + 1]]
            score = order(block, features.names)
            drawn = _sampled_list(query=query, rows=rows, block=block, score=score, rng=rng)
            if drawn is not None:
                lists.append(drawn)
    return _concatenated(lists, len(features.names), len(queries))


def history_requests(queries: Sequence[TrainingQuery]) -> list[ResolvedRequest]:
    """Return the requests of users with a history, and without words."""
    return [
        # Serving reads no longer histories than this.
        ResolvedRequest(
            recent=query.recent[:RECENT],
            length=min(len(query.recent), MAX_HISTORY),
            sides=query.sides,
            hidden=query.hidden,
        )
        for query in queries
    ]


def candidate_batches(
    queries: Sequence[TrainingQuery],
    sources: Sequence[Source],
    features: FeatureComputer,
    requests_of: Callable[[Sequence[TrainingQuery]], list[ResolvedRequest]] = history_requests,
) -> Iterator[tuple[Sequence[TrainingQuery], list[Rows], Matrix]]:
    """Yield batches: the queries, the candidates of each, and their features float32[f, N].

    Skipped and judged items are candidates even where no source brings them: they were among the
    candidates when the page was made, or somebody judged them.
    """
    topk = topk_over(features.n_items)
    for start in range(0, len(queries), _BATCH):
        batch = queries[start : start + _BATCH]
        requests = requests_of(batch)
        candidates = topk.union(
            [
                [*(hits.rows for hits in by_source.values()), *_added(query)]
                for query, by_source in zip(batch, retrieve(requests, sources), strict=True)
            ]
        )
        yield batch, candidates, features.compute(requests, candidates)


def _added(query: TrainingQuery) -> tuple[Rows, ...]:
    return (query.skipped,) if query.gains is None else (query.skipped, query.gains.rows)


def unlearned_score(columns: Matrix, names: Sequence[str]) -> Vector:
    """Return float32[c]: a fixed weighted sum of the totals of the sources.

    It chooses the negatives that are hard to tell from the target, and the trained scorer must not
    be worse than it. The weights are fixed by hand: behaviour counts most.

    Args:
        columns: float32[f, c], a row per feature; the first one is the strongest table's total.
        names: the f names of the features.
    """
    return sum_of(columns, names, unlearned_weights(names))


def unlearned_weights(names: Sequence[str]) -> dict[str, float]:
    """Return the weights of that sum; the total of the strongest table has weight 1."""
    return {n: w for n, w in _UNLEARNED_WEIGHTS.items() if n in names} | {names[0]: 1.0}


def sum_of(columns: Matrix, names: Sequence[str], weights: Mapping[str, float]) -> Vector:
    """Return float32[c], the weighted sum of some features of float32[f, c]."""
    score = np.zeros(columns.shape[1], np.float32)
    for name, weight in weights.items():
        score += np.float32(weight) * columns[names.index(name)]
    return score


def _negative_certainty(query: TrainingQuery, rows: Rows) -> Ints:
    """Return int64[c]: how sure it is that the user does not want each candidate.

    2 = shown and skipped, 1 = disliked at some time, 0 = only assumed.
    """
    certainty = np.isin(rows, query.disliked).astype(np.int64)
    certainty[np.isin(rows, query.skipped)] = 2
    return certainty


def _sample(score: Vector, certainty: Ints, rng: np.random.Generator) -> tuple[Ints, Vector]:
    """Return the positions of sampled candidates, and how many candidates each stands for."""
    # The surest negatives teach most, and then those that score high.
    positions = np.lexsort((-score, -certainty))
    hard, rest = positions[:HARD_NEGATIVES], positions[HARD_NEGATIVES:]
    random = rng.permutation(rest)[:RANDOM_NEGATIVES]
    # Each random one stands for several that were not drawn. With that weight the softmax over the
    # sample estimates the softmax over all candidates.
    weight = len(rest) / max(len(random), 1)
    weights = np.concatenate([np.ones(len(hard)), np.full(len(random), weight)])
    return np.concatenate([hard, random]), weights.astype(np.float32)


def _sampled_list(
    query: TrainingQuery, rows: Rows, block: Matrix, score: Vector, rng: np.random.Generator
) -> "_SampledList | None":
    """Return what is kept of int64[c] candidates with float32[f, c] features; None = nothing."""
    if query.gains is None:
        matches = np.flatnonzero(rows == query.target)
        sampled, weights = _sample(score, _negative_certainty(query, rows), rng)
        others = sampled != matches[0]
        positions = np.concatenate([matches, sampled[others]])
        weights = np.concatenate([np.ones(1, np.float32), weights[others]])
        gains = np.zeros(len(positions), np.float32)
        gains[0] = 1.0
        return _SampledList.of(
            query, rows, block, positions=positions, weights=weights, gains=gains
        )
    found = query.gains.of(rows)
    known, unknown = np.flatnonzero(~np.isnan(found)), np.flatnonzero(np.isnan(found))
    sampled, weights = _sample(score[known], np.zeros(len(known), np.int64), rng)
    if query.gains.unjudged:  # a judged item stands for itself only
        weights = np.ones(len(sampled), np.float32)
    more = rng.permutation(unknown)[: query.gains.unjudged]
    positions = np.concatenate([known[sampled], more])
    weights = np.concatenate([weights, np.ones(len(more), np.float32)])
    gains = np.nan_to_num(found[positions])
    order = np.argsort(-gains, kind="stable")
    if not len(order) or gains[order[0]] <= 0.0 or gains[order[0]] == gains[order[-1]]:
        return None
    return _SampledList.of(
        query,
        rows,
        block,
        positions=positions[order],
        weights=weights[order],
        gains=gains[order],
    )


@dataclass(frozen=True, slots=True)
class _SampledList:
    """The sampled candidates of one query, the highest gain first."""

    features: npt.NDArray[np.float16]
    log_weights: Vector
    gains: Vector
    kind: int
    sample_weight: float
    has_skipped: bool
    rows: npt.NDArray[np.int32]
    taken_by: int

    @classmethod
    def of(  # noqa: PLR0913 - each by its name
        cls,
        query: TrainingQuery,
        rows: Rows,
        block: Matrix,
        *,
        positions: Ints,
        weights: Vector,
        gains: Vector,
    ) -> "_SampledList":
        """Keep some of the candidates.

        Args:
            query: the query.
            rows: int64[c], all its candidates.
            block: float32[f, c], their features.
            positions: int64[s] of the candidates to keep.
            weights: float32[s], how many candidates each of them stands for.
            gains: float32[s] of them.
        """
        return cls(
            features=np.ascontiguousarray(block[:, positions].T, np.float16),
            log_weights=np.log(weights).astype(np.float32),
            gains=gains,
            kind=KINDS.index(query.kind),
            sample_weight=query.sample_weight,
            has_skipped=query.skipped.size > 0,
            rows=rows[positions].astype(np.int32),
            taken_by=query.taken_by if query.gains is None else -1,
        )


def _concatenated(lists: Sequence[_SampledList], n_features: int, n_queries: int) -> Examples:
    lengths = [len(one.log_weights) for one in lists]
    no_features = np.empty((0, n_features), np.float16)
    none = np.empty(0, np.float32)
    return Examples(
        features=np.concatenate([no_features, *(one.features for one in lists)]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        log_weights=np.concatenate([none, *(one.log_weights for one in lists)]),
        gains=np.concatenate([none, *(one.gains for one in lists)]),
        kinds=np.array([one.kind for one in lists], np.int8),
        sample_weight=np.array([one.sample_weight for one in lists], np.float32),
        n_queries=n_queries,
        n_with_skipped=sum(one.has_skipped for one in lists),
        rows=np.concatenate([np.empty(0, np.int32), *(one.rows for one in lists)]),
        taken_by=np.array([one.taken_by for one in lists], np.int64),
    )
