"""Numbers in the unit of their field, exact ones, and dates that no item has."""

import pytest

from app.engine.intent.parser import intent_parser_of
from tests.intent_catalogues import catalogue_of


@pytest.mark.parametrize(
    ("unit", "bound"), [("seconds", 7200), ("minutes", 120), ("hours", 2), ("milliseconds", 7.2e6)]
)
def test_a_bound_is_said_in_the_unit_of_the_field(unit: str, bound: float) -> None:
    rows = [{"title": "Night train", "length": 90 * bound / 120}, {"title": "Day", "length": bound}]
    catalogue = catalogue_of(rows, {"length": "number"})
    parser = intent_parser_of(catalogue, {"runtime": "length"}, {"length": unit})
    assert parser.parse("shorter than two hours", 0.0).filters == (
        f'{{"length":{{"lte":{bound:.0f}}}}}'
    )


def test_without_any_date_nothing_is_the_newest() -> None:
    rows = [{"title": "Blue shoe", "published_at": None}]
    parser = intent_parser_of(catalogue_of(rows, {"published_at": "time"}), {})
    assert parser.parse("newest shoe", 0.0).sort == "relevance"


@pytest.mark.parametrize("query", ["shoes size 42", "size: 42 shoes"])
def test_the_name_of_a_number_field_takes_a_number(query: str) -> None:
    rows = [{"title": "Blue shoe", "size": 38}, {"title": "Red shoe", "size": 44}]
    parser = intent_parser_of(catalogue_of(rows, {"size": "number"}), {})
    assert parser.parse(query, 0.0).filters == '{"size":{"any":[42]}}'
    assert parser.parse("shoes size 52", 0.0).filters == ""
