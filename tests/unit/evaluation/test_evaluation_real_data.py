"""The protocol on real data: known floors come out, so the right things are held out."""

import os
from pathlib import Path

import pytest

from app.evaluation.answer_metrics import next_item_table
from app.evaluation.baselines.base import TrainingData
from app.evaluation.dataset_readers import kind_of, read_pairs, read_sequences
from app.evaluation.model_runs import BaselineRunner, histories_of
from app.evaluation.protocols import plan_of_events, sampled
from app.offline.input.recipe import DEFAULT_EVENT_RULES, Recipe
from app.testing.encoder import HashEncoder


def data(name: str) -> Path:
    folder = Path(os.environ.get("RECSERVE_SHARED", "../shared")) / "data" / name
    if not folder.is_dir():
        reason = f"no {folder}: set RECSERVE_SHARED to the folder that holds data/{name}"
        if os.environ.get("RECSERVE_REQUIRE_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


def test_item_knn_reaches_its_floor_on_beauty():
    folder = data("amazon-beauty")
    assert kind_of(folder) == "sequences"
    catalogue, events = read_sequences(folder, seed=0)
    assert (len(catalogue), len(events), len(events.users)) == (12_101, 198_502, 22_363)
    plan = plan_of_events("strict", catalogue, events, DEFAULT_EVENT_RULES)
    assert len(plan.folds[0].events) == 198_502 - 2 * 22_363
    assert plan.notes["target_already_in_history"] == 0
    plan = sampled(plan, 6000, seed=1)
    sequences = histories_of(plan.folds[0].events, Recipe(), catalogue.ids)
    train = TrainingData(sequences, catalogue.titles, HashEncoder(2).encode([""]), seed=0)
    (answers,) = BaselineRunner(plan, [train], {}).answers_of("item-knn")
    table = next_item_table(answers)
    # All users, no training: .0851 / .0537; a sample of 6,000 is within ± .007.
    assert table["recall@10"].mean() == pytest.approx(0.0851, abs=0.009)
    assert table["ndcg@10"].mean() == pytest.approx(0.0537, abs=0.007)


def test_the_judged_products_of_the_search_set():
    catalogue, judged = read_pairs(data("crowdflower-search"), seed=0)
    assert (len(catalogue), len(judged)) == (6657, 180)
    assert {len(catalogue.titles[0]) > 0} == {True}
