"""What rules do to the answers of a small engine."""

import json
from typing import Any

import numpy as np
import pytest

from app.core.rank_rules import RankRule, RankRules
from app.core.ranking import RankRequest, RankResult
from app.core.types import Change
from app.domain.columns import Instant
from app.domain.filters import filter_text
from app.engine.engine import RankEngine
from tests.small_engine import TITLES, YEARS, small_engine

POPULARITY = {"alien": 0.9, "star": 0.8, "mob": 0.7, "love": 0.6, "heist": 0.5, "robot": 0.4}


def genre(name: str) -> str:
    return filter_text({"categories": {"any": [name]}})


def rules(*some: RankRule) -> RankRules:
    return RankRules(repr(some), some)


def boost(name: str, amount: float, **more: Any) -> RankRule:
    return RankRule(f"boost-{name}", "boost", genre(name), amount, **more)


def block(name: str, **more: Any) -> RankRule:
    return RankRule(f"block-{name}", "block", genre(name), **more)


def promote(name: str, share: float) -> RankRule:
    return RankRule(f"promote-{name}", "promote", genre(name), share)


def pin(item: str, place: int, rule_id: str | None = None) -> RankRule:
    return RankRule(rule_id or f"pin-{item}", "pin", item=item, place=place)


@pytest.fixture(scope="module")
def engine() -> RankEngine:
    return small_engine(POPULARITY, copies=20)


def dated() -> RankEngine:
    years = [YEARS.get(name) for name in TITLES]
    times = [None if year is None else Instant.of_year(int(year)) for year in years]
    return small_engine(POPULARITY, extra={"published_at": ("time", times)})


def asked(engine: RankEngine, *some: RankRule, **fields: Any) -> RankResult:
    intent = fields.pop("intent", None)
    text = "" if intent is None else json.dumps(intent)
    request = RankRequest(rules=rules(*some) if some else RankRules(), intent=text, **fields)
    (result,) = engine.rank([request]).results
    return result


def ids(result: RankResult) -> list[str]:
    return [item.id for item in result.items]


def placed(result: RankResult) -> dict[str, str]:
    return {item.id: item.placed_by for item in result.items if item.placed_by}


def test_a_boost_raises_scores_by_a_tenth_where_nothing_was_learned(engine: RankEngine) -> None:
    before = asked(engine, k=4)
    after = asked(engine, boost("drama", 2.0), k=4)
    assert ids(before) == ["alien", "mob", "star", "heist"]
    assert ids(after) == ["mob", "love", "alien", "star"]
    old = {item.id: item.score for item in asked(engine, k=9).items}
    assert {item.id: round(item.score - old[item.id], 5) for item in after.items} == {
        "mob": 0.2,
        "love": 0.2,
        "alien": 0.0,
        "star": 0.0,
    }
    assert after.rules == ("boost-drama",)
    assert before.rules == ()


def test_boosts_and_buries_add_up(engine: RankEngine) -> None:
    after = asked(engine, boost("drama", 2.0), boost("crime", -1.5), boost("none", 9.0), k=4)
    assert ids(after) == ["love", "mob", "alien", "star"]
    assert after.rules == ("boost-drama", "boost-crime", "boost-none")


def test_a_min_score_is_compared_with_the_boosted_score(engine: RankEngine) -> None:
    least = asked(engine, k=4).items[0].score + 0.01
    assert ids(asked(engine, min_score=least, k=4)) == []
    assert ids(asked(engine, boost("drama", 2.0), min_score=least, k=4)) == ["mob", "love"]


def test_blocked_items_never_come_back(engine: RankEngine) -> None:
    assert ids(asked(engine, block("space"), k=4)) == ["mob", "heist", "love", "ghost"]
    # Neither as candidates, nor as the title of the query, nor as what fills up.
    assert ids(asked(engine, block("space"), candidates=("alien", "mob"), k=2)) == ["mob"]
    titled = {"title": True, "residual_text": "alien space horror"}
    found = asked(engine, block("space"), query="alien space horror", intent=titled, k=30)
    assert not {"alien", "star", "robot"} & set(ids(found))
    narrow = {"filter": genre("horror"), "on_empty": "relax", "k": 30}
    assert not {"alien", "star", "robot"} & set(ids(asked(engine, block("space"), **narrow)))


