"""The protocol `ratings`: what is held out, and what is said of it."""

from dataclasses import replace

import numpy as np
import pytest

from app.core.errors import BadDataError
from app.domain.event_rules import DEFAULT_EVENT_RULES
from app.evaluation.eval_catalogue import EvalCatalogue
from app.evaluation.evaluate import Options
from app.evaluation.ratings import measure_ratings, plan_of_ratings, rating_lines
from app.offline.input.events import Events
from app.offline.input.recipe import Recipe

ITEMS = [f"i{n}" for n in range(30)]
CATALOGUE = EvalCatalogue(ids=ITEMS, titles=ITEMS, source=[], kinds={})


def log(rows):
    """A log of (user, item, value); NaN = an event of another kind."""
    users, items, values = (np.array(each) for each in zip(*rows, strict=True))
    return replace(
        Events.none(),
        users=[f"u:{n}" for n in range(int(users.max()) + 1)],
        items=ITEMS,
        kinds=["rating", "click"],
        user=users.astype(np.int32),
        item=items.astype(np.int32),
        event=np.isnan(values).astype(np.int32),
        value=values.astype(np.float64),
        timestamp=np.arange(len(rows), dtype=np.float64),
        recommendation=np.full(len(rows), -1, np.int32),
        query=np.full(len(rows), -1, np.int32),
    )


def plan(rows):
    return plan_of_ratings(CATALOGUE, log(rows), DEFAULT_EVENT_RULES)


def test_the_last_tenth_of_each_user_is_held_out():
    rows = [(0, n, 1.0 + n % 5) for n in range(25)] + [(1, 3, 2.0), (1, 4, 5.0), (2, 7, 3.0)]
    found = plan(rows)
    (fold,) = found.folds
    assert [dict(case.grades) for case in fold.cases] == [{"i23": 4.0, "i24": 5.0}, {"i4": 5.0}]
    assert [case.user for case in fold.cases] == ["u:0", "u:1"]
    assert len(fold.events) == 23 + 1 + 1


def test_only_the_last_rating_of_a_pair_counts_and_no_other_events():
    nan = float("nan")
    (fold,) = plan([(0, 1, 1.0), (0, 2, 2.0), (0, 1, 5.0), (0, 3, nan), (0, 2, nan)]).folds
    assert [dict(case.grades) for case in fold.cases] == [{"i1": 5.0}]
    assert fold.events.value.tolist() == [2.0]


def test_without_two_ratings_of_a_user_nothing_can_be_held_out():
    with pytest.raises(BadDataError, match="two ratings"):
        plan([(0, 1, 1.0), (1, 2, 3.0)])
    with pytest.raises(BadDataError, match="two ratings"):
        plan_of_ratings(CATALOGUE, Events.none(), DEFAULT_EVENT_RULES)


def test_the_result_says_how_well_each_model_predicts():
    rng = np.random.default_rng(0)
    users, items = np.divmod(rng.permutation(40 * 30), 30)
    values = 3.0 + np.where(items % 2, 1.0, -1.0) + rng.normal(0, 0.1, len(users))
    rows = list(zip(users.tolist(), items.tolist(), values.tolist(), strict=True))
    found = measure_ratings(plan(rows), "made up", Options(recipe=Recipe()))
    assert (found["n_users"], found["n_held_out"], found["n_training_events"]) == (40, 120, 1080)
    rmse = {name: figures["rmse"] for name, figures in found["models"].items()}
    assert rmse["mean"] == pytest.approx(1.0, abs=0.1)
    assert rmse["item + user"] == pytest.approx(0.1, abs=0.03)
    assert found["models"]["mean"]["difference"]["low"] > 0.5
    assert found["models"]["item + user"]["difference"]["value"] == 0.0
    lines = rating_lines(found)
    assert lines[0] == "120 ratings of 40 users held out, 1,080 known"
    assert lines[2].startswith(f"mean           {rmse['mean']:.4f}")
