"""What is held out, what is asked, and that the one never leaks into the other."""

import numpy as np
import pytest

from app.core.errors import BadDataError, UsageError
from app.evaluation.dataset_readers import Impression
from app.evaluation.eval_catalogue import EvalCatalogue, events_of
from app.evaluation.protocols import (
    FOLDS,
    fold_of,
    leave_one_out,
    plan_of_events,
    plan_of_grades,
    plan_of_impressions,
    sampled,
    time_split,
)
from app.offline.input.events import Events
from app.offline.input.read_report import ReadReport
from app.offline.input.recipe import DEFAULT_EVENT_RULES


def log(*rows: tuple[str, str, str, float]) -> Events:
    """(user, item, event, time)."""
    users, items, kinds = (list(dict.fromkeys(row[at] for row in rows)) for at in range(3))
    return Events(
        [f"u:{user}" for user in users],
        items,
        kinds,
        [],
        np.array([users.index(row[0]) for row in rows], np.int32),
        np.array([items.index(row[1]) for row in rows], np.int32),
        np.array([kinds.index(row[2]) for row in rows], np.int32),
        np.full(len(rows), np.nan),
        np.array([row[3] for row in rows], np.float64),
        np.full(len(rows), -1, np.int32),
        np.full(len(rows), -1, np.int32),
        ReadReport("log"),
    )


def catalogue(*ids: str) -> EvalCatalogue:
    return EvalCatalogue(list(ids), list(ids), [])


def kept(events: Events) -> list[str]:
    return [events.items[item] for item in events.item]


def test_strict_holds_two_out_and_asks_with_all_but_the_last():
    events = events_of([("u:1", list("abcd")), ("u:2", list("ba")), ("u:3", list("abc"))])
    plan = plan_of_events("strict", catalogue(*"abcd"), events, DEFAULT_EVENT_RULES)
    (fold,) = plan.folds
    assert kept(fold.events) == ["a", "b", "b", "a", "a"]  # the user with two items is fitted on
    first, second = fold.cases
    assert first.request.history == ("a", "b", "c")
    assert first.request.exclude == {"a", "b", "c"}
    assert (first.grades, first.history_length, first.request.k) == ({"d": 1.0}, 3, 50)
    assert (second.request.history, second.grades) == (("a", "b"), {"c": 1.0})


def test_all_but_last_holds_one_out():
    events = events_of([("u:1", list("abcd")), ("u:2", list("ba")), ("u:3", ["a"])])
    plan = plan_of_events("all-but-last", catalogue(*"abcd"), events, DEFAULT_EVENT_RULES)
    assert kept(plan.folds[0].events) == ["a", "b", "c", "b", "a"]
    assert [case.request.history for case in plan.folds[0].cases] == [("a", "b", "c"), ("b",)]


def test_order_is_that_of_time_and_then_of_the_file():
    events = log(("1", "c", "click", 5), ("1", "a", "click", 1), ("1", "b", "click", 1))
    _, (case,) = leave_one_out(events, np.ones(3, bool), 1)
    assert (case.request.history, case.grades) == (("a", "b"), {"c": 1.0})


def test_a_view_of_the_target_just_before_it_is_withheld_too():
    events = log(
        ("1", "a", "click", 1),
        ("1", "b", "impression", 2),
        ("1", "b", "click", 3),
        ("1", "c", "impression", 4),
        ("1", "c", "click", 5),
        ("1", "a", "dislike", 6),
        ("2", "c", "impression", 9),
    )
    plan = plan_of_events("strict", catalogue(*"abc"), events, DEFAULT_EVENT_RULES)
    assert kept(plan.folds[0].events) == ["a", "b", "c"]
    assert plan.folds[0].events.timestamp.tolist() == [1, 2, 9]
    (case,) = plan.folds[0].cases
    assert case.request.history == ("a", "b")


def test_only_the_newest_200_are_sent_but_all_are_excluded():
    names = [str(n) for n in range(300)]
    _, (case,) = leave_one_out(events_of([("u:1", names)]), np.ones(300, bool), 1)
    assert case.request.history == tuple(names[99:299])
    assert case.request.exclude == set(names[:299])
    assert case.history_length == 299


