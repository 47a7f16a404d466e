"""No value of a catalogue stands in the code: nonsense words as categories work just as well."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from app.engine.intent.parser import QueryParser, intent_parser_of
from app.offline.demo import write_movielens
from app.offline.input.items import read_items
from app.offline.input.recipe import load_recipe
from app.offline.presets import DEMO
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


def demo_films(folder: Path) -> list[dict[str, Any]]:
    """The films of the demo: titles, genres, years."""
    items, _ = write_movielens(folder)
    columns = read_items(items, load_recipe(DEMO)).columns
    years = [None if date is None else date.shown() for date in columns["published_at"]]
    fields = zip(columns["title"], columns["categories"], years, strict=True)
    return [
        {"title": title, "categories": genres or [], "published_at": year}
        for title, genres, year in fields
    ]


@pytest.fixture(scope="module", params=["made films", "demo"])
def parser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> QueryParser:
    """The parser over films whose categories are all renamed."""
    films = FILMS if request.param != "demo" else demo_films(tmp_path_factory.mktemp("demo"))
    rows = [
        {**film, "categories": [NONSENSE.get(c, f"Unk {c[::-1]}") for c in film["categories"]]}
        for film in films
    ]
    kinds = {name: kind for name, kind in FILM_KINDS.items() if name in rows[0]}
    return intent_parser_of(catalogue_of(rows, kinds), {})


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
