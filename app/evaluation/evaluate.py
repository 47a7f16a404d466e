"""One evaluation from start to end: build a bundle, open it, ask it, measure, compare.

The document that it returns is what `recserve evaluate --json` prints and what `report` shows. This
module does not know command lines or HTML.
"""

import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from app import __version__
from app.bundle.reader import open_bundle
from app.core.ports import Encoder, Engine
from app.core.types import Rows, Vector
from app.engine.engine import RankEngine
from app.engine.open import engine_of, open_engine
from app.engine.scoring.modes import Mode
from app.evaluation import answer_metrics
from app.evaluation.answers import Answers, Numbering
from app.evaluation.baselines.base import TrainingData, UnavailableError
from app.evaluation.baselines.registry import BASELINES, suited_baselines
from app.evaluation.fairness.trial import FairnessTrial
from app.evaluation.graded import GradedTrial
from app.evaluation.model_runs import (
    BaselineRunner,
    Responses,
    ask,
    build_fold,
    histories_of,
    merge_responses,
    remembering,
)
from app.evaluation.names import SASREC
from app.evaluation.protocols import Case, EvalPlan
from app.evaluation.same_features import MOST_REQUESTS, compare_features
from app.evaluation.search import SearchTrial
from app.offline.build import MakeEncoder, packed_encoder
from app.offline.input.recipe import Recipe
from app.offline.input.users import Users
from app.offline.metrics.intervals import Estimate
from app.offline.metrics.ranking import Numbers

OpenEngine: TypeAlias = Callable[[Path], Engine]
Document: TypeAlias = dict[str, Any]

_ENCODE_BATCH = 128


def open_served(path: Path) -> Engine:
    """Open a bundle as serving does, on all cores that this process may use."""
    return open_engine(path, threads=len(os.sched_getaffinity(0)))


def open_without_words(path: Path) -> Engine:
    """Open a bundle as `open_served`, but order queries by the fixed blend."""
    history: Mode = "history"
    return engine_of(open_bundle(path), len(os.sched_getaffinity(0)), modes={history})


@dataclass(frozen=True, slots=True)
class Options:
    """How to evaluate.

    Attributes:
        recipe: how bundles are built.
        seed: of samples, intervals and baselines.
        baselines: names of the baselines to run.
        bundle: evaluate this bundle instead of building one.
        users: a file of users to build with.
        fairness: whether to measure who and what is served how well.
        exposure_field: a field of the items that groups them for it; "" = by popularity alone.
        make_encoder, open_engine: how encoders are made and bundles opened; tests pass fakes.
        open_blend: how a bundle is opened with the fixed blend for words, to compare it with the
            learned order in the protocol `search`; None = it is not asked.
    """

    recipe: Recipe
    seed: int = 0
    baselines: Sequence[str] = ()
    bundle: Path | None = None
    users: Path | None = None
    fairness: bool = False
    exposure_field: str = ""
    make_encoder: MakeEncoder = packed_encoder
    open_engine: OpenEngine = open_served
    open_blend: OpenEngine | None = None


def evaluate(plan: EvalPlan, dataset: str, options: Options) -> Document:
    """Return the whole result of a plan as one JSON-ready document.

    Args:
        plan: what is fitted on, and the cases.
        dataset: name of the data, for the document.
        options: how to evaluate.

    Raises:
        UsageError, BadDataError, EngineError, BundleError: as a build and an engine do.
    """
    start = time.perf_counter()
    options = replace(options, make_encoder=remembering(options.make_encoder))
    cases = [case for fold in plan.folds for case in fold.cases]
    with tempfile.TemporaryDirectory(prefix="recserve-evaluate-") as work:
        folder = Path(work)
        responses, path, same_features = _ask_engines(plan, options, folder)
        peak = _peak_bytes()
        encoder = _plain_encoder(options, folder / "plain")
        training_data = _training_data(plan, options, encoder)
        measurer = _Measurer(plan=plan, cases=cases, data=training_data[0], seed=options.seed)
        document = _head(plan=plan, dataset=dataset, responses=responses, options=options)
        document |= measurer.measured(responses.answer_sets)
        document["by_history"] = measurer.by_history(responses.answer_sets)
        document |= _sources(responses)
        document["same_features"] = same_features
        if plan.protocol == "search":
            trial = SearchTrial(
                bundle=path,
                cases=cases,
                numbering=Numbering.of(plan.catalogue.ids),
                popularity=training_data[0].counts(),
                seed=options.seed,
            )
            both = responses.answer_sets[0]
            document["search"] = trial.document(both, options.open_engine, options.open_blend)
        if plan.protocol == "graded":
            graded = GradedTrial(plan, cases, measurer.table, options.seed)
            document["graded"] = graded.document(
                responses.answer_sets,
                options.recipe,
                folder,
                options.make_encoder,
                options.open_engine,
            )
        if options.fairness:
            document["fairness"] = _fairness(measurer, responses, path, options)
        runner = BaselineRunner(plan, training_data, _query_vectors(cases, encoder))
        names = suited_baselines(options.baselines, words=plan.protocol == "graded")
        document["baselines"] = _baselines(names, runner, measurer)
    document["seconds"] = round(time.perf_counter() - start, 3)
    document["timings"] = _timings(responses)
    document["peak_memory_bytes"] = {"build_and_rank": peak, "all": _peak_bytes()}
    return document


