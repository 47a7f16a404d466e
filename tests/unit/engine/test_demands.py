"""What the engine does with an intent: sort, filters, titles, likes, words that must not occur."""

import json

import pytest

from app.core.ranking import RankRequest, RankResult
from app.core.types import Change
from app.domain.columns import Instant
from app.domain.filters import filter_text
from app.domain.intent import Intent
from app.engine.engine import RankEngine
from tests.small_engine import small_engine

FILMS = {
    "alien": "alien space horror",
    "aliens": "alien space horror again",
    "star": "star space adventure",
    "robot": "robot space adventure",
    "cook": "space cooking comedy",
    "mob": "mob crime drama",
    "love": "love story drama",
    "year": "1977",
}
DATES = [1979, 1986, 1977, 2020, 2020, 1990, None, 2001]
PRICES = [9.0, 12.0, 7.0, None, 3.0, 5.0, 4.0, 8.0]
STARS = [4.5, 4.0, 4.8, 3.0, 2.0, 5.0, None, 4.1]
TRENDING = {"love": 0.8, "cook": 0.9, "star": 0.1}
POPULARITY = {"alien": 0.9, "star": 1.0, "mob": 0.5, "love": 0.4, "cook": 0.1}


@pytest.fixture(scope="module")
def engine() -> RankEngine:
    return small_engine(
        POPULARITY,
        trending=TRENDING,
        titles=FILMS,
        extra={
            "published_at": (
                "time",
                [None if year is None else Instant.of_year(year) for year in DATES],
            ),
            "price": ("number", PRICES),
            "stars": ("number", STARS),
        },
        roles={"price": "price", "rating": "stars"},
    )


def asked(engine: RankEngine, query: str, intent: dict[str, object], **more: object) -> RankResult:
    request = RankRequest(query=query, intent=json.dumps(intent), **more)  # type: ignore[arg-type]
    (result,) = engine.rank([request]).results
    return result


def ids(result: RankResult) -> list[str]:
    return [item.id for item in result.items]


def genre(name: str) -> dict[str, object]:
    return {"categories": {"any": [name]}}


@pytest.mark.parametrize(
    ("sort", "first", "last"),
    [
        ("newest", {"robot", "cook"}, "love"),
        ("oldest", {"star", "alien"}, "love"),
        ("popular", {"star", "alien"}, None),
        ("trending", {"cook", "love"}, None),
        ("rated", {"mob", "star"}, "love"),
        ("cheapest", {"cook", "love"}, "robot"),
        ("dearest", {"aliens", "alien"}, "robot"),
    ],
)
def test_a_sort_is_strict_and_missing_values_come_last(
    engine: RankEngine, sort: str, first: set[str], last: str | None
) -> None:
    found = ids(asked(engine, "all films", {"sort": sort}))
    assert set(found[:2]) == first
    assert sorted(found) == sorted(FILMS)
    assert last is None or found[-1] == last


def test_an_answer_says_what_the_sort_brought(engine: RankEngine) -> None:
    found = asked(engine, "cheapest", {"sort": "cheapest"}, k=2)
    sources = [item.sources[0] for item in found.items]
    assert [(hit.name, hit.rank, hit.score) for hit in sources] == [
        ("sort", 1, -3.0),
        ("sort", 2, -4.0),
    ]


def test_the_score_breaks_the_ties_of_a_sort(engine: RankEngine) -> None:
    likes = {"sort": "newest", "like": ["star"]}  # a space adventure, as robot is
    assert ids(asked(engine, "newest", likes, k=2)) == ["robot", "cook"]
    likes = {"sort": "newest", "dislike": ["star"]}
    assert ids(asked(engine, "newest", likes, k=2)) == ["cook", "robot"]


def test_a_sort_orders_what_is_preferred_and_the_rest_follows(engine: RankEngine) -> None:
    intent = {"sort": "newest", "prefers": genre("horror"), "residual_text": "space films"}
    assert ids(asked(engine, "newest space horror films", intent, k=8))[:2] == ["aliens", "alien"]


def test_a_sort_with_words_orders_the_items_that_hold_all_of_them(engine: RankEngine) -> None:
    found = asked(engine, "newest space", {"sort": "newest", "residual_text": "space"}, k=5)
    assert ids(found)[2:] == ["aliens", "alien", "star"]
    # Only two hold the word: the sort is over the most relevant ones, which is all of them here.
    found = asked(engine, "oldest drama", {"sort": "oldest", "residual_text": "drama"}, k=3)
    assert ids(found) == ["star", "alien", "aliens"]


def test_an_unknown_sort_value_leaves_the_order_of_the_score(engine: RankEngine) -> None:
    bare = small_engine(POPULARITY)  # without dates, prices and ratings
    words = {"residual_text": "space"}
    assert ids(asked(bare, "q", {"sort": "newest", **words})) == ids(asked(bare, "q", words))


