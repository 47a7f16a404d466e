"""The protocol `newcomers`: people without a history, asked with and without who and where.

A part of the users is held out with all that they did. Each of them is asked about as somebody new,
at the moment of their first event, in four ways: with nothing (the popular items), with the user's
attributes, with the context of that moment, and with both. Beside them stands plain popularity, the
items by the number of their positive events. Right is everything that they took in such a context;
without contexts, everything that they took.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from app.bundle.reader import open_bundle
from app.core.errors import BadDataError
from app.core.ports import Engine
from app.core.ranking import RankRequest
from app.core.types import Attributes, Context
from app.domain.event_rules import EventRule
from app.domain.named_values import bucketed, context_of
from app.evaluation.answers import Answers, Numbering, ask_engine, lists_of
from app.evaluation.eval_catalogue import EvalCatalogue
from app.evaluation.evaluate import Options
from app.evaluation.model_runs import build_fold, histories_of
from app.evaluation.protocols import LIST_SIZE, Case, EvalPlan, Fold, by_user
from app.offline.input.events import Events
from app.offline.input.recipe import Recipe
from app.offline.input.users import Users
from app.offline.learning.signals import positive_weights
from app.offline.metrics.intervals import mean_intervals, paired_difference
from app.offline.metrics.ranking import Numbers, graded_ndcg_at

HELD_OUT: Final = 0.25
"""Share of the users who are asked about."""
TOP: Final = 10

WAYS: Final[Mapping[str, tuple[bool, bool]]] = {
    "nothing": (False, False),
    "who": (True, False),
    "where": (False, True),
    "who and where": (True, True),
}
"""Way to ask -> whether the attributes are said, and whether the context is."""

Document: TypeAlias = dict[str, Any]


def plan_of_newcomers(
    catalogue: EvalCatalogue,
    events: Events,
    weights: Mapping[str, EventRule],
    *,
    users: Users,
    seed: int,
) -> EvalPlan:
    """Return the plan: without the events of the users who are asked about.

    Args:
        catalogue: the items.
        events: the whole log.
        weights: event kind -> rule; says which events are positive.
        users: who they are.
        seed: draws the users.

    Raises:
        BadDataError: nobody took anything.
    """
    known = {key: users.of(row) for row, key in enumerate(users.keys)}
    positive = positive_weights(events, weights) > 0
    rng = np.random.default_rng(seed)
    asked = rng.random(len(events.users)) < HELD_OUT
    cases = [
        _case(events, rows, known.get(events.users[user], ()))
        for user, rows in _taken(events, positive)
        if asked[user]
    ]
    if not cases:
        raise BadDataError("there are too few users with positive events to hold some out")
    keep = ~asked[events.user]
    return EvalPlan("newcomers", catalogue, (Fold(events.only(keep), tuple(cases)),))


def _taken(
    events: Events, positive: npt.NDArray[np.bool_]
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Yield the users who took something, and the positions of their positive events, by time."""
    if len(events):
        for rows in by_user(events):
            if positive[rows].any():
                yield int(events.user[rows[0]]), rows[positive[rows]]


def _case(events: Events, rows: npt.NDArray[np.int64], attributes: Attributes) -> Case:
    moment = events.context.of(int(rows[0]))
    context: Context = bucketed(context_of(moment))
    same = [row for row in rows.tolist() if events.context.of(row) == moment]
    taken = {events.items[item]: 1.0 for item in events.item[same].tolist()}
    return Case(RankRequest(k=LIST_SIZE, attributes=attributes, context=context), taken)


def measure_newcomers(plan: EvalPlan, dataset: str, options: Options) -> Document:
    """Return the result of a plan of newcomers as one JSON-ready document.

    Raises:
        UsageError, BadDataError, EngineError, BundleError: as a build and an engine do.
    """
    start = time.perf_counter()
    (fold,) = plan.folds
    with tempfile.TemporaryDirectory(prefix="recserve-newcomers-") as work:
        path, seconds = build_fold(
            plan=plan,
            fold=fold,
            recipe=options.recipe,
            folder=Path(work) / "fold",
            make_encoder=options.make_encoder,
            users=options.users,
        )
        learned = open_bundle(path).manifest.learned
        with closing(options.open_engine(path)) as engine:
            answers = _asked(engine, fold.cases, Numbering.of(plan.catalogue.ids))
    answers["popularity"] = _popular(plan, fold, options.recipe)
    return {
        "dataset": dataset,
        "protocol": plan.protocol,
        "seed": options.seed,
        "n_users": plan.n_cases,
        "n_items": len(plan.catalogue),
        "n_training_events": len(fold.events),
        "learned": [] if learned is None else list(learned.notes),
        "ways": _measured(answers, fold.cases, plan.catalogue.ids, options.seed),
        "timings": seconds,
        "seconds": round(time.perf_counter() - start, 1),
    }


