"""Candidates with their features and their origins, kept to be ranked in several ways.

They are found and described by the code that serves. This module does not know what ranks them, nor
what the ranks are compared with.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from app.core.types import Matrix, Rows
from app.engine.catalogue.behaviour import Behaviour
from app.engine.kernels.features import features_over
from app.engine.kernels.topk import Hits
from app.engine.retrieval.resolve import ResolvedRequest
from app.engine.retrieval.sources import Source, behaviour_sources
from app.evaluation.answers import Numbering
from app.evaluation.protocols import Case
from app.evaluation.rankers import Score
from app.offline.learning.examples import Examples, TrainingQuery, candidate_batches, draw_examples
from app.offline.learning.sequences import Ints
from app.offline.metrics.ranking import Numbers, rank_in

Flags = npt.NDArray[np.bool_]
_NOBODY: Rows = np.empty(0, np.int64)


class _RecordingSource:
    """A source that remembers what it brought to the last batch."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name = source.name
        self.brought: list[Hits | None] = []

    def search(self, wants: Sequence[ResolvedRequest]) -> list[Hits | None]:
        self.brought = self._source.search(wants)
        return self.brought


class TracedSources:
    """Sources, and features that go on with one more for each source: 1 = it brought the item.

    The features are those of candidates of the batch that the sources were asked about last.
    """

    def __init__(self, behaviour: Behaviour, content_knn_share: float) -> None:
        self.sources = [
            _RecordingSource(one) for one in behaviour_sources(behaviour, content_knn_share)
        ]
        self._features = features_over(behaviour)
        self.n_items = self._features.n_items
        self.names = (*self._features.names, *(f"origin.{one.name}" for one in self.sources))

    def compute(
        self, recents: Sequence[Rows], lengths: Sequence[int], candidates: Sequence[Rows]
    ) -> Matrix:
        """Return float32[f + sources, N]; see `app.engine.kernels.features.Features.compute`."""
        features = self._features.compute(recents, lengths, candidates)
        brought = [
            [
                np.isin(rows, _NOBODY if hits is None else hits.rows)
                for rows, hits in zip(candidates, source.brought, strict=True)
            ]
            for source in self.sources
        ]
        origins = [np.concatenate([np.empty(0, bool), *each]) for each in brought]
        return np.concatenate([features, np.stack(origins)], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class TracedExamples:
    """Examples to learn from, and bool[N, sources]: which source brought each candidate."""

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
        """Draw the examples of a build; see `app.offline.learning.learn.Draws`."""
        traced = TracedSources(behaviour, content_knn_share)
        drawn = draw_examples(queries, traced.sources, traced, seed)
        f = len(traced.names) - len(traced.sources)
        features = np.ascontiguousarray(drawn.features[:, :f])
        return cls(replace(drawn, features=features), drawn.features[:, f:] > 0)

    def without(self, off: int | None, muted: Sequence[int] = ()) -> Examples:
        """Return examples without what only one source brought, and with 0 for muted features.

        TracedExamples whose right candidate is gone are left out.
        """
        examples = self.examples
        if off is not None:
            examples = _kept(examples, others_brought(self.origins.T, off))
        if muted:
            features = examples.features.copy()
            features[:, list(muted)] = 0
            examples = replace(examples, features=features)
        return examples


def others_brought(origins: Flags, off: int) -> Flags:
    """Return bool[N] for bool[sources, N]: it was not the source `off` alone that brought it."""
    return np.asarray(np.delete(origins, off, axis=0).any(axis=0) | ~origins[off])


def _kept(examples: Examples, keep: Flags) -> Examples:
    """Return the candidates to keep of the lists whose first one is among them."""
    whole = keep[examples.offsets[:-1]]
    keep = np.logical_and(keep, np.repeat(whole, np.diff(examples.offsets)))
    left = np.add.reduceat(keep, examples.offsets[:-1])[whole]
    offsets = np.concatenate([[0], np.cumsum(left)]).astype(np.int64)
    return Examples(
        examples.features[keep],
        offsets,
        examples.log_weights[keep],
        examples.sample_weight[whole],
        examples.n_queries,
        examples.n_with_skipped,
    )


def training_queries_about(cases: Sequence[Case], numbering: Numbering) -> list[TrainingQuery]:
    """Return the cases in the terms of learning: repeats in a row are one step, as in serving."""
    found = []
    for case, target in zip(cases, numbering.targets(cases).tolist(), strict=True):
        taken = numbering.rows(case.request.history)
        taken = taken[np.diff(taken, prepend=-1) != 0]
        found.append(TrainingQuery(taken[::-1], target, 1.0, _NOBODY))
    return found


@dataclass(frozen=True, slots=True)
class _PoolBatch:
    """Some people: float16[f, N] features, bool[sources, N] origins, and where each one's begin.

    `right`: each one's right candidate, a place among the N; -1 = no source brought it.
    """

    features: npt.NDArray[np.float16]
    origins: Flags
    starts: Ints
    right: Ints

    def there(self, off: int | None) -> Flags:
        """Return bool[N], the candidates that are left without a source."""
        if off is None:
            return np.ones(self.features.shape[1], bool)
        return others_brought(self.origins, off)


class Pools:
    """The candidates of n people with their features. Takes 2 · f bytes a candidate."""

    def __init__(self, queries: Sequence[TrainingQuery], traced: TracedSources) -> None:
        """Ask the sources and compute the features."""
        f = len(traced.names) - len(traced.sources)
        self._parts = []
        for batch, candidates, columns in candidate_batches(queries, traced.sources, traced):
            starts = np.cumsum([0, *map(len, candidates)])[:-1]
            places = [_place(*each) for each in zip(batch, candidates, strict=True)]
            right = np.where(np.array(places) < 0, -1, starts + places)
            self._parts.append(
                _PoolBatch(columns[:f].astype(np.float16), columns[f:] > 0, starts, right)
            )

    def found(self, off: int | None = None) -> tuple[float, float]:
        """Return the share of people whose right candidate is there, and the mean number."""
        hits = sizes = asked = 0
        for part in self._parts:
            there = part.there(off)
            hits += int((there[part.right] & (part.right >= 0)).sum()) if there.size else 0
            sizes += int(there.sum())
            asked += len(part.right)
        return hits / asked, sizes / asked

    def ranks(self, score: Score, off: int | None = None, muted: Sequence[int] = ()) -> Numbers:
        """Return float64[n], the rank of each right candidate, ties half; inf = not there.

        `off`: the source that is missing. `muted`: features that are 0 for everybody.
        """
        ranks = []
        for part in self._parts:
            columns = part.features.astype(np.float32)
            columns[list(muted)] = 0.0
            scores = np.where(part.there(off), score(columns), -np.inf)
            lists = np.split(scores, part.starts[1:])
            ranks += [
                rank_in(mine, right - start) if right >= 0 else np.inf
                for mine, right, start in zip(
                    lists, part.right.tolist(), part.starts.tolist(), strict=True
                )
            ]
        return np.array(ranks)


def _place(query: TrainingQuery, rows: Rows) -> int:
    places = np.flatnonzero(rows == query.target)
    return int(places[0]) if places.size else -1
