"""Everything that is learned from behaviour: the steps of training, from sequences to arrays.

    1  hold out the last events of users; fit all sources on the rest
    2  choose decays and the content share by how well they rank the held-out events
    3  draw candidates of the held-out events with those sources; train the scorer on them
    4  fit the sources again, on all events, with the settings of step 2

So the scorer never learns from a source that has seen the answer. A tenth of the examples is kept
for validation. Where the scorer ranks them worse than the unlearned score, beyond chance, the whole
result is thrown away. This module does not know files.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from app.core.types import Matrix, Vector
from app.engine.catalogue.behaviour import RECENT, Behaviour, Neighbours, TasteSpace, item_signals
from app.engine.kernels.features import feature_names, features_over
from app.engine.retrieval.registry import behaviour_sources
from app.engine.scoring.scorer import Scorer
from app.offline.learning import neighbours
from app.offline.learning.examples import (
    Examples,
    TrainingQuery,
    draw_examples,
    held_out_counts,
    training_queries_of,
    unlearned_score,
)
from app.offline.learning.negatives import Negatives
from app.offline.learning.sequences import Sequences
from app.offline.learning.tfidf import word_weights
from app.offline.learning.train_scorer import Arrays, TrainedScorer, split, train
from app.offline.learning.two_tower import ItemTexts, fit_taste
from app.offline.metrics.intervals import paired_difference
from app.offline.metrics.ranking import AnyFloats, Numbers, ndcg_at, rank_in
from app.offline.progress import step

_log = logging.getLogger(__name__)

MIN_EXAMPLES = 500
"""With fewer, nothing is learned. The network has thousands of weights, and a tenth of the examples
has to show that it is no worse. (With 249 examples of `mind-sample` it ranked news worse than the
fixed blend: docs/accuracy.md.)"""

DECAYS = tuple(float(np.exp(-1.0 / steps)) for steps in (1.0, 2.0, 3.0, 5.0, 10.0))
"""Weights of an older item of the history, relative to the next newer one, that are tried."""
CONTENT_KNN_SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Weights of the table *content_knn* beside the strongest table that are tried."""

_VALIDATION_QUERIES = 2048
_VALIDATION_BATCH = 64
_TOP = 10


