"""Made catalogues that queries are parsed over: films, a shop, news and music."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import orjson

from app.core.types import JsonValue
from app.domain.columns import Instant, Kind, decode_column, encode_column
from app.domain.values import parse_time
from app.engine.catalogue.catalogue import Catalogue
from app.engine.intent.parser import QueryParser, intent_parser_of

NOW = 1_781_524_800.0
"""Monday, 15 June 2026, 12:00 UTC."""

FILM_KINDS: Mapping[str, Kind] = {
    "categories": "strings",
    "published_at": "time",
    "runtime": "number",
    "rating": "number",
}
FILMS: Sequence[Mapping[str, Any]] = [
    {
        "title": title,
        "categories": genres.split("|"),
        "published_at": year,
        "runtime": minutes,
        "rating": stars,
    }
    for title, genres, year, minutes, stars in (
        ("Harbour of Glass", "Drama|Romance", 1931, 92, 7.1),
        ("The Long Orbit", "Sci-Fi|Adventure", 1979, 131, 8.2),
        ("Alien Tide", "Sci-Fi|Horror", 1986, 117, 7.9),
        ("Two Left Shoes", "Comedy", 1994, 88, 6.4),
        ("A Kiss in Trieste", "Comedy|Romance", 1995, 101, 7.0),
        ("The Cellar Door", "Horror|Thriller", 1999, 95, 6.1),
        ("2012", "Action|Sci-Fi", 2009, 158, 5.8),
        ("War", "Action|War", 2007, 103, 6.0),
        ("The Newest Guy", "Comedy", 2003, 90, 5.5),
        ("Not Another Winter Movie", "Comedy", 2001, 89, 5.9),
        ("Without a Trace of Rain", "Mystery|Thriller", 1983, 104, 7.3),
        ("Best in the Village", "Comedy", 2000, 90, 7.4),
        ("No Harbour for Old Sailors", "Crime|Drama", 2007, 122, 8.0),
        ("The Paper Dragon", "Animation|Children|Fantasy", 2011, 84, 7.7),
        ("Iron Valley", "Western", 1958, 97, 7.2),
        ("Seven Bells", "War|Drama", 1962, 140, 7.6),
        ("Lantern Street", "Documentary", 2019, 75, 7.8),
        ("Deep Field", "Sci-Fi|Thriller", 2024, 125, 7.5),
        ("The Last Tram", "Drama", 2025, 110, 7.0),
        ("New York Shadows", "Crime|Film-Noir", 1948, 86, 7.3),
        ("New York Nights", "Romance", 1989, 99, 6.2),
        ("New York Winter", "Drama", 1991, 108, 6.6),
        ("银河旅人", "Sci-Fi|Adventure", 2015, 126, 7.4),
        ("春天的信", "Romance|Drama", 2018, 112, 7.1),
    )
]

SHOP_KINDS: Mapping[str, Kind] = {
    "categories": "strings",
    "brand": "string",
    "price": "number",
    "rating": "number",
    "color": "string",
    "material": "string",
    "size": "string",
    "weight_kg": "number",
    "ram_gb": "number",
    "battery_hours": "number",
    "waterproof": "boolean",
    "published_at": "time",
}
SHOP: Sequence[Mapping[str, Any]] = [
    {
        "title": title,
        "categories": groups.split("|"),
        "brand": brand,
        "price": price,
        "rating": stars,
        "color": color,
        "material": material,
        "published_at": year,
        **more,
    }
    for title, groups, brand, price, stars, color, material, year, more in (
        (
            "Trail runner 3",
            "Shoes|Sports",
            "Norvik",
            89.0,
            4.4,
            "black",
            "mesh",
            2024,
            {"size": "42", "waterproof": True, "weight_kg": 0.6},
        ),
        (
            "City sneaker",
            "Shoes",
            "Norvik",
            59.0,
            4.1,
            "white",
            "leather",
            2023,
            {"size": "40", "waterproof": False, "weight_kg": 0.7},
        ),
        (
            "Leather boots",
            "Shoes|Boots",
            "Halden",
            149.0,
            4.7,
            "brown",
            "leather",
            2022,
            {"size": "42", "waterproof": True, "weight_kg": 1.4},
        ),
        (
            "Over ear headphones WH-1000XM4",
            "Headphones|Electronics",
            "Sonara",
            279.0,
            4.6,
            "black",
            "plastic",
            2021,
            {"battery_hours": 30, "weight_kg": 0.25},
        ),
        (
            "Sport earbuds",
            "Headphones|Electronics",
            "Bolt",
            39.0,
            3.9,
            "red",
            "plastic",
            2024,
            {"battery_hours": 8, "waterproof": True},
        ),
        (
            "Ultralight laptop 13",
            "Laptops|Electronics",
            "Kestrel",
            1199.0,
            4.5,
            "silver",
            "aluminium",
            2025,
            {"ram_gb": 16, "weight_kg": 1.1, "battery_hours": 14},
        ),
        (
            "Gaming laptop 17",
            "Laptops|Electronics",
            "Bolt",
            1899.0,
            4.2,
            "black",
            "plastic",
            2024,
            {"ram_gb": 32, "weight_kg": 2.9, "battery_hours": 6},
        ),
        (
            "Budget laptop",
            "Laptops|Electronics",
            "Pico",
            399.0,
            3.8,
            "gray",
            "plastic",
            2023,
            {"ram_gb": 8, "weight_kg": 1.8},
        ),
        (
            "4 person tent",
            "Tents|Outdoor",
            "Halden",
            219.0,
            4.3,
            "green",
            "nylon",
            2022,
            {"waterproof": True, "weight_kg": 5.2},
        ),
        (
            "Oak coffee table",
            "Tables|Furniture",
            "Holm",
            249.0,
            4.0,
            "brown",
            "wood",
            2020,
            {"weight_kg": 18.0},
        ),
        (
            "Leather sofa",
            "Sofas|Furniture",
            "Holm",
            999.0,
            4.1,
            "black",
            "leather",
            2021,
            {"weight_kg": 55.0},
        ),
        (
            "No drill window blinds",
            "Blinds|Furniture",
            "Best",
            29.0,
            4.0,
            "white",
            "fabric",
            2023,
            {},
        ),
        ("Vanilla ice cream", "Food", "Gelo", 5.5, 4.5, "white", "", 2025, {}),
        ("Sugar-free vanilla ice cream", "Food", "Gelo", 6.5, 4.2, "white", "", 2025, {}),
    )
]

NEWS_KINDS: Mapping[str, Kind] = {"categories": "strings", "published_at": "time"}
NEWS: Sequence[Mapping[str, Any]] = [
    {"title": title, "categories": [section], "published_at": day}
    for title, section, day in (
        ("City council votes on tram line", "Politics", "2026-06-15T08:00:00Z"),
        ("Parliament passes budget", "Politics", "2026-06-11T10:00:00Z"),
        ("Striker signs for three years", "Sports", "2026-06-14T18:00:00Z"),
        ("Final lost on penalties", "Sports", "2026-05-30T21:00:00Z"),
        ("Chip maker opens plant", "Business", "2026-06-02T07:00:00Z"),
        ("New telescope sees first light", "Science", "2026-06-15T06:00:00Z"),
        ("A vaccine for the summer", "Health", "2025-07-08T12:00:00Z"),
        ("Phone makers turn to glass", "Technology", "2026-04-20T09:00:00Z"),
    )
]

MUSIC_KINDS: Mapping[str, Kind] = {
    "categories": "strings",
    "artist": "string",
    "published_at": "time",
    "duration_s": "number",
}
MUSIC: Sequence[Mapping[str, Any]] = [
    {
        "title": title,
        "artist": artist,
        "categories": genres.split("|"),
        "published_at": year,
        "duration_s": seconds,
    }
    for title, artist, genres, year, seconds in (
        ("Paper Lanterns", "Marrow Lane", "Rock|Indie", 1997, 254),
        ("Slow Harbour", "Marrow Lane", "Rock", 2000, 301),
        ("Night Bus", "Ada Quist", "Electronic|Ambient", 2016, 422),
        ("Glass Garden", "Ada Quist", "Electronic", 2021, 377),
        ("Blue in Kyoto", "The Hollis Trio", "Jazz", 1961, 534),
        ("Jazz", "Plain Majority", "Pop", 1992, 201),
        ("Winter Suite", "Orla Fenn", "Classical", 1988, 1260),
        ("Run the Yard", "MC Tarn", "Hip-Hop", 2019, 188),
        ("Popular", "Plain Majority", "Pop", 1994, 176),
    )
]


def catalogue_of(rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, Kind]) -> Catalogue:
    """A catalogue of these rows; a missing field is a missing value, "" too."""
    columns: dict[str, tuple[Kind, list[Any]]] = {
        "id": ("string", [str(row.get("id", n)) for n, row in enumerate(rows)]),
        "title": ("string", [row.get("title") for row in rows]),
    }
    for name, kind in kinds.items():
        values = [row.get(name) if row.get(name) != "" else None for row in rows]
        columns[name] = (kind, [_time(v) for v in values] if kind == "time" else values)
    decoded = {
        name: decode_column(kind, encode_column(kind, v)) for name, (kind, v) in columns.items()
    }
    return Catalogue(decoded, kinds)


def _time(value: JsonValue) -> Instant | None:
    return parse_time(value, "published_at", years=True)


@cache
def parser_for(domain: str) -> QueryParser:
    """The parser over one of the catalogues: "film", "shop", "news" or "music"."""
    rows, kinds, roles = {
        "film": (FILMS, FILM_KINDS, {"runtime": "runtime", "rating": "rating"}),
        "shop": (SHOP, SHOP_KINDS, {"price": "price", "rating": "rating", "brand": "brand"}),
        "news": (NEWS, NEWS_KINDS, {}),
        "music": (MUSIC, MUSIC_KINDS, {"runtime": "duration_s"}),
    }[domain]
    return intent_parser_of(catalogue_of(rows, kinds), roles)


def said(domain: str, query: str) -> dict[str, Any]:
    """What a query says over a catalogue: the parts of its intent that say something."""
    intent = parser_for(domain).parse(query, NOW)
    parts = {
        "sort": None if intent.sort == "relevance" else intent.sort,
        "filters": orjson.loads(intent.filters or "{}"),
        "prefers": orjson.loads(intent.prefers or "{}"),
        "without": list(intent.without),
        "like": list(intent.like_titles),
        "dislike": list(intent.dislike_titles),
        "tone": list(intent.tone),
        "count": intent.count,
        "text": intent.residual_text,
    }
    return {name: part for name, part in parts.items() if part}


def shown(said: dict[str, Any]) -> str:
    """What a query says, as the page writes it."""
    order = ("sort", "filters", "prefers", "without", "like", "dislike", "tone", "count", "text")
    return "; ".join([f"{name}: {_shown(said[name])}" for name in order if name in said])


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        fields = {name: test for name, test in value.items() if name[0] != "$"}
        parts = [f"{name} {_test(test)}" for name, test in fields.items()]
        for group, word in (("$or", " or "), ("$and", " and ")):
            if group in value:
                parts.append(word.join(f"({_shown(part)})" for part in value[group]))
        parts += [f"not ({_shown(part)})" for part in value.get("$not", [])]
        return ", ".join(parts)
    return ", ".join(value) if isinstance(value, list) else str(value)


def _test(test: dict[str, Any]) -> str:
    return " ".join(
        f"{name} {', '.join(value) if isinstance(value, list) else value}"
        for name, value in test.items()
    )
