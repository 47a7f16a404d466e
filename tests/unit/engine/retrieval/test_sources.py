"""Sources and what is made of their hits, against plain oracles."""

from dataclasses import replace

import numpy as np
import pytest

from app.engine.kernels.topk import Exclusion, Hits, topk_over
from app.engine.retrieval.index import FlatIndex
from app.engine.retrieval.lexical import LexicalIndex
from app.engine.retrieval.lexical_arrays import lexical_arrays
from app.engine.retrieval.registry import behaviour_sources
from app.engine.retrieval.resolve import ResolvedRequest
from app.engine.retrieval.sources import (
    FixedSource,
    MeaningSource,
    NeighbourSource,
    TasteSource,
    VectorSource,
    WeightedTable,
    WordSource,
    best_first,
    retrieval_order,
    retrieve,
)
from tests.planted import (
    DECAYS,
    random_behaviour,
    random_neighbours,
    random_space,
    with_random_sides,
)

N_ITEMS = 60
SELECTION = topk_over(N_ITEMS)


def request_of(*recent, hidden=()):
    return ResolvedRequest(
        recent=np.array(recent, np.int64), length=len(recent), hidden=np.array(hidden, np.int64)
    )


def some_requests(seed, n=6):
    """Histories of 1 … 30 with repeats, some rows hidden."""
    rng = np.random.default_rng(seed)
    return [
        request_of(
            *rng.integers(0, N_ITEMS, rng.integers(1, 31)), hidden=rng.permutation(N_ITEMS)[:h]
        )
        for h in rng.integers(0, 20, n)
    ]


def summed(tables, one, size):
    """Return [(row, score)], best first: the decayed sum over the newest twenty items."""
    totals = {}
    for table in tables:
        for age, item in enumerate(one.recent[:20].tolist()):
            near = zip(
                table.near.rows[item].tolist(), table.near.weights[item].tolist(), strict=True
            )
            for row, weight in near:
                part = table.share * table.decay**age * weight
                totals[row] = totals.get(row, 0.0) + part
    hidden = set(one.hidden.tolist())
    found = [(row, total) for row, total in totals.items() if total > 0 and row not in hidden]
    return sorted(found, key=lambda hit: -hit[1])[:size]


def same(hits, expected):
    assert hits.rows.tolist() == [row for row, _ in expected]
    np.testing.assert_allclose(hits.scores, [score for _, score in expected], 1e-5, 1e-6)
    assert hits.rows.dtype == np.int64
    assert hits.scores.dtype == np.float32


@pytest.mark.parametrize("size", [5, 1000])
@pytest.mark.parametrize("shares", [(1.0,), (1.0, 0.2), (1.0, 0.0)])
@pytest.mark.parametrize("padding", [None, 0])
def test_neighbours_are_a_decayed_sum(size, shares, padding):
    rng = np.random.default_rng(1)
    tables = [
        WeightedTable(random_neighbours(rng, N_ITEMS, 9, padding), decay, share)
        for decay, share in zip((0.4, 0.8), shares, strict=False)
    ]
    source, requests = NeighbourSource("behaviour", tables, size, SELECTION), some_requests(2)
    for one, hits in zip(requests, source.search(requests), strict=True):
        same(hits, summed(tables, one, size))


def test_hidden_rows_cost_no_place_in_a_table():
    near = random_neighbours(np.random.default_rng(0), N_ITEMS, 30)
    source = NeighbourSource("near", [WeightedTable(near, 0.5, 1.0)], 10, SELECTION)
    (open_,) = source.search([request_of(3, 9, 27)])
    (rest,) = source.search([request_of(3, 9, 27, hidden=open_.rows[:7])])
    assert len(open_.rows) == len(rest.rows) == 10
    assert rest.rows[:3].tolist() == open_.rows[7:].tolist()


def test_requests_of_a_batch_leave_nothing_to_each_other():
    tables = [WeightedTable(random_neighbours(np.random.default_rng(4), N_ITEMS, 9), 0.6, 1.0)]
    source, requests = NeighbourSource("near", tables, 20, SELECTION), some_requests(5)
    alone = [NeighbourSource("near", tables, 20, SELECTION).search([one])[0] for one in requests]
    for hits, expected in zip(source.search([*requests, *requests]), [*alone, *alone], strict=True):
        assert hits.rows.tolist() == expected.rows.tolist()
        assert hits.scores.tolist() == expected.scores.tolist()


