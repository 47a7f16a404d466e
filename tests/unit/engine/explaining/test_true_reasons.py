"""Evidence and reasons are true, and a truth check that swapped evidence does not pass."""

from dataclasses import replace

import orjson
import pytest

from app.core.ranking import RankRequest
from app.engine.intent.parser import intent_parser_of
from tests.learned_rig import N_RING, engine_over, ring_name
from tests.small_engine import small_engine
from tests.true_reasons import Told, untruths

FILMS = {
    "alien": "Alien space horror",
    "star": "Star space adventure",
    "robots": "Robots adventure, a comedy",
    "heist": "Bank heist crime",
    "war": "战争 drama",
    "plain": None,
}
POPULARITY = {"alien": 0.3, "star": 1.0, "robots": 0.6, "heist": 0.7}
GENRES = ["Horror", "Adventure", "Comedy", "Crime", "Drama", None]


@pytest.fixture(scope="module")
def films():
    engine = small_engine(
        POPULARITY, titles=FILMS, extra={"genres": ("string", GENRES), "plot": ("string", GENRES)}
    )
    parser = intent_parser_of(engine._parts.catalogue, {}, {})
    engine._parts = replace(engine._parts, parser=parser)
    return engine


@pytest.fixture(scope="module")
def ring(ring_bundle):
    return engine_over(ring_bundle)


def told(engine, **asked):
    request = RankRequest(explain=True, now=1.7e9, **asked)
    (result,) = engine.rank([request]).results
    intent = orjson.loads(result.intent) if result.intent else None
    return Told(engine, request, intent), result.items


REQUESTS = (
    {"query": "space robot"},
    {"query": "adventure", "history": ("alien", "heist")},
    {"query": "comedy like Alien"},
    {"like": ("star",), "dislike": ("heist",)},
    {"filter": '{"year":{"gt":1900}}', "history": ("robots",)},
    {
        "query": "space",
        "intent": '{"residual_text":"space","prefers":{"genres":{"any":["Crime"]}}}',
    },
    {"query": "战争"},
    {},
)


@pytest.mark.parametrize("asked", REQUESTS, ids=str)
@pytest.mark.parametrize("language", ["en", "zh", "es", "fr"])
def test_all_that_is_told_is_true(films, asked, language):
    request, items = told(films, language=language, **asked)
    assert items
    for item in items:
        assert untruths(request, item.id, item.explanation) == [], item


@pytest.mark.learning
def test_what_is_told_of_behaviour_is_true(ring):
    for at in range(0, N_RING, 5):
        history = tuple(ring_name(at - back) for back in (2, 1, 0))
        request, items = told(ring, history=history, exclude=frozenset(history))
        for item in items:
            assert untruths(request, item.id, item.explanation) == [], item


def swapped(one, other):
    """The explanation of one item with the evidence, and the sentence, of the other."""
    return replace(one, evidence=other.evidence, reason=other.reason)


def test_swapped_evidence_is_found_out(films):
    for asked in ({"query": "space robot"}, {"query": "adventure", "history": ("alien",)}, {}):
        request, items = told(films, **asked)
        first, second = items[0], items[1]
        assert first.explanation.evidence != second.explanation.evidence
        for item, other in ((first, second), (second, first)):
            swap = swapped(item.explanation, other.explanation)
            assert untruths(request, item.id, swap) != []


@pytest.mark.learning
def test_swapped_items_of_the_history_are_found_out(ring):
    history = ("r3", "r20")
    request, items = told(ring, history=history, exclude=frozenset(history))
    evidence = {item.id: dict(item.explanation.evidence)["items"] for item in items}
    first = next(item for item in items if evidence[item.id][0]["id"] == "r20")
    second = next(item for item in items if evidence[item.id][0]["id"] == "r3")
    for item, other in ((first, second), (second, first)):
        swap = swapped(item.explanation, other.explanation)
        assert untruths(request, item.id, swap) != []


@pytest.mark.learning
def test_behaviour_decides_on_the_ring_and_without_it_the_order_turns(ring):
    history, two = ("r9", "r10", "r11"), ("r0", "r12")  # r0 is by far the most popular
    _, items = told(ring, history=history, exclude=frozenset(history))
    first = items[0]
    assert first.id == "r12"
    assert first.explanation.reason == "People who took thing r11, as you did, tend to take it."
    _, items = told(ring, history=history, candidates=two)
    assert [item.id for item in items] == ["r12", "r0"]
    shares = items[0].explanation.contributions
    assert max(shares, key=shares.get) in {"behaviour", "taste"}
    _, without_history = told(ring, candidates=two)
    assert [item.id for item in without_history] == ["r0", "r12"]


