"""What each piece of the learned recommender brings: it is learned again without the piece.

    1  encode the texts, fit the sources, draw the examples: once, by the code of a build
    2  find the candidates of every case and compute their features: once
    3  for each variant, learn from these examples and rank these candidates

A variant without a source has neither what only that source brings nor its features, in training
and after it (*behaviour* keeps its share of *alike*); a variant without some features sees 0 in
their place. What is popular or new has no variant: people
with a history are given it only where all else brings too little. This module does not know how an
order is learned (`rankers`).
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

from app.bundle.reader import load_vectors, open_bundle
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
from app.offline.bundle_files import describe
from app.offline.input.events import Events
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

    `group`, `shown`: its heading and its name there. `fit`: how the order is learned; None = it is
    the order of the sources. `off`: the missing source. `muted`: patterns of missing features.
    """

    group: str
    shown: str
    fit: Fit | None = rankers.network
    off: str | None = None
    muted: tuple[str, ...] = ()


_FOLLOWS = ("sequential_ridge.*", "cooccurrence.*", "user.highest_first")
_LIKES = ("content_knn.*",)
_TASTES = ("taste.*", "user.highest_taste")
_DETAILS = ("last", "before_last", "highest", "newest_three", "mean", "count")

VARIANTS: Mapping[str, Variant] = {
    "full": Variant("", "all of it"),
    "unlearned": Variant("model", "no training: fixed sum of three totals", None),
    "linear": Variant("model", "linear, listwise softmax", rankers.linear),
    "lambdamart": Variant("model", "LambdaMART (LightGBM)", rankers.lambdamart),
    "pairwise": Variant("loss", "pairwise logistic (BPR)", rankers.network_by_pairs),
    "pointwise": Variant("loss", "pointwise logistic", rankers.network_by_points),
    "source-behaviour": Variant("source off", "*behaviour*", off="behaviour", muted=_FOLLOWS),
    "source-alike": Variant("source off", "*alike*", off="alike", muted=_LIKES),
    "source-taste": Variant("source off", "*taste*", off="taste", muted=_TASTES),
    "follow": Variant(
        "features off", "what follows what", muted=("sequential_ridge.*", "user.highest_first")
    ),
    "together": Variant("features off", "what is taken together", muted=("cooccurrence.*",)),
    "behaviour": Variant("features off", "both of these", muted=_FOLLOWS),
    "alike": Variant("features off", "likeness in words", muted=_LIKES),
    "taste": Variant("features off", "taste", muted=_TASTES),
    "item": Variant("features off", "popularity and place in histories", muted=("item.*",)),
    "user": Variant("features off", "length of history, whole list", muted=("user.*",)),
    "ranks": Variant("features off", "ranks among the candidates", muted=("*.rank",)),
    "details": Variant(
        "features off",
        "all of a pair but its total and rank",
        muted=tuple(f"*.{x}" for x in _DETAILS),
    ),
}


def ablate(
    plan: EvalPlan, dataset: str, options: Options, variants: Mapping[str, Variant] = VARIANTS
) -> Document:
    """Return the accuracy of all variants as one JSON-ready document; the first is the whole.

    Raises:
        UsageError: the plan does not ask for the next item of a history.
        BadDataError: there are too few events to learn from.
        EngineError: the encoder failed.
    """
    if plan.protocol not in ("strict", "all-but-last"):
        raise UsageError("--ablation goes with --protocol strict or all-but-last only")
    start = time.perf_counter()
    prepared, lists = _prepared(plan, options)
    queries = training_queries_about(plan.folds[0].cases, Numbering.of(plan.catalogue.ids))
    traced = TracedSources(prepared.behaviour, prepared.content_knn_share)
    rows = _Rows(lists, Pools(queries, traced), traced, options.seed)
    found = {name: rows.row(variant) for name, variant in variants.items()}
    return {
        "dataset": dataset,
        "protocol": plan.protocol,
        "seed": options.seed,
        "n_users": plan.n_cases,
        "n_items": len(plan.catalogue),
        "n_examples": len(prepared.examples),
        "variants": found,
        "seconds": round(time.perf_counter() - start, 1),
    }


