"""Why an item is not in an answer: a test for every way in which the engine can lose one."""

from dataclasses import replace

import pytest

from app.core.explanation import KeptOut
from app.core.rank_rules import RankRule, RankRules
from app.core.ranking import RankRequest
from app.core.types import Change
from app.domain.values import parse_time
from app.engine.intent.parser import intent_parser_of
from tests.learned_rig import engine_over
from tests.small_engine import small_engine


@pytest.fixture(scope="module")
def engine():
    dates = [parse_time(f"{1970 + n}-01-01", "it") for n in range(6)] + [None] * 301
    engine = small_engine(
        {"alien": 0.9, "star": 0.7, "dull3": 0.5},
        copies=300,
        extra={"published_at": ("time", dates)},
    )
    parser = intent_parser_of(engine._parts.catalogue, {}, {})
    engine._parts = replace(engine._parts, parser=parser)
    return engine


def lost(engine, item, kept_out=None, **asked):
    return engine.why_not(RankRequest(now=1.7e9, **asked), item, kept_out)


def test_an_item_of_the_answer_has_its_place(engine):
    found = lost(engine, "star", query="star space adventure")
    assert (found.stage, found.details) == ("answered", {"place": 1})
    assert found.sentence == "It is in the answer, at place 1."


def test_an_unknown_item(engine):
    found = lost(engine, "nope", query="space")
    assert found.stage == "unknown"
    assert found.sentence == "The catalogue contains no such item."


def changed(item, now=1.7e9, **fields):
    engine = small_engine()
    record = None if fields.get("deleted") else {"title": "space thing", **fields}
    change = Change(1, item, record)
    engine.plan([change], now)()
    return engine


@pytest.mark.parametrize(
    ("fields", "by"),
    [
        ({"hidden": True}, "hidden"),
        ({"deleted": True}, "deleted"),
        ({"available_from": 1.9e9}, "available_from"),
        ({"available_until": 1.6e9}, "available_until"),
    ],
)
def test_an_item_that_nobody_gets(fields, by):
    found = lost(changed("alien", **fields), "alien", query="space")
    assert (found.stage, found.details) == ("hidden", {"by": by})


def test_an_item_that_the_request_excludes(engine):
    found = lost(engine, "alien", query="space", exclude=frozenset({"alien"}))
    assert (found.stage, found.details) == ("excluded", {"by": "exclude"})
    found = lost(engine, "alien", query="space", candidates=("star", "mob"))
    assert (found.stage, found.details) == ("excluded", {"by": "candidates"})
    found = lost(engine, "star", query="films like star space adventure")
    assert (found.stage, found.details) == ("excluded", {"by": "intent"})


def test_what_the_service_keeps_out_has_the_reason_of_the_service(engine):
    kept_out = KeptOut("seen", "seen", {"event": "click", "time": 5.0})
    found = lost(engine, "alien", kept_out, query="space", seen=frozenset({"alien"}))
    assert found.stage == "seen"
    assert found.details == {"by": "seen", "event": "click", "time": 5.0}
    assert found.sentence == "The user has it already: there is a stored event click."
    # Its title is asked for, so it comes back.
    asked = {"query": "alien space horror", "seen": frozenset({"alien"})}
    assert lost(engine, "alien", kept_out, **asked).stage == "answered"


def test_a_clause_of_the_filter(engine):
    found = lost(engine, "heist", filter='{"categories":{"any":["space"]},"year":{"gt":1900}}')
    assert found.stage == "filtered"
    assert found.details["by"] == "filter"
    assert found.details["clauses"] == [{"categories": {"any": ["space"]}}]
    assert found.sentence == 'It fails the filter of the request: {"categories":{"any":["space"]}}.'


def test_a_demand_of_the_query_and_a_negation(engine):
    intent = '{"filters":{"categories":{"any":["space"]}},"residual_text":"robot"}'
    found = lost(engine, "heist", query="robot", intent=intent, k=2)
    assert (found.stage, found.details["by"]) == ("filtered", "intent")
    assert found.details["clauses"] == [{"categories": {"any": ["space"]}}]
    intent = '{"filters":{"categories":{"not":["crime"]}},"residual_text":"robot"}'
    found = lost(engine, "heist", query="robot", intent=intent, k=2)
    assert found.details["clauses"] == [{"categories": {"not": ["crime"]}}]


def test_an_unwanted_word(engine):
    intent = '{"residual_text":"crime","without":["bank","space"]}'
    found = lost(engine, "heist", query="crime", intent=intent, k=3)
    assert found.stage == "filtered"
    assert found.details == {"by": "intent", "words": ["bank"], "word": "bank"}