@dataclass(frozen=True, slots=True)
class PreparedTraining:
    """Sources fitted on all events, and examples drawn with sources fitted on a part of them."""

    behaviour: Behaviour
    content_knn_share: float
    examples: Examples


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What goes into a bundle. `metrics`: figures of the validation examples, and counts."""

    behaviour: Behaviour
    content_knn_share: float
    scorer: Arrays
    metrics: Mapping[str, float]


def learn(
    sequences: Sequences,
    negatives: Negatives,
    texts: Sequence[str],
    vectors: Matrix,
    seed: int = 0,
) -> TrainingResult | None:
    """Return what was learned. None where events are too few, or the scorer is worse than none.

    Args:
        sequences: the positive events.
        negatives: disliked items, and items that were shown and skipped.
        texts: n_items texts.
        vectors: float32[n_items, dim], the encoded texts.
        seed: of everything random.
    """
    with _timed("words"):
        item_texts = ItemTexts(word_weights(texts), vectors)
    prepared = prepare(sequences=sequences, negatives=negatives, item_texts=item_texts, seed=seed)
    if prepared is None:
        _log.warning("nothing learned: fewer than %d events to check it on", MIN_EXAMPLES)
        return None
    with _timed("scorer"):
        trained = train(prepared.examples, seed)
    learned, unlearned = _validation_ndcg(prepared, trained, seed)
    if is_worse(learned, unlearned, seed):
        _log.warning("nothing learned: the scorer is worse than the order of its sources")
        return None
    return TrainingResult(
        behaviour=prepared.behaviour,
        content_knn_share=prepared.content_knn_share,
        scorer=trained.arrays,
        metrics=_metrics(prepared.examples, learned, unlearned),
    )


def examples_of(
    queries: Sequence[TrainingQuery], behaviour: Behaviour, content_knn_share: float, seed: int
) -> Examples:
    """Return the examples of a build: every source is asked, every feature is computed."""
    sources = behaviour_sources(behaviour, content_knn_share)
    return draw_examples(
        queries=queries, sources=sources, features=features_over(behaviour), seed=seed
    )


class DrawExamples(Protocol):
    """Draws examples of queries, with sources that have not seen the targets of the queries."""

    def __call__(
        self,
        queries: Sequence[TrainingQuery],
        behaviour: Behaviour,
        content_knn_share: float,
        seed: int,
    ) -> Examples:
        """Return the examples."""
        ...


def prepare(
    sequences: Sequences,
    negatives: Negatives,
    item_texts: ItemTexts,
    seed: int,
    draw: DrawExamples = examples_of,
) -> PreparedTraining | None:
    """Fit the sources twice and draw the examples in between; None where events are too few.

    Args:
        sequences: the positive events.
        negatives: disliked and skipped items.
        item_texts: words and vectors of all items.
        seed: of everything random.
        draw: draws the examples. The ablation passes a function that also keeps the origins.
    """
    n_items = len(item_texts)
    held_out = held_out_counts(sequences, seed)
    queries = training_queries_of(sequences, held_out, negatives)
    if len(queries) < MIN_EXAMPLES:
        return None
    with _timed("content_knn"):
        content_knn = neighbours.content_knn(item_texts.words)
    inner = sequences.without_last(held_out)
    validator = _SourceValidator(queries, n_items, seed)
    with _timed("behaviour, for the examples"):
        tables = _tables(inner, n_items, content_knn)
    with _timed("decays"):
        decays, share = _best_decays(tables, validator)
    with _timed("taste, for the examples"):
        taste, schedule = fit_taste(inner, item_texts, seed, validate=validator.taste_ndcg)
    behaviour = Behaviour(tables=tables, decays=decays, taste=taste, items=_signals(inner, n_items))
    with _timed("examples"):
        examples = draw(queries=queries, behaviour=behaviour, content_knn_share=share, seed=seed)
    if len(examples) < MIN_EXAMPLES:
        return None
    del inner, tables, behaviour, taste  # the second fit takes as much memory as the first
    with _timed("taste"):
        taste, _ = fit_taste(sequences, item_texts, seed, schedule=schedule)
    with _timed("behaviour"):
        tables = _tables(sequences, n_items, content_knn)
    behaviour = Behaviour(
        tables=tables, decays=decays, taste=taste, items=_signals(sequences, n_items)
    )
    return PreparedTraining(behaviour, share, examples)


def _timed(name: str) -> AbstractContextManager[None]:
    """Show and log a step. `loadtest.scenarios.scale` reads the log: it shows what grows how."""
    return step(name, _log)


def _tables(sequences: Sequences, n_items: int, content_knn: Neighbours) -> dict[str, Neighbours]:
    """Return the tables, the strongest first; the dense one only where it fits into memory."""
    tables = {}
    if neighbours.fits_dense(n_items):
        tables["sequential_ridge"] = neighbours.sequential_ridge(sequences, n_items)
    tables["cooccurrence"] = neighbours.cooccurrence(sequences, n_items)
    return {**tables, "content_knn": content_knn}


def _signals(sequences: Sequences, n_items: int) -> Matrix:
    return item_signals(sequences.items, sequences.offsets, n_items)


class _SourceValidator:
    """Measures one source at a time on a sample of the queries, by NDCG@10 over all items."""

    def __init__(self, queries: Sequence[TrainingQuery], n_items: int, seed: int) -> None:
        order = np.random.default_rng(seed).permutation(len(queries))[:_VALIDATION_QUERIES]
        self._queries = [queries[position] for position in order.tolist()]
        self._n_items = n_items

    def taste_ndcg(self, space: TasteSpace) -> float:
        """Return the NDCG@10 of the two-tower space alone."""
        ranks: list[float] = []
        for start in range(0, len(self._queries), _VALIDATION_BATCH):
            batch = self._queries[start : start + _VALIDATION_BATCH]
            users = np.stack([space.user(query.recent) for query in batch])
            ranks += map(_target_rank, users @ space.targets.T, batch)
        return float(ndcg_at(np.array(ranks), _TOP).mean())

    def tables_ndcg(self, parts: Sequence[tuple[Neighbours, float, float]]) -> float:
        """Return the NDCG@10 of a weighted sum of tables, given as (table, decay, share)."""
        ages = np.arange(RECENT)
        ranks = []
        for query in self._queries:
            recent = query.recent[:RECENT]
            scores = np.zeros(self._n_items)
            for table, decay, share in parts:
                weights = table.weights[recent] * (share * decay ** ages[: len(recent)])[:, None]
                scores += np.bincount(table.rows[recent].ravel(), weights.ravel(), self._n_items)
            ranks.append(_target_rank(scores, query))
        return float(ndcg_at(np.array(ranks), _TOP).mean())


def _target_rank(scores: AnyFloats, query: TrainingQuery) -> float:
    """Return the rank of the target among all items outside the history; changes the scores."""
    scores[query.recent] = -np.inf
    return rank_in(scores, query.target)


def _best_decays(
    tables: Mapping[str, Neighbours], validator: _SourceValidator
) -> tuple[dict[str, float], float]:
    """Return the best decay of each table, and the best share of *content_knn*.

    The share is tried beside the strongest table, with the decays chosen before.
    """

    def ndcg_of_decay(table: Neighbours, decay: float) -> float:
        return validator.tables_ndcg([(table, decay, 1.0)])

    decays = {
        name: max(DECAYS, key=partial(ndcg_of_decay, table)) for name, table in tables.items()
    }
    first = next(iter(tables))
    strongest = (tables[first], decays[first], 1.0)

    def ndcg_of_share(share: float) -> float:
        content_knn = (tables["content_knn"], decays["content_knn"], share)
        return validator.tables_ndcg([strongest, content_knn])

    return decays, max(CONTENT_KNN_SHARES, key=ndcg_of_share)


def _validation_ndcg(
    prepared: PreparedTraining, trained: TrainedScorer, seed: int
) -> tuple[Numbers, Numbers]:
    """Return two float64[v], the NDCG@10 of the scorer and of the unlearned score.

    They are measured on the v examples that training used only to decide when to stop.
    """
    examples, names = prepared.examples, feature_names(tuple(prepared.behaviour.tables))
    _, validation = split(len(examples), seed)
    scorer = Scorer(trained.arrays, len(names))
    ranks = []
    for example in validation.tolist():
        part = slice(examples.offsets[example], examples.offsets[example + 1])
        columns = np.ascontiguousarray(examples.features[part].T, np.float32)
        weights = np.exp(examples.log_weights[part])
        scores = scorer.score(columns), unlearned_score(columns, names)
        ranks.append([_rank_of_first(one, weights) for one in scores])
    learned, unlearned = ndcg_at(np.array(ranks), _TOP).T
    return learned, unlearned


def is_worse(learned: Numbers, unlearned: Numbers, seed: int) -> bool:
    """Return whether the scorer loses to the unlearned score beyond chance.

    A small number of lists seldom shows that, so it seldom happens where examples are few.
    """
    return paired_difference(learned, unlearned, seed).high < 0.0


def _metrics(examples: Examples, learned: Numbers, unlearned: Numbers) -> dict[str, float]:
    """Return means over all queries: one whose target no source found counts 0."""
    share = len(examples) / examples.n_queries
    return {
        "ndcg@10": float(learned.mean()) * share,
        "unlearned_ndcg@10": float(unlearned.mean()) * share,
        "candidate_recall": share,
        "examples": float(len(examples)),
        "shown": float(examples.n_with_skipped),
    }


def _rank_of_first(scores: Vector, weights: Vector) -> float:
    """Return the rank of the first candidate; ties count half, and each counts its weight."""
    higher, equal = weights[scores > scores[0]].sum(), weights[scores == scores[0]].sum()
    return float(higher + (equal - 1) / 2)
