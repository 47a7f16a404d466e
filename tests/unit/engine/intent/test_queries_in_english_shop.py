"""What queries in English ask for, over the catalogue of a made shop."""

from typing import Any

import pytest

from tests.intent_catalogues import NOW, parser_for, said

ROWS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "shop",
        "headphones under $50",
        {"filters": {"categories": {"any": ["Headphones"]}, "price": {"lte": 50}}},
    ),
    (
        "shop",
        "cheap black leather shoes",
        {
            "sort": "cheapest",
            "prefers": {
                "categories": {"any": ["Shoes"]},
                "color": {"any": ["black"]},
                "material": {"any": ["leather"]},
            },
            "text": "black leather shoes",
        },
    ),
    (
        "shop",
        "laptop with at least 16 GB",
        {"filters": {"categories": {"any": ["Laptops"]}, "ram_gb": {"gte": 16}}},
    ),
    (
        "shop",
        "laptop ≥ 16 GB",
        {"filters": {"categories": {"any": ["Laptops"]}, "ram_gb": {"gte": 16}}},
    ),
    (
        "shop",
        "laptops under 3 kg",
        {"filters": {"categories": {"any": ["Laptops"]}, "weight_kg": {"lte": 3}}},
    ),
    (
        "shop",
        "tents under 6kg",
        {"filters": {"categories": {"any": ["Tents"]}, "weight_kg": {"lte": 6}}},
    ),
    (
        "shop",
        "size 42 shoes",
        {"filters": {"categories": {"any": ["Shoes"]}, "size": {"any": ["42"]}}},
    ),
    ("shop", "wh-1000xm4", {"text": "wh-1000xm4"}),
    (
        "shop",
        "WH-1000XM4 headphones under 300",
        {
            "filters": {"price": {"lte": 300}},
            "prefers": {"categories": {"any": ["Headphones"]}},
            "text": "WH-1000XM4 headphones",
        },
    ),
    (
        "shop",
        "4 person tent",
        {"prefers": {"categories": {"any": ["Tents"]}}, "text": "4 person tent"},
    ),
    ("shop", "ice cream without sugar", {"without": ["sugar"], "text": "ice cream"}),
    ("shop", "sugar-free ice cream", {"text": "sugar-free ice cream"}),
    (
        "shop",
        "headphones -sonara",
        {
            "filters": {
                "$not": [{"brand": {"any": ["Sonara"]}}],
                "categories": {"any": ["Headphones"]},
            }
        },
    ),
    (
        "shop",
        "not sonara headphones",
        {
            "filters": {
                "$not": [{"brand": {"any": ["Sonara"]}}],
                "categories": {"any": ["Headphones"]},
            }
        },
    ),
    (
        "shop",
        "waterproof shoes",
        {
            "prefers": {"categories": {"any": ["Shoes"]}, "waterproof": {"eq": True}},
            "text": "waterproof shoes",
        },
    ),
    (
        "shop",
        "shoes that are not waterproof",
        {"filters": {"$not": [{"waterproof": {"eq": True}}], "categories": {"any": ["Shoes"]}}},
    ),
    (
        "shop",
        "best headphones",
        {"sort": "rated", "filters": {"categories": {"any": ["Headphones"]}}},
    ),
    (
        "shop",
        "no drill blinds",
        {"prefers": {"categories": {"any": ["Blinds"]}}, "text": "no drill blinds"},
    ),
    ("shop", "between 50 and 100 dollars", {"filters": {"price": {"gte": 50, "lte": 100}}}),
    (
        "shop",
        "shoes between $50 and $100",
        {"filters": {"categories": {"any": ["Shoes"]}, "price": {"gte": 50, "lte": 100}}},
    ),
    (
        "shop",
        "shoes $50-100",
        {"filters": {"categories": {"any": ["Shoes"]}, "price": {"gte": 50, "lte": 100}}},
    ),
    (
        "shop",
        "laptop with battery over 10 hours",
        {"filters": {"battery_hours": {"gte": 10}, "categories": {"any": ["Laptops"]}}},
    ),
    ("shop", "battery life of more than 10 hours", {"filters": {"battery_hours": {"gte": 10}}}),
    (
        "shop",
        "headphones rated over 4",
        {"filters": {"categories": {"any": ["Headphones"]}, "rating": {"gte": 4}}},
    ),
    (
        "shop",
        "shoes for kids",
        {"filters": {"categories": {"any": ["Shoes"]}}, "tone": ["kids"], "text": "kids"},
    ),
    (
        "shop",
        "cheapest laptop",
        {"sort": "cheapest", "filters": {"categories": {"any": ["Laptops"]}}},
    ),
    (
        "shop",
        "most expensive sofas",
        {"sort": "dearest", "filters": {"categories": {"any": ["Sofas"]}}},
    ),
    (
        "shop",
        "norvik or halden boots",
        {"filters": {"brand": {"any": ["Halden", "Norvik"]}, "categories": {"any": ["Boots"]}}},
    ),
    (
        "shop",
        "boots by halden",
        {"filters": {"brand": {"any": ["Halden"]}, "categories": {"any": ["Boots"]}}},
    ),
    (
        "shop",
        "anything by bolt except headphones",
        {
            "filters": {
                "$not": [{"categories": {"any": ["Headphones"]}}],
                "brand": {"any": ["Bolt"]},
            }
        },
    ),
    (
        "shop",
        "coffee table",
        {"prefers": {"categories": {"any": ["Tables"]}}, "text": "coffee table"},
    ),
    ("shop", "iphone 14 pro", {"text": "iphone 14 pro"}),
    ("shop", "2000 watt heater", {"text": "2000 watt heater"}),
    (
        "shop",
        "around 100 dollars shoes",
        {"filters": {"categories": {"any": ["Shoes"]}, "price": {"gte": 80, "lte": 120}}},
    ),
    (
        "shop",
        "laptop about $1000",
        {"filters": {"categories": {"any": ["Laptops"]}, "price": {"gte": 800, "lte": 1200}}},
    ),
    (
        "shop",
        "red or black headphones",
        {"filters": {"categories": {"any": ["Headphones"]}, "color": {"any": ["black", "red"]}}},
    ),
    (
        "shop",
        "headphones not over 50",
        {"filters": {"categories": {"any": ["Headphones"]}, "price": {"lte": 50}}},
    ),
    ("shop", "dark gray dresser", {"text": "dark gray dresser"}),
    (
        "shop",
        "light blue sofa",
        {"prefers": {"categories": {"any": ["Sofas"]}}, "text": "light blue sofa"},
    ),
    ("shop", "new shoes", {"sort": "newest", "filters": {"categories": {"any": ["Shoes"]}}}),
    (
        "shop",
        "black 5 drawer dresser",
        {"prefers": {"color": {"any": ["black"]}}, "text": "black 5 drawer dresser"},
    ),
    (
        "shop",
        "over ear headphones",
        {"prefers": {"categories": {"any": ["Headphones"]}}, "text": "over ear headphones"},
    ),
    (
        "shop",
        "shoes from 2024",
        {
            "filters": {
                "categories": {"any": ["Shoes"]},
                "published_at": {"gte": "2024-01-01", "lt": "2025-01-01"},
            }
        },
    ),
    (
        "shop",
        "top 5 headphones",
        {"sort": "rated", "filters": {"categories": {"any": ["Headphones"]}}, "count": 5},
    ),
]


@pytest.mark.parametrize(("domain", "query", "expected"), ROWS)
def test_what_a_query_says(domain: str, query: str, expected: dict[str, Any]) -> None:
    assert said(domain, query) == expected


@pytest.mark.parametrize(("domain", "query"), [row[:2] for row in ROWS])
def test_its_language(domain: str, query: str) -> None:
    assert parser_for(domain).parse(query, NOW).language == "en"