def test_an_item_without_neighbours_brings_nothing():
    near = random_neighbours(np.random.default_rng(0), N_ITEMS, 5)
    near.weights[7] = 0
    (hits,) = NeighbourSource("near", [WeightedTable(near, 0.5, 1.0)], 5, SELECTION).search(
        [request_of(7)]
    )
    assert hits.rows.size == hits.scores.size == 0
    assert retrieve(
        [request_of(7)], [NeighbourSource("n", [WeightedTable(near, 1, 1)], 5, SELECTION)]
    ) == [{}]


@pytest.mark.parametrize("size", [1, 10, N_ITEMS, 350])
def test_taste_is_exact(size):
    space = random_space(np.random.default_rng(3), N_ITEMS)
    requests = some_requests(3)
    for one, hits in zip(
        requests, TasteSource("taste", space, size, SELECTION).search(requests), strict=True
    ):
        newest = one.recent[:20]
        user = (space.recency[: len(newest), None] * space.inputs[newest]).sum(axis=0)
        scores = space.targets @ (user / np.linalg.norm(user))
        order = [row for row in np.argsort(-scores).tolist() if row not in set(one.hidden.tolist())]
        same(hits, [(row, scores[row]) for row in order[:size]])


def test_taste_without_anything_left_brings_nothing():
    space = random_space(np.random.default_rng(3), 4)
    (hits,) = TasteSource("taste", space, 350, SELECTION).search(
        [request_of(0, hidden=(0, 1, 2, 3))]
    )
    assert hits.rows.size == 0


def test_rows_hidden_twice_cost_no_place():
    """What somebody took twice is hidden twice when the scorer's examples are drawn."""
    space = random_space(np.random.default_rng(3), 10)
    once, twice = TasteSource("taste", space, 350, SELECTION).search(
        [request_of(1, 2, hidden=(1, 2)), request_of(1, 2, hidden=(1, 2, 1))]
    )
    assert once.rows.tolist() == twice.rows.tolist()


def test_sources_say_nothing_to_those_who_took_nothing():
    behaviour = random_behaviour(0, N_ITEMS)
    for source in behaviour_sources(behaviour, 0.1):
        first, nothing, last = source.search([request_of(1), request_of(), request_of(2)])
        assert nothing is None
        assert [first.rows.tolist()] == [h.rows.tolist() for h in source.search([request_of(1)])]
        assert [last.rows.tolist()] == [h.rows.tolist() for h in source.search([request_of(2)])]
        assert source.search([]) == []


@pytest.mark.parametrize(
    "tables", [("sequential_ridge", "cooccurrence", "content_knn"), ("cooccurrence", "content_knn")]
)
def test_the_sources_of_behaviour(tables):
    """The strongest table comes first; likeness in words is a share of it, and its own source."""
    behaviour = random_behaviour(0, N_ITEMS)
    near = {name: behaviour.tables[name] for name in tables}
    made = type(behaviour)(near, DECAYS, behaviour.taste, behaviour.items)
    sources = behaviour_sources(made, 0.3)
    requests = some_requests(7)
    strongest = WeightedTable(near[tables[0]], DECAYS[tables[0]], 1.0)
    alike = [
        WeightedTable(near["content_knn"], DECAYS["content_knn"], share) for share in (0.3, 1.0)
    ]

    assert [source.name for source in sources] == ["behaviour", "alike", "taste"]
    for one, mixed, words in zip(
        requests, sources[0].search(requests), sources[1].search(requests), strict=True
    ):
        same(mixed, summed([strongest, alike[0]], one, 200))
        same(words, summed([alike[1]], one, 100))


def test_the_nearest_vectors():
    vectors = random_space(np.random.default_rng(1), 400).inputs
    source = VectorSource("taste", FlatIndex(vectors), lambda one: one.taste_vector)
    probe = vectors[5]
    hidden = np.argsort(-(vectors @ probe))[:120]
    asking = [
        ResolvedRequest(),
        ResolvedRequest(taste_vector=probe),
        ResolvedRequest(taste_vector=probe, hidden=hidden),
    ]
    nothing, plain, rest = source.search(asking)
    order = np.argsort(-(vectors @ probe))
    assert nothing is None
    assert plain.rows.tolist() == order[:200].tolist()
    assert rest.rows.tolist() == order[120:320].tolist()
    assert source.search([ResolvedRequest()]) == [None]


