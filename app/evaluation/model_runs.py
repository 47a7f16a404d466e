"""Putting the cases of a plan to a model: to the serving engine, to a baseline, to the peer.

Each returns the same: one `Answers` per way of asking (`requests_of`), over all folds. This module
does not know what the answers are worth.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from app.core.ports import Encoder, Engine
from app.core.types import EngineInfo, Mask, Matrix, RankRequest, Rows, Vector
from app.evaluation.answers import (
    Answers,
    Asks,
    Numbering,
    ask_engine,
    concatenated,
    from_scores,
    mask,
)
from app.evaluation.baselines.base import Baseline, BaselineQuery, TrainingData, UnavailableError
from app.evaluation.baselines.peer import ask_sasrec
from app.evaluation.baselines.registry import BASELINES
from app.evaluation.eval_catalogue import write_events
from app.evaluation.names import SASREC
from app.evaluation.protocols import LIST_SIZE, Case, EvalPlan, Fold
from app.offline.build import MakeEncoder, build
from app.offline.input.events import Events
from app.offline.input.recipe import EventColumns, ItemColumns, Recipe
from app.offline.learning.sequences import sequences_of
from app.offline.learning.signals import log_of

SCORE_BATCH = 256
POOL_USERS = 1000
POOL_SIZE = 2000
"""How many users are asked for how long a list, to see what the sources brought between them."""


@dataclass(frozen=True, slots=True)
class Responses:
    """What the engine told. `pool`: long lists of some users; None where there are candidates."""

    ways: tuple[Answers, ...]
    pool: Answers | None
    info: EngineInfo
    seconds: Mapping[str, float]


class RememberingEncoder:
    """An `Encoder` that keeps what it encoded: the folds of a plan share most of their texts."""

    def __init__(self, encoder: Encoder, known: dict[tuple[str, str], Vector]) -> None:
        """Wrap an encoder; `known` is shared between wrappers: (encoder id, text) -> vector."""
        self._encoder, self._known = encoder, known
        self.id, self.dim = encoder.id, encoder.dim

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Return float32[len(texts), dim]; only new texts are encoded."""
        new = list(dict.fromkeys(text for text in texts if (self.id, text) not in self._known))
        if new:
            vectors = self._encoder.encode(new)
            self._known.update(((self.id, text), v) for text, v in zip(new, vectors, strict=True))
        rows = [self._known[self.id, text] for text in texts]
        return np.stack(rows) if rows else np.empty((0, self.dim), np.float32)

    def knows(self, texts: Sequence[str]) -> Mask:
        """Return bool[len(texts)]: whether the wrapped encoder knows any token of a text."""
        return self._encoder.knows(texts)


def remembering(make_encoder: MakeEncoder) -> MakeEncoder:
    """Return a maker of encoders that share what they encoded."""
    known: dict[tuple[str, str], Vector] = {}
    return lambda model, folder: RememberingEncoder(make_encoder(model, folder), known)


def requests_of(plan: EvalPlan, cases: Sequence[Case]) -> tuple[list[RankRequest], ...]:
    """Return the ways of asking: for graded queries with the judged candidates, then without."""
    asked = [case.request for case in cases]
    if plan.protocol != "graded":
        return (asked,)
    return asked, [replace(request, candidates=None, k=LIST_SIZE) for request in asked]


def targets_of(plan: EvalPlan, cases: Sequence[Case], numbering: Numbering) -> Rows:
    """Return int64[n], the row of the one item to find; -1 where the plan has many, by grade."""
    if plan.protocol == "graded":
        return np.full(len(cases), -1, dtype=np.int64)
    return numbering.targets(cases)


def build_fold(
    plan: EvalPlan, fold: Fold, recipe: Recipe, folder: Path, make_encoder: MakeEncoder
) -> tuple[Path, dict[str, float]]:
    """Build the bundle of a fold as any user would; return its path and the seconds per stage.

    Raises: what `build` raises.
    """
    folder.mkdir(parents=True)
    mapped: dict[str, EventColumns | ItemColumns] = {"events": EventColumns()}
    if not isinstance(plan.catalogue.source, Path):
        mapped |= {"items": ItemColumns()}
    events = write_events(folder / "events.jsonl", fold.events, fold.queries)
    report = build(
        plan.catalogue.file(folder),
        events if len(fold.events) else None,
        recipe.model_copy(update=mapped),
        folder / "bundle",
        make_encoder,
    )
    return folder / "bundle", report.seconds


