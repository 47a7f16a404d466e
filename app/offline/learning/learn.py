"""Everything that is learned from behaviour, from sequences to arrays: the story of training.

    1  hold the last events of users back; fit all sources on the rest
    2  choose decays and shares on what was held back
    3  draw candidates of the held-back events with those sources; train the scorer on them
    4  fit the sources again, on all events, with what was chosen

So the scorer never learns from a source that has seen the answer. Where the scorer is worse than
the order of the sources, beyond chance, on examples kept apart, nothing learned is used. This
module does not know files.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TypeAlias

import numpy as np

from app.core.types import Matrix, Vector
from app.engine.catalogue.behaviour import RECENT, Behaviour, Neighbours, TasteSpace, item_signals
from app.engine.kernels.features import feature_names, features_over
from app.engine.retrieval.sources import behaviour_sources
from app.engine.scoring.scorer import Scorer
from app.offline.learning import neighbours
from app.offline.learning.examples import (
    Examples,
    TrainingQuery,
    draw,
    held_back,
    rough_order,
    training_queries_of,
)
from app.offline.learning.negatives import Negatives
from app.offline.learning.sequences import Sequences
from app.offline.learning.tfidf import word_weights
from app.offline.learning.train import Arrays, Trained, split, train
from app.offline.learning.two_tower import ItemTexts, fit_taste
from app.offline.metrics.intervals import paired_difference
from app.offline.metrics.ranking import AnyFloats, Numbers, ndcg_at, rank_in

_log = logging.getLogger(__name__)

LEAST_EXAMPLES = 500
"""With fewer, nothing is learned: a tenth has to show that it is no worse, and the network has
thousands of weights. (From 249 on `mind-sample` it learned to rank news worse than the fixed blend:
docs/accuracy.md.)"""

DECAYS = tuple(float(np.exp(-1.0 / steps)) for steps in (1.0, 2.0, 3.0, 5.0, 10.0))
ALIKE_SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)
_PROBED = 2048


@dataclass(frozen=True, slots=True)
class Prepared:
    """Sources that have seen everything, and examples from sources that had not."""

    behaviour: Behaviour
    content_knn_share: float
    examples: Examples


@dataclass(frozen=True, slots=True)
class Learned:
    """What goes into a bundle. `metrics`: on examples that were kept apart, and their numbers."""

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
) -> Learned | None:
    """Return what was learned; None where that is too little, or the scorer is worse.

    Args:
        sequences: the positive events.
        negatives: what was turned down, and what was shown and left.
        texts: n_items texts.
        vectors: float32[n_items, dim], the encoded texts.
        seed: of everything random.
    """
    with _step("words"):
        known = ItemTexts(word_weights(texts), vectors)
    prepared = prepare(sequences, negatives, known, seed)
    if prepared is None:
        _log.warning("nothing learned: fewer than %d events to check it on", LEAST_EXAMPLES)
        return None
    with _step("scorer"):
        trained = train(prepared.examples, seed)
    gains, unlearned = _gains(prepared, trained, seed)
    if is_worse(gains, unlearned, seed):
        _log.warning("nothing learned: the scorer is worse than the order of its sources")
        return None
    metrics = _metrics(prepared.examples, gains, unlearned)
    return Learned(prepared.behaviour, prepared.content_knn_share, trained.arrays, metrics)


def examples_of(
    questions: Sequence[TrainingQuery], behaviour: Behaviour, content_knn_share: float, seed: int
) -> Examples:
    """Return what the scorer learns from: every source is asked, every feature is computed."""
    sources = behaviour_sources(behaviour, content_knn_share)
    return draw(questions, sources, features_over(behaviour), seed)


Draws: TypeAlias = Callable[[Sequence[TrainingQuery], Behaviour, float, int], Examples]
"""(questions, sources that have not seen their answers, share of *alike*, seed) -> examples."""


def prepare(
    sequences: Sequences,
    negatives: Negatives,
    known: ItemTexts,
    seed: int,
    draws: Draws = examples_of,
) -> Prepared | None:
    """Fit the sources twice and draw the examples in between; None where events are too few.

    `draws` draws the examples; a comparison of models puts here what also draws others.
    """
    n_items = len(known)
    held = held_back(sequences, seed)
    questions = training_queries_of(sequences, held, negatives)
    if len(questions) < LEAST_EXAMPLES:
        return None
    with _step("content_knn"):
        content_knn = neighbours.content_knn(known.words)
    inner = sequences.without_last(held)
    probe = _Probe(questions, n_items, seed)
    with _step("behaviour, for the examples"):
        tables = _tables(inner, n_items, content_knn)
    with _step("decays"):
        decays, share = _choices(tables, probe)
    with _step("taste, for the examples"):
        taste, schedule = fit_taste(inner, known, seed, probe=probe.taste)
    behaviour = Behaviour(tables, decays, taste, _signals(inner, n_items))
    with _step("examples"):
        examples = draws(questions, behaviour, share, seed)
    if len(examples) < LEAST_EXAMPLES:
        return None
    del inner, tables, behaviour, taste  # the second fit takes as much memory as the first
    with _step("taste"):
        taste, _ = fit_taste(sequences, known, seed, schedule=schedule)
    with _step("behaviour"):
        tables = _tables(sequences, n_items, content_knn)
    behaviour = Behaviour(tables, decays, taste, _signals(sequences, n_items))
    return Prepared(behaviour, share, examples)


@contextmanager
def _step(name: str) -> Iterator[None]:
    """Log how long a step took: `loadtest.scale` shows what grows how."""
    start = perf_counter()
    yield
    _log.info("%s: %.1f s", name, perf_counter() - start)


def _tables(sequences: Sequences, n_items: int, content_knn: Neighbours) -> dict[str, Neighbours]:
    """Return the tables, the strongest first; the dense one only where it fits."""
    tables = {}
    if neighbours.fits_dense(n_items):
        tables["sequential_ridge"] = neighbours.sequential_ridge(sequences, n_items)
    tables["cooccurrence"] = neighbours.cooccurrence(sequences, n_items)
    return {**tables, "content_knn": content_knn}


def _signals(sequences: Sequences, n_items: int) -> Matrix:
    return item_signals(sequences.items, sequences.offsets, n_items)


class _Probe:
    """Judges one source at a time on some questions, by NDCG@10 over all items."""

    def __init__(self, questions: Sequence[TrainingQuery], n_items: int, seed: int) -> None:
        order = np.random.default_rng(seed).permutation(len(questions))[:_PROBED]
        self._questions = [questions[place] for place in order.tolist()]
        self._n_items = n_items

    def taste(self, space: TasteSpace) -> float:
        """Judge a space of taste."""
        ranks: list[float] = []
        for start in range(0, len(self._questions), 64):
            batch = self._questions[start : start + 64]
            users = np.stack([space.user(question.recent) for question in batch])
            ranks += map(_rank, users @ space.targets.T, batch)
        return float(ndcg_at(np.array(ranks), 10).mean())

    def tables(self, parts: Sequence[tuple[Neighbours, float, float]]) -> float:
        """Judge a sum of tables, each with its decay and share."""
        ages = np.arange(RECENT)
        ranks = []
        for question in self._questions:
            recent = question.recent[:RECENT]
            scores = np.zeros(self._n_items)
            for near, decay, share in parts:
                weights = near.weights[recent] * (share * decay ** ages[: len(recent)])[:, None]
                scores += np.bincount(near.rows[recent].ravel(), weights.ravel(), self._n_items)
            ranks.append(_rank(scores, question))
        return float(ndcg_at(np.array(ranks), 10).mean())


def _rank(scores: AnyFloats, question: TrainingQuery) -> float:
    """Return the rank of the answer among all items not taken, ties half; changes the scores."""
    scores[question.recent] = -np.inf
    return rank_in(scores, question.target)


def _judged(probe: _Probe, near: Neighbours) -> Callable[[float], float]:
    return lambda decay: probe.tables([(near, decay, 1.0)])


def _choices(tables: Mapping[str, Neighbours], probe: _Probe) -> tuple[dict[str, float], float]:
    """Return the decay of each table, and the share of *alike* beside the first one."""
    decays = {name: max(DECAYS, key=_judged(probe, near)) for name, near in tables.items()}
    first = next(iter(tables))
    strongest = (tables[first], decays[first], 1.0)
    share = max(
        ALIKE_SHARES,
        key=lambda share: probe.tables(
            [strongest, (tables["content_knn"], decays["content_knn"], share)]
        ),
    )
    return decays, share


def _gains(prepared: Prepared, trained: Trained, seed: int) -> tuple[Numbers, Numbers]:
    """Return the NDCG@10 of the scorer, and of the rough order, on examples it did not train on."""
    examples, names = prepared.examples, feature_names(tuple(prepared.behaviour.tables))
    _, apart = split(len(examples), seed)
    scorer = Scorer(trained.arrays, len(names))
    ranks = []
    for example in apart.tolist():
        part = slice(examples.offsets[example], examples.offsets[example + 1])
        columns = np.ascontiguousarray(examples.features[part].T, np.float32)
        weights = np.exp(examples.log_weights[part])
        orders = scorer.score(columns), rough_order(columns, names)
        ranks.append([_rank_of_first(order, weights) for order in orders])
    learned, unlearned = ndcg_at(np.array(ranks), 10).T
    return learned, unlearned


def is_worse(gains: Numbers, unlearned: Numbers, seed: int) -> bool:
    """Tell whether the scorer loses to its sources beyond chance; a few lists seldom show that."""
    return paired_difference(gains, unlearned, seed).high < 0.0


def _metrics(examples: Examples, gains: Numbers, unlearned: Numbers) -> dict[str, float]:
    """Return the mean gains over all questions: where no source finds the answer, nobody gains."""
    share = len(examples) / examples.asked
    return {
        "ndcg@10": float(gains.mean()) * share,
        "unlearned_ndcg@10": float(unlearned.mean()) * share,
        "candidate_recall": share,
        "examples": float(len(examples)),
        "shown": float(examples.shown),
    }


def _rank_of_first(scores: Vector, weights: Vector) -> float:
    """Return the rank of the first candidate, ties half; each of the others stands for several."""
    higher, equal = weights[scores > scores[0]].sum(), weights[scores == scores[0]].sum()
    return float(higher + (equal - 1) / 2)
