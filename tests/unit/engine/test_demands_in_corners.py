"""Demands where they are rare: further pages, repeats, long filters, items that are gone."""

import pytest

from app.core.ranking import RankRequest
from app.core.types import Change
from app.domain.filters import MAX_DEPTH, MAX_TESTS, filter_text
from app.domain.intent import Intent
from app.engine.engine import RankEngine
from tests.small_engine import small_engine
from tests.unit.engine.test_demands import FILMS, Fixed, asked, ids, understood

MANY: dict[str, str | None] = {f"m{n}": f"blue vase {n}" for n in range(300)}


def many(**more: object) -> RankEngine:
    prices = [float(n % 7) for n in range(len(MANY))]
    return small_engine(
        titles=MANY,
        extra={"price": ("number", prices)},
        roles={"price": "price"},
        **more,  # type: ignore[arg-type]
    )


def pages(engine: RankEngine, intent: dict[str, object], n: int, **more: object) -> list[str]:
    """Return the items of n pages, each without what the ones before have shown."""
    shown: list[str] = []
    for _ in range(n):
        page = asked(engine, "q", intent, exclude=frozenset(shown), shown=tuple(shown), **more)
        shown += ids(page)
    return shown


def price_of(item: str) -> int:
    return int(item[1:]) % 7


@pytest.mark.parametrize("text", ["", "blue vase"])
def test_pages_of_a_sort_show_each_item_once_and_in_order(text: str) -> None:
    shown = pages(many(), {"sort": "cheapest", "residual_text": text}, 30, k=10)
    assert sorted(shown) == sorted(MANY)
    prices = [price_of(item) for item in shown]
    assert prices == sorted(prices)


def test_more_than_the_sorted_ones_are_asked_for() -> None:
    intent = {"sort": "cheapest", "residual_text": "blue bowl"}  # no item holds both
    found = ids(asked(many(), "q", intent, k=100))
    assert len(set(found)) == 100
    prices = [price_of(item) for item in found[:50]]
    assert prices == sorted(prices)


def mixed() -> RankEngine:
    vases: dict[str, str | None] = {f"v{n}": f"blue vase {n}" for n in range(15)}
    bowls: dict[str, str | None] = {f"b{n}": f"blue bowl {n}" for n in range(200)}
    titles = vases | bowls
    return small_engine(
        titles=titles,
        extra={"price": ("number", [float(n) for n in range(len(titles))])},
        roles={"price": "price"},
    )


def test_the_last_items_that_hold_all_words_come_before_others() -> None:
    intent = {"sort": "dearest", "residual_text": "blue vase"}
    shown = pages(mixed(), intent, 5, k=10)
    assert shown[:15] == [f"v{n}" for n in reversed(range(15))]
    assert len(set(shown)) == len(shown) == 50


