"""The titles of shelves in several languages."""

from typing import get_args

from app.serving.shelves.titles import TitleOf, languages, title_of, with_item


def test_every_language_has_every_title():
    assert {"en", "es", "zh"} <= languages().keys()
    for titles in languages().values():
        assert set(titles) == set(get_args(TitleOf))
        assert "{title}" in titles["because"]
        assert not [kind for kind, text in titles.items() if kind != "because" and "{" in text]


def test_regions_and_unknown_languages():
    assert title_of("continue", "zh-Hant-TW") == title_of("continue", "ZH") == "继续"
    assert title_of("popular", "zh_CN") == "热门"
    assert title_of("new", "fi") == title_of("new", "") == "New"
    assert with_item("{title}: {more}", "{title}") == "{title}: {more}"
