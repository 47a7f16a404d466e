"""Which words are drawn, what is held out, and that a real query wins over a drawn one."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from app.core.errors import BadDataError
from app.evaluation.eval_catalogue import EvalCatalogue, events_of
from app.evaluation.protocols import sampled
from app.evaluation.search_cases import DrawableWords, plan_of_search, spelled_words
from app.offline.input.recipe import DEFAULT_EVENT_RULES


def catalogue(titles):
    return EvalCatalogue(list(titles), list(titles.values()), [])


def plan(titles, sequences, queries=(), *, seed=0):
    """`queries`: for each event the words that led to it, "" = none."""
    events = events_of(sequences)
    if queries:
        named = list(dict.fromkeys(filter(None, queries)))
        codes = [named.index(query) if query else -1 for query in queries]
        events = replace(events, queries=named, query=np.array(codes, np.int32))
    return plan_of_search(
        catalogue=catalogue(titles), events=events, weights=DEFAULT_EVENT_RULES, seed=seed
    )


ONCE = ("alpha", "beta", "gamma", "delta")
SHOP = {f"s{n}": f"Red Shoes for running no. {n} {ONCE[n]}" for n in range(4)} | {
    f"h{n}": f"Blue hats of wool {n}" for n in range(36)
}
USERS = [(f"u:{n}", [f"h{n}", f"h{n + 1}", f"s{n % 4}"]) for n in range(12)]


def test_words_are_those_that_neither_few_nor_most_titles_hold():
    words = DrawableWords.of(list(SHOP.values()))
    assert (words.fewest, words.most) == (2, 4)
    # "beta" is in one title, "blue" in nine tenths, "for" is a stop word, 1 is a number.
    assert words.of_title(SHOP["s1"]) == ["red", "shoes", "running", "no"]
    assert words.of_title(SHOP["h1"]) == []


def test_the_bounds_of_a_large_catalogue_are_20_and_1000():
    words = DrawableWords.of(["one"] * 12_000)
    assert (words.fewest, words.most) == (20, 1000)
    small = DrawableWords.of(["one"] * 3000)
    assert (small.fewest, small.most) == (7, 300)


def test_each_word_is_drawn_as_often_as_another_and_one_as_often_as_two():
    words = DrawableWords({"rare": 2, "middle": 50, "common": 900}, 2, 1000)
    rng = np.random.default_rng(0)
    drawn = [words.draw("Common middle, RARE", rng).split() for _ in range(3000)]
    sizes = Counter(map(len, drawn))
    assert sizes[1] == pytest.approx(1500, abs=100)
    each = Counter(word for query in drawn for word in query)
    assert [each[word] for word in ("rare", "middle", "common")] == pytest.approx(
        [1500] * 3, abs=90
    )
    assert all(query == sorted(query, key=["common", "middle", "rare"].index) for query in drawn)


def test_spelling_is_that_of_the_title():
    assert spelled_words("Café-Boots (boots!) x 50") == {"cafe": "cafe", "boot": "boot"}
    assert spelled_words("Batteries") == {"battery": "batteries"}


def test_a_case_has_history_and_words_of_the_target():
    (fold,) = plan(SHOP, USERS, seed=3).folds
    assert len(fold.cases) == 12
    for number, case in enumerate(fold.cases):
        assert case.grades == {f"s{number % 4}": 1.0}
        assert case.request.history == (f"h{number}", f"h{number + 1}")
        assert case.request.exclude == {f"h{number}", f"h{number + 1}"}
        assert set(case.request.query.split()) <= {"red", "shoes", "running", "no"}
        assert 1 <= len(case.request.query.split()) <= 2
    assert [fold.events.items[item][0] for item in fold.events.item] == ["h"] * 24


def test_the_seed_decides_the_words():
    queries = [
        [case.request.query for case in plan(SHOP, USERS, seed=seed).folds[0].cases]
        for seed in (1, 1, 2)
    ]
    assert queries[0] == queries[1] != queries[2]


def test_who_has_no_word_is_counted_and_their_last_item_is_held_out_all_the_same():
    found = plan(SHOP, [*USERS, ("u:last", ["s0", "h5"]), ("u:short", ["h7"])])
    assert found.n_cases == 12
    assert found.notes["left_out_without_query_word"] == 1
    assert found.notes["fewest_titles_of_a_query_word"] == 2
    assert found.notes["most_titles_of_a_query_word"] == 4
    # 24 of the twelve users, the first of the one without a word, the only one of the last.
    assert len(found.folds[0].events) == 26


def test_the_real_query_of_the_last_item_that_has_one_wins():
    sequences = [("u:1", ["h0", "s1", "h2"]), ("u:2", ["h0", "h3"]), ("u:3", ["h9", "h4"])]
    queries = ["", "trainers", "", "caps", "", "", "wool cap"]
    found = plan(SHOP, sequences, queries)
    first, last = found.folds[0].cases  # the second user's query led to the first item: no history
    assert (first.request.query, first.request.history) == ("trainers", ("h0",))
    assert (last.request.query, last.grades) == ("wool cap", {"h4": 1.0})
    assert found.notes["real_queries"] == 2
    assert "left_out_without_query_word" not in found.notes
    kept = [found.folds[0].events.items[item] for item in found.folds[0].events.item]
    assert kept == ["h0", "h0", "h3", "h9"]


def test_a_sample_asks_the_same_cases():
    whole = plan(SHOP, USERS)
    part = sampled(whole, 5, seed=0)
    assert part.n_cases == 5
    assert all(case in whole.folds[0].cases for case in part.folds[0].cases)


def test_no_case_is_bad_data():
    with pytest.raises(BadDataError, match="a word to search for"):
        plan(SHOP, [("u:1", ["h1", "h2"])])
