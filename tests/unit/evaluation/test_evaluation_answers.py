"""Lists and scores become the same arrays, and go through the same metrics."""

import numpy as np
import pytest

from app.core.ranking import RankedItem, RankRequest, RankResult, SourceHit
from app.evaluation.answer_metrics import (
    ListContext,
    by_history,
    by_source,
    graded_table,
    next_item_table,
    pool_recall,
    popularity_lift,
)
from app.evaluation.answers import (
    Numbering,
    concatenated,
    from_results,
    from_scores,
    lists_of,
    mask_excluded,
)
from app.evaluation.protocols import Case

NUMBERS = Numbering.of("abcdef")


def result(*items: tuple[str, float, tuple[str, ...]]) -> RankResult:
    return RankResult(
        tuple(
            RankedItem(name, score, None, sources=tuple(SourceHit(s, 1, 1.0) for s in sources))
            for name, score, sources in items
        )
    )


RESULTS = [
    result(("c", 3.0, ("taste",)), ("a", 2.0, ("taste", "words")), ("b", 2.0, ("words",))),
    result(("f", 1.0, ("words",))),
    result(),
]


def test_lists_are_padded_and_ties_inside_a_list_count_half():
    answers = from_results(RESULTS, np.array([0, 1, 2]), NUMBERS)
    assert answers.rows.tolist() == [[2, 0, 1], [5, -1, -1], [-1, -1, -1]]
    assert answers.target_position.tolist() == [1, -1, -1]
    assert answers.ranks.tolist() == [1.5, np.inf, np.inf]
    assert {name: flags[0].tolist() for name, flags in answers.found_by.items()} == {
        "taste": [True, True, False],
        "words": [False, True, True],
    }


def test_an_order_inside_a_tie_earns_nothing():
    backwards = [result(*reversed([("a", 1.0, ()), ("b", 1.0, ())]))]
    forwards = [result(("a", 1.0, ()), ("b", 1.0, ()))]
    ranks = [from_results(r, np.array([0]), NUMBERS).ranks.tolist() for r in (backwards, forwards)]
    assert ranks == [[0.5], [0.5]]


def test_an_item_that_the_catalogue_lacks_takes_its_place_but_is_never_right():
    answers = from_results([result(("zz", 2.0, ()), ("a", 1.0, ()))], np.array([-1]), NUMBERS)
    assert answers.rows.tolist() == [[-1, 0]]
    assert answers.ranks.tolist() == [np.inf]


def test_masks_are_those_of_the_request():
    scores = np.arange(12, dtype=np.float32).reshape(2, 6)
    requests = [RankRequest(exclude=frozenset("af")), RankRequest(candidates=("b", "zz"))]
    masked = mask_excluded(scores, requests, NUMBERS)
    assert np.isfinite(masked).tolist() == [
        [False, True, True, True, True, False],
        [False, True, False, False, False, False],
    ]
    assert masked[1, 1] == 7.0


def test_full_scores_and_a_full_list_are_measured_alike():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, (40, 6)).astype(np.float32)
    targets = rng.integers(0, 6, 40)
    results = [
        result(*(("abcdef"[i], float(row[i]), ()) for i in np.argsort(-row, kind="stable")))
        for row in scores
    ]
    by_score, by_list = from_scores(scores, targets), from_results(results, targets, NUMBERS)
    assert by_score.ranks.tolist() == by_list.ranks.tolist()
    one, two = next_item_table(by_score), next_item_table(by_list)
    assert {name: v.tolist() for name, v in one.items()} == {n: v.tolist() for n, v in two.items()}


def test_ranks_of_scores_count_all_items_and_not_the_list_alone():
    scores = np.zeros((1, 6), np.float32)
    answers = from_scores(scores, np.array([4]), width=2)
    assert answers.rows.shape == (1, 2)
    assert answers.ranks.tolist() == [2.5]
    assert next_item_table(answers)["mrr"].tolist() == [0.0]  # beyond the list, as for the engine


def test_masked_items_never_stand_in_a_list():
    scores = np.array([[1.0, -np.inf, 3.0, -np.inf, -np.inf, -np.inf]], np.float32)
    answers = from_scores(scores, np.array([1]))
    assert answers.rows.tolist() == [[2, 0, -1, -1, -1, -1]]
    assert answers.ranks.tolist() == [np.inf]