def ask(engine: Engine, plan: EvalPlan, cases: Sequence[Case], seed: int) -> Responses:
    """Ask the engine everything about some cases, then close it. Raises `EngineError`."""
    numbering = Numbering.of(plan.catalogue.ids)
    targets = targets_of(plan, cases, numbering)
    with closing(engine):
        ways = tuple(
            ask_engine(engine, requests, targets, numbering, "rank")
            for requests in requests_of(plan, cases)
        )
        pool = None
        if plan.protocol not in ("graded", "mind"):
            some = np.sort(np.random.default_rng(seed).permutation(len(cases))[:POOL_USERS])
            long = [replace(cases[place].request, k=POOL_SIZE) for place in some.tolist()]
            pool = ask_engine(engine, long, targets[some], numbering, "sources")
        seconds = {"rank": sum(answers.seconds for answers in ways)}
        return Responses(ways, pool, engine.info, seconds)


def merge_responses(parts: Sequence[Responses]) -> Responses:
    """Return what the engines of several folds told as one."""
    seconds: dict[str, float] = {}
    for part in parts:
        for stage, spent in part.seconds.items():
            seconds[stage] = seconds.get(stage, 0.0) + spent
    ways = tuple(concatenated(way) for way in zip(*(part.ways for part in parts), strict=True))
    pools = [part.pool for part in parts if part.pool is not None]
    return Responses(ways, concatenated(pools) if pools else None, parts[-1].info, seconds)


def histories_of(events: Events, recipe: Recipe, ids: list[str]) -> list[Rows]:
    """Return per user the rows of their positive events on known items, oldest first."""
    log = log_of(events, ids, recipe.weights)
    sequences = sequences_of(log.events, log.item_rows, log.weights, len(ids))
    return [sequences.of(user) for user in range(len(sequences))]


class Comparison:
    """Puts the cases of a plan to baselines, as they were put to the engine."""

    def __init__(
        self, plan: EvalPlan, trains: Sequence[TrainingData], queries: Mapping[str, Vector]
    ) -> None:
        """Take what each fold may learn from, and the vector of every query."""
        self._plan, self._trains, self._queries = plan, trains, queries
        self._numbering = Numbering.of(plan.catalogue.ids)

    def ask(self, name: str) -> tuple[Answers, ...]:
        """Fit a baseline on each fold and return its answers, one `Answers` per way of asking.

        Raises:
            UnavailableError: it cannot run here, or not on this data.
        """
        if self._plan.protocol == "mind" and (name == SASREC or not BASELINES[name].orders_any):
            raise UnavailableError("it finds its own candidates, and this protocol names them")
        ask = self._ask_peer if name == SASREC else self._ask_baseline
        folds = zip(self._plan.folds, self._trains, strict=True)
        parts = [ask(name, fold, train) for fold, train in folds]
        return tuple(concatenated(way) for way in zip(*parts, strict=True))

    def _ask_baseline(self, name: str, fold: Fold, train: TrainingData) -> tuple[Answers, ...]:
        baseline = BASELINES[name].make()
        baseline.fit(train)
        targets = targets_of(self._plan, fold.cases, self._numbering)
        return tuple(
            self._scored(name, baseline, requests, targets)
            for requests in requests_of(self._plan, fold.cases)
        )

    def _ask_peer(self, _: str, fold: Fold, train: TrainingData) -> tuple[Answers, ...]:
        histories = [self._numbering.rows(case.request.history) for case in fold.cases]
        targets = targets_of(self._plan, fold.cases, self._numbering)
        return (ask_sasrec(train, histories, targets, ["--k", str(LIST_SIZE)]),)

    def _scored(self, name: str, baseline: Baseline, requests: Asks, targets: Rows) -> Answers:
        width = max(request.k for request in requests)
        parts = []
        for start in tqdm(range(0, len(requests), SCORE_BATCH), desc=name, disable=None):
            batch = requests[start : start + SCORE_BATCH]
            scores = baseline.scores([self._ask(request) for request in batch])
            scores = mask(scores, batch, self._numbering)
            parts.append(from_scores(scores, targets[start : start + SCORE_BATCH], width))
        return concatenated(parts)

    def _ask(self, request: RankRequest) -> BaselineQuery:
        history = self._numbering.rows(request.history)
        return BaselineQuery(history, request.query, self._queries.get(request.query))
