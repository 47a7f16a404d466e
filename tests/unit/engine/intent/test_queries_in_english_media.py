"""What queries in English ask for, over made catalogues of films, news and music."""

from typing import Any

import pytest

from tests.intent_catalogues import NOW, parser_for, said

ROWS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "news",
        "today's news",
        {"filters": {"published_at": {"gte": "2026-06-15", "lt": "2026-06-16"}}},
    ),
    (
        "news",
        "sports news from this week",
        {
            "filters": {
                "categories": {"any": ["Sports"]},
                "published_at": {"gte": "2026-06-15", "lt": "2026-06-22"},
            }
        },
    ),
    (
        "news",
        "politics yesterday",
        {
            "filters": {
                "categories": {"any": ["Politics"]},
                "published_at": {"gte": "2026-06-14", "lt": "2026-06-15"},
            }
        },
    ),
    (
        "news",
        "latest business headlines",
        {"sort": "newest", "filters": {"categories": {"any": ["Business"]}}},
    ),
    ("news", "this week", {"filters": {"published_at": {"gte": "2026-06-15", "lt": "2026-06-22"}}}),
    (
        "news",
        "news about the tram but not politics",
        {"filters": {"$not": [{"categories": {"any": ["Politics"]}}]}, "text": "tram"},
    ),
    (
        "news",
        "technology news since april 2026",
        {"filters": {"categories": {"any": ["Technology"]}, "published_at": {"gte": "2026-04-01"}}},
    ),
    (
        "news",
        "last month",
        {"filters": {"published_at": {"gte": "2026-05-01", "lt": "2026-06-01"}}},
    ),
    (
        "news",
        "news from the last 3 days",
        {"filters": {"published_at": {"gte": "2026-06-12", "lt": "2026-06-16"}}},
    ),
    (
        "news",
        "science articles this month",
        {
            "filters": {
                "categories": {"any": ["Science"]},
                "published_at": {"gte": "2026-06-01", "lt": "2026-07-01"},
            }
        },
    ),
    (
        "news",
        "health news from last summer",
        {
            "filters": {
                "categories": {"any": ["Health"]},
                "published_at": {"gte": "2025-06-01", "lt": "2025-09-01"},
            }
        },
    ),
    (
        "news",
        "top stories today",
        {"sort": "rated", "filters": {"published_at": {"gte": "2026-06-15", "lt": "2026-06-16"}}},
    ),
    ("news", "no sports", {"filters": {"$not": [{"categories": {"any": ["Sports"]}}]}}),
    (
        "music",
        "like Radiohead but calmer",
        {"like": ["Radiohead"], "tone": ["calm"], "text": "calmer"},
    ),
    ("music", "songs by ada quist", {"filters": {"artist": {"any": ["Ada Quist"]}}}),
    ("music", "jazz", {"filters": {"categories": {"any": ["Jazz"]}}, "text": "jazz"}),
    ("music", "popular", {"sort": "popular", "text": "popular"}),
    (
        "music",
        "90s rock",
        {
            "filters": {
                "categories": {"any": ["Rock"]},
                "published_at": {"gte": "1990-01-01", "lt": "2000-01-01"},
            }
        },
    ),
    (
        "music",
        "upbeat electronic music",
        {
            "filters": {"categories": {"any": ["Electronic"]}},
            "tone": ["energetic"],
            "text": "upbeat",
        },
    ),
    (
        "music",
        "relaxing jazz",
        {"filters": {"categories": {"any": ["Jazz"]}}, "tone": ["calm"], "text": "relaxing"},
    ),
    (
        "music",
        "music like Marrow Lane but more energetic",
        {"like": ["Marrow Lane"], "tone": ["energetic"], "text": "energetic"},
    ),
    ("music", "songs similar to Night Bus", {"like": ["Night Bus"]}),
    ("music", "hip hop songs", {"filters": {"categories": {"any": ["Hip-Hop"]}}}),
    ("music", "rap", {"filters": {"categories": {"any": ["Hip-Hop"]}}}),
    ("music", "sad songs", {"tone": ["sad"], "text": "sad"}),
    (
        "music",
        "something like ada quist, less like mc tarn",
        {"like": ["ada quist"], "dislike": ["mc tarn"]},
    ),
    (
        "music",
        "ambient from 2010 to 2020",
        {
            "filters": {
                "categories": {"any": ["Ambient"]},
                "published_at": {"gte": "2010-01-01", "lt": "2021-01-01"},
            }
        },
    ),
    ("film", "less than two hours", {"filters": {"runtime": {"lte": 120}}}),
    ("film", "movies under 2 hours", {"filters": {"runtime": {"lte": 120}}}),
    (
        "film",
        "comedies under 100 minutes",
        {"filters": {"categories": {"any": ["Comedy"]}, "runtime": {"lte": 100}}},
    ),
    ("film", "movies shorter than 90 min", {"filters": {"runtime": {"lte": 90}}}),
    ("film", "movies rated above 7", {"filters": {"rating": {"gte": 7}}}),
    ("film", "films with a rating over 7.5", {"filters": {"rating": {"gte": 7.5}}}),
    ("film", "films over 2h", {"filters": {"runtime": {"gte": 120}}}),
    (
        "film",
        "like The Long Orbit but not horror",
        {"filters": {"$not": [{"categories": {"any": ["Horror"]}}]}, "like": ["The Long Orbit"]},
    ),
    (
        "film",
        "2012",
        {"filters": {"published_at": {"gte": "2012-01-01", "lt": "2013-01-01"}}, "text": "2012"},
    ),
    ("film", "war", {"filters": {"categories": {"any": ["War"]}}, "text": "war"}),
    ("film", "The Newest Guy", {"text": "The Newest Guy"}),
    ("film", "Not Another Winter Movie", {"text": "Not Another Winter Movie"}),
    ("film", "without a trace of rain", {"text": "without a trace of rain"}),
    ("film", "best in the village", {"text": "best in the village"}),
    ("film", "no harbour for old sailors", {"text": "no harbour for old sailors"}),
    ("film", "new york", {"text": "new york"}),
    ("film", "new york movies", {"text": "new york"}),
    (
        "film",
        "tense sci-fi thrillers from the 80s for the whole family",
        {
            "filters": {
                "categories": {"all": ["Sci-Fi", "Thriller"]},
                "published_at": {"gte": "1980-01-01", "lt": "1990-01-01"},
            },
            "prefers": {
                "$and": [
                    {"categories": {"any": ["Thriller"]}},
                    {"categories": {"any": ["Children"]}},
                ]
            },
            "tone": ["tense", "family"],
        },
    ),
    (
        "film",
        "light-hearted comedies",
        {"filters": {"categories": {"any": ["Comedy"]}}, "tone": ["light"]},
    ),
    ("film", 'movies like "Alien Tide" and "Deep Field"', {"like": ["Alien Tide", "Deep Field"]}),
    ("film", "1995", {"filters": {"published_at": {"gte": "1995-01-01", "lt": "1996-01-01"}}}),
    (
        "film",
        "the 1995 movie",
        {"filters": {"published_at": {"gte": "1995-01-01", "lt": "1996-01-01"}}},
    ),
    (
        "film",
        "movies of the nineties",
        {"filters": {"published_at": {"gte": "1990-01-01", "lt": "2000-01-01"}}},
    ),
    (
        "film",
        "early 90s dramas",
        {
            "filters": {
                "categories": {"any": ["Drama"]},
                "published_at": {"gte": "1990-01-01", "lt": "1994-01-01"},
            }
        },
    ),
    (
        "film",
        "20th century films",
        {"filters": {"published_at": {"gte": "1900-01-01", "lt": "2000-01-01"}}},
    ),
    (
        "film",
        "1990s or 1970s dramas",
        {
            "filters": {
                "$or": [
                    {"published_at": {"gte": "1990-01-01", "lt": "2000-01-01"}},
                    {"published_at": {"gte": "1970-01-01", "lt": "1980-01-01"}},
                ],
                "categories": {"any": ["Drama"]},
            }
        },
    ),
    (
        "film",
        "between 1980 and 1990",
        {"filters": {"published_at": {"gte": "1980-01-01", "lt": "1991-01-01"}}},
    ),
    (
        "film",
        "from 1980 to 1990",
        {"filters": {"published_at": {"gte": "1980-01-01", "lt": "1991-01-01"}}},
    ),
    ("film", "1980-1990", {"filters": {"published_at": {"gte": "1980-01-01", "lt": "1991-01-01"}}}),
    ("film", "before the 70s", {"filters": {"published_at": {"lt": "1970-01-01"}}}),
    ("film", "movies after 2010", {"filters": {"published_at": {"gte": "2011-01-01"}}}),
    (
        "film",
        "not from the 90s",
        {"filters": {"$not": [{"published_at": {"gte": "1990-01-01", "lt": "2000-01-01"}}]}},
    ),
    ("film", "up to 1960", {"filters": {"published_at": {"lt": "1961-01-01"}}}),
    ("film", "from 2020 on", {"filters": {"published_at": {"gte": "2020-01-01"}}}),
    ("film", "ten year old girl", {"text": "ten year old girl"}),
    ("film", "romcoms", {"filters": {"categories": {"all": ["Comedy", "Romance"]}}}),
    (
        "film",
        "dramas, comedies and thrillers",
        {"filters": {"categories": {"any": ["Comedy", "Drama", "Thriller"]}}},
    ),
    (
        "film",
        "no horror, war or drama",
        {"filters": {"$not": [{"categories": {"any": ["Drama", "Horror", "War"]}}]}},
    ),
    (
        "film",
        "movies without war or violence",
        {"filters": {"$not": [{"categories": {"any": ["War"]}}]}, "without": ["violence"]},
    ),
    ("film", "I don't want horror", {"filters": {"$not": [{"categories": {"any": ["Horror"]}}]}}),
    (
        "film",
        "movie that is not a comedy",
        {"filters": {"$not": [{"categories": {"any": ["Comedy"]}}]}},
    ),
    (
        "film",
        "more like Deep Field, less like Alien Tide",
        {"like": ["Deep Field"], "dislike": ["Alien Tide"]},
    ),
    ("film", "12 angry men", {"text": "12 angry men"}),
    ("film", "the third man", {"text": "the third man"}),
]


@pytest.mark.parametrize(("domain", "query", "expected"), ROWS)
def test_what_a_query_says(domain: str, query: str, expected: dict[str, Any]) -> None:
    assert said(domain, query) == expected


@pytest.mark.parametrize(("domain", "query"), [row[:2] for row in ROWS])
def test_its_language(domain: str, query: str) -> None:
    assert parser_for(domain).parse(query, NOW).language == "en"