def test_popularity_decides_where_nothing_else_is_known_and_without_it_the_order_turns(films):
    request, items = told(films)
    assert items[0].id == "star"
    assert items[0].explanation.reason == "It is number 1 of 6 by popularity."
    assert request.intent is None
    rest = {item.id: item.score - item.explanation.contributions["popularity"] for item in items}
    assert rest["star"] < rest["heist"]


def reason(engine, **asked):
    return told(engine, **asked)[1][0].explanation.reason


def test_reasons_are_in_the_language_of_the_query_else_of_the_context(films):
    for language in ("", "es"):
        said = reason(films, query="bank heist", language=language)
        assert said == "Its title has your words: bank, heist."
    assert reason(films, query="战争") == "标题里有您的词：战争。"
    assert reason(films, language="es") == "Es el número 1 de 6 por popularidad."
    assert reason(films, language="fr") == "It is number 1 of 6 by popularity."


def test_what_a_query_demands_is_evidence(films):
    query = "adventure films like Alien"
    request, items = told(films, query=query)
    spans = [dict(item.explanation.evidence).get("intent") for item in items]
    assert request.intent is not None
    assert any(spans)


def test_clauses_of_the_filter_are_evidence(films):
    _, items = told(films, filter='{"year":{"gt":1900,"lt":1980}}')
    assert items[0].explanation.evidence["filter"] == [
        {"year": {"gt": 1900}},
        {"year": {"lt": 1980}},
    ]


@pytest.fixture(scope="module")
def shelf():
    """Three dated and priced items, and one with neither."""
    engine = small_engine(
        {"old": 0.2, "new": 0.1, "mid": 0.9},
        titles={"old": "Old lamp", "new": "New lamp", "mid": "Lamp between", "bare": "Bare lamp"},
        extra={
            "published_at": ("number", [1999, 2020, 2010, None]),
            "price": ("number", [3.5, 20, 7, None]),
        },
        roles={"price": "price"},
    )
    parser = intent_parser_of(engine._parts.catalogue, {}, {})
    engine._parts = replace(engine._parts, parser=parser)
    return engine


TITLE_FIRST = '{"sort":"newest","title":true,"residual_text":"lamp"}'
ORDERS = {
    "newest": ("new", "The newest come first: it is from 2020."),
    "oldest": ("old", "The oldest come first: it is from 1999."),
    "cheapest": ("old", "The cheapest come first: its price is 3.5."),
    "dearest": ("new", "The most expensive come first: its price is 20."),
    "popular": ("mid", "The most popular come first: it is number 1 of 4."),
}


@pytest.mark.parametrize("sort", ORDERS)
@pytest.mark.parametrize("language", ["en", "zh", "es"])
def test_in_a_strict_order_the_reason_tells_the_value_that_counts(shelf, sort, language):
    asked = {"query": "lamp", "intent": f'{{"sort":"{sort}","residual_text":"lamp"}}'}
    request, items = told(shelf, language=language, **asked)
    assert len(items) == 4
    for item in items:
        assert untruths(request, item.id, item.explanation) == [], item
    first = items[0]
    assert first.explanation.evidence["order"]["sort"] == sort
    assert first.id == ORDERS[sort][0]
    if language == "en":
        assert first.explanation.reason == ORDERS[sort][1]
    swap = swapped(first.explanation, items[1].explanation)
    assert untruths(request, first.id, swap) != []


def test_an_item_without_the_value_says_so(shelf):
    asked = {"query": "lamp", "intent": '{"sort":"newest","residual_text":"lamp"}'}
    _, items = told(shelf, **asked)
    assert items[-1].id == "bare"
    assert items[-1].explanation.evidence["order"] == {
        "sort": "newest",
        "field": "published_at",
        "value": None,
    }
    assert items[-1].explanation.reason.startswith("It has no value for the order")


def test_a_title_that_is_the_query_does_not_stand_there_by_the_order(shelf):
    _, items = told(shelf, query="Old lamp", intent=TITLE_FIRST)
    assert [item.id for item in items[:2]] == ["old", "new"]
    assert "order" not in items[0].explanation.evidence
    assert "order" in items[1].explanation.evidence
