"""From kinds of events to heads: which kinds are goals, and what their heads learn."""

from dataclasses import replace

import numpy as np
import pytest

from app.domain.event_rules import DEFAULT_EVENT_RULES
from app.engine.scoring.scorer import CLIP
from app.offline.input.events import Events
from app.offline.learning.fit_goals import LEAST_EXAMPLES, fit_head, lifts_of
from app.offline.learning.sequences import sequences_of
from app.offline.learning.signals import log_of
from app.offline.learning.step_goals import StepGoals, step_goals_of

N_ITEMS = 6


def log(rows):
    """A log of (user, item, kind), one second apart."""
    users, items, kinds = zip(*rows, strict=True)
    names = sorted(set(kinds))
    events = replace(
        Events.none(),
        users=[f"u:{n}" for n in range(max(users) + 1)],
        items=[str(n) for n in range(N_ITEMS)],
        kinds=names,
        user=np.array(users, np.int32),
        item=np.array(items, np.int32),
        event=np.array([names.index(kind) for kind in kinds], np.int32),
        value=np.full(len(rows), np.nan),
        timestamp=np.arange(len(rows), dtype=np.float64),
        recommendation=np.full(len(rows), -1, np.int32),
        query=np.full(len(rows), -1, np.int32),
    )
    return log_of(events, [str(n) for n in range(N_ITEMS)], DEFAULT_EVENT_RULES)


def test_a_step_counts_for_all_kinds_by_which_the_user_took_the_item():
    rows = [(0, 1, "click"), (0, 2, "click"), (0, 1, "purchase"), (1, 1, "click"), (1, 3, "view")]
    some = log(rows)
    goals = step_goals_of(some, N_ITEMS, least=1)
    assert goals.names == ("click", "purchase", "view")
    sequences = sequences_of(some.events, some.item_rows, some.weights, N_ITEMS)
    assert goals.items.tolist() == sequences.items.tolist() == [1, 2, 1, 1, 3]
    assert goals.taken_by.tolist() == [0b011, 0b001, 0b011, 0b001, 0b100]


def test_only_frequent_positive_kinds_are_goals():
    rows = [(user, 1, "click") for user in range(5)] + [(user, 1, "click") for user in range(5)]
    rows += [(user, 2, "dislike") for user in range(5)] + [(0, 3, "purchase")]
    rows += [(user, 2, "impression") for user in range(5)]
    assert step_goals_of(log(rows), N_ITEMS, least=5).names == ("click",)
    assert step_goals_of(log(rows), N_ITEMS, least=6) is None


def test_a_lift_says_how_much_more_often_an_item_is_taken_by_a_goal():
    items = np.repeat([0, 1, 2], [1000, 1000, 1])
    bought = np.concatenate([np.arange(1000) < 900, np.arange(1000) < 100, [True]])
    goals = StepGoals(("click", "purchase"), 1 + 2 * bought.astype(np.int64), items)
    lifts = lifts_of(goals, np.arange(len(items)), N_ITEMS)
    np.testing.assert_allclose(lifts[1, :2], [np.log(9), -np.log(9)], atol=0.05)
    assert 0.0 < lifts[1, 2] < 0.5
    assert lifts[1, 3] == 0.0
    none = lifts_of(goals, np.arange(1000), N_ITEMS)
    assert none[1, 1] == none[1, 2] == 0.0


def facts(n, seed=0):
    """Five facts of n targets, of which the first says how likely a target was bought."""
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(n, 5)) * [1.0, 2.0, 0.1, 1.0, 5.0] + [0.0, 3.0, 0.0, 0.0, 1.0]
    taken = rng.random(n) < 1 / (1 + np.exp(-2.0 * columns[:, 0]))
    return columns, taken.astype(np.float64)


def test_a_head_learns_the_share_and_stays_calibrated():
    head = fit_head(*facts(3000), 0)
    columns, taken = facts(20_000, seed=1)
    shares = head.shares(columns)
    expected = 1 / (1 + np.exp(-2.0 * columns[:, 0]))
    assert np.abs(shares - expected).mean() < 0.03
    assert abs(shares.mean() - taken.mean()) < 0.02


def test_a_head_follows_no_fact_far_beyond_those_it_has_seen():
    head = fit_head(*facts(3000), 0)
    far = np.zeros((2, 5))
    far[:, 4] = [1.0 + 5.0 * CLIP, 1e9]
    np.testing.assert_allclose(*head.shares(far), rtol=0.01)


def test_a_head_that_nothing_tells_apart_is_nearly_constant():
    columns, _ = facts(3000)
    taken = np.random.default_rng(5).random(3000) < 0.3
    shares = fit_head(columns, taken.astype(np.float64), 0).shares(columns)
    assert shares.std() < 0.03
    assert abs(shares.mean() - 0.3) < 0.02


def test_with_few_examples_a_head_is_constant():
    columns, taken = facts(LEAST_EXAMPLES - 1)
    head = fit_head(columns, taken, 0)
    assert head.is_constant
    assert head.shares(columns)[0] == pytest.approx((taken.sum() + 0.5) / LEAST_EXAMPLES)
    assert fit_head(columns[:0], taken[:0], 0).shares(columns)[0] == pytest.approx(0.5)


def test_the_same_targets_give_the_same_head():
    one, other = fit_head(*facts(1000), 0), fit_head(*facts(1000), 0)
    np.testing.assert_array_equal(one.weights, other.weights)


def test_a_kind_by_which_all_is_taken_changes_no_order():
    columns, _ = facts(1000)
    shares = fit_head(columns, np.ones(1000), 0).shares(columns)
    assert shares.min() > 0.99
