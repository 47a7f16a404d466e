"""Sentences of explanations: every language has all of them, with the right slots."""

import pytest

from app.core.explanation import GROUPS
from app.engine.explaining.sentences import (
    FACTS,
    PLAIN,
    SentencesError,
    languages,
    sentence,
    templates_of,
)


def test_every_group_has_sentences():
    assert set(GROUPS) <= set(FACTS)


def test_every_language_has_every_sentence():
    assert set(languages()) >= {"en", "zh", "es"}
    for language in languages():
        for group, facts in FACTS.items():
            for fact, slots in {**facts, PLAIN: frozenset()}.items():
                values = {slot: f"<{slot}>" for slot in slots}
                told = sentence(language, group, fact, **values)
                assert all(value in told for value in values.values())


def test_an_unknown_language_gets_english():
    assert sentence("fr", "filling", PLAIN) == sentence("en", "filling", PLAIN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the groups must be: words"),
        ("{rest}\n[words]\nplain = 'a'", "words: the facts must be: title, field, plain"),
        (
            "{rest}\n[words]\ntitle = '{{x}}'\nfield = 'a'\nplain = 'a'",
            "words.title: the slots must be",
        ),
    ],
)
def test_a_wrong_file_is_refused(text, message):
    rest = "\n".join(f"[{group}]" for group in FACTS if group != "words")
    with pytest.raises(SentencesError, match=message):
        templates_of(text.format(rest=rest), "xx.toml")