def _asked(engine: Engine, cases: Sequence[Case], numbering: Numbering) -> dict[str, Answers]:
    """Ask the engine all cases in each way that says something of them."""
    answers = {}
    for way, (who, where) in WAYS.items():
        requests = [_in_way(engine, case.request, who=who, where=where) for case in cases]
        answers[way] = ask_engine(
            engine=engine,
            requests=requests,
            targets=numbering.targets(cases),
            numbering=numbering,
            label=way,
        )
    return answers


def _popular(plan: EvalPlan, fold: Fold, recipe: Recipe) -> Answers:
    """Return the most popular items for every case; equal ones in the order of the catalogue."""
    histories = histories_of(fold.events, recipe, plan.catalogue.ids)
    rows = np.concatenate([np.empty(0, np.int64), *histories])
    counts = np.bincount(rows, minlength=len(plan.catalogue)).astype(np.float64)
    top = np.argsort(-counts, kind="stable")[:LIST_SIZE]
    targets = Numbering.of(plan.catalogue.ids).targets(fold.cases)
    return lists_of([top] * len(fold.cases), [counts[top]] * len(fold.cases), targets)


def _in_way(engine: Engine, request: RankRequest, *, who: bool, where: bool) -> RankRequest:
    """Return a request that says a part of what it knows."""
    return request._replace(
        attributes=request.attributes if who else (),
        context=engine.known_context(request.context) if where else (),
    )


def _measured(
    answers: Mapping[str, Answers], cases: Sequence[Case], ids: Sequence[str], seed: int
) -> Document:
    """Return the figures of each way, with their differences to those of nothing."""
    values = {way: _values(each, cases, ids) for way, each in answers.items()}
    base = values["nothing"]
    ways: Document = {}
    for way, table in values.items():
        means = mean_intervals(np.stack(list(table.values()), axis=1), seed)
        ways[way] = {
            "metrics": {name: mean.document() for name, mean in zip(table, means, strict=True)},
            "difference": {
                name: paired_difference(own, base[name], seed).document()
                for name, own in table.items()
            },
        }
    return ways


def _values(answers: Answers, cases: Sequence[Case], ids: Sequence[str]) -> dict[str, Numbers]:
    """Return NDCG@10 of each case, and whether the first ten have anything that is right."""
    ndcg, hit = np.zeros(len(cases)), np.zeros(len(cases))
    for at, (case, rows) in enumerate(zip(cases, answers.rows, strict=True)):
        gains = [float(row >= 0 and ids[row] in case.grades) for row in rows.tolist()]
        ndcg[at] = graded_ndcg_at(
            scores=answers.scores[at], gains=gains, judged=[1.0] * len(case.grades), k=TOP
        )
        hit[at] = float(any(gains[:TOP]))
    return {f"ndcg@{TOP}": ndcg, f"hit@{TOP}": hit}


def newcomer_lines(document: Document) -> list[str]:
    """Return the result as lines for a terminal: a row for each way to ask."""
    lines = [
        f"{document['n_users']} users without a history, asked in {len(WAYS)} ways; in brackets "
        "the difference to nothing",
        *document["learned"],
    ]
    for way, figures in document["ways"].items():
        cells = [
            f"{name} {_three(figures['metrics'][name])} [{_three(figures['difference'][name])}]"
            for name in figures["metrics"]
        ]
        lines.append(f"{way:<16}" + "   ".join(cells))
    return [*lines, f"{document['seconds']:.0f} s in all"]


def _three(estimate: Mapping[str, float]) -> str:
    return f"{estimate['value']:.4f} ({estimate['low']:.4f} to {estimate['high']:.4f})"