@pytest.mark.parametrize("n_items", [120, 400])  # fewer and more than a source brings
def test_meaning_brings_the_same_whether_or_not_all_cosines_are_known(n_items):
    vectors = random_space(np.random.default_rng(2), n_items).inputs
    probe, hidden, index = vectors[3], np.array([3, 7, 7]), FlatIndex(vectors)
    (cosines,) = index.cosines(probe[None])
    kept = cosines.copy()
    known = ResolvedRequest(query_vector=probe, cosines=cosines, hidden=hidden)
    nothing, found, plain = MeaningSource("meaning", index, topk_over(n_items)).search(
        [ResolvedRequest(), known, replace(known, cosines=None)]
    )
    order = [row for row in np.argsort(-(vectors @ probe)).tolist() if row not in hidden]
    assert nothing is None
    assert found.rows.tolist() == plain.rows.tolist() == order[:200]
    np.testing.assert_allclose(found.scores, plain.scores, atol=1e-6)
    np.testing.assert_array_equal(cosines, kept)  # candidates of other sources are scored by them


def test_words_bring_what_holds_them_without_what_is_hidden():
    titles = ["red shoe", "blue shoe", "red hat", "green tea"]
    index = LexicalIndex(lexical_arrays(titles, titles))
    source = WordSource("words", index, SELECTION)
    nothing, red, rest = source.search(
        [
            ResolvedRequest(),
            ResolvedRequest(query="red shoe"),
            ResolvedRequest(query="red shoe", hidden=np.array([0, 3])),
        ]
    )
    (found,) = SELECTION.best_sums([index.items("red shoe")], [Exclusion()], 200)
    assert nothing is None
    assert red.rows[0] == 0
    same(red, list(zip(found.rows.tolist(), found.scores.tolist(), strict=True)))
    assert rest.rows.tolist() == [row for row in found.rows.tolist() if row != 0]


def test_a_fixed_list_is_the_same_for_everybody():
    values = np.array([0.1, 0.9, 0.5, 0.7, 0.3], np.float32)
    order = best_first(values, np.zeros(5, np.float32))
    source = FixedSource("popular", order, values, 2)
    everybody, somebody = source.search([ResolvedRequest(), request_of(1, hidden=(1, 2))])
    same(everybody, [(1, values[1]), (3, values[3])])
    same(somebody, [(3, values[3]), (4, values[4])])


def test_best_first_breaks_ties_by_the_other_and_then_by_row():
    values = np.array([0.5, 0.9, 0.5, 0.5, 0.9], np.float32)
    then = np.array([0.1, 0.0, 0.2, 0.1, 0.3], np.float32)
    assert best_first(values, then).tolist() == [4, 1, 2, 0, 3]


def hits_of(seed):
    """Four lists that overlap, one of them empty."""
    rng = np.random.default_rng(seed)
    sizes = {"a": 20, "b": 7, "none": 0, "c": 40}
    return {
        name: Hits(rng.permutation(N_ITEMS)[:size], np.sort(rng.random(size, np.float32))[::-1])
        for name, size in sizes.items()
    }


def test_the_order_of_retrieval_is_reciprocal_rank_fusion():
    for seed in range(5):
        hits = hits_of(seed)
        lists = [*(one.rows for one in hits.values()), np.arange(N_ITEMS)]
        (rows,) = SELECTION.union([lists])
        lists = [one.rows.tolist() for one in hits.values()]
        expected = [
            sum(1 / (61 + one.index(row)) for one in lists if row in one) for row in rows.tolist()
        ]
        np.testing.assert_allclose(retrieval_order(rows, hits), expected, rtol=1e-6)


def test_hits_come_back_in_the_order_of_the_sources():
    values = np.ones(3, np.float32)
    sources = [FixedSource(name, np.arange(3), values) for name in ("z", "a", "m")]
    found = retrieve([ResolvedRequest(), ResolvedRequest(hidden=np.arange(3))], sources)
    assert [list(one) for one in found] == [["z", "a", "m"], []]
    assert retrieve([], sources) == []


def test_people_like_brings_the_popular_times_the_lifts():
    behaviour = with_random_sides(random_behaviour(0, N_ITEMS))
    source = behaviour_sources(behaviour, 0.1)[-1]
    codes = np.array([0, 3], np.int32)
    request = ResolvedRequest(sides=codes, hidden=np.array([3, 5]))
    nobody, (hits,) = source.search([request_of(1)]), source.search([request])
    expected = behaviour.items[0].copy()
    behaviour.sides.add_lifts(codes, expected)
    order = np.argsort(-expected, kind="stable")
    order = order[~np.isin(order, [3, 5])][:200]
    assert source.name == "people_like"
    assert nobody == [None]
    assert hits.rows.tolist() == order.tolist()
    np.testing.assert_allclose(hits.scores, expected[order], rtol=1e-6)
    again, beside = source.search([request, request_of(1)])
    assert (again.rows.tolist(), beside) == (order.tolist(), None)
