"""The ablation for requests with words: what each group of features and each kind of example bring.

    1  encode the texts, fit the sources, draw the examples of all modes: once, as a build does
    2  find the candidates of every case by words, and by words and history: once
    3  for each variant, learn the order of a mode from its examples and rank these candidates

A variant without some features sees 0 in their place, in training and afterwards. A variant without
a kind of example learns from the others; where too few are left, the fixed blend ranks, as in a
build. The rule of exact words is no feature: it stays, but for the variant without it.

Each variant is fitted with several seeds. The figure of a case is the mean over the fits, so that
chance in training does not pass for the worth of a feature.
"""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from torch import Tensor

from app.core.errors import BadDataError
from app.core.types import Matrix, Vector
from app.engine.kernels.lexical_features import LEXICAL_FEATURES
from app.engine.scoring.exactness import RANGE
from app.engine.scoring.learned import searched_score
from app.engine.scoring.modes import Mode
from app.engine.scoring.scorer import Scorer
from app.evaluation.ablation import (
    TOP,
    figure,
    headed,
    interval_cell,
    matching_features,
    row_of,
)
from app.evaluation.answers import Numbering
from app.evaluation.candidate_pools import training_queries_about
from app.evaluation.evaluate import Document, Options
from app.evaluation.protocols import EvalPlan
from app.evaluation.word_pools import ScoreWords, WordMaterial, WordPools, word_material
from app.offline.learning.examples import KINDS, Examples, Kind
from app.offline.learning.learn import MIN_SEARCH_EXAMPLES
from app.offline.learning.mixing import mixed
from app.offline.learning.search_examples import fixed_order
from app.offline.learning.train_scorer import Linear, Model, Network, ThreeNetworks, train
from app.offline.metrics.intervals import mean_intervals, paired_difference
from app.offline.metrics.ranking import Numbers, ndcg_at
from app.offline.threads import fixed_threads, side_by_side

_log = logging.getLogger(__name__)

MODES: Final[tuple[Mode, ...]] = ("words", "both")

FITS: Final = 3
"""Seeds of a variant: that of the evaluation, and the next ones."""

Make: TypeAlias = Callable[[Tensor, Tensor], Model]


@dataclass(frozen=True, slots=True)
class WordVariant:
    """One row of the table.

    Attributes:
        group, label: heading and name of the row.
        make: makes the model; None = the fixed blend.
        features_off: patterns of the names of missing features.
        kind_off: the missing kind of example.
        modes: what the variant may change; with words alone, or with a history as well.
        exact: whether the rule of exact words holds.
    """

    group: str
    label: str
    make: Make | None = Network
    features_off: tuple[str, ...] = ()
    kind_off: Kind | None = None
    modes: tuple[Mode, ...] = MODES
    exact: bool = True


def _lexical(*names: str) -> tuple[str, ...]:
    return tuple(f"lexical.{name}" for name in names)


_FEATURES: Final = "features off"
_EXAMPLES: Final = "examples off"
_HISTORY: Final = ("sequential_ridge.*", "cooccurrence.*", "content_knn.*", "taste.*", "user.*")