def test_filters_of_the_caller_and_of_the_intent_both_count(engine: RankEngine) -> None:
    found = asked(
        engine,
        "space",
        {"filters": genre("space"), "residual_text": "space"},
        filter=filter_text(genre("horror")),
        k=2,
    )
    assert set(ids(found)) == {"alien", "aliens"}
    assert found.passing is None


def test_too_few_items_give_up_the_positive_demands_alone(engine: RankEngine) -> None:
    intent = {"filters": {**genre("adventure"), "$not": [genre("horror")]}}
    found = asked(engine, "adventures not horror", intent, k=8)
    assert set(ids(found)[:2]) == {"star", "robot"}
    assert found.passing == 2
    assert set(ids(found)) == set(FILMS) - {"alien", "aliens"}


def test_items_that_fill_up_keep_the_order_and_those_that_meet_some_demands_come_first(
    engine: RankEngine,
) -> None:
    by_age = ids(asked(engine, "x", {"sort": "oldest"}, k=8))
    one = {"sort": "oldest", "filters": {"published_at": {"gte": 2500}}}
    found = asked(engine, "oldest of 2500", one, k=8)
    assert (found.passing, ids(found)) == (0, by_age)

    two = {"sort": "oldest", "filters": {**genre("horror"), "published_at": {"gte": 2500}}}
    found = asked(engine, "oldest horror of 2500", two, k=8)
    horror = [name for name in by_age if name in {"alien", "aliens"}]
    assert (found.passing, ids(found)[:2]) == (0, horror)


def test_the_filter_of_the_caller_is_given_up_only_as_on_empty_says(engine: RankEngine) -> None:
    intent = {"filters": genre("adventure")}
    own = filter_text(genre("space"))
    found = asked(engine, "adventure", intent, filter=own, k=8)
    assert set(ids(found)) == {"star", "robot", "alien", "aliens", "cook"}
    found = asked(engine, "adventure", intent, filter=own, k=8, on_empty="popular")
    assert set(ids(found)) == set(FILMS)
    assert found.passing == 2


def test_what_is_preferred_comes_first_and_is_no_filter(engine: RankEngine) -> None:
    words = {"residual_text": "space"}
    found = asked(engine, "space comedy", {"prefers": genre("comedy"), **words}, k=4)
    assert ids(found)[0] == "cook"
    assert len(found.items) == 4


def test_words_that_must_not_occur_do_not(engine: RankEngine) -> None:
    found = asked(engine, "x", {"residual_text": "space", "without": ["adventure", "cooking"]}, k=8)
    assert not {"star", "robot", "cook"} & set(ids(found))
    assert set(ids(found)[:2]) == {"alien", "aliens"}


def test_an_item_that_says_it_lacks_a_word_does_not_have_it() -> None:
    titles: dict[str, str | None] = {
        "plain": "ice cream with sugar",
        "free": "ice cream sugar-free",
        "nuts": "ice cream sugar-free with nuts",
    }
    engine = small_engine(titles=titles)
    found = asked(engine, "q", {"residual_text": "ice cream", "without": ["sugar", "nuts"]}, k=3)
    assert ids(found) == ["free"]


def test_items_to_resemble_shape_the_answer_and_do_not_come_back() -> None:
    engine = small_engine(titles=FILMS)
    found = asked(engine, "like alien", {"like": ["alien"]}, k=1)
    assert ids(found) == ["aliens"]
    (result,) = engine.rank([RankRequest(query="x", intent='{"like":["nobody"]}')]).results
    assert result.missing_ids == ("nobody",)


def test_the_query_sets_k_only_where_the_caller_did_not(engine: RankEngine) -> None:
    assert len(asked(engine, "two films", {"count": 2}, k_is_default=True).items) == 2
    assert len(asked(engine, "two films", {"count": 2}, k=3).items) == 3


def test_only_named_candidates_are_sorted(engine: RankEngine) -> None:
    found = asked(engine, "newest", {"sort": "newest"}, candidates=("alien", "star", "love"))
    assert ids(found) == ["alien", "star", "love"]


class Fixed:
    """Understands every query in the same way."""

    def __init__(self, intent: Intent) -> None:
        self._intent = intent

    def knows(self, record: object) -> bool:
        return True

    def changed(self, before: object, after: object) -> "Fixed":
        return self

    def parse(self, query: str, now: float) -> Intent:
        return self._intent


def understood(intent: Intent, query: str, **more: object) -> RankResult:
    engine = small_engine(titles=FILMS, parser=Fixed(intent))
    (result,) = engine.rank([RankRequest(query=query, **more)]).results  # type: ignore[arg-type]
    return result