@pytest.mark.parametrize("k", [10, 20, 100])
def test_no_page_of_a_sort_of_the_most_relevant_ones_skips_any(k: int) -> None:
    intent = {"sort": "dearest", "residual_text": "blue vase bowl"}  # no item holds all
    engine, one = mixed(), {"residual_text": "blue vase bowl"}
    by_score = ids(asked(engine, "q", one, k=100))
    shown = pages(engine, intent, 100 // k, k=k)
    for window in (slice(0, 50), slice(50, 100)):
        prices = [int(item[1:]) + 15 * (item[0] == "b") for item in shown[window]]
        assert prices == sorted(prices, reverse=True)
        assert set(shown[window]) == set(by_score[window])


def test_pages_of_a_sort_with_a_limit_per_value_lose_nothing() -> None:
    engine = many()
    words = {"sort": "dearest", "residual_text": ""}
    found = ids(asked(engine, "q", words, k=7, max_per=(("price", 1),)))
    assert [price_of(item) for item in found] == [6, 5, 4, 3, 2, 1, 0]


def test_what_a_sort_has_not_looked_at_is_looked_at_later() -> None:
    dear: dict[str, str | None] = {f"a{n}": f"blue vase with dots {n}" for n in range(1100)}
    near: dict[str, str | None] = {f"b{n}": "blue vase" for n in range(5)}
    cheap: dict[str, str | None] = {f"c{n}": f"blue vase with stripes {n}" for n in range(20)}
    prices = [9.0] * len(dear) + [5.0] * len(near) + [1.0] * len(cheap)
    makers = [*["one"] * len(dear), *near, *cheap]
    engine = small_engine(
        titles=dear | near | cheap,
        extra={"price": ("number", prices), "maker": ("string", makers)},
        roles={"price": "price"},
    )
    intent = {"sort": "dearest", "residual_text": "blue vase"}
    found = ids(asked(engine, "q", intent, k=4, max_per=(("maker", 1),)))
    assert [item[0] for item in found] == ["a", "b", "b", "b"]


def test_what_a_query_is_to_resemble_may_come_back_if_the_caller_says_so() -> None:
    engine = small_engine(titles=FILMS)
    intent = {"like": ["alien"], "dislike": ["cook"]}
    assert not {"alien", "cook"} & set(ids(asked(engine, "q", intent, k=8)))
    assert "alien" in ids(asked(engine, "q", intent, k=8, repeat=True))
    named = tuple(FILMS)
    assert set(ids(asked(engine, "q", intent, candidates=named, k=8, repeat=True))) == set(FILMS)
    assert "alien" not in ids(asked(engine, "q", intent, candidates=named, k=8))


def test_what_a_query_is_to_resemble_does_not_come_back_as_popular() -> None:
    engine = small_engine({"alien": 1.0}, titles=FILMS)
    own = filter_text({"categories": {"any": ["crime"]}})
    found = asked(engine, "q", {"like": ["alien"]}, filter=own, on_empty="popular", k=8)
    assert ids(found)[0] == "mob"
    assert "alien" not in ids(found)


def deep(depth: int) -> dict[str, object]:
    raw: dict[str, object] = {"categories": {"any": ["space"]}}
    for _ in range(depth):
        raw = {"$or": [raw]}
    return raw


@pytest.mark.parametrize(
    "own",
    [
        deep(MAX_DEPTH),
        {"$or": [{"categories": {"any": ["space"]}}] * MAX_TESTS},
    ],
)
def test_a_long_filter_of_the_caller_leaves_room_for_the_demands(own: dict[str, object]) -> None:
    engine = small_engine(titles=FILMS)
    engine.check_filter(filter_text(own))
    intent = {"filters": {"$not": [{"categories": {"any": ["horror"]}}]}}
    found = asked(engine, "not horror", intent, filter=filter_text(own), k=8)
    assert set(ids(found)) == {"star", "robot", "cook"}


def test_so_many_negations_all_count() -> None:
    nots = [{"categories": {"any": [f"none{n}"]}} for n in range(MAX_TESTS)]
    filters = filter_text({"$not": [*nots, {"categories": {"any": ["horror"]}}]})
    found = understood(Intent(filters=filters, residual_text="space"), "space", k=8)
    assert not {"alien", "aliens"} & set(ids(found))


def test_demands_that_are_given_up_count_one_by_one() -> None:
    engine = small_engine(titles=FILMS)
    both = {"$and": [{"categories": {"any": ["crime"]}}, {"categories": {"any": ["cooking"]}}]}
    found = asked(engine, "q", {"filters": both}, k=8)
    assert found.passing == 0
    assert set(ids(found)[:2]) == {"mob", "cook"}


def test_items_that_are_gone_hold_no_unwanted_words() -> None:
    engine = small_engine(titles=FILMS, parser=Fixed(Intent(without=("sugar",))))
    engine.plan([Change(1, "new", {"title": "sugar space"})], 0.0)()
    assert len(engine.rank([RankRequest(query="x")]).results[0].items) == 8
    engine.plan([Change(2, "new", None)], 0.0)()
    assert len(engine.rank([RankRequest(query="x")]).results[0].items) == 8


@pytest.mark.parametrize(
    "intent",
    [
        {"title": True},
        {"without": ["the"]},
        {"without": ["!!"]},
        {"sort": "newest", "residual_text": "!!"},
        {"sort": "rated", "residual_text": "the"},
        {"count": 1},
        {"tone": ["sad"]},
        {"prefers": {"categories": {"any": ["x"]}}},
        {"like": ["nobody"], "dislike": ["nobody"]},
        {"like": ["alien"], "dislike": ["alien"]},
    ],
)
@pytest.mark.parametrize("more", [{}, {"candidates": ("alien", "mob")}, {"k": 100}])
def test_odd_intents_bring_items(intent: dict[str, object], more: dict[str, object]) -> None:
    engine = small_engine(titles=FILMS)
    assert ids(asked(engine, "", intent, **more))


@pytest.mark.parametrize("titles", [{}, {"one": None}])
def test_a_catalogue_of_almost_nothing_answers(titles: dict[str, str | None]) -> None:
    engine = small_engine(titles=titles)
    for intent in ({"sort": "newest"}, {"sort": "popular", "without": ["a"]}, {"like": ["one"]}):
        result = asked(engine, "q", {**intent, "residual_text": "space"}, k=3)
        assert set(ids(result)) <= set(titles)


def test_a_title_among_the_candidates_comes_first() -> None:
    intent = Intent(filters='{"categories":{"any":["horror"]}}', title=True)
    found = understood(intent, "1977", k=3, candidates=("alien", "mob", "year"))
    assert ids(found) == ["year", "alien", "mob"]
