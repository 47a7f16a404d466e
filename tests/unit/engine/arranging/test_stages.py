"""Stages together, through the engine: what holds for any mix of them, and how they interplay."""

from collections import Counter
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.ranking import RankRequest, RankResult
from app.domain.columns import Instant
from app.domain.exposure import ExposureWish, checked_exposure
from app.domain.intent import Intent
from app.engine.engine import RankEngine
from tests.small_engine import TITLES, small_engine

N = 60
WORDS = ("space", "crime", "love", "war", "sea")
NAMES = [f"f{n}" for n in range(N)]
FILMS: dict[str, str | None] = {
    name: f"{WORDS[n % 5]} {WORDS[n * 7 % 3]} story {n}" for n, name in enumerate(NAMES)
}
MAKERS = ["small" if n % 12 == 11 else "middle" if n % 3 == 1 else "big" for n in range(N)]
TAGS = [[tag for tag, step in (("a", 2), ("b", 3)) if n % step == 0] or None for n in range(N)]
KINDS = {"maker": "string", "tags": "strings", "new": "boolean"}


@pytest.fixture(scope="module")
def engine() -> RankEngine:
    return small_engine(
        {name: 1.0 - n / N for n, name in enumerate(NAMES)},
        titles=FILMS,
        extra={
            "maker": ("string", MAKERS),
            "tags": ("strings", TAGS),
            "new": ("boolean", [n % 10 == 9 for n in range(N)]),
            "published_at": ("time", [Instant.of_year(1950 + n) for n in range(N)]),
        },
    )


def exposure(field: str = "maker", **groups: dict[str, float]) -> str:
    sent = orjson.dumps({"field": field, "groups": groups})
    return checked_exposure(ExposureWish.model_validate_json(sent), KINDS, {})


def asked(engine: RankEngine, **fields: Any) -> RankResult:
    (result,) = engine.rank([RankRequest(**fields)]).results
    return result


def ids(result: RankResult) -> list[str]:
    return [item.id for item in result.items]


def makers(result: RankResult) -> Counter[str]:
    return Counter(MAKERS[NAMES.index(item.id)] for item in result.items)


SORTS = st.sampled_from(["", Intent(sort="newest").text(), Intent(sort="popular").text()])


@settings(max_examples=60)
@given(
    st.fixed_dictionaries(
        {
            "query": st.sampled_from(["", "space", "love story", "crime war", FILMS["f7"]]),
            "k": st.integers(1, 70),
            "diversity": st.sampled_from([0.0, 0.4, 1.0]),
            "popularity_bias": st.sampled_from([-1.0, 0.0, 0.7]),
            "explore": st.sampled_from([0.0, 0.3, 1.0]),
            "seed": st.integers(0, 5),
            "exposure": st.sampled_from(
                [
                    "",
                    exposure(small={"min": 0.2}),
                    exposure("tags", a={"max": 0.3}, b={"min": 0.5}),
                ]
            ),
            "max_per": st.sampled_from([(), (("maker", 4),)]),
            "exclude": st.frozensets(st.sampled_from(NAMES), max_size=50),
            "intent": SORTS,
        }
    )
)
def test_nothing_is_lost_doubled_or_brought_back(
    engine: RankEngine, fields: dict[str, Any]
) -> None:
    plain = asked(engine, **{**fields, "diversity": 0.0, "explore": 0.0, "exposure": ""})
    found = asked(engine, **fields)

    assert len(ids(found)) == len(set(ids(found))) == len(ids(plain))
    assert len(ids(found)) == min(fields["k"], len(ids(plain)))
    assert not set(ids(found)) & fields["exclude"]
    if not fields["exposure"] and len(ids(found)) < fields["k"]:
        assert set(ids(found)) == set(ids(plain))
    if not fields["diversity"] and not fields["explore"] and not fields["exposure"]:
        assert found.items == plain.items
    scores = {item.id: item.score for item in plain.items}
    for item in found.items:
        assert item.score == pytest.approx(scores.get(item.id, item.score))
        assert (item.propensity is None) is (not fields["explore"])
    assert (found.exposure is None) is (not fields["exposure"])


