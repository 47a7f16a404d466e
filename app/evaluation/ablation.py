"""The ablation: what each piece of the learned recommender brings. It learns again without it.

    1  encode the texts, fit the sources, draw the examples: once, by the code of a build
    2  find the candidates of every case and compute their features: once
    3  for each variant, learn from these examples and rank these candidates

A variant without a source loses what only that source finds, and the features of that source, in
training and afterwards. (*behaviour* keeps its share of *content_knn*.) A variant without some
features sees 0 in their place. The sources *popular*, *trending* and *newest* have no variant: a
user with a history is given them only where all others find too few items.

How a variant learns is in `rankers`. Requests with words have an ablation of their own
(`app.evaluation.word_ablation`).
"""

import logging
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import numpy as np

from app.bundle.reader import Bundle, load_vectors, open_bundle
from app.core.errors import BadDataError, UsageError
from app.engine.catalogue.behaviour import Behaviour
from app.engine.open import columns_of
from app.evaluation import rankers
from app.evaluation.answers import Numbering
from app.evaluation.baselines.base import UnavailableError
from app.evaluation.candidate_pools import (
    Pools,
    TracedExamples,
    TracedSources,
    training_queries_about,
)
from app.evaluation.evaluate import Document, Options
from app.evaluation.model_runs import build_fold
from app.evaluation.protocols import EvalPlan, Fold
from app.evaluation.rankers import Fit
from app.offline.bundle_files import Described, describe
from app.offline.input.events import Events
from app.offline.input.recipe import Recipe
from app.offline.learning.examples import Examples, TrainingQuery, unlearned_score
from app.offline.learning.learn import MIN_EXAMPLES, PreparedTraining, prepare
from app.offline.learning.negatives import negatives_of
from app.offline.learning.sequences import sequences_of
from app.offline.learning.signals import log_of
from app.offline.learning.tfidf import word_weights
from app.offline.learning.two_tower import ItemTexts
from app.offline.metrics.intervals import mean_intervals, paired_difference
from app.offline.metrics.ranking import Numbers, ndcg_at, recall_at

_log = logging.getLogger(__name__)