@pytest.mark.parametrize(
    "typed", ["alien space horror", "Alien Space Horror!", "horror alien spac"]
)
def test_a_title_in_words_is_looked_up(typed: str) -> None:
    found = understood(Intent(like_titles=(typed,)), f"films like {typed}", k=1)
    assert ids(found) == ["aliens"]
    assert json.loads(found.intent)["like"] == ["alien"]
    assert found.depends_on_catalogue


def test_a_title_that_there_is_not_is_searched_by_its_words() -> None:
    found = understood(Intent(like_titles=("crime drama of the nineties",)), "like …", k=1)
    assert ids(found) == ["mob"]
    assert json.loads(found.intent)["like"] == []


def test_a_query_that_is_a_title_brings_it_first_whatever_the_rest_demands() -> None:
    intent = Intent(filters='{"categories":{"any":["horror"]}}', title=True, confidence=0.5)
    found = understood(intent, "1977", k=3)
    assert ids(found) == ["year", "alien", "aliens"]
    negated = Intent(filters='{"$not":[{"categories":{"any":["1977"]}}]}', title=True)
    assert "year" not in ids(understood(negated, "1977", k=8))
    assert "year" not in ids(understood(intent, "1977", k=3, exclude=frozenset({"year"})))


def test_a_title_behind_other_words_comes_first_too() -> None:
    intent = Intent(filters='{"categories":{"any":["horror"]}}', residual_text="1977", title=True)
    assert ids(understood(intent, "please show me 1977", k=1)) == ["year"]


def test_a_weak_reading_and_its_end_are_told() -> None:
    found = understood(Intent(residual_text="space", confidence=0.3, valid_until=5.0), "space")
    assert (found.weak, found.valid_until, found.depends_on_catalogue) == (True, 5.0, False)


def test_a_query_that_names_an_item_by_its_code_is_not_weak() -> None:
    little = Fixed(Intent(residual_text="sku", confidence=0.3))
    engine = small_engine(titles={**FILMS, "sku-1018": "drama of a robot"}, parser=little)
    known, unknown = engine.rank([RankRequest(query=q) for q in ("SKU1018", "SKU1019")]).results
    assert (known.weak, unknown.weak) == (False, True)


def test_a_filter_that_no_longer_fits_is_left_out(engine: RankEngine) -> None:
    found = asked(engine, "x", {"filters": {"colour": {"eq": "red"}}, "residual_text": "mob"}, k=1)
    assert ids(found) == ["mob"]


SAME = {f"s{n}": "blue vase" for n in range(6)} | {"o1": "blue glass", "o2": "red vase", "n": None}


def test_at_most_so_many_items_share_a_value() -> None:
    engine = small_engine(titles=SAME)
    request = RankRequest(query="blue vase", max_per=(("title", 1),), k=3)
    (result,) = engine.rank([request]).results
    assert len({item.title for item in result.items}) == 3
    assert ids(result)[0] == "s0"


def test_earlier_pages_count_and_missing_values_stand_alone() -> None:
    engine = small_engine(titles=SAME)
    request = RankRequest(
        query="blue vase",
        max_per=(("title", 1),),
        exclude=frozenset({"s0"}),
        shown=("s0",),
        k=8,
    )
    (result,) = engine.rank([request]).results
    assert sorted(ids(result)) == ["n", "o1", "o2"]


def test_a_short_answer_is_refilled_past_the_candidates() -> None:
    titles: dict[str, str | None] = {f"s{n}": "blue vase" for n in range(300)}
    engine = small_engine(titles=titles | {"o1": "blue glass", "o2": "vase"})
    request = RankRequest(query="blue vase", max_per=(("title", 1),), k=3)
    (result,) = engine.rank([request]).results
    assert {item.title for item in result.items} == {"blue vase", "vase", "blue glass"}


def test_a_changed_value_moves_an_item_in_a_sort() -> None:
    engine = small_engine(
        POPULARITY,
        titles=FILMS,
        extra={"price": ("number", PRICES)},
        roles={"price": "price"},
    )
    request = RankRequest(query="cheapest", intent='{"sort":"cheapest"}', k=1)
    assert ids(engine.rank([request]).results[0]) == ["cook"]
    engine.plan([Change(1, "star", {"title": FILMS["star"], "price": 1.0})], 0.0)()
    assert ids(engine.rank([request]).results[0]) == ["star"]


def test_an_exact_title_comes_before_longer_and_more_popular_ones() -> None:
    titles: dict[str, str | None] = {"air": "up in the air", "up": "up", "down": "down and up"}
    parser = Fixed(Intent(residual_text="Up", title=True))
    engine = small_engine({"air": 1.0}, titles=titles, parser=parser)
    (result,) = engine.rank([RankRequest(query="Up")]).results
    assert ids(result)[0] == "up"
    assert "title" in [hit.name for hit in result.items[0].sources]
    assert not result.depends_on_catalogue