def _ask_engines(
    plan: EvalPlan, options: Options, folder: Path
) -> tuple[Responses, Path, dict[str, Any] | None]:
    """Build, open and ask fold by fold.

    Only one engine is open at a time. Returns the answers, the bundle of the last fold, and how
    far the features of its engine differ from those of training; see `compare_features`.
    """
    parts, path, same_features = list[Responses](), folder, None
    for number, fold in enumerate(plan.folds):
        if options.bundle is not None:
            path, seconds = options.bundle, dict[str, float]()
        else:
            path, seconds = build_fold(
                plan=plan,
                fold=fold,
                recipe=options.recipe,
                folder=folder / f"fold{number}",
                make_encoder=options.make_encoder,
                users=options.users,
            )
        engine = options.open_engine(path)
        if isinstance(engine, RankEngine):
            requests = [case.request for case in fold.cases[:MOST_REQUESTS]]
            same_features = compare_features(open_bundle(path), engine, requests)
        responses = ask(engine=engine, plan=plan, cases=fold.cases, seed=options.seed)
        parts.append(replace(responses, seconds={**seconds, **responses.seconds}))
    return merge_responses(parts), path, same_features


def _plain_encoder(options: Options, folder: Path) -> Encoder:
    folder.mkdir()
    return options.make_encoder(options.recipe.encoder, folder)


def _training_data(plan: EvalPlan, options: Options, encoder: Encoder) -> list[TrainingData]:
    """Return what baselines are fitted on, fold by fold; all folds share the titles' vectors."""
    titles = plan.catalogue.titles
    # Texts of like length share a batch, so that little is spent on padding.
    order = np.argsort([len(title) for title in titles], kind="stable")
    vectors = np.empty((len(titles), encoder.dim), np.float32)
    for start in range(0, len(order), _ENCODE_BATCH):
        rows = order[start : start + _ENCODE_BATCH]
        vectors[rows] = encoder.encode([titles[row] for row in rows.tolist()])
    return [
        TrainingData(
            sequences=histories_of(fold.events, options.recipe, plan.catalogue.ids),
            titles=titles,
            vectors=vectors,
            seed=options.seed,
        )
        for fold in plan.folds
    ]


def _query_vectors(cases: Sequence[Case], encoder: Encoder) -> Mapping[str, Vector]:
    texts = list(dict.fromkeys(case.request.query for case in cases if case.request.query))
    return dict(zip(texts, encoder.encode(texts, "query"), strict=True))


