"""Settings, their costs and gains by hand, and what the users who choose may choose."""

import json

import numpy as np
import pytest

from app.evaluation.fairness.trade_off import (
    BIASES,
    DIVERSITIES,
    FLOORS,
    FloorGroup,
    Shown,
    chosen,
    least_shown,
    measured,
    settings_of,
)


def test_each_field_has_its_settings_and_a_floor_needs_a_group() -> None:
    plain = settings_of(None)
    assert [(s.field, s.value) for s in plain] == [
        *(("diversity", value) for value in DIVERSITIES),
        *(("popularity_bias", value) for value in BIASES),
    ]
    floors = settings_of(FloorGroup("provider", "small"))[len(plain) :]
    assert [s.value for s in floors] == list(FLOORS)
    assert json.loads(floors[1].changes["exposure"]) == {
        "field": "provider",
        "groups": {"small": {"min": 0.2, "max": None}},
    }


def test_what_a_setting_costs_and_brings() -> None:
    base = Shown(np.array([[0, 1], [0, 1]]), np.array([1.0, 0.6]))
    shown = Shown(np.array([[0, 2], [3, 1]]), np.array([0.8, 0.6]))
    tail = {"tail_share": np.array([0.0, 0.0, 1.0, 1.0])}
    # Items 0 and 1 are alike, 2 and 3 are unlike all.
    vectors = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    row = measured(shown, base, tail, vectors, seed=0)
    assert row["ndcg@10"]["value"] == pytest.approx(0.7)
    assert row["lost"]["value"] == pytest.approx(0.1 / 0.8)  # of a mean of .8
    assert (row["lost"]["low"], row["lost"]["high"]) == (0.0, pytest.approx(0.2 / 0.8))
    assert (row["coverage@10"], row["gini@10"], row["tail_share"]) == (1.0, 0.0, 0.5)
    assert row["diversity@10"] == 1.0
    plain = measured(base, base, tail, vectors, seed=0)
    assert plain["diversity@10"] == 0.0
    assert (plain["lost"]["value"], plain["coverage@10"], plain["gini@10"]) == (0.0, 0.5, 0.5)


def test_where_nothing_is_found_no_share_is_lost() -> None:
    nothing = Shown(np.array([[0, 1]]), np.array([0.0]))
    tail = {"tail_share": np.array([1.0, 0.0])}
    row = measured(nothing, nothing, tail, np.eye(2, dtype=np.float32), seed=0)
    assert row["lost"] == {"value": None, "low": None, "high": None}


def row(field: str, value: float, lost: float, shown: float, floor: float = 0.0) -> dict:
    return {
        "field": field,
        "value": value,
        "lost": {"value": lost},
        "coverage@10": shown,
        "diversity@10": shown,
        "floor_share": floor,
    }


def test_the_setting_that_brings_most_and_loses_little_is_chosen() -> None:
    rows = [
        row("plain", 0.0, 0.0, 0.2, 0.05),
        row("diversity", 0.1, 0.01, 0.25),
        row("diversity", 0.3, 0.02, 0.30),
        row("diversity", 0.5, 0.03, 0.40),
        row("popularity_bias", 1.0, -0.01, 0.1),
        row("exposure", 0.1, 0.0, 0.2, 0.1),
        row("exposure", 0.2, 0.01, 0.2, 0.2),
    ]
    fields = ["diversity", "popularity_bias", "exposure"]
    assert chosen(rows, fields) == {"diversity": 0.3, "popularity_bias": None, "exposure": 0.2}


def test_the_floor_goes_to_the_group_that_is_shown_most_rarely() -> None:
    def group(name: str, relevance: float, ratio: float | None) -> dict:
        return {"group": name, "relevance": relevance, "ratio": {"value": ratio}}

    rows = [
        group("a", 0.5, 1.2),
        group("b", 0.3, 0.7),
        group("c", 0.1, 0.5),
        group("rare", 0.01, 0.1),
        group("unseen", 0.0, None),
        group("(others)", 0.2, 0.2),
    ]
    assert least_shown(rows) == "c"
    assert least_shown(rows[:1]) is None
