"""Brands that are called like ordinary words: an order stays an order, a name a name."""

from typing import Any

import orjson
import pytest

from app.engine.intent.parser import QueryParser, intent_parser_of
from tests.intent_catalogues import NOW, SHOP_KINDS, catalogue_of

BRANDS = ("New", "Best", "Top", "The", "Five", "Under", "New Balance", "Best Western", "No Name")
KINDS = ("categories", "brand", "price", "published_at")


@pytest.fixture(scope="module")
def parser() -> QueryParser:
    rows = [
        {
            "title": f"thing {n}",
            "brand": BRANDS[n % len(BRANDS)],
            "categories": ["Shoes" if n % 2 else "Shirts"],
            "price": 10.0 + n,
            "published_at": 2020 + n % 6,
        }
        for n in range(90)
    ]
    kinds = {name: SHOP_KINDS[name] for name in KINDS}
    return intent_parser_of(catalogue_of(rows, kinds), {"price": "price", "brand": "brand"})


@pytest.mark.parametrize(
    ("query", "sort", "brands"),
    [
        ("new shoes", "newest", None),
        ("best shoes", "rated", None),
        ("top shoes", "rated", None),
        ("the shoes", "relevance", None),
        ("brand new shoes", "newest", None),
        ("new balance shoes", "relevance", ["New Balance"]),
        ("best western shoes", "relevance", ["Best Western"]),
        ("no name shoes", "relevance", ["No Name"]),
        ("brand: best", "relevance", ["Best"]),
        ("five", "relevance", ["Five"]),
        ("new new balance shoes", "newest", ["New Balance"]),
    ],
)
def test_a_name_or_a_word(
    parser: QueryParser, query: str, sort: str, brands: list[str] | None
) -> None:
    intent = parser.parse(query, NOW)
    filters: dict[str, Any] = orjson.loads(intent.filters or "{}")
    assert (intent.sort, filters.get("brand")) == (sort, brands and {"any": brands})


def test_a_number_says_how_many_whatever_a_brand_is_called(parser: QueryParser) -> None:
    assert parser.parse("five shirts", NOW).count == 5
    assert parser.parse("under 50", NOW).filters == '{"price":{"lte":50}}'
