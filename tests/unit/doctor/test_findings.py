"""Each finding on its own: what shows it, its number and words; and a catalogue that is well."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest

from app.core.types import FieldFacts
from app.doctor.checkup import CHECKS, examined
from app.doctor.facts import Examined, ExaminedEvents, ExaminedItems, ExaminedModel, ExaminedService
from app.doctor.finding import Finding

BRAND = FieldFacts("brand", "string", 990, distinct=40, values=(("Nord", 90),))
PRICE = FieldFacts("price", "number", 1000, low=1.0, high=90.0)
DATE = FieldFacts("published_at", "time", 990, low="2001-01-01", high="2026-01-01")
NOTHING = FieldFacts("text", "string", 0, distinct=0)

HEALTHY = Examined(
    items=ExaminedItems(
        n_items=1000,
        n_visible=1000,
        looked_at=1000,
        no_text=10,
        no_title=5,
        no_words=5,
        no_vector=5,
        cut=20,
        hidden=50,
        same_title=10,
        dated=990,
        in_future=1,
        fields=(BRAND, PRICE, DATE, NOTHING),
        roles={"price": "price"},
    ),
    events=ExaminedEvents(
        in_bundle=5000,
        in_store=300,
        unknown_item=20,
        unknown_kind=10,
        positive=5000,
        users=400,
        users_with_one=40,
        counts=tuple(range(1, 801)),
        since_learned=300,
    ),
    model=ExaminedModel(
        learned_from_behaviour=True, learned_modes=("words", "history", "both"), notes=("words: a",)
    ),
    service=ExaminedService(
        workers=2,
        shared_cache=True,
        queries=1000,
        wordless=20,
        weak=100,
        cache_reads=10_000,
        cache_hits=9000,
    ),
)


def found(facts: Examined) -> list[Finding]:
    return [finding for check in CHECKS for finding in check(facts)]


def sick(part: str, **changed: Any) -> Examined:
    return replace(HEALTHY, **{part: replace(getattr(HEALTHY, part), **changed)})


def test_a_healthy_catalogue_has_no_finding() -> None:
    assert found(HEALTHY) == []


def test_nothing_counted_is_no_sickness_but_what_is_missing() -> None:
    assert [each.id for each in found(Examined())] == ["no_items", "no_events"]


ITEMS = (
    ({"n_visible": 0, "fields": ()}, "no_items", 1000, "There are no items that may come back"),
    (
        {"no_text": 370, "no_words": 300},
        "no_text",
        0.37,
        "37 % of items have no text: words cannot find them.",
    ),
    (
        {"no_text": 370},
        "no_text",
        0.37,
        "37 % of items have no text: words find them by their title only.",
    ),
    ({"no_title": 20}, "no_title", 0.02, "2 % of items have no title"),
    ({"same_title": 50}, "same_title", 0.05, "5 % of items have the same title as another one"),
    (
        {"fields": (FieldFacts("colour", "string", 0, distinct=0),)},
        "empty_field:colour",
        0.0,
        "The field colour is always empty",
    ),
    (
        {"fields": (FieldFacts("colour", "strings", 49, distinct=7),)},
        "empty_field:colour",
        0.049,
        "The field colour is empty in 95 % of items",
    ),
    (
        {"fields": (FieldFacts("text", "string", 3, distinct=3),)},
        "empty_field:text",
        0.003,
        "The field text is empty in 99.7 % of items",
    ),
    (
        {"fields": (FieldFacts("shop", "string", 1000, distinct=1),)},
        "one_value:shop",
        1,
        "The field shop has one value only",
    ),
    (
        {"fields": (FieldFacts("price", "number", 1000, low=9.0, high=9.0),)},
        "one_value:price",
        1,
        "The field price has one value only",
    ),
    (
        {"dated": 0, "in_future": 0},
        "no_dates",
        1.0,
        "No item has a published_at: newest means nothing",
    ),
    ({"dated": 700}, "no_dates", 0.3, "30 % of items have no published_at"),
    ({"in_future": 30}, "future_dates", 0.03, "3 % of items have a published_at in the future"),
    ({"hidden": 250}, "hidden_items", 0.25, "25 % of items are hidden"),
    ({"no_vector": 600}, "unread_text", 0.6, "The encoder knows hardly a word of 60 % of items"),
    ({"cut": 400}, "cut_text", 0.4, "The text of 40 % of items is longer than the encoder reads"),
    (
        {"roles": {}},
        "missing_roles",
        3,
        "No field is the price or the rating or the runtime, and price has no role",
    ),
)


@pytest.mark.parametrize(("changed", "name", "number", "sentence"), ITEMS)
def test_items(changed: Mapping[str, Any], name: str, number: float, sentence: str) -> None:
    (finding,) = found(sick("items", **changed))
    assert (finding.id, finding.number) == (name, pytest.approx(number))
    assert finding.sentence.startswith(sentence)
    assert finding.remedy


EVENTS = (
    (
        {"in_bundle": 0, "in_store": 0, "positive": 0, "counts": (), "since_learned": 0},
        "no_events",
        0,
        "There are no events",
    ),
    (
        {"positive": 0, "counts": (), "users": 0, "users_with_one": 0},
        "no_positive_events",
        5300,
        "No event kind counts as positive: 5,300 events teach nothing.",
    ),
    ({"unknown_kind": 530}, "unknown_kinds", 0.1, "10 % of events are of kinds without a rule"),
    (
        {"unknown_item": 1590},
        "unknown_items",
        0.3,
        "30 % of events are about items that the catalogue does not have.",
    ),
    ({"users_with_one": 300}, "single_events", 0.75, "75 % of users have one event only"),
    (
        {"counts": (9000, *[1] * 799)},
        "concentrated",
        pytest.approx(9009 / 9799),
        "1 % of items take 92 % of all events (Gini 0.93)",
    ),
    ({"counts": tuple(range(1, 301))}, "never_taken", 0.7, "70 % of items were never taken"),
    (
        {"since_learned": 1000},
        "train_again",
        1000,
        "1,000 events came after the bundle was learned, 20 % of what it knows.",
    ),
)


@pytest.mark.parametrize(("changed", "name", "number", "sentence"), EVENTS)
def test_events(changed: Mapping[str, Any], name: str, number: float, sentence: str) -> None:
    (finding,) = found(sick("events", **changed))
    assert (finding.id, finding.number) == (name, number)
    assert finding.sentence.startswith(sentence)
    assert finding.remedy


@pytest.mark.parametrize(
    ("events", "why", "remedy"),
    [
        ({"users": 400}, "360 users have several positive events", "Collect more events"),
        (
            {"users": 4000, "in_bundle": 400, "since_learned": 0},
            "built before these events came",
            "recserve train",
        ),
        ({"users": 4000}, "built without learning", "timestamps"),
    ],
)
def test_nothing_learned_and_why(events: Mapping[str, Any], why: str, remedy: str) -> None:
    model = ExaminedModel(learned_from_behaviour=False)
    (finding,) = found(replace(sick("events", **events), model=model))
    assert finding.id == "nothing_learned"
    assert why in finding.sentence
    assert remedy in finding.remedy


def test_a_mode_that_was_not_learned_and_why() -> None:
    note = "both: the fixed order stays; no model was better beyond chance"
    facts = sick("model", learned_modes=("words",), notes=("words: network", note))
    history, both = found(facts)
    assert (history.id, both.id) == ("not_learned:history", "not_learned:both")
    assert history.sentence.endswith("by the fixed order: there were too few examples.")
    assert both.sentence == (
        "Requests with a query and a history are ranked by the fixed order: the fixed order stays; "
        "no model was better beyond chance."
    )


SERVICE = (
    ({"wordless": 620}, "wordless_queries", 0.62, "62 % of queries find no word"),
    ({"weak": 500}, "weak_queries", 0.5, "Little was understood of 50 % of queries"),
    ({"cache_hits": 100}, "low_hit_rate", 0.01, "1 % of requests were answered from the cache"),
    ({"shared_cache": False}, "no_shared_cache", 2, "2 workers share no cache"),
    (
        {"set_aside": ["i1", "i2"]},
        "changes_set_aside",
        2,
        "The newest change of 2 items could not be applied; they are as they were before: i1, i2.",
    ),
)


@pytest.mark.parametrize(("changed", "name", "number", "sentence"), SERVICE)
def test_service(changed: Mapping[str, Any], name: str, number: float, sentence: str) -> None:
    (finding,) = found(sick("service", **changed))
    assert (finding.id, finding.number) == (name, number)
    assert finding.sentence.startswith(sentence)
    assert finding.remedy


def test_too_few_queries_and_reads_say_nothing() -> None:
    few = {"queries": 49, "wordless": 49, "weak": 49, "cache_reads": 499, "cache_hits": 0}
    assert found(sick("service", **few)) == []


def test_the_worst_comes_first_and_is_shown() -> None:
    changed = {"hidden": 500, "no_text": 500, "no_words": 500, "no_title": 500}
    checkup = examined("shop", "g1", sick("items", **changed))
    assert [each.severity for each in checkup.findings] == ["error", "warning", "notice"]
    lines = str(checkup).splitlines()
    assert lines[0] == "shop/g1: looked at 1,000 items and 5,300 events and 1,000 queries"
    assert lines[1] == "error    50 % of items have no text: words cannot find them."
    shown = checkup.shown()
    assert shown["findings"][0].keys() == {each.name for each in fields(Finding)}
    assert shown["looked_at"] == {"items": 1000, "events": 5300, "queries": 1000}
    assert str(examined("shop", "g1", HEALTHY)).endswith("\nnothing is wrong")
