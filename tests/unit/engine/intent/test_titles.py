"""A query that is the title of an item, whatever else it says or does not say."""

import pytest

from app.engine.intent.cutting import cut, words_in
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


@pytest.mark.parametrize("query", ["the chair of wood", "lord of rings a", "a tale and i"])
def test_little_words_alone_are_read_the_quick_way_and_as_the_long_way_does(query: str) -> None:
    parser = intent_parser_of(catalogue_of([{"title": title} for title in TITLES], {}), {})
    quick, full = parser.parse(query, 0.0), parser._full(query, cut(query), 0.0)
    assert parser._says_nothing(query, words_in(query))
    assert (quick.residual_text, quick.has_demands) == (full.residual_text, full.has_demands)
