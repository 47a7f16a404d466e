"""The lexicons that come with the program, and what is refused."""

import pytest

from app.domain.intent import TONES
from app.engine.tones.lexicon import LexiconError, lexicon, lexicon_of


def test_each_tone_has_words_in_english_and_chinese() -> None:
    words = lexicon()
    assert set(words) == set(TONES)
    for tone, phrases in words.items():
        assert len(set(phrases)) == len(phrases), tone
        assert {phrase.isascii() for phrase in phrases} == {True, False}, tone


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("light =", "en.toml"),
        ('loud = ["noisy"]', "there is no tone 'loud'"),
        ('light = "cheerful"', "light: this must be a list"),
        ('light = ["cheerful", " "]', "light: this must be a list"),
    ],
)
def test_a_wrong_lexicon_is_refused(text: str, message: str) -> None:
    with pytest.raises(LexiconError, match=message):
        lexicon_of(text, "en.toml")