def test_no_source_has_found_it(engine):
    asked = {"query": "space adventure", "intent": "off", "k": 2}
    tried = (lost(engine, f"dull{n}", **asked) for n in range(300))
    found = next(each for each in tried if each.stage == "not_retrieved")
    sources = {source["name"]: source for source in found.details["sources"]}
    assert sources["meaning"]["brought"] == 200
    assert sources["meaning"]["behind"] == pytest.approx(
        sources["meaning"]["last_score"] - sources["meaning"]["score"]
    )
    assert sources["meaning"]["behind"] >= 0.0
    assert sources["words"]["score"] is None


def test_others_have_higher_scores(engine):
    found = lost(engine, "alien", query="space adventure", intent="off", k=2)
    assert found.stage == "outranked"
    assert found.details["rank"] == 3
    assert found.details["group"] == "words"
    assert found.details["behind"] == pytest.approx(
        found.details["last_score"] - found.details["score"], abs=1e-5
    )
    assert found.sentence.startswith("It has rank 3 of ")


def test_a_strict_order_has_others_before_it(engine):
    found = lost(engine, "star", query="old", intent='{"sort":"newest"}', k=2)
    assert (found.stage, found.details) == ("outranked", {"sort": "newest", "rank": 5})
    found = lost(engine, "dull7", query="old", intent='{"sort":"oldest"}', k=2)
    assert found.stage == "outranked"
    assert found.sentence.startswith("It has no value to be sorted by")


def test_a_score_below_the_bound(engine):
    found = lost(engine, "mob", query="crime", min_score=50.0)
    assert found.stage == "below_min_score"
    assert found.details["min_score"] == 50.0 > found.details["score"]


def test_another_item_with_the_same_value(engine):
    asked = {"query": "space adventure", "k": 3, "max_per": (("categories", 1),)}
    found = lost(engine, "robot", **asked)
    full = {"categories": ["space", "adventure"]}
    assert (found.stage, found.details) == (
        "max_per",
        {"max_per": {"categories": 1}, "full": full},
    )


def test_diversity_has_lost_it(engine):
    asked = {"query": "adventure space", "intent": "off", "k": 3}
    (plain,) = engine.rank([RankRequest(now=1.7e9, **asked)]).results
    (diverse,) = engine.rank([RankRequest(now=1.7e9, diversity=1.0, **asked)]).results
    gone = {item.id for item in plain.items} - {item.id for item in diverse.items}
    assert gone
    assert lost(engine, gone.pop(), diversity=1.0, **asked).stage == "diversity"


def test_a_draw_has_lost_it(engine):
    asked = {"query": "space", "intent": "off", "k": 3}
    (plain,) = engine.rank([RankRequest(now=1.7e9, **asked)]).results
    for seed in range(50):
        asked |= {"explore": 1.0, "seed": seed}
        (drawn,) = engine.rank([RankRequest(now=1.7e9, **asked)]).results
        if gone := {item.id for item in plain.items} - {item.id for item in drawn.items}:
            break
    assert lost(engine, gone.pop(), **asked).stage == "explore"


def test_a_group_needed_the_place(engine):
    exposure = '{"field":"categories","groups":{"crime":{"min":1.0,"max":null}}}'
    asked = {"query": "space adventure", "intent": "off", "k": 2, "exposure": exposure}
    assert lost(engine, "star", **asked).stage == "exposure"


def ruled(*rules):
    return RankRules("key", rules)


def test_rules_have_lost_it(engine):
    space, crime = '{"categories":{"any":["space"]}}', '{"categories":{"any":["crime"]}}'
    found = lost(
        engine, "star", query="space", rules=ruled(RankRule("no-space", "block", filter=space))
    )
    assert (found.stage, found.details) == ("blocked", {"rule": "no-space"})
    assert found.sentence == "The rule no-space blocks it."
    pin = ruled(RankRule("p", "pin", item="love", place=1))
    assert lost(engine, "star", query="star space adventure", k=1, rules=pin).stage == "pins"
    promote = ruled(RankRule("c", "promote", filter=crime, amount=1.0))
    asked = {"query": "star space adventure", "k": 1, "rules": promote}
    assert lost(engine, "star", **asked).stage == "promotion"


def test_the_sentence_is_in_the_language_of_the_query(engine):
    assert lost(engine, "heist", query="太空", k=1).sentence[-1] == "。"
    assert lost(engine, "nope", language="es").sentence == "El catálogo no contiene tal artículo."


@pytest.mark.learning
def test_a_learned_order_tells_the_group(ring_bundle):
    ring = engine_over(ring_bundle)
    history = ("r9", "r10", "r11")
    found = lost(ring, "r30", history=history, exclude=frozenset(history), k=1)
    assert found.stage in {"outranked", "not_retrieved"}
    if found.stage == "outranked":
        assert found.details["group"] in {"behaviour", "taste"}
