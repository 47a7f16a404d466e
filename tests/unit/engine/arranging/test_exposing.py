"""Exposure: floors and caps are met when they can be, at the least loss."""

from itertools import combinations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine.arranging.exposing import chosen

Members = npt.NDArray[np.bool_]
Bounds = list[tuple[int, int]]


def members_of(*groups: list[int], n: int) -> Members:
    return np.array([[position in group for position in range(n)] for group in groups])


def positions(values: list[float], members: Members, bounds: Bounds, k: int) -> list[int]:
    found: list[int] = chosen(np.array(values), members, bounds, k).positions.tolist()
    return found


VALUES = [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0]


def test_a_floor_takes_the_best_of_its_group_for_the_worst_of_the_others() -> None:
    small = members_of([1, 5, 6], n=8)
    assert positions(VALUES, small, [(0, 4)], 4) == [0, 1, 2, 3]
    assert positions(VALUES, small, [(1, 4)], 4) == [0, 1, 2, 3]
    assert positions(VALUES, small, [(2, 4)], 4) == [0, 1, 2, 5]
    assert positions(VALUES, small, [(3, 4)], 4) == [0, 1, 5, 6]


def test_a_cap_leaves_out_the_worst_of_its_group() -> None:
    big = members_of([0, 1, 2, 3], n=8)
    assert positions(VALUES, big, [(0, 2)], 4) == [0, 1, 4, 5]
    assert positions(VALUES, big, [(0, 0)], 4) == [4, 5, 6, 7]


def test_what_cannot_be_met_is_met_as_far_as_it_goes() -> None:
    rare = members_of([7], n=8)
    assert positions(VALUES, rare, [(3, 4)], 4) == [0, 1, 2, 7]
    everything = members_of(list(range(8)), n=8)
    assert positions(VALUES, everything, [(0, 1)], 4) == [0, 1, 2, 3]
    assert positions(VALUES[:2], members_of([0], n=2), [(2, 4)], 4) == [0, 1]


def test_an_item_in_two_groups_counts_for_both() -> None:
    both = members_of([5, 6], [6, 7], n=8)
    assert positions(VALUES, both, [(1, 3), (1, 3)], 3) == [0, 1, 6]


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[float], Members, Bounds, int]:
    n, n_groups = draw(st.integers(2, 9)), draw(st.integers(1, 4))
    k = draw(st.integers(1, n))
    values = sorted(draw(st.lists(st.floats(0, 1), min_size=n, max_size=n)), reverse=True)
    codes = draw(st.lists(st.integers(0, 2**n_groups - 1), min_size=n, max_size=n))
    members = np.array([[bool(code >> group & 1) for code in codes] for group in range(n_groups)])
    pairs = st.tuples(st.integers(0, k), st.integers(0, k))
    bounds = [
        (min(pair), max(pair))
        for pair in draw(st.lists(pairs, min_size=n_groups, max_size=n_groups))
    ]
    return values, members, bounds, k


@settings(max_examples=300)
@given(problems())
def test_it_is_as_good_as_the_best_of_all_possible_lists(
    problem: tuple[list[float], Members, Bounds, int],
) -> None:
    values, members, bounds, k = problem

    def cost(some: tuple[int, ...]) -> tuple[int, float]:
        counts = members[:, list(some)].sum(axis=1).tolist()
        pairs = zip(counts, bounds, strict=True)
        off = sum(max(0, least - n) + max(0, n - most) for n, (least, most) in pairs)
        return off, -sum(values[position] for position in some)

    found = tuple(positions(values, members, bounds, k))
    assert len(set(found)) == k
    best = min(cost(each) for each in combinations(range(len(values)), k))
    assert cost(found)[0] == best[0]
    assert abs(cost(found)[1] - best[1]) < 1e-6
