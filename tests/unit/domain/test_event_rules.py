"""One event and a whole log are judged alike."""

import itertools
import math

import numpy as np
import pytest

from app.domain.event_rules import DAY_S, DEFAULT_EVENT_RULES, EventRule
from app.offline.input.events import Events
from app.offline.input.read_report import ReadReport
from app.offline.learning.signals import negative_events, positive_weights


def test_the_sign_of_an_event_is_what_building_makes_of_it() -> None:
    rules = {
        **DEFAULT_EVENT_RULES,
        "bad": EventRule(weight=-2.0, positive_from=3.0),
        "none": EventRule(weight=0.0, positive_from=3.0),
    }
    kinds = list(rules)
    cases = list(itertools.product(range(len(kinds)), [np.nan, -1.0, 2.9, 3.0, 3.5, 9.0]))
    n = len(cases)
    zeros = np.zeros(n, np.int32)
    kind = np.array([k for k, _ in cases], np.int32)
    value = np.array([v for _, v in cases])
    events = Events(
        ["u:1"],
        ["a"],
        kinds,
        [],
        zeros,
        zeros,
        kind,
        value,
        value,
        zeros,
        zeros - 1,
        ReadReport("t"),
    )
    positive, negative = positive_weights(events, rules) > 0, negative_events(events, rules)

    signs = [rules[kinds[k]].sign(None if np.isnan(v) else v) for k, v in cases]
    wanted = np.where(negative, -1, np.where(positive, 1, 0))
    assert signs == wanted.tolist()
    assert not np.any(negative & positive)


def log_of_ages(kind_names: list[str], rows: list[tuple[int, float]]) -> Events:
    """(kind, age in days; NaN = no time)."""
    kind, age = (np.array(part) for part in zip(*rows, strict=True))
    zeros, none = np.zeros(len(rows), np.int32), np.full(len(rows), np.nan)
    time = 2e9 - age * DAY_S
    kind = kind.astype(np.int32)
    return Events(
        ["u:1"],
        ["a"],
        kind_names,
        [],
        zeros,
        zeros,
        kind,
        none,
        time,
        zeros,
        zeros - 1,
        ReadReport("t"),
    )


def test_a_weight_halves_with_age_and_a_faded_dislike_says_nothing() -> None:
    rules = {
        "view": EventRule(weight=0.5, half_life_days=7),
        "cart": EventRule(weight=2.0),
        "dislike": EventRule(weight=-1.0, half_life_days=1.0),
    }
    rows = [(0, 0.0), (0, 7.0), (0, 14.0), (0, math.nan), (1, 9000.0), (1, math.nan)]
    rows += [(2, 4.0), (2, 4.01), (2, math.nan), (0, 1e6), (3, 3.0)]
    events = log_of_ages(["view", "cart", "dislike", "strange"], rows)

    worth = positive_weights(events, rules)
    assert worth[:9].tolist() == [0.5, 0.25, 0.125, 0.5, 2.0, 2.0, 0.0, 0.0, 0.0]
    # However old: it was taken, so it stays in histories.
    assert 0.0 < worth[9] < 1e-9
    assert worth[10] == 0.0
    assert negative_events(events, rules).tolist() == [
        *[False] * 6,
        True,
        False,
        True,
        False,
        False,
    ]


def test_without_times_nothing_fades() -> None:
    events = log_of_ages(["view"], [(0, math.nan)] * 2)
    rules = {"view": EventRule(weight=0.5, half_life_days=7)}
    assert positive_weights(events, rules).tolist() == [0.5, 0.5]
    assert positive_weights(Events.none(), rules).tolist() == []


@pytest.mark.parametrize("age_days", [0.0, 3.99, 4.0, 4.01, 400.0])
def test_a_dislike_fades_from_a_log_when_it_fades_from_a_taste(age_days: float) -> None:
    rule = EventRule(weight=-1.0, half_life_days=1.0)
    events = log_of_ages(["dislike"], [(0, age_days), (0, 0.0)])
    now, then = float(events.timestamp[1]), float(events.timestamp[0])
    telling = then >= rule.telling_since(now)
    assert negative_events(events, {"dislike": rule})[0] == telling == (age_days <= 4)


@pytest.mark.parametrize(
    ("past", "present"),
    [
        *(("purchased", "purchase"), ("order_completed", "order"), ("returned", "return")),
        *(("viewed", "view"), ("pv", "view"), ("played", "play"), ("skipped", "skip")),
        *(("product_added", "add_to_cart"), ("product_removed", "remove_from_cart")),
        *(("liked", "like"), ("fav", "like")),
    ],
)
def test_what_was_done_means_what_doing_it_means(past: str, present: str) -> None:
    assert DEFAULT_EVENT_RULES[past] == DEFAULT_EVENT_RULES[present]
