"""The template's text: what it says with more and with fewer facts, in each language."""

import pytest

from app.serving.telling.check import Check
from app.serving.telling.template import template_text
from tests.telling_rig import facts, made_facts


def test_a_text_says_what_is_known() -> None:
    items = [
        {"id": "1", "title": "Heat", "fields": {"published_at": 1995, "categories": ["Crime"]}},
        {"id": "2", "title": "Lamp", "fields": {"price": 19.5, "categories": ["Light", "Home"]}},
        {"id": "3", "title": "News", "fields": {"published_at": "2026-03-14T08:00:00Z"}},
        {"id": "4", "title": "Not told", "fields": {}},
    ]
    assert template_text(made_facts(items, "crime")) == [
        "4 suggestions for “crime”.",
        "“Heat” is from 1995: Crime.",
        "“Lamp”: Light, Home. The price of “Lamp” is 19.5.",
        "“News” is from 2026.",
    ]
    bare = [{"id": "1", "title": "Heat"}, {"id": "2", "title": None}]
    shown = [{**each, "fields": {}} for each in bare]
    assert template_text(made_facts(shown)) == ["2 suggestions.", "“Heat” is on the list."]
    assert template_text(made_facts(shown[:1], "q")) == [
        "One suggestion for “q”.",
        "“Heat” is on the list.",
    ]
    assert template_text(made_facts([])) == ["Nothing was found."]


def test_the_reason_of_an_item_follows_its_facts() -> None:
    sentences = template_text(facts("music"))
    assert sentences[1] == "“Slow Tide” is from 2015: Folk, Acoustic. You took “Blue Lanterns”."


def test_a_long_query_is_not_repeated() -> None:
    assert template_text(made_facts([], "word " * 60)) == ["Nothing was found."]
    item = {"id": "1", "title": "Heat", "fields": {}}
    assert template_text(made_facts([item], "word " * 60))[0] == "One suggestion."


@pytest.mark.parametrize(
    ("language", "first"),
    [
        ("zh", "为“九十年代的犯罪片”找到 3 个推荐。"),
        ("es", "3 sugerencias para «九十年代的犯罪片»."),
        ("fr", "3 suggestions for “九十年代的犯罪片”."),
    ],
)
def test_the_text_is_in_the_language_of_the_query(language: str, first: str) -> None:
    assert template_text(facts("films-zh", language=language))[0] == first


@pytest.mark.parametrize("name", ["films", "news", "music"])
def test_the_check_passes_what_the_template_says_of_years(name: str) -> None:
    known = facts(name)
    judge = Check(known)
    said = [judge(f"“{item.title}” is from {item.year}.").passed for item in known.items]
    assert all(said)
