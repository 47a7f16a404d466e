"""The written requests of the demo's page: all of them are asked in some way, and judged."""

import tomllib
from pathlib import Path
from types import SimpleNamespace

from loadtest.scenarios.demo_answers import PAGE, REQUESTS, _page

WRITTEN = tomllib.loads(REQUESTS.read_text(encoding="utf-8"))["requests"]


def test_there_are_thirty_of_all_kinds_and_each_is_judged():
    kinds = [("query" in each, "history" in each) for each in WRITTEN]
    assert len(WRITTEN) == 30
    assert min(map(kinds.count, [(True, False), (False, True), (True, True)])) >= 5
    assert all(len(each["judged"]) > 20 for each in WRITTEN)


def test_the_page_shows_both_answers_side_by_side():
    learned = SimpleNamespace(notes=("words: linear",))
    bundle = SimpleNamespace(manifest=SimpleNamespace(generation="g1", learned=learned))
    request = {"query": "up", "history": ["Alien", "Aliens"], "judged": "The same."}
    page = _page(bundle, [request], [["Up", "Upgrade"]], [["Up"]])
    assert "- words: linear\n" in page
    assert "## 1. `up` for somebody who took *Alien*, *Aliens*\n" in page
    assert "| 1 | Up | Up |\n| 2 | Upgrade |  |\n\nThe same.\n" in page


def test_the_committed_page_has_all_requests():
    page = (Path(__file__).parents[4] / PAGE).read_text(encoding="utf-8")
    assert page.count("\n## ") == len(WRITTEN)
    words = " ".join(page.split())
    assert all(each["judged"] in words for each in WRITTEN)
