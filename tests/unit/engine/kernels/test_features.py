"""Features against a slow oracle that looks every pair up in a dictionary."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from app.engine.catalogue.behaviour import Behaviour, Neighbours, TasteSpace, item_signals
from app.engine.kernels.features import Features, KernelFeatures, feature_names, log_ranks
from app.engine.kernels.loader import Unavailable, load_library
from tests.planted import DECAYS, as_sequences, random_behaviour

N_ITEMS = 40
N_COPIES = 471


@pytest.fixture(params=["numpy", "kernel"])
def make(request):
    """What makes features of what was learned: both do the same."""
    if request.param == "numpy":
        return Features
    try:
        return partial(KernelFeatures, load_library())
    except Unavailable as why:
        pytest.skip(str(why))


def _log_ranks(totals):
    """Runs of values with gaps of less than a millionth of the largest share a rank."""
    least = 1e-6 * max(map(abs, totals), default=0.0)
    ranks, higher, before = {}, 0, math.inf
    for place, value in enumerate(sorted(totals, reverse=True)):
        higher = higher if before - value <= least else place
        ranks[value], before = math.log1p(higher), value
    return [ranks[value] for value in totals]


def pairs_of(near):
    """Return {(item, neighbour): weight}."""
    lines = zip(near.rows.tolist(), near.weights.tolist(), strict=True)
    return {
        (item, column): weight
        for item, line in enumerate(lines)
        for column, weight in zip(*line, strict=True)
        if weight > 0
    }


def plain(behaviour, recent, length, rows):
    """Return {name: value per candidate} by plain loops in double precision."""
    recent, rows = [int(row) for row in recent[:20]], [int(row) for row in rows]
    pairs = {name: pairs_of(near) for name, near in behaviour.tables.items()}
    weight_of = {
        name: lambda a, b, known=known: known.get((a, b), 0.0) for name, known in pairs.items()
    }
    given, wanted = (
        part.astype(np.float64) for part in (behaviour.taste.inputs, behaviour.taste.targets)
    )
    weight_of["taste"] = lambda a, b: float(given[a] @ wanted[b])
    user = sum(behaviour.taste.recency[p] * given[row] for p, row in enumerate(recent))
    user = user / np.linalg.norm(user)

    found = {}
    for name, weight in weight_of.items():
        lines = [[weight(row, candidate) for row in recent] for candidate in rows]
        if name == "taste":
            totals = [float(wanted[row] @ user) for row in rows]
        else:
            decay = behaviour.decays[name]
            totals = [sum(v * decay**age for age, v in enumerate(line)) for line in lines]
        found[f"{name}.total"] = totals
        found[f"{name}.last"] = [line[0] for line in lines]
        found[f"{name}.before_last"] = [line[1] if len(line) > 1 else 0.0 for line in lines]
        found[f"{name}.highest"] = [max(line) for line in lines]
        found[f"{name}.newest_three"] = [sum(line[:3]) / len(line[:3]) for line in lines]
        found[f"{name}.mean"] = [sum(line) / len(line) for line in lines]
        found[f"{name}.rank"] = _log_ranks(totals)
        if name != "taste":
            found[f"{name}.count"] = [sum(value > 0 for value in line) for line in lines]
    for at, name in enumerate(("popularity", "times_last", "share_last", "place")):
        found[f"item.{name}"] = [behaviour.items[at, row] for row in rows]
    popularity = behaviour.items[0, recent].tolist()
    first = next(iter(behaviour.tables))
    context = {
        "history": math.log(length),
        "last_popularity": popularity[0],
        "mean_popularity": sum(popularity) / len(popularity),
        "highest_first": max(found[f"{first}.total"]),
        "highest_taste": max(found["taste.total"]),
    }
    return found | {f"user.{name}": [value] * len(rows) for name, value in context.items()}


def asked(seed, histories=(1, 2, 3, 20, 35)):
    """A request per length of history: repeats among what was taken, candidates in any order."""
    rng = np.random.default_rng(seed)
    recents = [rng.integers(0, N_ITEMS, length) for length in histories]
    candidates = [rng.permutation(N_ITEMS)[: rng.integers(1, N_ITEMS + 1)] for _ in histories]
    return recents, list(histories), candidates


# 0 is what `app.offline.learning.neighbours` writes into places that are not needed. Such a place
# must not hide the neighbour that the row really is.
@pytest.mark.parametrize("padding", [None, 0, N_ITEMS - 1])
@pytest.mark.parametrize("seed", range(3))
def test_features_equal_plain_loops(make, seed, padding):
    behaviour = random_behaviour(seed, N_ITEMS, padding=padding)
    recents, lengths, candidates = asked(seed)
    computed = make(behaviour).compute(recents, lengths, candidates)
    expected = [plain(behaviour, *each) for each in zip(recents, lengths, candidates, strict=True)]

    assert computed.dtype == np.float32
    for at, name in enumerate(make(behaviour).names):
        values = np.concatenate([one[name] for one in expected])
        np.testing.assert_allclose(computed[at], values, rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_place_that_is_not_needed_hides_no_neighbour(make):
    # Item 1 has one neighbour, item 0; the other places of its line hold row 0 too, at weight 0.
    rows, weights = np.zeros((3, 4), np.int32), np.zeros((3, 4), np.float32)
    weights[1, 0] = 0.5
    eye = np.eye(3, dtype=np.float32)
    behaviour = Behaviour(
        {"content_knn": Neighbours(rows, weights)},
        {"content_knn": 0.5},
        TasteSpace(eye, eye, np.ones(20, np.float32)),
        np.zeros((4, 3), np.float32),
    )
    computed = make(behaviour).compute([np.array([1])], [1], [np.array([0, 2])])
    assert computed[0].tolist() == [0.5, 0.0]


def test_a_batch_is_its_requests_alone(make):
    computer, requests = make(random_behaviour(5, N_ITEMS)), asked(5)
    together = computer.compute(*requests)
    alone = [computer.compute([r], [n], [c]) for r, n, c in zip(*requests, strict=True)]
    np.testing.assert_array_equal(together, np.concatenate(alone, axis=1))


def test_a_request_without_candidates_takes_no_columns(make):
    computer, none = make(random_behaviour(5, N_ITEMS)), np.empty(0, np.int64)
    history, rows = np.array([3, 4]), np.array([7, 8])
    middle = computer.compute([history] * 3, [2] * 3, [none, rows, none])
    np.testing.assert_array_equal(middle, computer.compute([history], [2], [rows]))
    assert computer.compute([history], [2], [none]).shape == (len(computer.names), 0)


@pytest.mark.parametrize("rows", [[0, N_ITEMS], [-1], [2**40]])
@pytest.mark.parametrize("as_taken", [True, False])
def test_the_kernel_refuses_rows_that_are_none(rows, as_taken):
    try:
        computer = KernelFeatures(load_library(), random_behaviour(5, N_ITEMS))
    except Unavailable as why:
        pytest.skip(str(why))
    some, wrong = np.array([1, 2]), np.array(rows)
    taken, candidates = (wrong, some) if as_taken else (some, wrong)
    with pytest.raises(IndexError):
        computer.compute([some, taken], [2, 2], [some, candidates])
    for nothing, many in ((wrong[:0], some), (some, np.zeros(N_ITEMS + 1, np.int64))):
        with pytest.raises(IndexError):
            computer.compute([nothing], [1], [many])
    # Nothing of what was refused is left behind.
    again = computer.compute([some], [2], [some])
    expected = Features(random_behaviour(5, N_ITEMS)).compute([some], [2], [some])
    np.testing.assert_allclose(again, expected, rtol=1e-5, atol=1e-6)


def test_the_order_of_candidates_only_orders_the_columns(make):
    computer = make(random_behaviour(6, N_ITEMS))
    recent, rows = np.array([1, 7, 1, 30]), np.arange(N_ITEMS)
    plain_order = computer.compute([recent], [4], [rows])
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(N_ITEMS)
        permuted = computer.compute([recent], [4], [rows[order]])
        for at, name in enumerate(computer.names):
            # A matrix product may round the columns at its edges otherwise; nothing else may.
            product = "taste" in name or "total" in name or "highest_first" in name
            allowed = 1e-6 if product and "rank" not in name else 0.0
            np.testing.assert_allclose(
                permuted[at], plain_order[at, order], rtol=0, atol=allowed, err_msg=name
            )


@pytest.mark.parametrize("dim", [8, 256])
def test_items_that_are_alike_in_everything_share_their_ranks(make, dim):
    """Else the order of candidates leaks: the training data have the right one in any place."""
    rng = np.random.default_rng(0)
    kinds = rng.standard_normal((3, dim)).astype(np.float32)
    vectors = (kinds / np.linalg.norm(kinds, axis=1, keepdims=True))[np.arange(N_COPIES) % 3]
    empty = Neighbours(np.zeros((N_COPIES, 2), np.int32), np.zeros((N_COPIES, 2), np.float32))
    space = TasteSpace(vectors, vectors, np.exp(-np.arange(20) / 2).astype(np.float32))
    behaviour = Behaviour(
        {"content_knn": empty}, {"content_knn": 0.5}, space, np.zeros((4, N_COPIES), np.float32)
    )
    computer = make(behaviour)
    for size in (5, 13, 37, 200, N_COPIES):
        rows = rng.permutation(N_COPIES)[:size]
        computed = computer.compute([np.array([0, 4, 8])], [3], [rows])
        ranks = computed[computer.names.index("taste.rank")]
        for kind in range(3):
            assert len(set(ranks[rows % 3 == kind].tolist())) <= 1
        assert not computed[computer.names.index("content_knn.rank")].any()


def test_the_numbers_of_rows_mean_nothing(make):
    behaviour = random_behaviour(8, N_ITEMS)
    new = np.random.default_rng(8).permutation(N_ITEMS)  # old row -> new row
    old = np.argsort(new)

    def renumbered(near):
        return Neighbours(new[near.rows[old]].astype(np.int32), near.weights[old])

    taste = behaviour.taste
    moved = Behaviour(
        {name: renumbered(near) for name, near in behaviour.tables.items()},
        behaviour.decays,
        TasteSpace(taste.inputs[old], taste.targets[old], taste.recency),
        behaviour.items[:, old],
    )
    recents, lengths, candidates = asked(8)
    before = make(behaviour).compute(recents, lengths, candidates)
    after = make(moved).compute([new[r] for r in recents], lengths, [new[c] for c in candidates])
    np.testing.assert_array_equal(after, before)


def test_only_the_newest_twenty_are_read_but_all_are_counted(make):
    computer = make(random_behaviour(9, N_ITEMS))
    rng = np.random.default_rng(9)
    history, rows = rng.integers(0, N_ITEMS, 60), np.arange(N_ITEMS)
    other_past = np.concatenate([history[:20], rng.integers(0, N_ITEMS, 5)])
    long, other = (computer.compute([h], [60], [rows]) for h in (history, other_past))
    np.testing.assert_array_equal(long, other)
    shorter = computer.compute([history[:20]], [20], [rows])
    differs = [n for n, a, b in zip(computer.names, long, shorter, strict=True) if (a != b).any()]
    assert differs == ["user.history"]


def test_what_nobody_took_and_nothing_is_near_to_has_finite_features(make):
    none = Neighbours(np.zeros((3, 5), np.int32), np.zeros((3, 5), np.float32))
    zero = TasteSpace(
        np.zeros((3, 4), np.float32), np.zeros((3, 4), np.float32), np.ones(20, np.float32)
    )
    signals = item_signals(np.empty(0, np.int64), np.zeros(1, np.int64), 3)
    computer = make(Behaviour(dict.fromkeys(DECAYS, none), DECAYS, zero, signals))
    computed = computer.compute([np.array([0])], [1], [np.array([1, 2])])
    values = dict(zip(computer.names, computed[:, 0].tolist(), strict=True))
    prior = {"item.share_last": 0.25, "item.place": pytest.approx(0.6)}
    assert values == dict.fromkeys(computer.names, 0.0) | prior


@pytest.mark.parametrize(
    "tables", [("content_knn",), ("cooccurrence", "content_knn"), tuple(DECAYS)]
)
def test_there_is_a_name_for_each_row(tables):
    behaviour = random_behaviour(0, N_ITEMS)
    chosen = Behaviour(
        {name: behaviour.tables[name] for name in tables},
        {name: DECAYS[name] for name in tables},
        behaviour.taste,
        behaviour.items,
    )
    computer = Features(chosen)
    assert computer.names == feature_names(tables)
    assert len(set(computer.names)) == len(computer.names) == 8 * len(tables) + 7 + 4 + 5
    assert len(computer.compute([np.array([1])], [1], [np.array([2])])) == len(computer.names)


VALUES = st.floats(-3, 3, width=16).map(np.float32)


@settings(deadline=None)
@given(
    stn.arrays(np.float32, stn.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=VALUES)
)
def test_log_ranks_count_what_is_higher(values):
    expected = [_log_ranks(line) for line in values.tolist()]
    ranks = log_ranks(values)
    assert ranks.dtype == np.float32
    np.testing.assert_allclose(ranks, expected, rtol=1e-6)


def test_item_signals_equal_plain_loops():
    rng = np.random.default_rng(3)
    lists = [rng.integers(0, 12, rng.integers(1, 9)).tolist() for _ in range(30)]
    sequences = as_sequences(lists)
    signals = item_signals(sequences.items, sequences.offsets, 14)  # 12 and 13: never taken

    assert signals.dtype == np.float32
    for item in range(14):
        places = [(at, len(one)) for one in lists for at, o in enumerate(one, 1) if o == item]
        taken, last = len(places), sum(at == n for at, n in places)
        last_two = sum(at >= n - 1 for at, n in places)
        expected = [
            math.log1p(taken),
            math.log1p(last),
            (last_two + 1) / (taken + 4),
            (sum(at / n for at, n in places) + 3) / (taken + 5),
        ]
        assert signals[:, item].tolist() == pytest.approx(expected, rel=1e-6)