def test_a_rule_may_depend_on_what_the_query_asks_for(engine: RankEngine) -> None:
    drama = block("crime", demands=(("categories", "Drama"),))
    newest = boost("robot", 9.0, sort="newest", demands=(("categories", "space"),))
    wants = {"filters": {"categories": {"any": ["drama", "horror"]}}}
    assert ids(asked(engine, drama, intent=wants, k=2)) == ["alien", "love"]
    assert "mob" in ids(asked(engine, drama, intent={"filters": {"year": {"gte": 1980}}}, k=2))
    assert asked(engine, drama, newest, k=2).rules == ()
    space = {"sort": "newest", "filters": {"$and": [{"categories": {"all": ["space"]}}]}}
    assert asked(engine, drama, newest, intent=space, k=2).rules == ("boost-robot",)
    assert asked(engine, newest, intent={**space, "sort": "popular"}, k=2).rules == ()
    prefers = {"prefers": {"categories": {"eq": "drama"}}}
    assert asked(engine, drama, intent=prefers, k=2).rules == ("block-crime",)


def test_a_conditional_block_holds_for_what_fills_up(engine: RankEngine) -> None:
    rule = block("adventure", demands=(("categories", "horror"),))
    found = asked(engine, rule, intent={"filters": {"categories": {"any": ["horror"]}}}, k=20)
    assert ids(found)[0] == "alien"
    assert found.passing == 1
    assert len(found.items) == 20
    assert not {"star", "robot"} & set(ids(found))
    assert found.rules == ("block-adventure",)


def test_a_pin_has_its_place_on_the_first_page(engine: RankEngine) -> None:
    found = asked(engine, pin("dull3", 2), k=3)
    assert ids(found) == ["alien", "dull3", "mob"]
    assert placed(found) == {"dull3": "pin:pin-dull3"}
    assert "pin" in [hit.name for hit in found.items[1].sources]
    assert "dull3" not in ids(asked(engine, pin("dull3", 2), k=3, shown=("heist",)))
    # The place of a pin may lie behind the page.
    assert ids(asked(engine, pin("dull3", 4), k=3)) == ["alien", "mob", "star"]
    # An item that stands there by its score is pinned all the same.
    assert placed(asked(engine, pin("star", 3), k=3)) == {"star": "pin:pin-star"}


def test_two_pins_for_one_place_stand_behind_each_other(engine: RankEngine) -> None:
    four = pin("dull3", 1), pin("dull1", 1), pin("love", 2), pin("dull3", 5, "x")
    found = asked(engine, *four, k=5)
    assert ids(found) == ["dull3", "dull1", "love", "alien", "mob"]
    assert found.rules == ("pin-dull3", "pin-dull1", "pin-love")


@pytest.mark.parametrize(
    "request_fields",
    [
        {"filter": genre("crime")},
        {"exclude": frozenset({"star"})},
        {"seen": frozenset({"star"})},
        {"candidates": ("mob", "heist")},
        {"intent": {"filters": {"categories": {"any": ["crime"]}}}},
        {"intent": {"without": ["space"]}},
    ],
)
def test_a_pin_is_never_against_the_request(
    engine: RankEngine, request_fields: dict[str, Any]
) -> None:
    found = asked(engine, pin("star", 1), k=2, **request_fields)
    assert "star" not in ids(found)
    assert found.rules == ()


def test_a_pin_comes_among_candidates_and_in_a_sort(engine: RankEngine) -> None:
    found = asked(engine, pin("star", 1), k=3, candidates=("mob", "star", "alien"))
    assert ids(found) == ["star", "alien", "mob"]
    found = asked(dated(), pin("heist", 2), k=3, intent={"sort": "oldest"})
    assert ids(found) == ["star", "heist", "alien"]


