"""What an operator may write as a rule."""

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from app.core.rank_rules import RankRule
from app.domain.folded_words import folded_words
from app.domain.rule import Rule

CRIME = {"categories": {"any": ["crime"]}}


def rule(**fields: Any) -> Rule:
    return Rule.model_validate_json(orjson.dumps({"id": "a", **fields}))


def test_each_action_reaches_the_engine() -> None:
    text = '{"categories":{"any":["crime"]}}'
    made = [
        rule(boost={"filter": CRIME, "weight": 2}),
        rule(bury={"filter": CRIME, "weight": 2}),
        rule(promote={"filter": CRIME, "share": 0.25}),
        rule(block={"filter": CRIME}),
        rule(pin={"item_id": 7, "place": 3}),
    ]
    assert [each.for_engine() for each in made] == [
        RankRule("a", "boost", text, 2.0),
        RankRule("a", "bury", text, -2.0),
        RankRule("a", "promote", text, 0.25),
        RankRule("a", "block", text),
        RankRule("a", "pin", item="7", place=3),
    ]


def test_a_demand_reaches_the_engine() -> None:
    demands = {"intent": {"sort": "newest", "filters": {"year": 1999, "genre": "horror"}}}
    found = rule(when=demands, block={"filter": CRIME}).for_engine()
    assert (found.sort, found.demands) == ("newest", (("genre", "horror"), ("year", 1999.0)))


def test_the_text_is_read_back_as_the_same_rule() -> None:
    made = rule(
        scenario="home",
        when={"query": {"prefix": "Café  Noir"}},
        until="2030-01-01T00:00:00Z",
        block={"filter": CRIME},
        **{"from": 1_700_000_000},
    )
    again = Rule.model_validate_json(made.text())
    assert again == made
    assert (again.begin, again.end) == (1_700_000_000.0, 1_893_456_000.0)
    assert (again.prefix, again.exact) == (("cafe", "noir"), ())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "none is given"),
        ({"block": {"filter": CRIME}, "pin": {"item_id": "1", "place": 1}}, "pin and block"),
        ({"block": {"filter": {}}}, "at least one field"),
        ({"boost": {"filter": CRIME, "weight": 0}}, "greater than 0"),
        ({"boost": {"filter": CRIME, "weight": 11}}, "less than or equal to 10"),
        ({"promote": {"filter": CRIME, "share": 1.1}}, "less than or equal to 1"),
        ({"pin": {"item_id": "1", "place": 0}}, "greater than or equal to 1"),
        ({"pin": {"item_id": "1", "place": 101}}, "less than or equal to 100"),
        ({"block": {"filter": CRIME}, "when": {}}, "give query or intent"),
        ({"block": {"filter": CRIME}, "when": {"intent": {}}}, "give sort, filters"),
        ({"block": {"filter": CRIME}, "when": {"query": {"exact": "?!"}}}, "no letter or digit"),
        ({"block": {"filter": CRIME}, "when": {"query": {"regex": "a.*"}}}, "Extra inputs"),
        ({"block": {"filter": CRIME}, "until": "soon"}, "neither ISO 8601"),
        ({"block": {"filter": CRIME}, "until": 1_700_000_000_000}, "milliseconds"),
        ({"block": {"filter": CRIME}, "until": 5, "from": 5}, "behind `from`"),
        ({"block": {"filter": CRIME}, "id": "a/b"}, "match pattern"),
    ],
)
def test_what_is_wrong_is_said(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        rule(**fields)


def test_words_are_folded() -> None:
    assert folded_words("L’Été —  Straße") == ("lete", "strasse")
    assert folded_words("ＦＵＬＬ ½") == ("full", "1", "2")
    assert folded_words("한국 영화, 科幻片") == ("한국", "영화", "科", "幻", "片")