def test_an_answer_that_asks_for_nothing_says_nothing_of_places(engine: RankEngine) -> None:
    plain = asked(engine, query="space")
    assert {item.placed_by for item in plain.items} == {""}
    assert {item.propensity for item in plain.items} == {None}
    assert plain.exposure is None


def test_popularity_bias_is_a_part_of_the_score(engine: RankEngine) -> None:
    plain, rare, common = (
        asked(engine, query="space", k=20, popularity_bias=bias) for bias in (0.0, -1.0, 1.0)
    )

    def mean_popularity(result: RankResult) -> float:
        return float(np.mean([1.0 - NAMES.index(item.id) / N for item in result.items[:8]]))

    assert mean_popularity(rare) < mean_popularity(plain) < mean_popularity(common)
    before = {item.id: item.score for item in plain.items}
    for item in rare.items:
        if item.id in before:
            popularity = 1.0 - NAMES.index(item.id) / N
            assert item.score == pytest.approx(before[item.id] - popularity, abs=1e-5)
    least = rare.items[4].score
    enough = asked(engine, query="space", k=20, popularity_bias=-1.0, min_score=least)
    assert ids(enough) == [item.id for item in rare.items if item.score >= least]


def test_a_strict_sort_is_not_diversified(engine: RankEngine) -> None:
    newest = Intent(sort="newest").text()
    sorted_ = asked(engine, intent=newest, k=8)
    assert ids(sorted_) == NAMES[: N - 9 : -1]
    assert ids(asked(engine, intent=newest, k=8, diversity=1.0)) == ids(sorted_)


def test_pages_of_a_diverse_answer_share_no_item_and_end(engine: RankEngine) -> None:
    shown: tuple[str, ...] = ()
    while True:
        page = ids(asked(engine, diversity=0.6, k=13, exclude=frozenset(shown), shown=shown))
        assert not set(page) & set(shown)
        if not page:
            break
        shown = (*shown, *page)
    assert set(shown) == set(NAMES)


def test_all_candidates_come_back_in_any_case(engine: RankEngine) -> None:
    some = tuple(NAMES[3:40:2])
    fields: dict[str, Any] = {"candidates": some, "k": len(some), "query": "space"}
    for more in (
        {"diversity": 1.0},
        {"explore": 1.0, "seed": 4},
        {"exposure": exposure(small={"min": 0.5})},
    ):
        assert sorted(ids(asked(engine, **fields, **more))) == sorted(some)
    five = asked(engine, **{**fields, "k": 5}, exposure=exposure(small={"min": 0.4}))
    assert makers(five)["small"] == 2
    assert set(ids(five)) <= set(some)


def test_a_floor_is_met_also_by_items_that_no_source_has_found(engine: RankEngine) -> None:
    plain = asked(engine, k=10)
    assert makers(plain)["small"] == 0
    found = asked(engine, k=10, exposure=exposure(small={"min": 0.3}, big={"max": 0.4}))

    assert makers(found) == {"small": 3, "middle": 3, "big": 4}
    assert found.exposure is not None
    small, big = sorted(found.exposure.groups, reverse=True)
    assert (small.name, small.share, small.least, small.most, small.met) == (
        *("small", 0.3, 0.3),
        *(None, True),
    )
    assert (big.share, big.met) == (0.4, True)
    by = {item.id: item.placed_by for item in found.items}
    assert {by[name] for name in set(ids(found)) - set(ids(plain))} == {"exposure"}
    assert {by[name] for name in set(ids(found)) & set(ids(plain))} == {""}
    assert [item.score for item in found.items] == sorted(
        (item.score for item in found.items), reverse=True
    )


def test_a_floor_holds_within_an_order_and_within_a_filter(engine: RankEngine) -> None:
    newest = Intent(sort="newest").text()
    found = asked(engine, intent=newest, k=4, exposure=exposure(small={"min": 0.5}))
    assert ids(found) == ["f59", "f58", "f57", "f47"]
    only = asked(
        engine,
        k=4,
        filter='{"maker":{"not":"small"}}',
        exposure=exposure(small={"min": 0.5}, middle={"min": 0.5}),
    )
    assert only.exposure is not None
    assert {group.name: (group.share, group.met) for group in only.exposure.groups} == {
        "small": (0.0, False),
        "middle": (0.5, True),
    }


