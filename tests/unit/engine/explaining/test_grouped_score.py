"""Contributions of groups: by brute force over small networks, and to the last digit."""

from itertools import chain, combinations, permutations
from math import fsum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.explanation import GROUPS
from app.engine.explaining.grouped_score import GroupedScore, NetworkScore, adding_up
from app.engine.explaining.groups import group_of_feature
from app.engine.scoring.calibration import Calibration
from app.engine.scoring.scorer import Scorer

FEATURES = ("words", "words", "taste", "behaviour", "popularity")


def small_scorer(seed, ignored=None):
    rng = np.random.default_rng(seed)
    shapes = {"w1": (6, 5), "b1": 6, "w2": (4, 6), "b2": 4, "w3": 4}
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    arrays |= {"mean": rng.normal(size=5).astype(np.float32), "deviation": np.ones(5, np.float32)}
    if ignored is not None:
        arrays["w1"][:, [each == ignored for each in FEATURES]] = 0.0
    return Scorer(arrays, 5)


def grouped(seed, *, calibrated=True, ignored=None, n=9):
    """A score of nine candidates: a network, two terms, a calibration, an addition."""
    rng = np.random.default_rng(seed + 1)
    network = small_scorer(seed, ignored)
    features = rng.normal(size=(5, n)).astype(np.float32)
    terms, boosts = rng.normal(size=(2, n)).astype(np.float32), np.zeros(n, np.float32)
    boosts[0] = 0.5
    return GroupedScore(
        network=NetworkScore(features, FEATURES, network.reads, network.score),
        terms=(("words", terms[0]), ("intent", terms[1])),
        calibration=Calibration([-2.0, 0.0, 1.0], [-4.0, -1.0, 2.0]) if calibrated else None,
        additions=(("boosts", boosts),),
    )


def value(score, present, at):
    """The score of one candidate where only some groups take part, as the module says it."""
    features = score.network.features.copy()
    for line, group in enumerate(FEATURES):
        if group not in present:
            features[line] = features[line].mean(dtype=np.float64)
    total = float(score.network.score(np.ascontiguousarray(features))[at])
    for group, term in score.terms:
        total += float(term[at] if group in present else term.mean(dtype=np.float64))
    if score.calibration is not None:
        total = float(score.calibration.log_odds(np.array([total], np.float32))[0])
    for group, term in score.additions:
        total += float(term[at]) if group in present else 0.0
    return total


@pytest.mark.parametrize("calibrated", [True, False])
@settings(max_examples=30)
@given(seed=st.integers(0, 200))
def test_contributions_are_the_means_over_all_orders_of_the_groups(calibrated, seed):
    score = grouped(seed, calibrated=calibrated)
    groups = ("words", "intent", "taste", "behaviour", "popularity", "boosts")
    baseline, shares = score.contributions(np.array([0, 4]))
    assert baseline == pytest.approx(value(score, (), 0), abs=1e-5)
    for column, at in enumerate((0, 4)):
        total = baseline + sum(share[column] for share in shares.values())
        assert total == pytest.approx(value(score, groups, at), abs=1e-5)
    coalitions = chain.from_iterable(combinations(groups, size) for size in range(7))
    values = {frozenset(each): value(score, each, 4) for each in coalitions}
    expected, orders = dict.fromkeys(groups, 0.0), list(permutations(groups))
    for order in orders:
        present = frozenset()
        for group in order:
            expected[group] += values[present | {group}] - values[present]
            present |= {group}
    for group in groups:
        assert shares[group][1] == pytest.approx(expected[group] / len(orders), abs=1e-4), group


@given(seed=st.integers(0, 500))
def test_a_group_that_the_network_ignores_gets_exactly_nothing(seed):
    _, shares = grouped(seed, ignored="taste").contributions(np.arange(9))
    assert "taste" not in shares or not shares["taste"].any()
    assert shares["behaviour"].any()


def test_without_a_network_or_a_calibration_terms_are_told_without_coalitions():
    terms = (("words", np.array([1, 0, 0.5], np.float32)), ("taste", np.float32([3, 3, 0])))
    baseline, shares = GroupedScore(terms=terms).contributions(np.array([0, 2]))
    assert baseline == 2.5
    assert {group: share.tolist() for group, share in shares.items()} == {
        "words": [0.5, 0.0],
        "taste": [1.0, -2.0],
    }


@given(
    st.floats(-50, 50),
    st.dictionaries(st.sampled_from(GROUPS), st.floats(-20, 20), min_size=1),
    st.floats(-1e-5, 1e-5),
)
def test_the_last_digits_add_up(baseline, contributions, error):
    score = float(np.float32(fsum([baseline, *contributions.values()]) + error))
    mended = adding_up(baseline, contributions, score)
    assert fsum([baseline, *mended.values()]) == pytest.approx(score, abs=1e-13)
    assert mended == pytest.approx(contributions, abs=2e-5)


def test_groups_of_features():
    groups = {
        name: group_of_feature(name)
        for name in (
            "sequential_ridge.total",
            "content_knn.rank",
            "taste.mean",
            "item.popularity",
            "item.freshness",
            "side.who",
            "lexical.bm25",
            "cosine.gap",
        )
    }
    assert list(groups.values()) == [
        "behaviour",
        "taste",
        "taste",
        "popularity",
        "freshness",
        "context",
        "words",
        "words",
    ]
