"""The table of docs/understanding.md: each row is true."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.intent_catalogues import said

PAGE = Path(__file__).parents[4] / "docs" / "understanding.md"
ROW = re.compile(r"^\| (film|shop|news|music) \| `(.+?)` \| (.+?) \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text("utf-8"))


def shown(said: dict[str, Any]) -> str:
    """What a query says, as the page writes it."""
    order = ("sort", "filters", "prefers", "without", "like", "dislike", "tone", "count", "text")
    return "; ".join([f"{name}: {_shown(said[name])}" for name in order if name in said])


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        fields = {name: test for name, test in value.items() if name != "$not"}
        parts = [f"{name} {_test(test)}" for name, test in fields.items()]
        parts += [f"not ({_shown(part)})" for part in value.get("$not", [])]
        return ", ".join(parts)
    return ", ".join(value) if isinstance(value, list) else str(value)


def _test(test: dict[str, Any]) -> str:
    return " ".join(
        f"{name} {', '.join(value) if isinstance(value, list) else value}"
        for name, value in test.items()
    )


@pytest.mark.parametrize(("domain", "query", "understood"), ROWS)
def test_a_row_of_the_page(domain: str, query: str, understood: str) -> None:
    assert shown(said(domain, query)) == understood


def test_the_page_has_rows_in_both_languages() -> None:
    chinese = [query for _, query, _ in ROWS if re.search("[\u4e00-\u9fff]", query)]
    assert len(chinese) >= 15
    assert len(ROWS) - len(chinese) >= 35
