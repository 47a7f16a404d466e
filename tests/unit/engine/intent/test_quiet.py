"""Queries in which no word demands anything: read quickly, and as the whole parser reads them."""

from random import Random

import pytest

from app.engine.intent.cutting import cut
from app.engine.intent.parser import QueryParser, intent_parser_of
from app.engine.intent.phrases import phrase_books
from tests.intent_catalogues import catalogue_of

TITLES = [
    *("Up", "Harbour of Glass", "The Last Lighthouse", "Friday", "Nine Rivers", "Amélie"),
    *("A Tale of Snow", "2012", "Rivers 2", "What the Miller Saw"),
]
GENRES = ["Comedy", "War", "Love Story", "Science Fiction"]


@pytest.fixture(scope="module")
def parser() -> QueryParser:
    items = [{"title": title, "genres": [GENRES[n % 4]]} for n, title in enumerate(TITLES)]
    return intent_parser_of(catalogue_of(items, {"genres": "strings"}), {})


@pytest.mark.parametrize(
    "query",
    [
        *("the miller of snow", "glass of a", "a tale and i", "harbour, lighthouse!", "up"),
        *("rivers 2", "nine rivers", "the last miller", "friday lighthouse", "in the harbour"),
        *("Amélie of the snow", "dark harbour", "me lighthouse", "love of the snow"),
    ],
)
def test_what_demands_nothing_is_read_quickly(parser: QueryParser, query: str) -> None:
    assert parser._quiet.read(query) == parser._full(query, cut(query), 0.0)


@pytest.mark.parametrize(
    "query",
    [
        *("newest", "love story", "2012", "the 90s", "two hours", "friday 13", '"snow"', "-snow"),
        *("under 20", "glass $", "play up", "me up", "comdey", "a hundred", "movies like up"),
        *("of the last week", "5 rivers %", "卧虎", "rivers 2-3", "under half an hour"),
    ],
)
def test_where_a_doubt_is_left_the_whole_parser_reads(parser: QueryParser, query: str) -> None:
    assert parser._quiet.read(query) is None


def test_the_quick_way_and_the_long_way_agree(parser: QueryParser) -> None:
    random = Random(7)
    book = phrase_books()["en"]
    said = sorted(token for token in {*book.words, *book.phrases, *book.fillers} if token.isascii())
    plain = [word for title in TITLES for word in title.split()]
    others = ["2", "13", "90s", "la", "&", "+", ",", "don't", "sci-fi", "qzxv", "half", *GENRES]
    queries = [
        " ".join(
            random.choice(random.choice([said, plain, plain, others])) for _ in range(n % 5 + 1)
        )
        for n in range(4000)
    ]
    quick = {query: read for query in queries if (read := parser._quiet.read(query)) is not None}
    assert len(quick) > 500
    for query, read in quick.items():
        assert read == parser._full(query, cut(query), 0.0), query
