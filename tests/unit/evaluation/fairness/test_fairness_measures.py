"""The measures, against values computed by hand."""

import numpy as np
import pytest

from app.evaluation.fairness.groups import ItemGroups, UserGroup
from app.evaluation.fairness.measures import (
    item_group_table,
    place_shares,
    shown_of_all,
    user_group_table,
)

# Items 0 and 1 are of a, 2 of b, 3 of both.
GROUPS = ItemGroups("genre", ("a", "b"), np.array([[1, 0], [1, 0], [0, 1], [0.5, 0.5]]))
LISTS = np.array([[0, 1, 2], [0, 3, -1], [2, -1, -1], [-1, -1, -1]])


def test_shares_of_the_places() -> None:
    shares = place_shares(LISTS, GROUPS)
    assert shares[:3].tolist() == [
        [pytest.approx(2 / 3), pytest.approx(1 / 3)],
        [0.75, 0.25],
        [0.0, 1.0],
    ]
    assert np.isnan(shares[3]).all()


def test_exposure_beside_relevance() -> None:
    # The third user took an item outside the catalogue, the fourth was shown nothing.
    a, b = item_group_table(LISTS, np.array([2, 3, -1, 0]), GROUPS, seed=0)
    assert (a["group"], a["n_items"], b["group"], b["n_items"]) == ("a", 2.5, "b", 1.5)
    exposure = (2 / 3 + 0.75) / 2
    assert a["exposure"] == pytest.approx(exposure, abs=1e-6)
    assert b["exposure"] == pytest.approx(1 - exposure, abs=1e-6)
    assert (a["relevance"], b["relevance"]) == (0.25, 0.75)
    assert a["ratio"]["value"] == pytest.approx(exposure / 0.25, abs=1e-5)
    assert b["ratio"]["low"] <= b["ratio"]["value"] <= b["ratio"]["high"]


def test_a_group_that_nobody_took_has_no_ratio() -> None:
    a, b = item_group_table(LISTS[:1], np.array([0]), GROUPS, seed=0)
    assert a["ratio"]["value"] == pytest.approx(2 / 3, abs=1e-6)
    assert (b["relevance"], b["ratio"]["value"]) == (0.0, None)
    (nothing, _) = item_group_table(LISTS[3:], np.array([0]), GROUPS, seed=0)
    assert (nothing["exposure"], nothing["relevance"]) == (None, None)


def test_accuracy_and_popularity_lift_of_groups_of_users() -> None:
    groups = [
        UserGroup("activity", "few", np.array([True, True, False])),
        UserGroup("activity", "many", np.array([False, False, True])),
    ]
    few, many = user_group_table(
        groups,
        accuracy=np.array([1.0, 0.5, 0.25]),
        listed=np.array([6.0, 3.0, 5.0]),
        taken=np.array([2.0, 1.0, np.nan]),
        seed=0,
    )
    assert (few["by"], few["group"], few["n_users"]) == ("activity", "few", 2)
    assert few["ndcg@10"]["value"] == 0.75
    assert few["ndcg@10"]["low"] == 0.5
    assert few["ndcg@10"]["high"] == 1.0
    assert few["popularity_lift@10"] == {"value": 2.0, "low": 2.0, "high": 2.0}
    assert many["ndcg@10"]["value"] == 0.25
    assert many["popularity_lift@10"]["value"] is None  # nothing is known of what they took


def test_gini_and_coverage_of_all_lists() -> None:
    # Item 0 twice, 1 once, 2 twice, 3 once, 4 never: sorted 0 1 1 2 2, Σ (2i − n − 1) c = 10.
    measured = shown_of_all(LISTS, 5)
    assert measured["coverage@10"] == 0.8
    assert measured["gini@10"] == pytest.approx((-2 * 1 + 0 * 1 + 2 * 2 + 4 * 2) / (5 * 6))
