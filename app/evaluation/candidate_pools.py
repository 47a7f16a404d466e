"""Candidates with their features and origins, kept so that several models can rank them.

The candidates are found, and their features computed, by the code that serves. This module does not
know which models rank them, nor what the ranks are compared with.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from app.core.types import Matrix, Rows
from app.engine.catalogue.behaviour import Behaviour
from app.engine.kernels.topk import Hits
from app.engine.retrieval.registry import behaviour_sources
from app.engine.retrieval.resolve import ResolvedRequest
from app.engine.retrieval.sources import Source
from app.engine.scoring.history_features import HistoryFeatures
from app.evaluation.answers import Numbering
from app.evaluation.protocols import Case
from app.evaluation.rankers import Score
from app.offline.learning.examples import (
    Examples,
    TrainingQuery,
    candidate_batches,
    draw_examples,
)
from app.offline.learning.sequences import Ints
from app.offline.metrics.ranking import Numbers, rank_in

Flags = npt.NDArray[np.bool_]
_NO_ROWS: Rows = np.empty(0, np.int64)


class _RecordingSource:
    """A source that remembers what it found for the last batch."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name = source.name
        self.last_hits: list[Hits | None] = []

    def search(self, requests: Sequence[ResolvedRequest]) -> list[Hits | None]:
        self.last_hits = self._source.search(requests)
        return self.last_hits


