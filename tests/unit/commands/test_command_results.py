"""What `--json` prints of a build: the same as the text says, in a form for programs."""

import json
from dataclasses import replace
from pathlib import Path

import orjson

from app.bundle.manifest import LearnedFacts
from app.commands.results import facts_of_build
from app.offline.build import build, retrain
from app.offline.input.recipe import Recipe
from tests.bundles import fake_encoder, fake_opened, write_jsonl

ITEMS = [{"id": "a", "title": "Red sofa", "price": 7}, {"id": "b", "title": "Chair"}, {"title": 1}]
EVENTS = [
    {"user_id": "ann", "item_id": "a", "event_id": "1"},
    {"user_id": "ann", "item_id": "gone", "event_id": "2"},
    {"user_id": "bob", "item_id": "b", "event_id": "3"},
]


def test_a_build_is_told_in_full(tmp_path: Path) -> None:
    items = write_jsonl(tmp_path / "items.jsonl", ITEMS)
    events = write_jsonl(tmp_path / "events.jsonl", EVENTS)
    out = tmp_path / "models" / "shop"
    report = build(items, events, Recipe(), out, fake_encoder, learning=False)
    facts = json.loads(orjson.dumps(facts_of_build(report)))

    manifest = report.bundle.manifest
    assert facts["bundle"] == "shop"
    assert facts["path"] == str(out / facts["generation"])
    assert (facts["items"], facts["users"], facts["events"]) == (2, 2, 3)
    assert facts["encoder"] == {"id": manifest.encoder.id, "dim": manifest.encoder.dim}
    assert facts["roles"] == {"price": "price"}
    assert (facts["learned"], facts["verdict"]) == (None, None)
    of_items, of_events = facts["read"]
    assert (of_items["file"], of_items["rows"], of_items["rejected"]) == ("items.jsonl", 3, 1)
    assert of_items["reasons"] == {"id is missing": 1}
    assert of_items["examples"] == ["line 3: id is missing"]
    assert of_events["noted"]["unknown_item"] == 1
    assert facts["seconds"].keys() == report.seconds.keys()
    # As the text says it, too.
    assert f"shop/{facts['generation']}: 2 items, 2 users, 3 events" in str(report)


def test_so_is_a_training(tmp_path: Path) -> None:
    items = write_jsonl(tmp_path / "items.jsonl", ITEMS)
    events = write_jsonl(tmp_path / "events.jsonl", EVENTS)
    out = tmp_path / "models" / "shop"
    first = build(items, None, Recipe(), out, fake_encoder, learning=False)
    report = retrain(out, events, open_encoder=fake_opened)
    facts = json.loads(orjson.dumps(facts_of_build(report)))

    assert facts["generation"] != first.bundle.manifest.generation
    assert (facts["users"], facts["events"]) == (2, 3)
    assert [read["file"] for read in facts["read"]] == ["events.jsonl"]

    learned = LearnedFacts(
        features={"history": ("f",)},
        decays={"content_knn": 0.5},
        content_knn_share=0.1,
        metrics={"shown": 7.0},
        notes=("the fixed order stays",),
    )
    manifest = report.bundle.manifest.model_copy(update={"learned": learned})
    report = replace(report, bundle=replace(report.bundle, manifest=manifest), verdict="published")
    facts = json.loads(orjson.dumps(facts_of_build(report)))
    assert facts["learned"] == {"notes": ["the fixed order stays"], "metrics": {"shown": 7.0}}
    assert facts["verdict"] == "published"
