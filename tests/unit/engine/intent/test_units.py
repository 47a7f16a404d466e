"""Runtimes in the unit that the bundle records, whatever the field is called."""

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
