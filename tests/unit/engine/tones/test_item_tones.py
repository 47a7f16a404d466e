"""What a query asks for in tone changes the order: by the attribute, or by the items' words."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from app.core.ranking import RankRequest
from app.core.types import Change, JsonValue
from app.engine.engine import RankEngine
from app.engine.intent.parser import intent_parser_of
from tests.small_engine import small_engine

BOOKS: dict[str, str | None] = {
    "war": "a war in the north",
    "sea": "a voyage over the sea",
    "farm": "a year on the farm",
    "city": "a night in the city",
}
POPULARITY = {"war": 0.9, "sea": 0.6, "farm": 0.3, "city": 0.1}
LIGHT = "something light-hearted"


def engine_of(
    tones: Sequence[JsonValue] | None = None, titles: dict[str, str | None] = BOOKS
) -> RankEngine:
    extra = None if tones is None else {"tone": ("strings", tones)}
    engine = small_engine(POPULARITY, titles=titles, extra=extra)  # type: ignore[arg-type]
    parser = intent_parser_of(engine._parts.catalogue, {})
    engine._parts = replace(engine._parts, parser=parser)
    return engine


def asked(engine: RankEngine, query: str, **more: object) -> list[str]:
    (result,) = engine.rank([RankRequest(query=query, k=4, **more)]).results  # type: ignore[arg-type]
    return [item.id for item in result.items]


TONED = [["tense", "sad"], None, ["light", "funny"], []]


@pytest.mark.parametrize("query", [LIGHT, "轻松的", "feel-good"])
def test_the_tone_asked_for_comes_first_on_a_catalogue_that_has_tones(query: str) -> None:
    assert asked(engine_of(TONED), query)[0] == "farm"
    # Without tones, nothing says which book is light: the tone changes nothing.
    plain = engine_of()
    intent = json.loads(plain.interpret(query, 0.0, look_up=True) or "")
    assert intent.pop("tone") == ["light"]
    assert asked(plain, query) == asked(plain, query, intent=json.dumps(intent))


def test_what_asks_for_no_tone_is_ordered_as_on_a_catalogue_without_tones() -> None:
    for query in ("a voyage over the sea", "north", ""):
        assert asked(engine_of(TONED), query) == asked(engine_of(), query)


def test_a_score_rises_by_the_share_of_the_tones_asked_for() -> None:
    engine = engine_of(TONED)

    def scores(tones: str) -> dict[str, float]:
        intent = '{"residual_text":"voyage","tone":[' + tones + "]}"
        (result,) = engine.rank([RankRequest(query="voyage", intent=intent, k=4)]).results
        return {item.id: item.score for item in result.items}

    none, both = scores(""), scores('"light","tense"')
    assert {name: round(both[name] - none[name], 4) for name in BOOKS} == {
        "war": 0.25,
        "sea": 0.0,
        "farm": 0.25,
        "city": 0.0,
    }
    assert scores('"light"')["farm"] - none["farm"] == pytest.approx(0.5)


def test_words_say_the_tone_of_items_without_the_attribute() -> None:
    titles = BOOKS | {"farm": "a heartwarming year on the farm", "city": "城里轻松的一夜"}
    worded = engine_of(titles=titles)
    assert set(asked(worded, "a cheerful book", intent='{"tone":["light"]}')[:2]) == {
        "farm",
        "city",
    }
    # "war" has no field; that of "city" is empty, which says that it has no tone.
    tones = engine_of([None, ["light"], ["sad"], []], titles)._parts.tones
    shares = tones.shares(["light"])
    assert shares is not None
    assert shares.tolist() == [0.0, 1.0, 0.0, 0.0]


def test_items_that_change_change_their_tone() -> None:
    engine = engine_of()
    assert engine._parts.tones.shares(["light"]) is None
    engine.plan([Change(1, "sea", {"title": "a whimsical voyage"})], 1.0)()
    shares = engine._parts.tones.shares(["light"])
    assert shares is not None
    assert np.flatnonzero(shares).tolist() == [engine._parts.catalogue.row("sea")]

    toned = engine_of(TONED)
    toned.plan([Change(1, "war", {"title": "a war", "tone": ["light"]})], 1.0)()
    assert set(asked(toned, LIGHT)[:2]) == {"farm", "war"}


def test_a_sort_goes_through_the_items_of_that_tone_first() -> None:
    engine = engine_of([["light"], None, ["light"], None])
    intent = '{"sort":"popular","tone":["light"]}'
    assert asked(engine, "popular light books", intent=intent)[:2] == ["war", "farm"]
    engine = engine_of([None, None, ["light"], ["light"]])
    assert asked(engine, "popular light books", intent=intent)[:2] == ["farm", "city"]


def test_tones_taken_lately_count_a_little_where_the_query_asks_for_none() -> None:
    engine = engine_of([["light"], ["light", "funny"], ["sad"], None])

    def scores(*history: str, **more: str) -> dict[str, float]:
        request = RankRequest(history=history, repeat=True, k=4, **more)  # type: ignore[arg-type]
        (result,) = engine.rank([request]).results
        return {item.id: item.score for item in result.items}

    plain = engine_of()
    (result,) = plain.rank([RankRequest(history=("war",), repeat=True, k=4)]).results
    before, after = {item.id: item.score for item in result.items}, scores("war")
    assert {name: round(after[name] - before[name], 4) for name in BOOKS} == {
        "war": 0.03,
        "sea": round(0.03 / 2**0.5, 4),
        "farm": 0.0,
        "city": 0.0,
    }
    # A query that asks for a tone asks for this one, whatever was taken.
    intent = '{"tone":["sad"]}'
    assert scores("war", query="sad", intent=intent)["war"] == pytest.approx(before["war"])


def test_tones_taken_lately_follow_changes() -> None:
    tones = engine_of([["light"], None, ["sad"], "no tone"])._parts.tones
    rows = np.arange(4)
    taste = tones.taste(np.array([0, 2]))
    assert taste is not None
    assert taste.likeness(rows).tolist() == pytest.approx([0.5**0.5, 0.0, 0.5**0.5, 0.0])
    assert tones.taste(np.array([1])) is None
    assert tones.taste(np.array([], np.int64)) is None
    assert engine_of()._parts.tones.taste(np.array([0])) is None

    engine = engine_of([["light"], None, ["sad"], None])
    assert engine._parts.tones.taste(np.array([1])) is None
    engine.plan([Change(1, "sea", {"title": "sea", "tone": ["sad"]})], 1.0)()
    engine.plan([Change(2, "farm", {"title": "farm"})], 1.0)()
    taste = engine._parts.tones.taste(np.array([1]))
    assert taste is not None
    assert taste.likeness(rows).tolist() == [0.0, 1.0, 0.0, 0.0]


def test_an_explanation_has_tones_in_it() -> None:
    engine = engine_of([["light"], ["light", "funny"], ["sad"], None])
    for more in ({"history": ("war",)}, {"query": "sea", "intent": '{"tone":["sad"]}'}):
        (result,) = engine.rank([RankRequest(k=4, repeat=True, explain=True, **more)]).results  # type: ignore[arg-type]
        for item in result.items:
            assert item.explanation is not None
            assert result.baseline is not None
            total = result.baseline + sum(item.explanation.contributions.values())
            assert total == pytest.approx(item.score, abs=1e-5)
        groups = {item.id: item.explanation.contributions for item in result.items}  # type: ignore[union-attr]
        group = "taste" if "history" in more else "intent"
        assert groups["farm"][group] != groups["city"][group]