class _Measurer:
    """Measures the answers of every model by the same code and against the same facts."""

    def __init__(
        self, plan: EvalPlan, cases: Sequence[Case], data: TrainingData, seed: int
    ) -> None:
        self._plan, self.cases, self._seed = plan, cases, seed
        self.numbering = Numbering.of(plan.catalogue.ids)
        histories = _padded([self.numbering.rows(case.request.history) for case in cases])
        self.context = answer_metrics.ListContext(data.counts(), data.vectors, histories)

    def table(self, answer_sets: Sequence[Answers]) -> dict[str, Numbers]:
        """Return the accuracy of each case."""
        if self._plan.protocol == "graded":
            judged, retrieved = answer_sets
            return answer_metrics.graded_table(
                judged=judged, retrieved=retrieved, cases=self.cases, numbering=self.numbering
            )
        return answer_metrics.next_item_table(answer_sets[0])

    def measured(self, answer_sets: Sequence[Answers]) -> Document:
        """Return `metrics` with intervals, and `exposure`."""
        table, lists = self.table(answer_sets), answer_sets[-1]
        if self._plan.protocol == "mind":
            # Every list is the given candidates, whoever ranks them: it tells nothing of exposure.
            summary = answer_metrics.summary(table, self._seed)
            return {"metrics": _documents(summary), "exposure": {}}
        table |= answer_metrics.list_table(lists, self.context)
        metrics = answer_metrics.summary(table, self._seed)
        if self.context.counts.any():
            metrics["popularity_lift@10"] = answer_metrics.popularity_lift(
                lists, self.context, self._seed
            )
        return {
            "metrics": _documents(metrics),
            "exposure": answer_metrics.exposure(lists, len(self._plan.catalogue)),
        }

    def by_history(self, answer_sets: Sequence[Answers]) -> list[Document]:
        """Return the metrics by length of the history; nothing where queries have none."""
        if self._plan.protocol == "graded":
            return []
        return answer_metrics.by_history(self.table(answer_sets), self.cases, self._seed)


def _fairness(
    measurer: _Measurer, responses: Responses, bundle: Path, options: Options
) -> Document:
    users = Users.of_bundle(open_bundle(bundle))
    known = {key: users.of(row) for row, key in enumerate(users.keys)}
    trial = FairnessTrial(
        bundle=bundle,
        cases=measurer.cases,
        numbering=measurer.numbering,
        counts=measurer.context.counts,
        vectors=measurer.context.vectors,
        histories=measurer.context.histories,
        attributes=[known.get(case.user, ()) for case in measurer.cases],
        field=options.exposure_field,
        seed=options.seed,
    )
    return trial.document(responses.answer_sets[0], options.open_engine)


def _padded(lists: Sequence[Rows]) -> Rows:
    """Return int64[n, longest], with -1 behind the end of each list."""
    padded = np.full((len(lists), max(1, *map(len, lists), 1)), -1, dtype=np.int64)
    for row, items in enumerate(lists):
        padded[row, : len(items)] = items
    return padded


def _documents(metrics: Mapping[str, Estimate]) -> Document:
    return {name: estimate.document() for name, estimate in metrics.items()}


def _head(plan: EvalPlan, dataset: str, responses: Responses, options: Options) -> Document:
    return {
        "dataset": dataset,
        "protocol": plan.protocol,
        "seed": options.seed,
        "n_users": plan.n_cases,
        "n_items": len(plan.catalogue),
        "n_training_events": max(len(fold.events) for fold in plan.folds),
        "notes": dict(plan.notes),
        "bundle": {
            "name": responses.info.bundle_name,
            "generation": responses.info.bundle,
            "encoder": responses.info.encoder,
            "built_here": options.bundle is None,
        },
        "recserve": __version__,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }


def _sources(responses: Responses) -> Document:
    sources = answer_metrics.by_source(responses.answer_sets[-1])
    if responses.pool is None:
        return {"sources": sources}
    recall, all_sources = answer_metrics.pool_recall(responses.pool)
    for name, value in recall.items():
        sources.setdefault(name, {"hits": 0.0, "only": 0.0, "places": 0.0})["recall"] = value
    return {"sources": sources, "candidates": {**all_sources, "n_users": len(responses.pool)}}


def _baselines(names: Sequence[str], runner: BaselineRunner, measurer: _Measurer) -> Document:
    document: Document = {}
    for name in names:
        label = "SASRec (RecTools)" if name == SASREC else BASELINES[name].label
        start = time.perf_counter()
        try:
            answer_sets = runner.answers_of(name)
        except UnavailableError as reason:
            document[name] = {"shown": label, "unavailable": str(reason)}
            continue
        seconds = round(time.perf_counter() - start, 1)
        measured = measurer.measured(answer_sets)
        document[name] = {"shown": label, **measured, "seconds": seconds}
    return document


def _timings(responses: Responses) -> Document:
    n_requests = max(1, sum(len(answers) for answers in responses.answer_sets))
    return {
        **{stage: round(seconds, 2) for stage, seconds in responses.seconds.items()},
        "rank_ms_per_request": round(responses.seconds["rank"] * 1e3 / n_requests, 3),
    }


def _peak_bytes() -> int:
    """Return the most memory that this process ever had, in bytes."""
    # macOS counts in bytes, Linux in KiB.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
