"""A query that is the title of an item, whatever else it says or does not say."""

import pytest

from app.engine.intent.parser import intent_parser_of
from tests.intent_catalogues import catalogue_of

TITLES = ["Up", "Up in the Air", "Not Another Teen Movie", "2012", "卧虎藏龙"]


@pytest.mark.parametrize("query", ["Up", "up!", "not another teen movie", "卧虎藏龙", "show me up"])
def test_a_whole_title_is_told(query: str) -> None:
    parser = intent_parser_of(catalogue_of([{"title": title} for title in TITLES], {}), {})
    intent = parser.parse(query, 0.0)
    assert intent.title
    assert not intent.has_demands


@pytest.mark.parametrize("query", ["up in", "teen movie", "air up", "卧虎"])
def test_a_part_of_a_title_is_none(query: str) -> None:
    parser = intent_parser_of(catalogue_of([{"title": title} for title in TITLES], {}), {})
    assert not parser.parse(query, 0.0).title
