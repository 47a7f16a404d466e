"""Texts that have a word only to say that it is missing."""

import pytest

from app.engine.intent.denials import denies


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Vanilla ice cream, sugar-free", "sugar"),
        ("No added sugars", "sugar"),
        ("Paint free of lead", "lead"),
        ("无糖豆浆", "糖"),
        ("不含咖啡因的茶", "咖啡因"),
        ("Galletas sin gluten", "gluten"),
    ],
)
def test_a_word_that_is_denied_everywhere_is_not_there(text: str, word: str) -> None:
    assert denies(text, word)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Ice cream with sugar", "sugar"),
        ("Sugar-free gum, and a bag of sugar", "sugar"),
        ("Feel free: sugar", "sugar"),
        ("加糖豆浆", "糖"),
        ("Ice cream", "sugar"),
        ("", "sugar"),
    ],
)
def test_a_word_that_is_there_or_is_not_named_is_not_denied(text: str, word: str) -> None:
    assert not denies(text, word)