def test_a_pin_beats_min_score_and_max_per(engine: RankEngine) -> None:
    least = asked(engine, k=1).items[0].score
    assert ids(asked(engine, pin("dull3", 1), k=3, min_score=least)) == ["dull3", "alien"]
    found = asked(engine, pin("robot", 2), k=3, max_per=(("categories", 1),))
    assert ids(found)[1] == "robot"


def test_a_pin_of_an_item_that_is_not_there_does_nothing() -> None:
    engine = small_engine(POPULARITY)
    assert ids(asked(engine, pin("new", 1), k=1)) == ["alien"]
    engine.plan([Change(1, "new", {"title": "new thing"})], 0.0)()
    assert ids(asked(engine, pin("new", 1), k=1)) == ["new"]
    engine.plan([Change(2, "new", {"title": "new thing", "hidden": True})], 0.0)()
    assert ids(asked(engine, pin("new", 1), k=1)) == ["alien"]


def test_a_promoted_share_is_spread_evenly(engine: RankEngine) -> None:
    found = asked(engine, promote("number", 0.25), k=8)
    assert ids(found) == ["alien", "mob", "star", "dull0", "heist", "robot", "love", "dull1"]
    assert placed(found) == dict.fromkeys(("dull0", "dull1"), "promotion:promote-number")
    # Rounded down: a quarter of three places is none.
    assert placed(asked(engine, promote("number", 0.25), k=3)) == {}


def test_items_that_stand_high_enough_stay_where_they_are(engine: RankEngine) -> None:
    found = asked(engine, promote("space", 0.4), k=5)
    assert ids(found) == ["alien", "mob", "star", "heist", "robot"]
    assert placed(found) == {}


def test_the_sources_are_asked_for_promoted_items(engine: RankEngine) -> None:
    query = {"query": "dull", "intent": {"residual_text": "dull"}, "k": 300}
    large = small_engine(POPULARITY, copies=600)
    assert not {"mob", "heist"} & set(ids(asked(large, **query)))
    found = asked(large, promote("crime", 0.01), **query)
    assert [n for n, name in enumerate(ids(found), 1) if name in {"mob", "heist"}] == [100, 200]
    # With a sort, they are the first by that sort.
    oldest = asked(dated(), promote("crime", 0.5), k=2, intent={"sort": "oldest"})
    assert ids(oldest) == ["star", "mob"]


def test_a_promotion_is_never_against_the_request(engine: RankEngine) -> None:
    found = asked(engine, promote("crime", 0.5), k=4, filter=genre("space"))
    assert set(ids(found)) == {"alien", "star", "robot"}
    found = asked(engine, promote("crime", 0.5), k=4, exclude=frozenset({"mob", "heist"}))
    assert placed(found) == {}
    found = asked(engine, promote("crime", 0.5), k=2, candidates=("alien", "star"))
    assert ids(found) == ["alien", "star"]


def test_a_rule_that_does_not_fit_the_catalogue_is_left_out(engine: RankEngine) -> None:
    wrong = RankRule("wrong", "boost", '{"colour":{"eq":"red"}}', 1.0)
    assert asked(engine, wrong, boost("drama", 2.0), k=1).rules == ("boost-drama",)


def test_boosts_are_a_contribution_of_their_own(engine: RankEngine) -> None:
    found = asked(engine, boost("drama", 2.0), boost("crime", 1.0), k=3, explain=True)
    assert found.baseline is not None
    for item in found.items:
        assert item.explanation is not None
        total = found.baseline + sum(item.explanation.contributions.values())
        assert np.isclose(total, item.score, atol=1e-6)
    added = {item.id: item.explanation.contributions["boosts"] for item in found.items}
    assert added == pytest.approx({"mob": 0.3, "love": 0.2, "heist": 0.1}, abs=1e-5)


def test_requests_of_a_batch_do_not_share_rules(engine: RankEngine) -> None:
    plain = RankRequest(k=2)
    ruled = RankRequest(k=2, rules=rules(block("space")))
    one, other, third = engine.rank([plain, ruled, plain]).results
    assert ids(one) == ids(third) == ["alien", "mob"]
    assert ids(other) == ["mob", "heist"]