VARIANTS: Final[Mapping[str, WordVariant]] = {
    "full": WordVariant("", "all of it"),
    "unlearned": WordVariant("model", "no training: fixed blend", None),
    "linear": WordVariant("model", "linear, listwise softmax", Linear),
    "three": WordVariant("model", "three small networks", ThreeNetworks),
    "inexact": WordVariant("rule off", "exact words", exact=False),
    "cosine": WordVariant(_FEATURES, "cosine of the texts", features_off=("cosine.*",)),
    "bm25": WordVariant(_FEATURES, "BM25", features_off=_lexical("bm25", "bm25_rank")),
    "coverage": WordVariant(
        _FEATURES,
        "coverage",
        features_off=_lexical("title_coverage", "text_coverage", "title_covered", "title_words"),
    ),
    "exactness": WordVariant(
        _FEATURES,
        "exactness",
        features_off=_lexical(
            "exact_coverage",
            "holds_all",
            "missing_words",
            "rarest_missing",
            "phrase",
            "starts",
            "whole_title",
            "numbers_matched",
            "numbers_clash",
        ),
    ),
    "lexical": WordVariant(_FEATURES, "all lexical", features_off=("lexical.*",)),
    "query": WordVariant(
        _FEATURES,
        "facts of the query",
        features_off=_lexical("query_words", "unknown_words", "sharpness", "holders"),
    ),
    "ranks": WordVariant(
        _FEATURES,
        "ranks among the candidates",
        features_off=("*.rank", "*.bm25_rank", "cosine.gap", "cosine.best"),
    ),
    "item": WordVariant(_FEATURES, "popularity and freshness", features_off=("item.*",)),
    "interplay": WordVariant(
        _FEATURES, "likeness of history and query", features_off=("fit.*",), modes=("both",)
    ),
    "history": WordVariant(
        _FEATURES, "all of the history", features_off=(*_HISTORY, "fit.*"), modes=("both",)
    ),
    "written": WordVariant(
        _EXAMPLES, "written queries without a history", kind_off="synthetic", modes=("words",)
    ),
    "written-history": WordVariant(
        _EXAMPLES, "written queries with a history", kind_off="synthetic", modes=("both",)
    ),
    "logged": WordVariant(_EXAMPLES, "logged searches", kind_off="logged"),
    "judged": WordVariant(_EXAMPLES, "judgements", kind_off="judged", modes=("words",)),
}


@fixed_threads()
def ablate_words(
    plan: EvalPlan, dataset: str, options: Options, variants: Mapping[str, WordVariant] = VARIANTS
) -> Document:
    """Return the accuracy of all variants as one JSON-ready document.

    Args:
        plan: a plan of `search`.
        dataset: name of the data, for the document.
        options: how to build and encode; its recipe may name a file of judgements.
        variants: name -> variant; all others are compared with the first one.

    Raises:
        BadDataError: there are too few items or events to learn from.
        EngineError: the encoder failed.
    """
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="recserve-ablation-") as work:
        material = word_material(plan, options, Path(work))
        queries = training_queries_about(plan.folds[0].cases, Numbering.of(plan.catalogue.ids))
        rows: dict[str, Document] = {
            name: {"group": variant.group, "shown": variant.label, "modes": {}}
            for name, variant in variants.items()
        }
        modes: dict[str, Document] = {}
        for mode in MODES:  # one after the other: the candidates take much memory
            table = _ModeTable(mode, material, WordPools(queries, mode, material), options.seed)
            modes[mode] = table.head()
            for name, variant in variants.items():
                if mode in variant.modes:
                    rows[name]["modes"][mode] = table.row(variant)
    return {
        "dataset": dataset,
        "protocol": plan.protocol,
        "seed": options.seed,
        "fits": FITS,
        "n_users": plan.n_cases,
        "n_items": len(plan.catalogue),
        "notes": plan.notes,
        "modes": modes,
        "variants": rows,
        "seconds": round(time.perf_counter() - start, 1),
    }


