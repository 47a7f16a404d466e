"""What is held out of the data, and what is asked instead: the protocols.

    strict         fit without the last two items of each user, ask with all but the last
    all-but-last   fit without the last one, ask with all but the last
    time-split     fit before a quantile of time, ask for each user's next new item after it
    graded         query -> graded items; five folds by crc32(query), fitted on the other four
    mind           rank the candidates of an impression by its history

Only positive events make histories and targets, but every event of a user from the first held-out
one on is withheld: a view of the target just before its purchase would give it away. This module
does not know how models are built or measured.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from app.core.errors import BadDataError, UsageError
from app.core.ports import user_key
from app.core.types import RankRequest
from app.domain.event_rules import EventRule
from app.evaluation.dataset_readers import Impression
from app.evaluation.eval_catalogue import EvalCatalogue, events_of
from app.evaluation.names import ProtocolName
from app.offline.input.events import Events
from app.offline.input.read_report import ReadReport
from app.offline.learning.signals import MAX_HISTORY, positive_weights

LIST_SIZE = 50
"""How many items are asked for; what comes later counts as not found."""

FOLDS = 5
SPLIT_QUANTILE = 0.8
GRADE_EVENT = "grade"
"""The event kind of a judgement in a graded fold: `query` led to the item, `value` is the grade."""

_HELD_OUT = {"strict": 2, "all-but-last": 1}


@dataclass(frozen=True, slots=True)
class Case:
    """One query with a known answer.

    `grades`: what is right, by item id; 1 for the one item to find. `taken`: length of the history.
    """

    request: RankRequest
    grades: Mapping[str, float]
    taken: int = 0


@dataclass(frozen=True, slots=True)
class Fold:
    """Events to fit on (with the words that led to them, or none), and cases to ask then."""

    events: Events
    cases: tuple[Case, ...]
    queries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EvalPlan:
    """A whole evaluation. `notes`: counts of what makes a case hard or impossible."""

    protocol: ProtocolName
    catalogue: EvalCatalogue
    folds: tuple[Fold, ...]
    notes: Mapping[str, int] = field(default_factory=dict)

    @property
    def n_cases(self) -> int:
        """How many queries there are."""
        return sum(len(fold.cases) for fold in self.folds)


def sampled(plan: EvalPlan, n: int, seed: int) -> EvalPlan:
    """Return the plan with n of its cases, drawn at random; what is fitted on stays whole."""
    if n >= plan.n_cases:
        return plan
    chosen = np.zeros(plan.n_cases, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(plan.n_cases)[:n]] = True
    taken = iter(chosen.tolist())
    folds = (
        replace(fold, cases=tuple(case for case in fold.cases if next(taken)))
        for fold in plan.folds
    )
    return replace(plan, folds=tuple(fold for fold in folds if fold.cases))


def plan_of_events(
    protocol: ProtocolName,
    catalogue: EvalCatalogue,
    events: Events,
    weights: Mapping[str, EventRule],
    split: float | None = None,
) -> EvalPlan:
    """Return the plan of `strict`, `all-but-last` or `time-split` over an event log.

    `split`: for `time-split`, the last unix second to fit on; None = a quantile of the events.

    Raises:
        UsageError: the protocol needs something else, or times that the events do not have.
        BadDataError: no user has enough events.
    """
    positive = positive_weights(events, weights) > 0
    if protocol in _HELD_OUT:
        keep, cases = leave_one_out(events, positive, _HELD_OUT[protocol])
    elif protocol == "time-split":
        keep, cases = time_split(events, positive, split)
    else:
        raise UsageError(f"--protocol {protocol} does not go with item and event files")
    if not cases:
        raise BadDataError("no user has enough positive events to hold one out")
    known, trained = set(catalogue.ids), _names(events, keep & positive)
    targets = [next(iter(case.grades)) for case in cases]
    notes = {
        "target_not_in_catalogue": sum(target not in known for target in targets),
        "target_without_training_events": sum(target not in trained for target in targets),
        "target_already_in_history": sum(
            target in case.request.exclude for target, case in zip(targets, cases, strict=True)
        ),
    }
    return EvalPlan(protocol, catalogue, (Fold(events.only(keep), tuple(cases)),), notes)


def leave_one_out(
    events: Events, positive: npt.NDArray[np.bool_], held: int
) -> tuple[npt.NDArray[np.bool_], list[Case]]:
    """Hold the last `held` positive events of each user out; the very last is to be found.

    A user with too few positive events is only fitted on.

    Returns:
        bool[n_events], what may be fitted on; and a case per tested user.
    """
    keep, cases = np.ones(len(events), dtype=bool), []
    for rows in _by_user(events):
        places = np.flatnonzero(positive[rows])
        if len(places) > held:
            keep[rows[places[-held] :]] = False
            ids = [events.items[item] for item in events.item[rows[places]]]
            cases.append(_next_item(ids[:-1], ids[-1]))
    return keep, cases


def time_split(
    events: Events, positive: npt.NDArray[np.bool_], split: float | None = None
) -> tuple[npt.NDArray[np.bool_], list[Case]]:
    """Fit on what came up to `split` (None: 80 % of the positive events); see `leave_one_out`.

    The target is the first item after the split that the user had not taken before; the history is
    what they had taken by then. Users without a history are asked about too.
    """
    times = events.timestamp[positive]
    times = times[~np.isnan(times)]
    if not len(times) or times.min() == times.max():
        raise UsageError("--protocol time-split needs events with timestamps")
    if split is None:
        split = float(np.quantile(times, SPLIT_QUANTILE, method="lower"))
    keep = ~(events.timestamp > split)
    cases = []
    for rows in _by_user(events):
        mine = rows[positive[rows]]
        ids = [events.items[item] for item in events.item[mine]]
        for place in np.flatnonzero(~keep[mine]).tolist():
            if ids[place] not in ids[:place]:
                cases.append(_next_item(ids[:place], ids[place]))
                break
    return keep, cases


def plan_of_grades(catalogue: EvalCatalogue, judged: Mapping[str, Mapping[str, float]]) -> EvalPlan:
    """Return the plan of `graded`: per fold, events that hold the judgements of the other queries.

    Each case names the judged items as candidates. The same query is also asked without them.
    """
    folds = []
    for number in range(FOLDS):
        inside = [query for query in judged if fold_of(query) == number]
        outside = [
            (q, i, g) for q, items in judged.items() if q not in inside for i, g in items.items()
        ]
        cases = tuple(
            Case(
                RankRequest(query=q, candidates=tuple(sorted(judged[q])), k=len(judged[q])),
                judged[q],
            )
            for q in inside
        )
        if cases:
            folds.append(Fold(_grade_events(outside), cases, tuple(q for q, _, _ in outside)))
    return EvalPlan("graded", catalogue, tuple(folds))


def fold_of(query: str) -> int:
    """Return the fold of a query.

    >>> fold_of("red sofa")
    1
    """
    return zlib.crc32(query.encode()) % FOLDS


def plan_of_impressions(catalogue: EvalCatalogue, impressions: Sequence[Impression]) -> EvalPlan:
    """Return the plan of `mind`; histories, which precede all impressions, may be fitted on."""
    cases = tuple(
        Case(
            RankRequest(history=page.history, candidates=page.candidates, k=len(page.candidates)),
            {page.clicked: 1.0},
            len(page.history),
        )
        for page in impressions
    )
    events = events_of((str(user_key(None, page.key)), page.history) for page in impressions)
    return EvalPlan("mind", catalogue, (Fold(events, cases),))


def _next_item(history: Sequence[str], target: str) -> Case:
    request = RankRequest(
        history=tuple(history[-MAX_HISTORY:]), exclude=frozenset(history), k=LIST_SIZE
    )
    return Case(request, {target: 1.0}, len(history))


def _by_user(events: Events) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the rows of each user's events by time, then in input order; no time = the oldest."""
    time = np.nan_to_num(events.timestamp, nan=-np.inf)
    order = np.lexsort((time, events.user))
    yield from np.split(order, np.flatnonzero(np.diff(events.user[order])) + 1)


def _names(events: Events, rows: npt.NDArray[np.bool_]) -> set[str]:
    return {events.items[item] for item in np.unique(events.item[rows]).tolist()}


def _grade_events(judgements: Sequence[tuple[str, str, float]]) -> Events:
    """Return an event per (query, item, grade); each query is a session of its own."""
    users = {query: place for place, query in enumerate(dict.fromkeys(q for q, _, _ in judgements))}
    items = {item: place for place, item in enumerate(dict.fromkeys(i for _, i, _ in judgements))}
    return Events(
        [str(user_key(None, f"query {place}")) for place in users.values()],
        list(items),
        [GRADE_EVENT],
        np.array([users[query] for query, _, _ in judgements], np.int32),
        np.array([items[item] for _, item, _ in judgements], np.int32),
        np.zeros(len(judgements), np.int32),
        np.array([grade for _, _, grade in judgements], np.float64),
        np.full(len(judgements), np.nan),
        np.full(len(judgements), -1, np.int32),
        ReadReport("grades", rows=len(judgements)),
    )
