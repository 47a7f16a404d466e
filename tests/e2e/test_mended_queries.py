"""The mechanism around a language model: one that is always right mends what the parser does not.

The parser, the service, the endpoint and the store are the real ones. The intents are those of
labelled queries, but they are asked in words of no language, so that every parse is weak.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from app.engine.open import open_engine
from app.evaluation.intents.demands import words_of
from app.evaluation.intents.labels import LabelledQuery, read_labels, read_neutral
from loadtest.runners.intent_catalogues import built
from loadtest.runners.label_endpoint import label_endpoint
from loadtest.scenarios.intents import LABELS
from loadtest.scenarios.mending import Taught, right_answers, taught, weak_queries

pytestmark = [pytest.mark.e2e, pytest.mark.model]


def garbled(label: LabelledQuery) -> LabelledQuery:
    return replace(label, query=f"qwzk{label.id}xv vrtzq{label.id}plk")


def test_weak_parses_are_mended(tmp_path: Path) -> None:
    (catalogue,) = built(["music"], LABELS, tmp_path)
    labels = [garbled(each) for each in read_labels(LABELS, "open") if each.catalogue == "music"]
    engine = open_engine(catalogue.bundle, 1)
    neutral = words_of(read_neutral(LABELS))
    weak = weak_queries(labels, engine)
    assert len(weak) == len(labels) > 50
    with label_endpoint(right_answers(weak)) as url:
        found = taught(
            weak, engine, catalogue.bundle, url, "labels", neutral=neutral, work=tmp_path
        )
    shown = Taught(len(labels), found).shown()
    assert shown["weak_and_wrong"] == len(labels)
    assert shown["mended_share"] >= 0.95
    assert shown["worse"] == 0