def test_time_split_asks_for_the_first_new_item_after_the_split():
    events = log(
        ("1", "a", "click", 1),
        ("1", "b", "click", 2),
        ("2", "a", "click", 3),
        ("3", "b", "click", 4),
        ("1", "a", "click", 5),  # after the split, but known: history
        ("1", "c", "click", 6),
        ("2", "b", "click", 7),
        ("4", "d", "click", 8),
        ("2", "d", "click", 9),
        ("3", "x", "click", float("nan")),
    )
    keep, cases = time_split(events, np.ones(10, bool), split=4.0)
    assert [i for i, k in enumerate(keep) if k] == [0, 1, 2, 3, 9]
    asked = [(c.request.history, next(iter(c.grades))) for c in cases]
    assert asked == [(("a", "b", "a"), "c"), (("a",), "b"), ((), "d")]


def test_the_default_split_is_a_quantile_and_needs_times():
    rows = [("1", str(n), "click", float(n)) for n in range(10)]
    keep, _ = time_split(log(*rows), np.ones(10, bool))
    assert keep.sum() == 8
    untimed = [(user, item, kind, float("nan")) for user, item, kind, _ in rows]
    with pytest.raises(UsageError, match="timestamps"):
        time_split(log(*untimed), np.ones(10, bool))


def test_what_makes_a_case_hard_is_counted():
    events = events_of(
        [("u:1", ["a", "b", "a"]), ("u:2", ["a", "b", "gone"]), ("u:3", ["b", "a", "c"])]
    )
    plan = plan_of_events("all-but-last", catalogue(*"abc"), events, DEFAULT_EVENT_RULES)
    assert plan.notes == {
        "target_not_in_catalogue": 1,
        "target_without_training_events": 2,
        "target_already_in_history": 1,
    }


def test_a_log_too_short_to_hold_anything_out_is_bad_data():
    with pytest.raises(BadDataError, match="hold one out"):
        plan_of_events("strict", catalogue("a"), events_of([("u:1", ["a"])]), DEFAULT_EVENT_RULES)
    with pytest.raises(UsageError, match="graded"):
        plan_of_events("graded", catalogue("a"), events_of([("u:1", ["a"])]), DEFAULT_EVENT_RULES)


JUDGED = {f"query {n}": {"a": 4.0, "b": 1.0 + n % 3} for n in range(40)}


def test_a_fold_never_sees_the_grades_of_its_queries():
    plan = plan_of_grades(catalogue("a", "b"), JUDGED)
    assert len(plan.folds) == FOLDS
    asked = [case.request.query for fold in plan.folds for case in fold.cases]
    assert sorted(asked) == sorted(JUDGED)
    for number, fold in enumerate(plan.folds):
        inside = {case.request.query for case in fold.cases}
        assert {fold_of(query) for query in inside} == {number}
        known = {query for query, _, _ in fold.judgements}
        assert known == set(JUDGED) - inside
        assert (len(fold.judgements), len(fold.events)) == (2 * len(known), 0)
        assert all(JUDGED[query][item] == grade for query, item, grade in fold.judgements)


def test_the_order_of_candidates_tells_nothing_of_their_grades():
    plan = plan_of_grades(catalogue("a", "b"), {"q": {"b": 4.0, "a": 1.0}})
    (case,) = plan.folds[0].cases
    assert case.request.candidates == ("a", "b")
    assert case.request.k == 2


def test_impressions_are_ranked_by_history():
    page = Impression("9", ("a", "b"), ("c", "d"), "d")
    plan = plan_of_impressions(catalogue(*"abcd"), [page])
    (fold,) = plan.folds
    (case,) = fold.cases
    assert (case.request.history, case.request.candidates) == (("a", "b"), ("c", "d"))
    assert case.grades == {"d": 1.0}
    assert kept(fold.events) == ["a", "b"]  # no candidate, clicked or not


def test_a_sample_keeps_what_is_fitted_on():
    events = events_of([(f"u:{n}", list("abc")) for n in range(30)])
    plan = plan_of_events("all-but-last", catalogue(*"abc"), events, DEFAULT_EVENT_RULES)
    some = sampled(plan, 7, seed=1)
    assert (some.n_cases, len(some.folds[0].events)) == (7, len(plan.folds[0].events))
    assert sampled(plan, 7, seed=1).folds == some.folds
    assert sampled(plan, 99, seed=1) is plan
