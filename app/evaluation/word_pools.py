"""What an ablation of words learns from and ranks: the examples of a build, and the cases.

The texts are opened from a bundle that is built without events. Sources are fitted and examples are
drawn by the code of a build; the candidates of the cases are found, and their features computed, by
the code that serves. This module does not know what is left out, nor how the order is learned.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from app.bundle.reader import Bundle, load_arrays, load_vectors
from app.core.errors import BadDataError
from app.core.types import Matrix, Vector
from app.engine.catalogue.behaviour import Behaviour
from app.engine.encoding.text_vectors import text_vectors
from app.engine.kernels.lexical_features import LEXICAL_FEATURES
from app.engine.open import columns_of, index_of
from app.engine.retrieval.lexical import LexicalIndex
from app.engine.scoring.exactness import exactness
from app.engine.scoring.modes import Mode
from app.evaluation.ablation import bundle_of_texts, described_in
from app.evaluation.candidate_pools import target_position
from app.evaluation.evaluate import Options
from app.evaluation.protocols import EvalPlan
from app.offline.bundle_files import LEAST_SEARCHED, text_attributes
from app.offline.input.judgements import Judgements, read_judgements
from app.offline.learning.examples import Examples, TrainingQuery, candidate_batches
from app.offline.learning.learn import MIN_EXAMPLES, PreparedTraining, prepare
from app.offline.learning.negatives import negatives_of
from app.offline.learning.search_examples import (
    ModeFeatures,
    SearchSide,
    pair_features,
    search_requests,
    search_sources,
)
from app.offline.learning.search_log import judged_lists, searches_of
from app.offline.learning.search_queries import Search
from app.offline.learning.sequences import Ints, sequences_of
from app.offline.learning.signals import log_of
from app.offline.learning.synthetic_queries import QueryWriter
from app.offline.learning.tfidf import word_weights
from app.offline.learning.two_tower import ItemTexts
from app.offline.metrics.ranking import Numbers, rank_in

ScoreWords: TypeAlias = Callable[[Matrix, Vector], Vector]
"""(float32[f, N] features, float32[N] exactness of the words) -> float32[N]; higher is better."""


@dataclass(frozen=True, slots=True)
class WordMaterial:
    """What one ablation of words learns from.

    Attributes:
        side: the texts of the items, as serving searches them.
        learned: the sources, fitted on all events, and the examples of each mode.
    """

    side: SearchSide
    learned: PreparedTraining

    @property
    def behaviour(self) -> Behaviour:
        """What was learned of all events."""
        return self.learned.behaviour

    def names(self, mode: Mode) -> tuple[str, ...]:
        """Return the names of the features of a mode."""
        return pair_features(self.side, self.behaviour).names(mode)

    def examples(self, mode: Mode) -> Examples:
        """Return the examples of a mode."""
        return self.learned.examples if mode == "history" else self.learned.search[mode]


def word_material(plan: EvalPlan, options: Options, folder: Path) -> WordMaterial:
    """Do what a build does before it fits the models of words.

    Args:
        plan: with one fold.
        options: how to build and encode; its recipe may name a file of judgements.
        folder: an empty folder, which must stay as long as the result is used.

    Raises:
        BadDataError: there are too few items or events to learn from.
        EngineError: the encoder failed.
    """
    (fold,) = plan.folds
    if len(plan.catalogue) < LEAST_SEARCHED:
        raise BadDataError(f"no words are learned from fewer than {LEAST_SEARCHED} items")
    recipe = options.recipe
    bundle = bundle_of_texts(plan, options, folder / "texts")
    side = _side(bundle, options, folder / "queries")
    described = described_in(bundle)
    n_items = len(described)
    log = log_of(fold.events, described.ids, recipe.weights)
    sequences = sequences_of(
        events=log.events, item_rows=log.item_rows, weights=log.weights, n_items=n_items
    )
    judged = Judgements.none()
    if recipe.judgements.path:
        judged = read_judgements(Path(recipe.judgements.path), recipe, described.ids)
    writer = QueryWriter(
        described.titles, described.texts, text_attributes(columns_of(bundle)), seed=options.seed
    )
    prepared = prepare(
        sequences=sequences,
        negatives=negatives_of(log, n_items),
        item_texts=ItemTexts(word_weights(described.texts), side.vectors),
        seed=options.seed,
        search=Search(side, writer, searches_of(log, n_items), judged_lists(judged)),
    )
    if prepared is None:
        raise BadDataError(f"nothing is learned from fewer than {MIN_EXAMPLES} events held back")
    return WordMaterial(side, prepared)


def _side(bundle: Bundle, options: Options, folder: Path) -> SearchSide:
    """Open the texts of a bundle; `folder` is a new one, for the files of the encoder."""
    folder.mkdir()
    encoder = options.make_encoder(options.recipe.encoder, folder)
    vectors = np.array(load_vectors(bundle))
    return SearchSide(
        words=LexicalIndex(load_arrays(bundle, "words.safetensors")),
        index=index_of(bundle, vectors, threads=len(os.sched_getaffinity(0))),
        vectors=vectors,
        freshness=load_arrays(bundle, "signals.safetensors")["freshness"],
        encode=lambda texts: text_vectors(texts, encoder, "query"),
    )


def queries_in(mode: Mode, queries: Sequence[TrainingQuery]) -> list[TrainingQuery]:
    """Return the queries as a mode asks them: *words* does not know the history, but hides it."""
    if mode != "words":
        return list(queries)
    return [
        replace(query, recent=query.recent[:0], forgotten=query.recent, sides=query.sides[:0])
        for query in queries
    ]


@dataclass(frozen=True, slots=True)
class _Batch:
    """The candidates of some queries, end to end.

    Attributes:
        features: float16[f, N].
        exactness: float32[N].
        starts: int64[b], where the candidates of each query begin.
        target: int64[b], position of the target among those of its query; -1 = not found.
    """

    features: npt.NDArray[np.float16]
    exactness: Vector
    starts: Ints
    target: Ints


class WordPools:
    """The candidates of n queries in one mode. It takes 2 · f + 4 bytes a candidate."""

    def __init__(
        self, queries: Sequence[TrainingQuery], mode: Mode, material: WordMaterial
    ) -> None:
        """Ask the sources and compute the features."""
        side, behaviour = material.side, material.behaviour
        n_items = len(side.vectors)
        features = ModeFeatures(pair_features(side, behaviour), mode, n_items)
        first = features.names.index(f"lexical.{LEXICAL_FEATURES[0]}")
        self._batches = []
        for batch, candidates, columns in candidate_batches(
            queries_in(mode, queries),
            search_sources(side, behaviour, material.learned.content_knn_share),
            features,
            lambda some: search_requests(some, side),
        ):
            pairs = zip(batch, candidates, strict=True)
            self._batches.append(
                _Batch(
                    features=columns.astype(np.float16),
                    # Before rounding: it compares with bounds.
                    exactness=exactness(columns[first : first + len(LEXICAL_FEATURES)], n_items),
                    starts=np.cumsum([0, *map(len, candidates)])[:-1],
                    target=np.array([target_position(query, rows) for query, rows in pairs]),
                )
            )

    def recall_and_size(self) -> Mapping[str, float]:
        """Return the share of queries whose target was found, and the mean number of candidates."""
        found = np.concatenate([batch.target >= 0 for batch in self._batches])
        total = sum(len(batch.exactness) for batch in self._batches)
        return {"recall": round(float(found.mean()), 6), "mean": round(total / len(found), 2)}

    def ranks(self, score: ScoreWords, features_off: Sequence[int] = ()) -> Numbers:
        """Return float64[n], the rank of each target, ties count half; inf = not found.

        Args:
            score: ranks the candidates.
            features_off: indices of the features that are 0. The exactness stays.
        """
        ranks: list[float] = []
        for batch in self._batches:
            columns = batch.features.astype(np.float32)
            columns[list(features_off)] = 0.0
            lists = np.split(score(columns, batch.exactness), batch.starts[1:])
            ranks += [
                rank_in(one, target) if target >= 0 else np.inf
                for one, target in zip(lists, batch.target.tolist(), strict=True)
            ]
        return np.array(ranks)