class TracedSources:
    """The learned sources, and their features with one more for each source: 1 = it found the item.

    It is a `FeatureComputer`. Features may be computed only for candidates of the batch that the
    sources were asked about last.
    """

    def __init__(self, behaviour: Behaviour, content_knn_share: float) -> None:
        self.sources = [
            _RecordingSource(source) for source in behaviour_sources(behaviour, content_knn_share)
        ]
        self._features = HistoryFeatures.over(behaviour)
        self.n_items = self._features.n_items
        origins = (f"origin.{source.name}" for source in self.sources)
        self.names = (*self._features.names, *origins)

    @property
    def n_features(self) -> int:
        """Number of features without the origins."""
        return len(self._features.names)

    def compute(self, requests: Sequence[ResolvedRequest], candidates: Sequence[Rows]) -> Matrix:
        """Return float32[f + sources, N]; see `FeatureComputer`."""
        features = self._features.compute(requests, candidates)
        found = [
            [
                np.isin(rows, _NO_ROWS if hits is None else hits.rows)
                for rows, hits in zip(candidates, source.last_hits, strict=True)
            ]
            for source in self.sources
        ]
        origins = [np.concatenate([np.empty(0, bool), *each]) for each in found]
        return np.concatenate([features, np.stack(origins)], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class TracedExamples:
    """Examples to learn from, and bool[N, sources]: which source found each candidate."""

    examples: Examples
    origins: Flags

    @classmethod
    def draw(
        cls,
        queries: Sequence[TrainingQuery],
        behaviour: Behaviour,
        content_knn_share: float,
        seed: int,
    ) -> "TracedExamples":
        """Draw the examples of a build; see `app.offline.learning.learn.DrawExamples`."""
        traced = TracedSources(behaviour, content_knn_share)
        drawn = draw_examples(queries=queries, sources=traced.sources, features=traced, seed=seed)
        features = np.ascontiguousarray(drawn.features[:, : traced.n_features])
        origins = drawn.features[:, traced.n_features :] > 0
        return cls(replace(drawn, features=features), origins)

    def without(self, source_off: int | None, features_off: Sequence[int] = ()) -> Examples:
        """Return the examples as they would be without a source or some features.

        What only that source found is gone, and lists whose target is gone are left out. Features
        that are off are 0.

        Args:
            source_off: index of the missing source; None = all are there.
            features_off: indices of the missing features.
        """
        examples = self.examples
        if source_off is not None:
            examples = _kept(examples, found_by_others(self.origins.T, source_off))
        if features_off:
            features = examples.features.copy()
            features[:, list(features_off)] = 0
            examples = replace(examples, features=features)
        return examples


def found_by_others(origins: Flags, source: int) -> Flags:
    """Return bool[N] for bool[sources, N]: false where this source alone found the candidate.

    What no source found was shown to the user, and stays.
    """
    others = np.delete(origins, source, axis=0).any(axis=0)
    return np.asarray(others | ~origins[source])


def _kept(examples: Examples, keep: Flags) -> Examples:
    """Return the candidates to keep, of those lists whose target is among them."""
    has_target = keep[examples.offsets[:-1]]
    keep = np.logical_and(keep, np.repeat(has_target, np.diff(examples.offsets)))
    sizes = np.add.reduceat(keep, examples.offsets[:-1])[has_target]
    return replace(
        examples,
        features=examples.features[keep],
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        log_weights=examples.log_weights[keep],
        gains=examples.gains[keep],
        kinds=examples.kinds[has_target],
        sample_weight=examples.sample_weight[has_target],
    )


def training_queries_about(cases: Sequence[Case], numbering: Numbering) -> list[TrainingQuery]:
    """Return the cases as training queries; repeats in a row are one step, as in serving."""
    queries = []
    for case, target in zip(cases, numbering.targets(cases).tolist(), strict=True):
        taken = numbering.rows(case.request.history)
        taken = taken[np.diff(taken, prepend=-1) != 0]
        queries.append(
            TrainingQuery(
                recent=taken[::-1],
                target=target,
                sample_weight=1.0,
                disliked=_NO_ROWS,
                query=case.request.query,
            )
        )
    return queries


@dataclass(frozen=True, slots=True)
class _PoolBatch:
    """The candidates of some queries, end to end.

    Attributes:
        features: float16[f, N].
        origins: bool[sources, N], which source found each candidate.
        starts: int64[b], where the candidates of each query begin.
        target: int64[b], the target's position among the N; -1 = no source found it.
    """

    features: npt.NDArray[np.float16]
    origins: Flags
    starts: Ints
    target: Ints

    def found(self, source_off: int | None) -> Flags:
        """Return bool[N], the candidates that are found without a source."""
        if source_off is None:
            return np.ones(self.features.shape[1], bool)
        return found_by_others(self.origins, source_off)


class Pools:
    """The candidates of n queries with their features. It takes 2 · f bytes a candidate."""

    def __init__(self, queries: Sequence[TrainingQuery], traced: TracedSources) -> None:
        """Ask the sources and compute the features."""
        f = traced.n_features
        self._batches = []
        for batch, candidates, columns in candidate_batches(queries, traced.sources, traced):
            starts = np.cumsum([0, *map(len, candidates)])[:-1]
            positions = np.array(
                [
                    target_position(query, rows)
                    for query, rows in zip(batch, candidates, strict=True)
                ]
            )
            self._batches.append(
                _PoolBatch(
                    features=columns[:f].astype(np.float16),
                    origins=columns[f:] > 0,
                    starts=starts,
                    target=np.where(positions < 0, -1, starts + positions),
                )
            )

    def recall_and_size(self, source_off: int | None = None) -> tuple[float, float]:
        """Return the share of queries whose target was found, and the mean number of candidates."""
        n_hits = n_candidates = n_queries = 0
        for batch in self._batches:
            found = batch.found(source_off)
            n_hits += int((found[batch.target] & (batch.target >= 0)).sum()) if found.size else 0
            n_candidates += int(found.sum())
            n_queries += len(batch.target)
        return n_hits / n_queries, n_candidates / n_queries

    def ranks(
        self, score: Score, source_off: int | None = None, features_off: Sequence[int] = ()
    ) -> Numbers:
        """Return float64[n], the rank of each target, ties count half; inf = not found.

        Args:
            score: ranks the candidates.
            source_off: index of the missing source; None = all are there.
            features_off: indices of the features that are 0.
        """
        ranks = []
        for batch in self._batches:
            columns = batch.features.astype(np.float32)
            columns[list(features_off)] = 0.0
            scores = np.where(batch.found(source_off), score(columns), -np.inf)
            lists = np.split(scores, batch.starts[1:])
            starts, targets = batch.starts.tolist(), batch.target.tolist()
            ranks += [
                rank_in(one, target - start) if target >= 0 else np.inf
                for one, target, start in zip(lists, targets, starts, strict=True)
            ]
        return np.array(ranks)


def target_position(query: TrainingQuery, rows: Rows) -> int:
    """Return where the target of a query stands among its candidates; -1 = it is not there."""
    positions = np.flatnonzero(rows == query.target)
    return int(positions[0]) if positions.size else -1
