"""The table of docs/understanding.md: each row is true."""

import re
from pathlib import Path

import pytest

from tests.intent_catalogues import said, shown

PAGE = Path(__file__).parents[4] / "docs" / "understanding.md"
ROW = re.compile(r"^\| (film|shop|news|music) \| `(.+?)` \| (.+?) \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text("utf-8"))


@pytest.mark.parametrize(("domain", "query", "understood"), ROWS)
def test_a_row_of_the_page(domain: str, query: str, understood: str) -> None:
    assert shown(said(domain, query)) == understood


def test_the_page_has_rows_in_both_languages() -> None:
    chinese = [query for _, query, _ in ROWS if re.search("[\u4e00-\u9fff]", query)]
    assert len(chinese) >= 15
    assert len(ROWS) - len(chinese) >= 35
