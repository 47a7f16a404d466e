"""What hundreds of queries ask for, over the made catalogues of films, a shop, news and music.

The rows are in tests/parsed_queries: catalogue, query, and what it says, as docs/understanding.md
writes it. These queries were made together with the parser, so they show what it does, not how well
it does: the labelled set is for that.
"""

from pathlib import Path

import pytest

from tests.intent_catalogues import NOW, parser_for, said, shown

FOLDER = Path(__file__).parents[3] / "parsed_queries"


def rows() -> list[tuple[str, ...]]:
    return [
        (file.stem.partition("_")[0], *line.split(" | "))
        for file in sorted(FOLDER.glob("*.txt"))
        for line in file.read_text("utf-8").splitlines()
    ]


@pytest.mark.parametrize(("language", "domain", "query", "understood"), rows())
def test_what_a_query_says(language: str, domain: str, query: str, understood: str) -> None:
    assert shown(said(domain, query)) == understood
    code = {"english": "en", "chinese": "zh", "spanish": "es"}[language]
    assert parser_for(domain).parse(query, NOW).language == code
