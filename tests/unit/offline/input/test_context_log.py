"""Contexts of a log in arrays: their codes, and how many values are kept."""

import numpy as np

from app.domain.named_values import MAX_NAMES
from app.offline.input.context_log import MAX_VALUES, ContextLogger
from app.offline.input.events import read_events
from app.offline.input.recipe import Recipe
from tests.bundles import write_jsonl

CLICK = {"user_id": "u", "item_id": "i"}


def test_contexts_of_a_file_follow_its_events(tmp_path):
    rows = [
        {**CLICK, "event_id": 1, "context": {"hour": 3}},
        {**CLICK, "context": {"hour": 14.2, "os": "a"}},
        CLICK,
        {**CLICK, "context": {"hour": "14"}},
        {**CLICK, "event_id": 1, "context": {"os": "b"}},
    ]
    log = read_events(write_jsonl(tmp_path / "e.jsonl", rows), Recipe(), 1e9)
    assert [log.context.of(at) for at in range(len(log))] == [
        {"hour": "14", "os": "a"},
        {},
        {"hour": "14"},
        {"os": "b"},
    ]
    assert log.context.codes["hour"].dtype == np.uint16
    some = log.only(np.array([False, True, True, True]))
    assert [some.context.of(at) for at in range(3)] == [{}, {"hour": "14"}, {"os": "b"}]


def test_names_and_values_beyond_the_bounds_are_left_out_and_named():
    logger = ContextLogger()
    for row in range(MAX_VALUES + 5):
        logger.add(row, (("id", f"x{row}"),))
    logger.add(MAX_VALUES + 5, tuple((f"n{at}", "v") for at in range(MAX_NAMES)))
    n = MAX_VALUES + 6
    log = logger.log(n, np.ones(n, bool))
    assert logger.left_out == {"id", f"n{MAX_NAMES - 1}"}
    assert log.of(MAX_VALUES - 1) == {"id": f"x{MAX_VALUES - 1}"}
    assert log.of(MAX_VALUES) == {}
    assert len(log.codes) == MAX_NAMES
