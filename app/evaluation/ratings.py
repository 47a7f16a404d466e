"""The protocol `ratings`: how well the value of a rating is predicted, as a root mean square error.

The last tenth of the ratings of each user is held out, at least one; a user with a single rating
keeps it. The models are in `app.evaluation.rating_models`. No engine takes part: an answer of the
service has an order, and no values.
"""

import time
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from app.core.errors import BadDataError
from app.core.ranking import RankRequest
from app.domain.event_rules import EventRule
from app.evaluation.eval_catalogue import EvalCatalogue
from app.evaluation.evaluate import Options
from app.evaluation.protocols import Case, EvalPlan, Fold, by_user
from app.evaluation.rating_models import Ratings, predictions
from app.offline.input.events import Events
from app.offline.learning.signals import rating_events
from app.offline.metrics.intervals import mean_intervals, paired_difference

HELD_OUT: Final = 0.1
"""Share of the ratings of each user that is held out."""

_COMPARED: Final = "item + user"

Document: TypeAlias = dict[str, Any]


def plan_of_ratings(
    catalogue: EvalCatalogue, events: Events, weights: Mapping[str, EventRule]
) -> EvalPlan:
    """Return the plan: a case for each user, with the ratings that are held out as grades.

    Args:
        catalogue: the items.
        events: the whole log; of two ratings of one item by one user, the later one counts.
        weights: event kind -> rule; says which events are ratings.

    Raises:
        BadDataError: no user has two ratings.
    """
    rows = _last_of_pairs(events, np.flatnonzero(rating_events(events, weights)))
    ratings = np.zeros(len(events), np.bool_)
    ratings[rows] = True
    keep, cases = ratings.copy(), []
    for own in by_user(events) if len(events) else ():
        rated = own[ratings[own]]
        if len(rated) < 2:
            continue
        last = rated[-max(1, int(HELD_OUT * len(rated))) :]
        keep[last] = False
        grades = {
            events.items[item]: float(value)
            for item, value in zip(events.item[last].tolist(), events.value[last], strict=True)
        }
        cases.append(Case(RankRequest(), grades, user=events.users[events.user[rated[0]]]))
    if not cases:
        raise BadDataError("there are no users with two ratings: nothing can be held out")
    return EvalPlan("ratings", catalogue, (Fold(events.only(keep), tuple(cases)),))


def _last_of_pairs(events: Events, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return those positions after which the same user does not rate the same item again."""
    time_ = np.nan_to_num(events.timestamp[rows], nan=-np.inf)
    rows = rows[np.lexsort((rows, time_))]
    pairs = events.user[rows].astype(np.int64) * max(len(events.items), 1) + events.item[rows]
    _, last = np.unique(pairs[::-1], return_index=True)
    return rows[::-1][last]


def measure_ratings(plan: EvalPlan, dataset: str, options: Options) -> Document:
    """Return the result of a plan of ratings as one JSON-ready document."""
    start = time.perf_counter()
    (fold,) = plan.folds
    events, cases = fold.events, fold.cases
    user_of = {key: code for code, key in enumerate(events.users)}
    item_of = {item: code for code, item in enumerate(events.items)}
    users = np.array([user_of[case.user] for case in cases for _ in case.grades], np.int64)
    items = np.array([item_of[item] for case in cases for item in case.grades], np.int64)
    values = np.array([value for case in cases for value in case.grades.values()])
    known = Ratings(events.user.astype(np.int64), events.item.astype(np.int64), events.value)
    expected = predictions(known, users, items, len(events.users), len(events.items))
    _, case_of = np.unique(users, return_inverse=True)
    counts = np.bincount(case_of)
    squares = {name: (values - each) ** 2 for name, each in expected.items()}
    by_user_ = {name: np.bincount(case_of, each) / counts for name, each in squares.items()}
    models: Document = {}
    for name, each in squares.items():
        (of_users,) = mean_intervals(by_user_[name][:, None], options.seed)
        difference = paired_difference(by_user_[name], by_user_[_COMPARED], options.seed)
        models[name] = {
            "rmse": round(float(np.sqrt(each.mean())), 6),
            "mean_square_by_user": of_users.document(),
            "difference": difference.document(),
        }
    return {
        "dataset": dataset,
        "protocol": plan.protocol,
        "seed": options.seed,
        "n_users": len(cases),
        "n_items": len(plan.catalogue),
        "n_training_events": len(events),
        "n_held_out": len(values),
        "models": models,
        "seconds": round(time.perf_counter() - start, 1),
    }


def rating_lines(document: Document) -> list[str]:
    """Return the result as lines for a terminal: a row for each model."""
    lines = [
        f"{document['n_held_out']:,} ratings of {document['n_users']:,} users held out, "
        f"{document['n_training_events']:,} known",
        f"model          RMSE     mean square error of a user, less that of {_COMPARED}",
    ]
    for name, figures in document["models"].items():
        gain = figures["difference"]
        lines.append(
            f"{name:<14} {figures['rmse']:.4f}   {gain['value']:+.4f} "
            f"({gain['low']:+.4f} to {gain['high']:+.4f})"
        )
    return [*lines, f"{document['seconds']:.0f} s in all"]