def test_lists_and_booleans_are_groups_as_well(engine: RankEngine) -> None:
    found = asked(engine, k=10, exposure=exposure("new", true={"min": 0.2}))
    assert sum(NAMES.index(name) % 10 == 9 for name in ids(found)) == 2
    found = asked(engine, k=10, exposure=exposure("tags", a={"max": 0.2}, b={"min": 0.4}))
    places = [NAMES.index(name) for name in ids(found)]
    assert sum(place % 2 == 0 for place in places) <= 2
    assert sum(place % 3 == 0 for place in places) >= 4


def test_items_that_fill_an_answer_up_count_for_its_exposure(engine: RankEngine) -> None:
    found = asked(
        engine,
        k=10,
        filter='{"published_at":{"lt":1956}}',
        on_empty="popular",
        exposure=exposure(small={"min": 0.2}),
        explore=0.5,
        seed=1,
    )
    assert (len(found.items), found.passing) == (10, 6)
    assert makers(found)["small"] == 2
    assert found.exposure is not None
    assert (found.exposure.groups[0].share, found.exposure.groups[0].met) == (0.2, True)
    assert all(item.propensity is not None for item in found.items)


def test_draws_keep_to_max_per_and_exposure(engine: RankEngine) -> None:
    for seed in range(20):
        found = asked(engine, k=9, max_per=(("maker", 3),), explore=1.0, seed=seed)
        assert makers(found) == {"small": 3, "middle": 3, "big": 3}
        found = asked(engine, k=10, explore=1.0, seed=seed, exposure=exposure(small={"min": 0.2}))
        assert makers(found)["small"] == 2
        assert found.exposure is not None
        assert found.exposure.groups[0].met


def test_pages_with_the_same_seed_have_draws_of_their_own(engine: RankEngine) -> None:
    first = asked(engine, k=10, explore=1.0, seed=3)
    again = asked(engine, k=10, explore=1.0, seed=3)
    assert first == again
    other = asked(engine, k=10, explore=1.0, seed=3, shown=("unknown",))
    assert other.items == first.items  # an unknown id has no row
    second = asked(
        engine, k=10, explore=1.0, seed=3, shown=tuple(ids(first)), exclude=frozenset(ids(first))
    )
    assert not set(ids(second)) & set(ids(first))


def test_a_title_that_is_the_query_stays_first(engine: RankEngine) -> None:
    title = FILMS["f31"]
    intent = Intent(title=True, residual_text=str(title)).text()
    for seed in range(10):
        found = asked(
            engine, query=title, intent=intent, explore=1.0, seed=seed, diversity=1.0, k=6
        )
        assert (found.items[0].id, found.items[0].propensity) == ("f31", 1.0)


def test_an_item_without_a_vector_can_be_in_a_diverse_answer() -> None:
    engine = small_engine(dict.fromkeys(TITLES, 0.5))
    assert set(ids(asked(engine, diversity=1.0, k=7))) == set(TITLES)


def test_every_page_meets_its_shares(engine: RankEngine) -> None:
    shown: tuple[str, ...] = ()
    for _ in range(2):
        page = asked(
            engine,
            k=10,
            exclude=frozenset(shown),
            shown=shown,
            diversity=0.4,
            exposure=exposure(small={"min": 0.2, "max": 0.2}),
        )
        assert makers(page)["small"] == 2
        shown = (*shown, *ids(page))
    assert len(set(shown)) == 20


def test_a_diverse_answer_that_is_filled_up_keeps_the_items_that_pass_first(
    engine: RankEngine,
) -> None:
    found = asked(
        engine,
        k=12,
        query="space",
        filter='{"published_at":{"lt":1955}}',
        on_empty="relax",
        diversity=0.7,
    )
    assert (len(set(ids(found))), found.passing) == (12, 5)
    assert set(ids(found)[:5]) == set(NAMES[:5])


def test_max_per_looks_further_for_a_diverse_answer(engine: RankEngine) -> None:
    found = asked(engine, k=9, max_per=(("maker", 3),), diversity=0.8)
    assert makers(found) == {"small": 3, "middle": 3, "big": 3}