class _ModeTable:
    """Learns and measures variants in one mode; the first is what the others are compared with."""

    def __init__(self, mode: Mode, material: WordMaterial, pools: WordPools, seed: int) -> None:
        self._mode, self._material, self._pools, self._seed = mode, material, pools, seed
        self._names, self._n_items = material.names(mode), len(material.side.vectors)
        self._lexical = self._names.index(f"lexical.{LEXICAL_FEATURES[0]}")
        drawn = material.examples(mode)
        if len(drawn) < MIN_SEARCH_EXAMPLES:
            raise BadDataError(
                f"{mode}: nothing is learned from fewer than {MIN_SEARCH_EXAMPLES} queries"
            )
        self._examples = mixed(drawn, seed, self._searched)
        self._first: Numbers | None = None

    def _searched(self, network: Scorer, columns: Matrix) -> Vector:
        return searched_score(network, columns, self._lexical, self._n_items)

    def head(self) -> Document:
        """Return what the variants of the mode share."""
        counts = np.bincount(self._examples.kinds, minlength=len(KINDS)).tolist()
        return {
            "examples": {kind: n for kind, n in zip(KINDS, counts, strict=True) if n},
            "candidates": self._pools.recall_and_size(),
        }

    def row(self, variant: WordVariant) -> Document:
        """Learn and measure a variant."""
        start = time.perf_counter()
        examples: Examples | None = self._examples
        if variant.kind_off is not None:
            kept = self._examples.kinds != KINDS.index(variant.kind_off)
            if kept.all():
                return {"unavailable": "no such examples"}
            is_enough = int(kept.sum()) >= MIN_SEARCH_EXAMPLES
            examples = self._examples.only(np.flatnonzero(kept)) if is_enough else None
        features_off = matching_features(self._names, variant.features_off)
        if variant.make is None or examples is None:
            scores = self._fixed()
        else:
            scores = self._fitted(examples, variant.make, features_off, exact=variant.exact)
        ndcg = np.mean(
            [ndcg_at(self._pools.ranks(score, features_off), TOP) for score in scores], axis=0
        )
        document = self._measured(ndcg)
        document["seconds"] = round(time.perf_counter() - start, 1)
        _log.info("%s, %s %s: %s", self._mode, variant.group, variant.label, document)
        return document

    def _fitted(
        self, examples: Examples, make: Make, features_off: list[int], *, exact: bool
    ) -> list[ScoreWords]:
        if features_off:
            features = examples.features.copy()
            features[:, features_off] = 0
            examples = replace(examples, features=features)
        fits = [partial(train, examples, self._seed + more, make=make) for more in range(FITS)]
        return [
            _score_of(Scorer(fitted.arrays, len(self._names)), exact)
            for fitted in side_by_side(fits)
        ]

    def _fixed(self) -> list[ScoreWords]:
        """Return the fixed blend, with the network of histories where there is a history."""
        histories: list[Scorer | None] = [None]
        n_history = 0
        if self._mode == "both":
            n_history = len(self._material.names("history"))
            lists = self._material.examples("history")
            fits = [partial(train, lists, self._seed + more) for more in range(FITS)]
            histories = [Scorer(each.arrays, n_history) for each in side_by_side(fits)]
        orders = [fixed_order(self._names, each, n_history, self._n_items) for each in histories]
        return [partial(_by_columns, order) for order in orders]

    def _measured(self, ndcg: Numbers) -> Document:
        """Return the mean with its interval, and the paired difference to the first variant."""
        (mean,) = mean_intervals(ndcg[:, None], self._seed)
        document: Document = {f"ndcg@{TOP}": mean.document()}
        if self._first is None:
            self._first = ndcg
        else:
            difference = paired_difference(ndcg, self._first, self._seed)
            document["difference"] = difference.document()
        return document


def _score_of(network: Scorer, exact: bool) -> ScoreWords:
    """Return how serving scores with a network of words (`app.engine.scoring.learned`)."""

    def score(columns: Matrix, exactness: Vector) -> Vector:
        bounded = np.clip(network.score(columns), -RANGE, RANGE)
        return bounded + exactness if exact else bounded

    return score


def _by_columns(order: Callable[[Matrix], Vector], columns: Matrix, _: Vector) -> Vector:
    return order(columns)  # it computes the exactness itself


def word_table(document: Document) -> list[str]:
    """Return the lines of a Markdown table with a row for each variant."""
    head = ["", "variant"]
    for mode in MODES:
        head += [f"{mode}: NDCG@{TOP}", "difference"]
    return [row_of(head), row_of(["---"] * len(head)), *map(row_of, _cells(document["variants"]))]


def _cells(variants: Mapping[str, Document]) -> Iterator[list[str]]:
    for group, variant in headed(variants):
        cells = [group, variant["shown"]]
        for mode in MODES:
            cells += _mode_cells(variant["modes"].get(mode))
        yield cells


def _mode_cells(measured: Document | None) -> list[str]:
    """Return the two cells of a mode; empty where the variant changes nothing there."""
    if measured is None:
        return ["", ""]
    if "unavailable" in measured:
        return [measured["unavailable"], ""]
    return [figure(measured[f"ndcg@{TOP}"]["value"]), interval_cell(measured.get("difference"))]
