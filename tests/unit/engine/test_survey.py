"""What an engine tells of a sample of its items."""

import pytest

from app.core.survey import SurveyedItem
from app.core.types import Change
from app.engine.engine import RankEngine
from tests.small_engine import small_engine


def put(engine: RankEngine, seq: int, item: str, record: dict[str, object] | None) -> None:
    engine.plan([Change(seq, item, record)], now=1000.0)()


def test_every_item_is_looked_at_if_there_is_room() -> None:
    survey = small_engine(roles={"price": "year"}).survey(100)
    assert survey.n_items == 7
    assert [each.id for each in survey.items] == [
        *("alien", "star", "robot", "heist", "mob", "love", "ghost")
    ]
    assert survey.items[0] == SurveyedItem(
        "alien", "alien space horror", has_text=False, has_vector=True, is_cut=False, visible=True
    )
    assert survey.items[-1] == SurveyedItem(
        "ghost", None, has_text=False, has_vector=False, is_cut=False, visible=True
    )
    assert survey.roles == {"price": "year"}


@pytest.mark.parametrize("most", [1, 10, 100])
def test_a_sample_is_evenly_spread(most: int) -> None:
    survey = small_engine(copies=193).survey(most)
    assert (survey.n_items, len(survey.items)) == (200, most)
    if most > 1:
        assert [survey.items[0].id, survey.items[-1].id] == ["alien", "dull192"]


def test_changed_items_count_as_they_are_now() -> None:
    engine = small_engine()
    put(engine, 1, "alien", {"title": " ", "hidden": True})
    put(engine, 2, "new", {"title": "a new one"})
    put(engine, 3, "star", None)
    survey = engine.survey(100)
    found = {each.id: each for each in survey.items}
    assert survey.n_items == len(found) == 7
    assert "star" not in found
    assert (found["alien"].title, found["alien"].visible) == (None, False)
    assert (found["new"].title, found["new"].visible) == ("a new one", True)
