"""A seen item does not come back, unless the query is its title."""

import pytest

from app.core.ranking import RankRequest
from app.core.types import Change
from app.engine.engine import RankEngine
from tests.small_engine import TITLES, small_engine

ALL = frozenset(TITLES)


@pytest.fixture
def engine() -> RankEngine:
    return small_engine({"mob": 1.0})


def asked(engine: RankEngine, query: str = "", **rest: object) -> dict[str, bool]:
    request = RankRequest(query=query, k=20, **rest)  # type: ignore[arg-type]
    return {item.id: item.seen for item in engine.rank([request]).results[0].items}


def test_without_words_nothing_that_was_seen_comes_back(engine: RankEngine) -> None:
    assert "mob" in asked(engine)
    assert set(asked(engine, seen=frozenset({"mob", "unknown"}))) == ALL - {"mob"}


@pytest.mark.parametrize(
    "query", ["mob crime drama", "MOB  Crime: drama!", "drama, mob crime", "mób crime drama"]
)
def test_who_types_its_title_finds_it(engine: RankEngine, query: str) -> None:
    found = asked(engine, query, seen=ALL)
    assert found == {"mob": True}
    others = asked(engine, query, seen=frozenset({"mob"}))
    assert next(iter(others)) == "mob"
    assert [name for name, seen in others.items() if seen] == ["mob"]


@pytest.mark.parametrize("query", ["mob crime", "mob crime drama love", "drama", "xyzzy", "!"])
def test_a_part_of_a_title_is_not_the_title(engine: RankEngine, query: str) -> None:
    assert "mob" not in asked(engine, query, seen=frozenset({"mob"}))


def test_what_is_excluded_does_not_come_back_by_its_title(engine: RankEngine) -> None:
    excluded = frozenset({"mob"})
    assert "mob" not in asked(engine, "mob crime drama", seen=ALL, exclude=excluded)
    assert "mob" not in asked(engine, "mob crime drama", exclude=excluded)


def test_titles_that_change_while_it_serves_are_known(engine: RankEngine) -> None:
    changes = [
        Change(1, "mob", {"title": "Another Name"}),
        Change(2, "new", {"title": "A Newcomer"}),
        Change(3, "third", {"title": "mob crime drama"}),
    ]
    engine.plan(changes, 1000.0)()
    seen = frozenset({"mob", "new", "third", "heist"})
    for query, name in (
        ("another name", "mob"),
        ("newcomer a", "new"),
        ("mob crime drama", "third"),
        ("bank heist crime", "heist"),
    ):
        found = asked(engine, query, seen=seen)
        assert [item for item, is_seen in found.items() if is_seen] == [name]
        assert not (seen - {name}) & set(found)
