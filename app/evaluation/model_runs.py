"""Runs the models of an evaluation over its cases: the engine, the baselines and the SASRec peer.

Each run returns the same: one `Answers` for each set of requests (`request_sets_of`), over all
folds. This module does not know how answers are measured.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from tqdm import tqdm

from app.core.ports import Encoder, Engine
from app.core.ranking import RankRequest
from app.core.types import EngineInfo, Mask, Matrix, Rows, TextRole, Vector
from app.evaluation.answers import (
    Answers,
    Numbering,
    ask_engine,
    concatenated,
    from_scores,
    mask_excluded,
)
from app.evaluation.baselines.base import Baseline, BaselineQuery, TrainingData, UnavailableError
from app.evaluation.baselines.peer import ask_sasrec
from app.evaluation.baselines.registry import BASELINES
from app.evaluation.eval_catalogue import write_events, write_judgements
from app.evaluation.names import SASREC
from app.evaluation.protocols import LIST_SIZE, Case, EvalPlan, Fold
from app.offline.build import MakeEncoder, build
from app.offline.input.events import Events
from app.offline.input.recipe import EventColumns, ItemColumns, JudgementColumns, Recipe
from app.offline.learning.sequences import sequences_of
from app.offline.learning.signals import log_of

SCORE_BATCH = 256
POOL_USERS = 1000
POOL_SIZE = 2000
"""So many users are asked for lists of this length, to see which candidates the sources found."""


@dataclass(frozen=True, slots=True)
class Responses:
    """The engine's answers.

    Attributes:
        answer_sets: one `Answers` for each set of requests.
        pool: lists of `POOL_SIZE` items for some users; None where requests name the candidates.
        info: the engine's own description.
        seconds: stage -> seconds.
    """

    answer_sets: tuple[Answers, ...]
    pool: Answers | None
    info: EngineInfo
    seconds: Mapping[str, float]


_Key: TypeAlias = tuple[str, TextRole, str]
"""Encoder id, role, text."""


class RememberingEncoder:
    """An `Encoder` that keeps all vectors: the folds of a plan share most of their texts."""

    def __init__(self, encoder: Encoder, known: dict[_Key, Vector]) -> None:
        """Wrap an encoder; `known` is shared between wrappers."""
        self._encoder, self._known = encoder, known
        self.id, self.dim, self.centre = encoder.id, encoder.dim, encoder.centre

    def encode(self, texts: Sequence[str], role: TextRole = "item") -> Matrix:
        """Return float32[len(texts), dim]; only new texts are encoded."""
        keys: list[_Key] = [(self.id, role, text) for text in texts]
        new = list(dict.fromkeys(key for key in keys if key not in self._known))
        if new:
            vectors = self._encoder.encode([text for *_, text in new], role)
            self._known.update(zip(new, vectors, strict=True))
        rows = [self._known[key] for key in keys]
        return np.stack(rows) if rows else np.empty((0, self.dim), np.float32)

    def knows(self, texts: Sequence[str]) -> Mask:
        """Return bool[len(texts)]: whether the wrapped encoder knows any token of a text."""
        return self._encoder.knows(texts)


def remembering(make_encoder: MakeEncoder) -> MakeEncoder:
    """Return a function that makes encoders which share their vectors."""
    known: dict[_Key, Vector] = {}
    return lambda model, folder: RememberingEncoder(make_encoder(model, folder), known)


def request_sets_of(plan: EvalPlan, cases: Sequence[Case]) -> tuple[list[RankRequest], ...]:
    """Return the sets of requests: one, or two for `graded`.

    A graded query is asked with the judged items as candidates, and then over the whole catalogue.
    """
    requests = [case.request for case in cases]
    if plan.protocol != "graded":
        return (requests,)
    return requests, [request._replace(candidates=None, k=LIST_SIZE) for request in requests]


def targets_of(plan: EvalPlan, cases: Sequence[Case], numbering: Numbering) -> Rows:
    """Return int64[n], the row of the target; all -1 for `graded`, where there is no one target."""
    if plan.protocol == "graded":
        return np.full(len(cases), -1, dtype=np.int64)
    return numbering.targets(cases)


def build_fold(  # noqa: PLR0913 - each by its name
    plan: EvalPlan,
    fold: Fold,
    recipe: Recipe,
    folder: Path,
    make_encoder: MakeEncoder,
    *,
    users: Path | None = None,
    learning: bool = True,
) -> tuple[Path, dict[str, float]]:
    """Build the bundle of a fold as `recserve build` does; return its path and seconds per stage.

    `users`: a file of users. Without `learning` the fixed blend orders everything.

    Raises: what `build` raises.
    """
    folder.mkdir(parents=True)
    # Files that are written here have our own column names, whatever the recipe says.
    columns: dict[str, EventColumns | ItemColumns | JudgementColumns] = {
        "events": EventColumns(),
        "judgements": JudgementColumns(),
    }
    if not isinstance(plan.catalogue.source, Path):
        columns |= {"items": ItemColumns()}
    events = write_events(folder / "events.jsonl", fold.events)
    judgements = write_judgements(folder / "judgements.jsonl", fold.judgements)
    report = build(
        items=plan.catalogue.file(folder),
        events=events if len(fold.events) else None,
        recipe=recipe.model_copy(update=columns),
        out=folder / "bundle",
        make_encoder=make_encoder,
        users=users,
        judgements=judgements if fold.judgements else None,
        learning=learning,
    )
    return folder / "bundle", report.seconds


def ask(engine: Engine, plan: EvalPlan, cases: Sequence[Case], seed: int) -> Responses:
    """Ask the engine all requests of some cases, then close it. Raises `EngineError`."""
    numbering = Numbering.of(plan.catalogue.ids)
    targets = targets_of(plan, cases, numbering)
    with closing(engine):
        answer_sets = tuple(
            ask_engine(
                engine=engine, requests=requests, targets=targets, numbering=numbering, label="rank"
            )
            for requests in request_sets_of(plan, cases)
        )
        pool = None
        if plan.protocol not in ("graded", "mind"):
            sample = np.sort(np.random.default_rng(seed).permutation(len(cases))[:POOL_USERS])
            long = [cases[position].request._replace(k=POOL_SIZE) for position in sample.tolist()]
            pool = ask_engine(
                engine=engine,
                requests=long,
                targets=targets[sample],
                numbering=numbering,
                label="sources",
            )
        seconds = {"rank": sum(answers.seconds for answers in answer_sets)}
        return Responses(answer_sets=answer_sets, pool=pool, info=engine.info, seconds=seconds)


def merge_responses(parts: Sequence[Responses]) -> Responses:
    """Return the answers of the engines of several folds as one."""
    seconds: dict[str, float] = {}
    for part in parts:
        for stage, spent in part.seconds.items():
            seconds[stage] = seconds.get(stage, 0.0) + spent
    answer_sets = _across_folds([part.answer_sets for part in parts])
    pools = [part.pool for part in parts if part.pool is not None]
    return Responses(
        answer_sets=answer_sets,
        pool=concatenated(pools) if pools else None,
        info=parts[-1].info,
        seconds=seconds,
    )


def _across_folds(folds: Sequence[tuple[Answers, ...]]) -> tuple[Answers, ...]:
    """Return each set of answers with those of all folds in it."""
    return tuple(concatenated(of_set) for of_set in zip(*folds, strict=True))


def histories_of(events: Events, recipe: Recipe, ids: list[str]) -> list[Rows]:
    """Return per user the rows of their positive events on known items, oldest first."""
    log = log_of(events, ids, recipe.weights)
    sequences = sequences_of(
        events=log.events, item_rows=log.item_rows, weights=log.weights, n_items=len(ids)
    )
    return [sequences.of(user) for user in range(len(sequences))]


class BaselineRunner:
    """Asks baselines the cases of a plan, as the engine was asked."""

    def __init__(
        self,
        plan: EvalPlan,
        training_data: Sequence[TrainingData],
        query_vectors: Mapping[str, Vector],
    ) -> None:
        """Take what each fold may be fitted on, and the vector of every query."""
        self._plan, self._training_data, self._query_vectors = plan, training_data, query_vectors
        self._numbering = Numbering.of(plan.catalogue.ids)

    def answers_of(self, name: str) -> tuple[Answers, ...]:
        """Fit a baseline on each fold; return one `Answers` for each set of requests.

        Raises:
            UnavailableError: it cannot run here, or not on this data.
        """
        if self._plan.protocol == "mind" and (
            name == SASREC or not BASELINES[name].scores_any_item
        ):
            raise UnavailableError("it finds its own candidates, and this protocol names them")
        run = self._run_peer if name == SASREC else self._run_baseline
        folds = zip(self._plan.folds, self._training_data, strict=True)
        return _across_folds([run(name, fold, data) for fold, data in folds])

    def _run_baseline(self, name: str, fold: Fold, data: TrainingData) -> tuple[Answers, ...]:
        baseline = BASELINES[name].make()
        baseline.fit(data)
        targets = targets_of(self._plan, fold.cases, self._numbering)
        return tuple(
            self._scored(name=name, baseline=baseline, requests=requests, targets=targets)
            for requests in request_sets_of(self._plan, fold.cases)
        )

    def _run_peer(self, _: str, fold: Fold, data: TrainingData) -> tuple[Answers, ...]:
        histories = [self._numbering.rows(case.request.history) for case in fold.cases]
        targets = targets_of(self._plan, fold.cases, self._numbering)
        return (
            ask_sasrec(
                train=data, histories=histories, targets=targets, options=["--k", str(LIST_SIZE)]
            ),
        )

    def _scored(
        self, name: str, baseline: Baseline, requests: Sequence[RankRequest], targets: Rows
    ) -> Answers:
        width = max(request.k for request in requests)
        parts = []
        for start in tqdm(range(0, len(requests), SCORE_BATCH), desc=name, disable=None):
            batch = requests[start : start + SCORE_BATCH]
            scores = baseline.scores([self._query(request) for request in batch])
            scores = mask_excluded(scores, batch, self._numbering)
            parts.append(from_scores(scores, targets[start : start + SCORE_BATCH], width))
        return concatenated(parts)

    def _query(self, request: RankRequest) -> BaselineQuery:
        return BaselineQuery(
            history=self._numbering.rows(request.history),
            query=request.query,
            query_vector=self._query_vectors.get(request.query),
        )