TOP = 10


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of the table.

    Attributes:
        group, label: heading and name of the row.
        fit: how the order is learned; None = the fixed order of the sources.
        source_off: name of the missing source.
        features_off: patterns of the names of missing features.
    """

    group: str
    label: str
    fit: Fit | None = rankers.network
    source_off: str | None = None
    features_off: tuple[str, ...] = ()


_BEHAVIOUR_FEATURES = ("sequential_ridge.*", "cooccurrence.*", "user.highest_first")
_CONTENT_FEATURES = ("content_knn.*",)
_TASTE_FEATURES = ("taste.*", "user.highest_taste")
_PAIR_DETAILS = ("last", "before_last", "highest", "newest_three", "mean", "count")

VARIANTS: Mapping[str, Variant] = {
    "full": Variant("", "all of it"),
    "unlearned": Variant("model", "no training: fixed sum of three totals", None),
    "linear": Variant("model", "linear, listwise softmax", rankers.linear),
    "lambdamart": Variant("model", "LambdaMART (LightGBM)", rankers.lambdamart),
    "pairwise": Variant("loss", "pairwise logistic (BPR)", rankers.network_by_pairs),
    "pointwise": Variant("loss", "pointwise logistic", rankers.network_by_points),
    "source-behaviour": Variant(
        "source off", "*behaviour*", source_off="behaviour", features_off=_BEHAVIOUR_FEATURES
    ),
    "source-alike": Variant(
        "source off", "*alike*", source_off="alike", features_off=_CONTENT_FEATURES
    ),
    "source-taste": Variant(
        "source off", "*taste*", source_off="taste", features_off=_TASTE_FEATURES
    ),
    "follow": Variant(
        "features off",
        "what follows what",
        features_off=("sequential_ridge.*", "user.highest_first"),
    ),
    "together": Variant("features off", "what is taken together", features_off=("cooccurrence.*",)),
    "behaviour": Variant("features off", "both of these", features_off=_BEHAVIOUR_FEATURES),
    "alike": Variant("features off", "likeness in words", features_off=_CONTENT_FEATURES),
    "taste": Variant("features off", "taste", features_off=_TASTE_FEATURES),
    "item": Variant("features off", "popularity and place in histories", features_off=("item.*",)),
    "user": Variant("features off", "length of history, whole list", features_off=("user.*",)),
    "ranks": Variant("features off", "ranks among the candidates", features_off=("*.rank",)),
    "details": Variant(
        "features off",
        "all of a pair but its total and rank",
        features_off=tuple(f"*.{detail}" for detail in _PAIR_DETAILS),
    ),
}


def ablate(
    plan: EvalPlan, dataset: str, options: Options, variants: Mapping[str, Variant] = VARIANTS
) -> Document:
    """Return the accuracy of all variants as one JSON-ready document.

    Args:
        plan: a plan of `strict` or `all-but-last`.
        dataset: name of the data, for the document.
        options: how to build and encode.
        variants: name -> variant; all others are compared with the first one.

    Raises:
        UsageError: a plan of another protocol.
        BadDataError: there are too few events to learn from.
        EngineError: the encoder failed.
    """
    if plan.protocol not in ("strict", "all-but-last"):
        raise UsageError("--ablation goes with --protocol strict, all-but-last or search only")
    start = time.perf_counter()
    prepared, examples = _prepared(plan, options)
    queries = training_queries_about(plan.folds[0].cases, Numbering.of(plan.catalogue.ids))
    traced = TracedSources(prepared.behaviour, prepared.content_knn_share)
    table = _VariantTable(
        examples=examples, pools=Pools(queries, traced), traced=traced, seed=options.seed
    )
    rows = {name: table.row(variant) for name, variant in variants.items()}
    return {
        "dataset": dataset,
        "protocol": plan.protocol,
        "seed": options.seed,
        "n_users": plan.n_cases,
        "n_items": len(plan.catalogue),
        "n_examples": len(prepared.examples),
        "variants": rows,
        "seconds": round(time.perf_counter() - start, 1),
    }


def _prepared(plan: EvalPlan, options: Options) -> tuple[PreparedTraining, TracedExamples]:
    """Do what a build does before it trains the scorer, and keep the origins of the examples.

    The texts and their vectors come from a bundle that is built without events.
    """
    (fold,) = plan.folds
    with tempfile.TemporaryDirectory(prefix="recserve-ablation-") as work:
        bundle = bundle_of_texts(plan, options, Path(work) / "texts")
        described = described_in(bundle)
        item_texts = ItemTexts(word_weights(described.texts), np.array(load_vectors(bundle)))
    log = log_of(fold.events, described.ids, options.recipe.weights)
    sequences = sequences_of(
        events=log.events, item_rows=log.item_rows, weights=log.weights, n_items=len(item_texts)
    )
    negatives = negatives_of(log, len(item_texts))
    drawn: list[TracedExamples] = []

    def draw(
        queries: Sequence[TrainingQuery],
        behaviour: Behaviour,
        content_knn_share: float,
        seed: int,
    ) -> Examples:
        drawn.append(
            TracedExamples.draw(
                queries=queries, behaviour=behaviour, content_knn_share=content_knn_share, seed=seed
            )
        )
        return drawn[0].examples

    prepared = prepare(
        sequences=sequences,
        negatives=negatives,
        item_texts=item_texts,
        seed=options.seed,
        draw=draw,
    )
    if prepared is None:
        raise BadDataError(f"nothing is learned from fewer than {MIN_EXAMPLES} events held back")
    return prepared, drawn[0]


def bundle_of_texts(plan: EvalPlan, options: Options, folder: Path) -> Bundle:
    """Return a bundle of the items of a plan in a new folder; nothing is learned in it."""
    (fold,) = plan.folds
    path, _ = build_fold(
        plan=plan,
        fold=Fold(Events.none(), fold.cases),
        recipe=options.recipe,
        folder=folder,
        make_encoder=options.make_encoder,
        learning=False,
    )
    return open_bundle(path)


def described_in(bundle: Bundle) -> Described:
    """Return what a build read of the items, by the names that it found for their columns."""
    return describe(columns_of(bundle), Recipe.model_validate(bundle.manifest.recipe))


class _VariantTable:
    """Learns and measures variants; the first one is what the others are compared with."""

    def __init__(
        self, examples: TracedExamples, pools: Pools, traced: TracedSources, seed: int
    ) -> None:
        self._examples, self._pools, self._seed = examples, pools, seed
        self._sources = [source.name for source in traced.sources]
        self._names = traced.names[: traced.n_features]
        self._first: Mapping[str, Numbers] | None = None

    def row(self, variant: Variant) -> Document:
        """Learn and measure a variant."""
        start = time.perf_counter()
        off = None if variant.source_off is None else self._sources.index(variant.source_off)
        recall, mean = self._pools.recall_and_size(off)
        document: Document = {
            "group": variant.group,
            "shown": variant.label,
            "candidates": {"recall": round(recall, 6), "mean": round(mean, 2)},
        }
        try:
            document |= self._measured(self._ranks(variant, off))
        except UnavailableError as reason:
            document["unavailable"] = str(reason)
        document["seconds"] = round(time.perf_counter() - start, 1)
        _log.info("%s %s: %s", variant.group, variant.label, document)
        return document

    def _ranks(self, variant: Variant, source_off: int | None) -> Numbers:
        features_off = matching_features(self._names, variant.features_off)
        if variant.fit is None:
            score = partial(unlearned_score, names=self._names)
            return self._pools.ranks(score, source_off, features_off)
        examples = self._examples.without(source_off, features_off)
        return self._pools.ranks(variant.fit(examples, self._seed), source_off, features_off)

    def _measured(self, ranks: Numbers) -> Document:
        """Return means with intervals, and the paired difference to the first variant."""
        values = {f"ndcg@{TOP}": ndcg_at(ranks, TOP), f"recall@{TOP}": recall_at(ranks, TOP)}
        means = mean_intervals(np.stack(list(values.values()), axis=1), self._seed)
        documents = [mean.document() for mean in means]
        document: Document = {"metrics": dict(zip(values, documents, strict=True))}
        if self._first is None:
            self._first = values
            return document
        document["difference"] = {
            metric: paired_difference(own, self._first[metric], self._seed).document()
            for metric, own in values.items()
        }
        return document


def matching_features(names: Sequence[str], patterns: Sequence[str]) -> list[int]:
    """Return the indices of the names that match one of the patterns.

    >>> matching_features(["sequential_ridge.total", "sequential_ridge.rank", "taste.rank"],
    ...     ["*.rank"])
    [1, 2]
    """
    return [
        index
        for index, name in enumerate(names)
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    ]


def table_of(document: Document) -> list[str]:
    """Return the lines of a Markdown table with a row for each variant."""
    head = ("", "variant", f"NDCG@{TOP}", "difference", f"Recall@{TOP}", "difference", "found")
    return [row_of(head), row_of(["---"] * len(head)), *map(row_of, _cells(document["variants"]))]


def headed(variants: Mapping[str, Document]) -> Iterator[tuple[str, Document]]:
    """Yield the variants, each behind the name of its group, which only the first one has."""
    previous = ""
    for variant in variants.values():
        yield "" if variant["group"] == previous else variant["group"], variant
        previous = variant["group"]


def _cells(variants: Mapping[str, Document]) -> Iterator[list[str]]:
    for group, variant in headed(variants):
        if "unavailable" in variant:
            yield [group, variant["shown"], variant["unavailable"], "", "", "", ""]
            continue
        cells = [group, variant["shown"]]
        for metric, mean in variant["metrics"].items():
            cells.append(figure(mean["value"]))
            cells.append(interval_cell(variant.get("difference", {}).get(metric)))
        yield [*cells, figure(variant["candidates"]["recall"], digits=3)]


def interval_cell(estimate: Mapping[str, float] | None) -> str:
    """Return the cell of a difference with its interval; "" = there is none."""
    if estimate is None:
        return ""
    value, low, high = (figure(estimate[end], "+") for end in ("value", "low", "high"))
    return f"{value} [{low} {high}]"


def figure(value: float, sign: str = "", digits: int = 4) -> str:
    """Return a figure without the leading zero.

    >>> figure(0.0712), figure(-0.002, "+"), figure(0.4821, digits=2)
    ('.0712', '-.0020', '.48')
    """
    return f"{value:{sign}.{digits}f}".replace("0.", ".", 1)


def row_of(cells: Sequence[str]) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(cells)} |"
