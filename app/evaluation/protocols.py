"""The protocols: what is held out of the data, and the cases that are asked about it.

    strict         fit without the last two items of each user, ask with all but the last
    all-but-last   fit without the last one, ask with all but the last
    time-split     fit before a quantile of time, ask for each user's next new item after it
    graded         query -> graded items; five folds by crc32(query), fitted on the other four
    search         all-but-last, asked with words as well (`app.evaluation.search_cases`)
    mind           rank the candidates of an impression by its history

Only positive events make histories and targets. Everything that a user did from the first held-out
event on is held out too: a view of the target just before its purchase would give it away. This
module does not know how models are built or measured.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from app.core.errors import BadDataError, UsageError
from app.core.ranking import RankRequest
from app.core.store_ports import user_key
from app.domain.event_rules import EventRule
from app.evaluation.dataset_readers import Impression
from app.evaluation.eval_catalogue import EvalCatalogue, events_of
from app.evaluation.names import ProtocolName
from app.offline.input.events import Events
from app.offline.learning.signals import MAX_HISTORY, positive_weights

LIST_SIZE = 50
"""How many items are asked for. A target further down counts as not found."""

FOLDS = 5
SPLIT_QUANTILE = 0.8

_HELD_OUT = {"strict": 2, "all-but-last": 1}


@dataclass(frozen=True, slots=True)
class Case:
    """A request with a known right answer.

    Attributes:
        request: what the model is asked.
        grades: item id -> grade; where there is one target, it has grade 1 and is alone here.
        history_length: items of the user's history, also those beyond `MAX_HISTORY`.
        user: key of the user; "" = nobody.
    """

    request: RankRequest
    grades: Mapping[str, float]
    history_length: int = 0
    user: str = ""


@dataclass(frozen=True, slots=True)
class Fold:
    """Events to fit on, and the cases to ask afterwards.

    `judgements`: (query, item id, grade) to fit on.
    """

    events: Events
    cases: tuple[Case, ...]
    judgements: tuple[tuple[str, str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class EvalPlan:
    """A whole evaluation. `notes`: how many cases are hard or impossible, by reason."""

    protocol: ProtocolName
    catalogue: EvalCatalogue
    folds: tuple[Fold, ...]
    notes: Mapping[str, int] = field(default_factory=dict)

    @property
    def n_cases(self) -> int:
        """Number of cases of all folds."""
        return sum(len(fold.cases) for fold in self.folds)


def sampled(plan: EvalPlan, n: int, seed: int) -> EvalPlan:
    """Return the plan with n of its cases, drawn at random; the events to fit on stay."""
    if n >= plan.n_cases:
        return plan
    chosen = np.zeros(plan.n_cases, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(plan.n_cases)[:n]] = True
    is_chosen = iter(chosen.tolist())
    folds = (
        replace(fold, cases=tuple(case for case in fold.cases if next(is_chosen)))
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

    Args:
        protocol: one of these three.
        catalogue: the items.
        events: the whole log.
        weights: event kind -> rule; says which events are positive.
        split: for `time-split`, the last unix second to fit on; None = a quantile of the events.

    Raises:
        UsageError: another protocol, or `time-split` over events without times.
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
    return plan_of_cases(protocol, catalogue, events, positive=positive, keep=keep, cases=cases)


def plan_of_cases(  # noqa: PLR0913 - each is another part of a plan
    protocol: ProtocolName,
    catalogue: EvalCatalogue,
    events: Events,
    *,
    positive: npt.NDArray[np.bool_],
    keep: npt.NDArray[np.bool_],
    cases: Sequence[Case],
) -> EvalPlan:
    """Return the plan of cases with one target each, and note which of them are hard.

    Args:
        protocol: its name.
        catalogue: the items.
        events: the whole log.
        positive: bool[n_events].
        keep: bool[n_events], which events may be fitted on.
        cases: what is asked.
    """
    known, trained = set(catalogue.ids), _item_ids(events, keep & positive)
    targets = [next(iter(case.grades)) for case in cases]
    notes = {
        "target_not_in_catalogue": sum(target not in known for target in targets),
        "target_without_training_events": sum(target not in trained for target in targets),
        "target_already_in_history": sum(
            target in case.request.exclude for target, case in zip(targets, cases, strict=True)
        ),
    }
    return EvalPlan(
        protocol=protocol,
        catalogue=catalogue,
        folds=(Fold(events.only(keep), tuple(cases)),),
        notes=notes,
    )


def leave_one_out(
    events: Events, positive: npt.NDArray[np.bool_], n_held_out: int
) -> tuple[npt.NDArray[np.bool_], list[Case]]:
    """Hold out the last `n_held_out` positive events of each user; the very last is the target.

    A user with too few positive events is fitted on, but not asked about.

    Returns:
        bool[n_events], which events may be fitted on; and a case for each other user.
    """
    keep, cases = np.ones(len(events), dtype=bool), []
    for rows in by_user(events):
        positions = np.flatnonzero(positive[rows])
        if len(positions) > n_held_out:
            keep[rows[positions[-n_held_out] :]] = False
            ids = [events.items[item] for item in events.item[rows[positions]]]
            cases.append(next_item(ids[:-1], ids[-1], _user(events, rows)))
    return keep, cases


def time_split(
    events: Events, positive: npt.NDArray[np.bool_], split: float | None = None
) -> tuple[npt.NDArray[np.bool_], list[Case]]:
    """Hold out the events after `split`; returns the same as `leave_one_out`.

    The target is the first item after the split that the user had not taken before, and the history
    is what the user had taken by then. Users without a history are asked about too.

    Args:
        events: the whole log.
        positive: bool[n_events].
        split: the last unix second to fit on; None = the moment by which 80 % of the dated positive
            events had happened.

    Raises:
        UsageError: the positive events have no times, or all have the same.
    """
    times = events.timestamp[positive]
    times = times[~np.isnan(times)]
    if not len(times) or times.min() == times.max():
        raise UsageError("--protocol time-split needs events with timestamps")
    if split is None:
        split = float(np.quantile(times, SPLIT_QUANTILE, method="lower"))
    keep = ~(events.timestamp > split)
    cases = []
    for rows in by_user(events):
        taken = rows[positive[rows]]
        ids = [events.items[item] for item in events.item[taken]]
        for position in np.flatnonzero(~keep[taken]).tolist():
            if ids[position] not in ids[:position]:
                cases.append(next_item(ids[:position], ids[position], _user(events, rows)))
                break
    return keep, cases


def plan_of_grades(catalogue: EvalCatalogue, judged: Mapping[str, Mapping[str, float]]) -> EvalPlan:
    """Return the plan of `graded`: each fold is fitted on the judgements of the other folds.

    Each case names the judged items as candidates. (`model_runs` also asks it without them.)

    Args:
        catalogue: the items.
        judged: query -> item id -> grade.
    """
    folds = []
    for number in range(FOLDS):
        inside = [query for query in judged if fold_of(query) == number]
        outside = [
            (query, item, grade)
            for query, grades in judged.items()
            if query not in inside
            for item, grade in grades.items()
        ]
        cases = tuple(_graded_case(query, judged[query]) for query in inside)
        if cases:
            folds.append(Fold(events_of([]), cases, tuple(outside)))
    return EvalPlan("graded", catalogue, tuple(folds))


def _graded_case(query: str, grades: Mapping[str, float]) -> Case:
    # Sorted by id, so that the order of the file does not give the grades away.
    candidates = tuple(sorted(grades))
    return Case(RankRequest(query=query, candidates=candidates, k=len(grades)), grades)


def fold_of(query: str) -> int:
    """Return the fold of a query.

    >>> fold_of("red sofa")
    1
    """
    return zlib.crc32(query.encode()) % FOLDS


def plan_of_impressions(catalogue: EvalCatalogue, impressions: Sequence[Impression]) -> EvalPlan:
    """Return the plan of `mind`: fitted on the histories, which precede all impressions."""
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


def next_item(history: Sequence[str], target: str, user: str = "") -> Case:
    """Return the case of a user's history, oldest first, and the item that came next."""
    request = RankRequest(
        history=tuple(history[-MAX_HISTORY:]), exclude=frozenset(history), k=LIST_SIZE
    )
    return Case(request, {target: 1.0}, len(history), user)


def _user(events: Events, rows: npt.NDArray[np.int64]) -> str:
    user: str = events.users[events.user[rows[0]]]
    return user


def by_user(events: Events) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the log positions of each user's events, by time and then in input order.

    Events without a time count as the oldest.
    """
    time = np.nan_to_num(events.timestamp, nan=-np.inf)
    order = np.lexsort((time, events.user))
    yield from np.split(order, np.flatnonzero(np.diff(events.user[order])) + 1)


def _item_ids(events: Events, rows: npt.NDArray[np.bool_]) -> set[str]:
    return {events.items[item] for item in np.unique(events.item[rows]).tolist()}
