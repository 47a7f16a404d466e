"""Everything that is learned: the steps of training, from sequences and texts to arrays.

    1  hold out the last events of users; fit all sources on the rest
    2  choose decays and the content share by how well they rank the held-out events; and which user
       attributes and contexts say something
    3  draw candidates of the held-out events with those sources, for each mode of a request: by the
       history, by words that lead to the item, by both
    4  fit the sources again, on all events, with the settings of step 2
    5  fit the models of each mode on its candidates, and choose one (`app.offline.learning.fusion`)

So the scorer never learns from a source that has seen the answer. Without events, or with few, only
the order of queries is learned, from the words of the catalogue. This module does not know files.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np

from app.core.types import Matrix
from app.engine.catalogue.behaviour import RECENT, Behaviour, Neighbours, TasteSpace, item_signals
from app.engine.retrieval.registry import behaviour_sources
from app.engine.scoring.history_features import HistoryFeatures
from app.engine.scoring.modes import Mode
from app.offline.learning import neighbours
from app.offline.learning.examples import (
    Examples,
    TrainingQuery,
    draw_examples,
    held_out_counts,
    queries_by_step,
    unlearned_score,
    unlearned_weights,
)
from app.offline.learning.fit_goals import FittedGoals, facts_of, fit_goals
from app.offline.learning.fit_sides import (
    Concentrations,
    concentrations_of,
    with_values,
)
from app.offline.learning.fusion import Chosen, choose, fixed_sum
from app.offline.learning.learning_notes import metrics_of, note_of, note_of_sides
from app.offline.learning.negatives import Negatives
from app.offline.learning.search_examples import (
    choose_for_search,
    draw_search_examples,
    pair_features,
)
from app.offline.learning.search_log import (
    held_out_searchers,
    judged_queries,
    logged_by_step,
)
from app.offline.learning.search_queries import Search, asked_by_mode, written_for_items
from app.offline.learning.sequences import Ints, Sequences
from app.offline.learning.side_examples import with_copies, with_sides
from app.offline.learning.sides import StepSides
from app.offline.learning.step_goals import StepGoals
from app.offline.learning.tfidf import word_weights
from app.offline.learning.train_scorer import Arrays
from app.offline.learning.two_tower import ItemTexts, fit_taste
from app.offline.metrics.ranking import AnyFloats, ndcg_at, rank_in
from app.offline.progress import step
from app.offline.threads import fixed_threads

_log = logging.getLogger(__name__)

MIN_EXAMPLES = 500
"""With fewer, nothing is learned. The network has thousands of weights, and a tenth of the examples
has to show that it is no worse. (With 249 examples of `mind-sample` it ranked news worse than the
fixed blend: docs/accuracy.md.)"""

DECAYS = tuple(float(np.exp(-1.0 / steps)) for steps in (1.0, 2.0, 3.0, 5.0, 10.0))
"""Weights of an older item of the history, relative to the next newer one, that are tried."""
CONTENT_KNN_SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Weights of the table *content_knn* beside the strongest table that are tried."""

MIN_SEARCH_EXAMPLES = 200
"""With fewer queries, their order is not learned."""

_VALIDATION_QUERIES = 2048
_VALIDATION_BATCH = 64
_TOP = 10


