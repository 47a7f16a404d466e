"""Examples with a query: what the networks of the modes *words* and *both* learn from.

A query belongs to a real next event where there are events, so the network learns what people with
such words, and such a history, would take. Without events it is written for an item, and asks for
the items that are like it (`app.offline.learning.gains`). A judged query asks for what people have
given high grades.

The queries themselves are made elsewhere: `app.offline.learning.synthetic_queries` draws them from
the words of the catalogue. Candidates come from the sources of serving, and features from its code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from app.core.types import Matrix, Rows, Vector
from app.engine.catalogue.behaviour import RECENT, Behaviour
from app.engine.kernels.lexical_features import LEXICAL_FEATURES
from app.engine.kernels.topk import topk_over
from app.engine.retrieval.index import VectorIndex
from app.engine.retrieval.lexical import LexicalIndex
from app.engine.retrieval.registry import SourceParts, sources_of
from app.engine.retrieval.resolve import ResolvedRequest
from app.engine.retrieval.sources import Source
from app.engine.scoring.blend import (
    COVERAGE_ALONE_WEIGHT,
    COVERAGE_WEIGHT,
    LEARNED_MATCH_WEIGHT,
    SIGNAL_WEIGHTS,
)
from app.engine.scoring.exactness import exactness
from app.engine.scoring.history_features import HistoryFeatures
from app.engine.scoring.learned import searched_score
from app.engine.scoring.modes import Mode
from app.engine.scoring.pair_features import PairFeatures, TextSide
from app.engine.scoring.scorer import Scorer
from app.offline.learning.examples import Examples, TrainingQuery, draw_examples
from app.offline.learning.fusion import FEW, MODELS, Chosen, choose, few_features, real_of
from app.offline.learning.mixing import mixed
from app.offline.learning.signals import MAX_HISTORY
from app.offline.learning.train_scorer import Arrays

MOST_QUERIES: Final = 10_000
"""Queries of one mode that are asked."""

WITHOUT_VECTOR: Final = 0.05
"""Share of the queries that are asked without a vector: some texts have none in serving."""

FEW_FEATURES: Final = ("cosine.cosine", "lexical.title_coverage", "lexical.text_coverage")
"""What queries that are written for items without any events can weigh against each other."""

REAL_FOR_NETWORKS: Final = 500
"""Without events, networks are tried from so many logged and judged queries on."""

_HISTORY_WEIGHT: Final = 2.0
_SIDE_WEIGHT: Final = 0.04
_HOLDS_ALL_WEIGHT: Final = 1.0


@dataclass(frozen=True, slots=True)
class SearchSide:
    """The texts of n items as serving searches them.

    Attributes:
        words: the lexical index.
        index: searches the vectors.
        vectors: float32[n, dim], unit rows; zeros where an item has none.
        freshness: float32[n], see `TextSide`.
        encode: encodes queries, float32[q, dim]; a row of zeros is a text without a vector.
    """

    words: LexicalIndex
    index: VectorIndex
    vectors: Matrix
    freshness: Vector
    encode: Callable[[Sequence[str]], Matrix]

    @property
    def texts(self) -> TextSide:
        """What the features of words are computed from."""
        return TextSide(self.words, self.vectors, self.index.empty, self.freshness)


class ModeFeatures:
    """The features of one mode as a `FeatureComputer`."""

    def __init__(self, features: PairFeatures, mode: Mode, n_items: int) -> None:
        self._features, self._mode = features, mode
        self.names, self.n_items = features.names(mode), n_items

    def compute(self, requests: Sequence[ResolvedRequest], candidates: Sequence[Rows]) -> Matrix:
        """See `FeatureComputer`."""
        return self._features.compute(self._mode, requests, candidates)


def pair_features(side: SearchSide, behaviour: Behaviour | None) -> PairFeatures:
    """Return what computes the features of all modes over a catalogue."""
    if behaviour is None:
        return PairFeatures(side.texts, None, None)
    return PairFeatures(side.texts, HistoryFeatures.over(behaviour), behaviour.items)


def search_sources(
    side: SearchSide, behaviour: Behaviour | None, content_knn_share: float
) -> tuple[Source, ...]:
    """Return the sources that serving asks for a request with a query."""
    n_items = len(side.vectors)
    popularity = np.zeros(n_items, np.float32)
    if behaviour is not None:
        popularity = behaviour.items[0] / max(float(behaviour.items[0].max()), 1.0)
    return sources_of(
        SourceParts(
            topk=topk_over(n_items),
            vectors=side.index,
            words=side.words,
            signals={"popularity": popularity},
            behaviour=behaviour,
            content_knn_share=content_knn_share,
        )
    )


def draw_search_examples(  # noqa: PLR0913 - each by its name
    queries: Sequence[TrainingQuery],
    mode: Mode,
    side: SearchSide,
    *,
    behaviour: Behaviour | None,
    content_knn_share: float,
    seed: int,
) -> Examples:
    """Return the examples of some queries with words, for the mode *words* or *both*.

    Args:
        queries: with words; for *both* with a history.
        mode: *words* leaves the histories out, and who asks where.
        side: the texts of the items.
        behaviour: learned without the events that the queries belong to; None = nothing was.
        content_knn_share: of the source *behaviour*.
        seed: of the samples.
    """
    if mode == "words":
        queries = [
            replace(query, recent=query.recent[:0], sides=query.sides[:0]) for query in queries
        ]
    rng = np.random.default_rng(seed)
    blind = rng.random(len(queries)) < WITHOUT_VECTOR
    texts = {query.query: blind[position] for position, query in enumerate(queries)}
    features = ModeFeatures(pair_features(side, behaviour), mode, len(side.vectors))

    def requests_of(batch: Sequence[TrainingQuery]) -> list[ResolvedRequest]:
        return search_requests(batch, side, [bool(texts[query.query]) for query in batch])

    return draw_examples(
        queries=queries,
        sources=search_sources(side, behaviour, content_knn_share),
        features=features,
        seed=seed,
        order=blended,
        requests_of=requests_of,
    )


def search_requests(
    queries: Sequence[TrainingQuery], side: SearchSide, blind: Sequence[bool] | None = None
) -> list[ResolvedRequest]:
    """Return the requests of queries with words.

    Args:
        queries: with words.
        side: the texts of the items.
        blind: which of them are asked without a vector; None = none.
    """
    vectors = side.encode([query.query for query in queries])
    cosines = side.index.cosines(vectors)
    requests = []
    for line, query in enumerate(queries):
        seen = vectors[line].any() and not (blind is not None and blind[line])
        requests.append(
            ResolvedRequest(
                query=query.query,
                query_vector=vectors[line] if seen else None,
                cosines=cosines[line] if seen and cosines is not None else None,
                recent=query.recent[:RECENT],
                length=max(min(len(query.recent), MAX_HISTORY), 1),
                sides=query.sides,
                hidden=query.hidden,
            )
        )
    return requests


def blended(columns: Matrix, names: Sequence[str]) -> Vector:
    """Return float32[c], an order of the candidates in which hard negatives come first.

    The match of the words, as in the fixed blend, and what the history says; items that hold all
    words of the query come before the others, because only other features tell them apart.
    """
    score: Vector = (
        columns[names.index("cosine.cosine")]
        + np.float32(0.3) * columns[names.index("lexical.title_coverage")]
        + np.float32(_HOLDS_ALL_WEIGHT) * columns[names.index("lexical.holds_all")]
    )
    if "taste.total" in names:
        score = score + np.float32(_HISTORY_WEIGHT) * (
            columns[0] + np.float32(0.3) * columns[names.index("taste.total")]
        )
    if "side.score" in names:
        score = score + np.float32(_SIDE_WEIGHT) * columns[names.index("side.score")]
    return score


def fixed_order(
    names: Sequence[str], history: Scorer | None, n_history: int, n_items: int
) -> Callable[[Matrix], Vector]:
    """Return how the fixed blend orders candidates with these features (`app.engine.scoring`).

    Args:
        names: of the features.
        history: the network of the first `n_history` features; None where the query is alone.
        n_history: how many of the features are those of a history.
        n_items: size of the catalogue.
    """
    first = names.index(f"lexical.{LEXICAL_FEATURES[0]}")
    cosine, known = names.index("cosine.cosine"), names.index("cosine.known")
    coverage = names.index("lexical.title_coverage")
    popularity = names.index("item.popularity") if "item.popularity" in names else None

    def order(columns: Matrix) -> Vector:
        weights = np.where(columns[known] > 0, COVERAGE_WEIGHT, COVERAGE_ALONE_WEIGHT)
        exact = exactness(columns[first : first + len(LEXICAL_FEATURES)], n_items)
        match: Vector = columns[cosine] + weights * columns[coverage]
        match = match + exact / np.float32(LEARNED_MATCH_WEIGHT)
        if history is not None:
            return history.score(columns[:n_history]) + LEARNED_MATCH_WEIGHT * match
        if popularity is None:
            return match
        most = max(float(columns[popularity].max()), 1.0)
        popular = columns[popularity] * np.float32(SIGNAL_WEIGHTS["popularity"] / most)
        return np.asarray(match + popular, np.float32)

    return order


def choose_for_search(  # noqa: PLR0913 - each by its name
    mode: Mode,
    examples: Examples,
    side: SearchSide,
    *,
    behaviour: Behaviour | None,
    history: Arrays | None,
    seed: int,
) -> Chosen:
    """Fit the models of a mode with queries; return the one to serve.

    `history`: the arrays of the network of histories, by which the fixed order ranks *both*.
    """
    features = pair_features(side, behaviour)
    names, n_history = features.names(mode), 0
    scorer = None
    if mode == "both" and history is not None:
        n_history = len(features.names("history"))
        scorer = Scorer(history, n_history)
    first, n_items = names.index(f"lexical.{LEXICAL_FEATURES[0]}"), len(side.vectors)

    def score(network: Scorer, columns: Matrix) -> Vector:
        return searched_score(network, columns, first, n_items)

    models = MODELS
    if behaviour is None:
        # Nobody has used the catalogue: its items alone tell only how a few features count.
        models = {FEW: few_features([names.index(name) for name in FEW_FEATURES])}
        n_real = int(np.count_nonzero(real_of(examples.kinds)))
        if n_real >= REAL_FOR_NETWORKS:
            models |= MODELS
        elif n_real:
            models |= {"linear": MODELS["linear"]}
    mix = mixed(examples, seed, score, next(iter(models.values())))
    return choose(mix, fixed_order(names, scorer, n_history, n_items), seed, score, models)