def test_joining_pads_and_keeps_every_source():
    one = from_results(RESULTS[:1], np.array([0]), NUMBERS)
    two = lists_of([np.array([4])], [np.array([1.0])], np.array([4]))
    both = concatenated([two, one])
    assert both.rows.tolist() == [[4, -1, -1], [2, 0, 1]]
    assert both.ranks.tolist() == [0.0, 1.5]
    assert both.found_by["taste"].tolist() == [[False] * 3, [True, True, False]]


def test_sources_share_the_hits():
    results = [RESULTS[0], RESULTS[0], RESULTS[1]]
    answers = from_results(results, np.array([0, 2, 1]), NUMBERS)  # found by two, by one, not found
    assert by_source(answers) == {
        "taste": {"hits": 1.0, "only": 0.5, "places": round(4 / 7, 6)},
        "words": {"hits": 0.5, "only": 0.0, "places": round(5 / 7, 6)},
    }
    recall, together = pool_recall(answers)
    assert recall == {"taste": round(2 / 3, 6), "words": round(1 / 3, 6)}
    assert together == {"recall": round(2 / 3, 6), "mean": round(7 / 3, 2)}


def test_nothing_found_is_no_division_by_zero():
    answers = from_results(RESULTS[1:2], np.array([0]), NUMBERS)
    assert by_source(answers) == {"words": {"hits": None, "only": None, "places": 1.0}}
    assert by_source(from_scores(np.zeros((1, 6), np.float32), np.array([0]))) == {}


def test_popularity_lift_compares_lists_with_histories():
    counts = np.array([9.0, 3.0, 6.0, 0.0, 0.0, 0.0])
    histories = np.array([[1, -1], [2, -1], [-1, -1]])  # the third user has none: left out
    context = ListContext(counts, np.empty((6, 0), np.float32), histories)
    lists = [np.array([0]), np.array([0, 2]), np.array([0])]
    scores = [np.zeros(len(one)) for one in lists]
    answers = lists_of(lists, scores, np.array([-1, -1, -1]))
    # Means of the lists: 9 and 7.5; of the histories: 3 and 6.
    assert popularity_lift(answers, context, seed=0).value == pytest.approx(16.5 / 9 - 1)

    nothing_taken = ListContext(counts, context.vectors, np.full((3, 1), -1))
    assert np.isnan(popularity_lift(answers, nothing_taken, seed=0).value)


def test_graded_lists_by_hand():
    case = Case(RankRequest(query="q"), {"a": 4.0, "b": 1.0, "c": 3.0})
    judged = lists_of([np.array([1, 0, 2])], [np.array([3.0, 2.0, 1.0])], np.array([-1]))
    found = lists_of([np.array([5, 2])], [np.array([2.0, 1.0])], np.array([-1]))
    table = graded_table(judged, found, [case], NUMBERS)
    ideal = 7 + 3 / np.log2(3)
    assert table["ndcg@10"][0] == pytest.approx((7 / np.log2(3) + 3 / 2) / ideal)
    assert table["retrieval_ndcg@10"][0] == pytest.approx((3 / np.log2(3)) / ideal)
    assert table["retrieval_recall@50"].tolist() == [0.0]  # the one relevant product was not found


def test_buckets_of_history_hold_every_case_once():
    lengths = [0, 1, 2, 3, 4, 5, 9, 10, 19, 20, 49, 50, 500]
    cases = [Case(RankRequest(), {"a": 1.0}, taken) for taken in lengths]
    table = {"recall@10": np.array([float(taken >= 10) for taken in lengths])}
    buckets = by_history(table, cases, seed=0)
    assert [(b["history"], b["n_users"]) for b in buckets] == [
        ("0", 1),
        ("1–2", 2),
        ("3–4", 2),
        ("5–9", 2),
        ("10–19", 2),
        ("20–49", 2),
        ("50+", 2),
    ]
    assert [b["metrics"]["recall@10"]["value"] for b in buckets] == [0, 0, 0, 0, 1, 1, 1]