@dataclass(frozen=True, slots=True)
class PreparedTraining:
    """Sources fitted on all events, and examples drawn with sources fitted on a part of them.

    Attributes:
        search: the examples with a query, by mode.
        held_out: int64[users], how many of the last steps of each the sources of the examples have
            not seen.
        notes: what was chosen, as lines to read.
    """

    behaviour: Behaviour
    content_knn_share: float
    examples: Examples
    search: Mapping[Mode, Examples]
    held_out: Ints
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What goes into a bundle.

    Attributes:
        behaviour: None where too few events are there to learn from.
        content_knn_share: of the source *behaviour*.
        networks: mode -> the arrays of its network, for the modes that have one.
        features: mode -> the names of the features of its network.
        goals: the heads of the networks; None = nothing tells goals apart.
        metrics: figures of held-out examples, and counts.
        notes: what was chosen for each mode, and why, as lines to read.
    """

    behaviour: Behaviour | None
    content_knn_share: float
    networks: Mapping[Mode, Arrays]
    features: Mapping[Mode, tuple[str, ...]]
    goals: FittedGoals | None
    metrics: Mapping[str, float]
    notes: tuple[str, ...]


@fixed_threads()
def learn(  # noqa: PLR0913 - each by its name
    sequences: Sequences,
    negatives: Negatives,
    texts: Sequence[str],
    vectors: Matrix,
    *,
    seed: int = 0,
    search: Search | None = None,
    sides: StepSides | None = None,
    goals: StepGoals | None = None,
) -> TrainingResult | None:
    """Return what was learned; None where nothing was.

    Args:
        sequences: the positive events.
        negatives: disliked items, and items that were shown and skipped.
        texts: n_items texts.
        vectors: float32[n_items, dim], the encoded texts.
        seed: of everything random.
        search: to learn the order of queries, too.
        sides: who and where of the steps, if anything is known of them.
        goals: by which kinds of events the steps were taken, if kinds are frequent enough.
    """
    prepared = None
    if len(sequences):
        with _timed("words"):
            item_texts = ItemTexts(word_weights(texts), vectors)
        prepared = prepare(
            sequences, negatives, item_texts, seed, search=search, sides=sides, goals=goals
        )
    examples: dict[Mode, Examples] = {}
    chosen: dict[Mode, Chosen] = {}
    behaviour = None
    if prepared is not None:
        behaviour = prepared.behaviour
        examples = {"history": prepared.examples, **prepared.search}
        with _timed("scorer of histories"):
            chosen["history"] = _of_histories(prepared, seed)
    elif search is not None:
        # Nothing was learned of behaviour, so nothing has seen the targets of any search.
        logged = logged_by_step(search.searches, sequences, sequences.lengths, negatives)
        queries = [*(query for _, query in logged), *judged_queries(search.judged)]
        queries += written_for_items(search, seed)
        with _timed("examples of words"):
            examples["words"] = draw_search_examples(
                queries, "words", search.side, behaviour=None, content_knn_share=0.0, seed=seed
            )
    if search is not None:
        _choose_for_search(examples, chosen, search, behaviour, seed)
    networks = {
        mode: each.arrays | each.calibration
        for mode, each in chosen.items()
        if each.arrays is not None
    }
    heads = None
    if prepared is not None and goals is not None and networks:
        with _timed("goals"):
            facts = facts_of(goals, sequences, prepared.held_out, len(texts))
            heads = fit_goals(goals, *facts, examples=examples, chosen=chosen, seed=seed)
    notes = (
        *(() if prepared is None else prepared.notes),
        *(note_of(mode, each) for mode, each in chosen.items()),
        *(() if heads is None else heads.notes),
    )
    if behaviour is None and not networks:
        for note in notes:
            _log.warning("%s", note)
        return None
    return TrainingResult(
        behaviour=behaviour,
        content_knn_share=0.0 if prepared is None else prepared.content_knn_share,
        networks=networks,
        features={mode: _names(mode, behaviour, search) for mode in networks},
        goals=heads,
        metrics={**metrics_of(examples, chosen), **({} if heads is None else heads.metrics)},
        notes=notes,
    )


def _choose_for_search(
    examples: Mapping[Mode, Examples],
    chosen: dict[Mode, Chosen],
    search: Search,
    behaviour: Behaviour | None,
    seed: int,
) -> None:
    """Add the models of the modes with a query to those that are chosen already."""
    history = chosen["history"].arrays if "history" in chosen else None
    for mode, lists in examples.items():
        if mode == "history":
            continue
        if len(lists) < MIN_SEARCH_EXAMPLES:
            _log.warning("%s: not learned from fewer than %d queries", mode, MIN_SEARCH_EXAMPLES)
            continue
        with _timed(f"scorer of {mode}"):
            chosen[mode] = choose_for_search(
                mode, lists, search.side, behaviour=behaviour, history=history, seed=seed
            )


def _of_histories(prepared: PreparedTraining, seed: int) -> Chosen:
    """Choose the model of histories. Where none is better, the fixed order is served as one."""
    names = HistoryFeatures.over(prepared.behaviour).names
    chosen = choose(prepared.examples, partial(unlearned_score, names=names), seed)
    if chosen.arrays is not None:
        return chosen
    return replace(chosen, arrays=fixed_sum(names, unlearned_weights(names)))


def _names(mode: Mode, behaviour: Behaviour | None, search: Search | None) -> tuple[str, ...]:
    """Return the names of the features of a mode that was learned."""
    if search is not None:
        return pair_features(search.side, behaviour).names(mode)
    assert behaviour is not None  # noqa: S101 - something was learned from one or the other
    return HistoryFeatures.over(behaviour).names


def examples_of(
    queries: Sequence[TrainingQuery], behaviour: Behaviour, content_knn_share: float, seed: int
) -> Examples:
    """Return the examples of a build: every source is asked, every feature is computed."""
    sources = behaviour_sources(behaviour, content_knn_share)
    features = HistoryFeatures.over(behaviour)
    return draw_examples(queries=queries, sources=sources, features=features, seed=seed)


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


def prepare(  # noqa: PLR0913 - each by its name
    sequences: Sequences,
    negatives: Negatives,
    item_texts: ItemTexts,
    seed: int,
    *,
    draw: DrawExamples = examples_of,
    search: Search | None = None,
    sides: StepSides | None = None,
    goals: StepGoals | None = None,
) -> PreparedTraining | None:
    """Fit the sources twice and draw the examples in between; None where events are too few.

    Args:
        sequences: the positive events.
        negatives: disliked and skipped items.
        item_texts: words and vectors of all items.
        seed: of everything random.
        draw: draws the examples. The ablation passes a function that also keeps the origins.
        search: to draw examples with a query, too.
        sides: who and where of the steps, if anything is known of them.
        goals: by which kinds of events the steps were taken, if kinds are frequent enough.
    """
    n_items = len(item_texts)
    held_out = held_out_counts(sequences, seed)
    by_step = _with_goals(queries_by_step(sequences, held_out, negatives), goals)
    queries = [query for _, query in by_step]
    if len(queries) < MIN_EXAMPLES:
        _log.warning("no behaviour learned: fewer than %d events to check it on", MIN_EXAMPLES)
        return None
    with _timed("content_knn"):
        content_knn = neighbours.content_knn(item_texts.words)
    logged: list[tuple[int, TrainingQuery]] = []
    if search is not None:
        # The plain history queries above stay as they are: these users have no history.
        held_out = held_out + held_out_searchers(search.searches, sequences, seed)
        logged = _with_goals(logged_by_step(search.searches, sequences, held_out, negatives), goals)
    inner = sequences.without_last(held_out)
    validator = _SourceValidator(queries, n_items, seed)
    with _timed("behaviour, for the examples"):
        tables = _tables(inner, n_items, content_knn)
    with _timed("decays"):
        decays, share = _best_decays(tables, validator)
    with _timed("taste, for the examples"):
        taste, schedule = fit_taste(inner, item_texts, seed, validate=validator.taste_ndcg)
    behaviour = Behaviour(tables=tables, decays=decays, taste=taste, items=_signals(inner, n_items))
    concentrations: Concentrations = {}
    if sides is not None:
        with _timed("who and where, for the examples"):
            before = sequences.before_last(held_out)
            concentrations = concentrations_of(sides, sequences, before, n_items)
            behaviour = with_values(behaviour, sides, sequences, before, concentrations)
            queries = with_sides(by_step, sequences, sides, behaviour.sides)
            logged = _sided(logged, sequences, sides, behaviour)
    with _timed("examples"):
        examples = draw(
            queries=with_copies(queries, behaviour.sides, seed),
            behaviour=behaviour,
            content_knn_share=share,
            seed=seed,
        )
    if len(examples) < MIN_EXAMPLES:
        return None
    search_examples: dict[Mode, Examples] = {}
    if search is not None:
        asked = asked_by_mode(search, [step for step, _ in by_step], queries, logged, seed)
        asked["both"] = with_copies(asked["both"], behaviour.sides, seed)
        for mode, some in asked.items():
            with _timed(f"examples of {mode}"):
                search_examples[mode] = draw_search_examples(
                    some,
                    mode,
                    search.side,
                    behaviour=behaviour,
                    content_knn_share=share,
                    seed=seed,
                )
    del inner, tables, behaviour, taste  # the second fit takes as much memory as the first
    with _timed("taste"):
        taste, _ = fit_taste(sequences, item_texts, seed, schedule=schedule)
    with _timed("behaviour"):
        tables = _tables(sequences, n_items, content_knn)
    behaviour = Behaviour(
        tables=tables, decays=decays, taste=taste, items=_signals(sequences, n_items)
    )
    if sides is None:
        return PreparedTraining(behaviour, share, examples, search_examples, held_out)
    with _timed("who and where"):
        everything = np.ones(len(sequences.items), np.bool_)
        behaviour = with_values(behaviour, sides, sequences, everything, concentrations)
    notes = note_of_sides(concentrations)
    return PreparedTraining(behaviour, share, examples, search_examples, held_out, notes)


def _with_goals(
    by_step: Iterable[tuple[int, TrainingQuery]], goals: StepGoals | None
) -> list[tuple[int, TrainingQuery]]:
    """Return queries behind their steps, with the goals by which their targets were taken."""
    if goals is None:
        return list(by_step)
    taken_by = goals.taken_by
    return [(step, replace(query, taken_by=int(taken_by[step]))) for step, query in by_step]


def _sided(
    by_step: Sequence[tuple[int, TrainingQuery]],
    sequences: Sequences,
    sides: StepSides,
    behaviour: Behaviour,
) -> list[tuple[int, TrainingQuery]]:
    """Return queries behind their steps with who took their targets, and where."""
    queries = with_sides(by_step, sequences, sides, behaviour.sides)
    return [(step, query) for (step, _), query in zip(by_step, queries, strict=True)]


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
