"""Which rules a request gets, and when."""

from typing import Any

import orjson

from app.core.rank_rules import NO_RULES
from app.domain.rule import Rule
from app.serving.control.rule_book import KnownRule, RuleBook

NOW = 1_700_000_000.0
BLOCK = {"block": {"filter": {"n": {"eq": 1}}}}


def known(name: str, **fields: Any) -> KnownRule:
    sent = {"id": name, **fields}
    if not sent.keys() & {"boost", "pin"}:
        sent |= BLOCK
    return KnownRule.of(Rule.model_validate_json(orjson.dumps(sent)))


def book(*rules: KnownRule, now: float = NOW) -> RuleBook:
    return RuleBook(rules, now)


def ids(
    found: RuleBook, query: str = "", scenario: str | None = None, *, interpreted: bool = False
) -> list[str]:
    rules = found.matching(query, scenario, interpreted=interpreted or bool(query))
    return [rule.id for rule in rules.rules]


def test_words_find_rules() -> None:
    found = book(
        known("all"),
        known("exact", when={"query": {"exact": "Red Shoes"}}),
        known("red", when={"query": {"prefix": "réd"}}),
        known("red-shoes", when={"query": {"prefix": "red shoes"}}),
        known("kanji", when={"query": {"prefix": "科幻"}}),
    )
    assert ids(found) == ["all"]
    assert ids(found, "red  SHOES!") == ["all", "exact", "red", "red-shoes"]
    assert ids(found, "red shoes for men") == ["all", "red", "red-shoes"]
    assert ids(found, "redder shoes") == ids(found, "shoes red") == ["all"]
    assert ids(found, "科幻电影") == ["all", "kanji"]


def test_a_demand_travels_with_every_request_that_has_an_intent() -> None:
    found = book(known("newest", when={"intent": {"sort": "newest"}}))
    assert ids(found) == []
    assert ids(found, "anything") == ids(found, interpreted=True) == ["newest"]


def test_a_rule_of_a_scenario_applies_only_there() -> None:
    found = book(
        known("home", scenario="home"),
        known("all"),
        known("home-red", scenario="home", when={"query": {"exact": "red"}}),
    )
    assert ids(found, "red") == ids(found, "red", "search") == ["all"]
    assert ids(found, "red", "home") == ["home", "all", "home-red"]


def test_rules_begin_and_end_on_time() -> None:
    rules = [
        known("later", **{"from": NOW + 10}),
        known("now", until=NOW + 20),
        known("past", until=NOW),
        known("always"),
    ]
    assert (ids(book(*rules)), book(*rules).until) == (["now", "always"], NOW + 10)
    at_ten = book(*rules, now=NOW + 10)
    assert (ids(at_ten), at_ten.until) == (["later", "now", "always"], NOW + 20)
    assert ids(book(*rules, now=NOW + 20)) == ["later", "always"]
    assert book(*rules, now=NOW + 20).until == float("inf")


def test_equal_rules_have_equal_keys_and_others_do_not() -> None:
    def key(*rules: KnownRule) -> str:
        return book(*rules).matching("", None, interpreted=False).key

    first = known("a", boost={"filter": {"n": {"eq": 1}}, "weight": 1})
    ending = known("a", boost={"filter": {"n": {"eq": 1}}, "weight": 1}, until=NOW + 5)
    heavier = known("a", boost={"filter": {"n": {"eq": 1}}, "weight": 2})
    assert key(first) == key(ending)
    assert len({key(), key(first), key(heavier), key(first, heavier), key(heavier, first)}) == 5
    assert book().matching("", None, interpreted=False) is NO_RULES


def test_a_set_of_rules_is_made_once() -> None:
    found = book(known("all"), known("red", when={"query": {"exact": "red"}}))
    assert found.matching("red", None, interpreted=True) is found.matching(
        "RED", None, interpreted=True
    )
