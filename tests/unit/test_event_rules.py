"""One event and a whole log are judged alike."""

import itertools

import numpy as np

from app.event_rules import DEFAULT_WEIGHTS, Weight
from app.offline.events import Events
from app.offline.signals import negative_events, positive_weights
from app.offline.tally import Tally


def test_the_sign_of_an_event_is_what_building_makes_of_it() -> None:
    rules = {
        **DEFAULT_WEIGHTS,
        "bad": Weight(weight=-2.0, positive_from=3.0),
        "none": Weight(weight=0.0, positive_from=3.0),
    }
    kinds = list(rules)
    cases = list(itertools.product(range(len(kinds)), [np.nan, -1.0, 2.9, 3.0, 3.5, 9.0]))
    n = len(cases)
    zeros = np.zeros(n, np.int32)
    kind = np.array([k for k, _ in cases], np.int32)
    value = np.array([v for _, v in cases])
    events = Events(["u:1"], ["a"], kinds, zeros, zeros, kind, value, value, Tally("t"))
    positive, negative = positive_weights(events, rules) > 0, negative_events(events, rules)

    signs = [rules[kinds[k]].sign(None if np.isnan(v) else v) for k, v in cases]
    wanted = np.where(negative, -1, np.where(positive, 1, 0))
    assert signs == wanted.tolist()
    assert not np.any(negative & positive)