def _prepared(plan: EvalPlan, options: Options) -> tuple[PreparedTraining, TracedExamples]:
    """Build a bundle without events for its texts; then do what a build does before training."""
    (fold,) = plan.folds
    with tempfile.TemporaryDirectory(prefix="recserve-ablation-") as work:
        silent = Fold(Events.none(), fold.cases)
        home, make = Path(work) / "texts", options.make_encoder
        path, _ = build_fold(plan, silent, options.recipe, home, make)
        bundle = open_bundle(path)
        described = describe(columns_of(bundle), options.recipe)
        known = ItemTexts(word_weights(described.texts), np.array(load_vectors(bundle)))
    log = log_of(fold.events, described.ids, options.recipe.weights)
    sequences = sequences_of(log.events, log.item_rows, log.weights, len(known))
    negatives = negatives_of(log, len(known))
    drawn: list[TracedExamples] = []

    def draws(
        queries: Sequence[TrainingQuery],
        behaviour: Behaviour,
        content_knn_share: float,
        seed: int,
    ) -> Examples:
        drawn.append(TracedExamples.draw(queries, behaviour, content_knn_share, seed))
        return drawn[0].examples

    prepared = prepare(sequences, negatives, known, options.seed, draws)
    if prepared is None:
        raise BadDataError(f"nothing is learned from fewer than {MIN_EXAMPLES} events held back")
    return prepared, drawn[0]


class _Rows:
    """Learns and measures variants; the first one is what the others are compared with."""

    def __init__(
        self, lists: TracedExamples, pools: Pools, traced: TracedSources, seed: int
    ) -> None:
        self._lists, self._pools, self._seed = lists, pools, seed
        self._sources = [source.name for source in traced.sources]
        self._names = traced.names[: -len(self._sources)]
        self._whole: Mapping[str, Numbers] | None = None

    def row(self, variant: Variant) -> Document:
        """Learn and measure a variant."""
        start = time.perf_counter()
        off = None if variant.off is None else self._sources.index(variant.off)
        recall, mean = self._pools.found(off)
        document: Document = {
            "group": variant.group,
            "shown": variant.shown,
            "candidates": {"recall": round(recall, 6), "mean": round(mean, 2)},
        }
        try:
            document |= self._measured(self._ranks(variant, off))
        except UnavailableError as reason:
            document["unavailable"] = str(reason)
        document["seconds"] = round(time.perf_counter() - start, 1)
        _log.info("%s %s: %s", variant.group, variant.shown, document)
        return document

    def _ranks(self, variant: Variant, off: int | None) -> Numbers:
        muted = muted_of(self._names, variant.muted)
        if variant.fit is None:
            return self._pools.ranks(partial(unlearned_score, names=self._names), off, muted)
        score = variant.fit(self._lists.without(off, muted), self._seed)
        return self._pools.ranks(score, off, muted)

    def _measured(self, ranks: Numbers) -> Document:
        gains = {f"ndcg@{TOP}": ndcg_at(ranks, TOP), f"recall@{TOP}": recall_at(ranks, TOP)}
        means = mean_intervals(np.stack(list(gains.values()), axis=1), self._seed)
        shown = [mean.document() for mean in means]
        document: Document = {"metrics": dict(zip(gains, shown, strict=True))}
        if self._whole is None:
            self._whole = gains
            return document
        document["difference"] = {
            metric: paired_difference(mine, self._whole[metric], self._seed).document()
            for metric, mine in gains.items()
        }
        return document


def muted_of(names: Sequence[str], patterns: Sequence[str]) -> list[int]:
    """Return the places of the names that a pattern fits.

    >>> muted_of(["sequential_ridge.total", "sequential_ridge.rank", "taste.rank"], ["*.rank"])
    [1, 2]
    """
    fits = (any(fnmatchcase(name, pattern) for pattern in patterns) for name in names)
    return [place for place, fit in enumerate(fits) if fit]


def table_of(document: Document) -> list[str]:
    """Return the lines of a table in Markdown, a row per variant."""
    head = ("", "variant", f"NDCG@{TOP}", "difference", f"Recall@{TOP}", "difference", "found")
    return [_row(head), _row(["---"] * len(head)), *map(_row, _cells(document["variants"]))]


def _cells(variants: Mapping[str, Document]) -> Iterator[list[str]]:
    above = ""
    for variant in variants.values():
        group = "" if variant["group"] == above else variant["group"]
        above = variant["group"]
        if "unavailable" in variant:
            yield [group, variant["shown"], variant["unavailable"], "", "", "", ""]
            continue
        cells = [group, variant["shown"]]
        for metric, mean in variant["metrics"].items():
            cells.append(figure(mean["value"]))
            cells.append(_interval(variant.get("difference", {}).get(metric)))
        yield [*cells, figure(variant["candidates"]["recall"], digits=3)]


def _interval(estimate: Mapping[str, float] | None) -> str:
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


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
