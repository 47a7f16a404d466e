"""No value of a catalogue stands in the code: nonsense words as categories work just as well."""

from typing import Any

import orjson
import pytest

from app.engine.intent.parser import QueryParser, intent_parser_of
from tests.intent_catalogues import FILM_KINDS, FILMS, NOW, catalogue_of

NONSENSE = {
    "Comedy": "Blorf",
    "Horror": "Quax",
    "Drama": "Zintle",
    "Sci-Fi": "Mep-Trox",
    "Thriller": "Gravvy",
    "Romance": "Ploom",
    "Children": "Snibs",
}


@pytest.fixture(scope="module")
def parser() -> QueryParser:
    rows = [
        {**film, "categories": [NONSENSE.get(c, f"Unk {c[::-1]}") for c in film["categories"]]}
        for film in FILMS
    ]
    return intent_parser_of(catalogue_of(rows, FILM_KINDS), {})


@pytest.mark.parametrize(
    ("query", "filters", "sort"),
    [
        (
            "newest blorfs from the 90s without quaxes",
            {
                "categories": {"any": ["Blorf"]},
                "published_at": {"gte": "1990-01-01", "lt": "2000-01-01"},
                "$not": [{"categories": {"any": ["Quax"]}}],
            },
            "newest",
        ),
        ("mep trox", {"categories": {"any": ["Mep-Trox"]}}, "relevance"),
        ("meptrox films", {"categories": {"any": ["Mep-Trox"]}}, "relevance"),
        ("gravvies", {"categories": {"any": ["Gravvy"]}}, "relevance"),
        ("zintel", {"categories": {"any": ["Zintle"]}}, "relevance"),  # misspelt
        ("ploom blorfs", {"categories": {"all": ["Blorf", "Ploom"]}}, "relevance"),
        ("best snibs or zintles", {"categories": {"any": ["Snibs", "Zintle"]}}, "rated"),
        ("不要quax的电影", {"$not": [{"categories": {"any": ["Quax"]}}]}, "relevance"),
        (
            "blorf -quax",
            {"categories": {"any": ["Blorf"]}, "$not": [{"categories": {"any": ["Quax"]}}]},
            "relevance",
        ),
    ],
)
def test_nonsense_is_understood(
    parser: QueryParser, query: str, filters: dict[str, Any], sort: str
) -> None:
    intent = parser.parse(query, NOW)
    assert orjson.loads(intent.filters) == filters
    assert (intent.sort, intent.residual_text) == (sort, "")


def test_what_the_catalogue_has_not_is_text(parser: QueryParser) -> None:
    intent = parser.parse("comedies from the 90s", NOW)
    assert intent.residual_text == "comedies"
    assert "categories" not in intent.filters
