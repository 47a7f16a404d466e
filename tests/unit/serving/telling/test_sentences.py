"""Texts in pieces become sentences, whatever the pieces."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.serving.telling.sentences import SentenceCutter

TITLES = ["Mr. Bean: The Movie!", "Airplane!", "Heat", "Se7en: No. 2."]


def cut(text: str, *places: int) -> list[str]:
    cutter = SentenceCutter(TITLES)
    found = []
    for begin, end in pairwise([0, *sorted(places), len(text)]):
        found += cutter.take(text[begin:end])
    return [*found, *cutter.last()]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Heat is from 1995. It costs 7.9 now. Bye", ["Heat is from 1995.", "It costs 7.9 now."]),
        ("One.\nTwo!\n\nThree?", ["One.", "Two!", "Three?"]),
        ("- One.\n2. Two.\n* **Heat** is _old_.", ["One.", "Two.", "Heat is old."]),
        ("《夜渡》很好。小火！是。没有", ["《夜渡》很好。", "小火！", "是。"]),
        ("Airplane! is a comedy. Yes.", ["Airplane! is a comedy.", "Yes."]),
        ("See Mr. Bean: The Movie! now. Yes.", ["See Mr. Bean: The Movie! now.", "Yes."]),
        ("By J. R. Ford and Dr. No. Yes.", ["By J. R. Ford and Dr. No. Yes."]),
        ("He said “No way.” Then more.", ["He said “No way.”", "Then more."]),
        ("A heading\nA sentence.", ["A sentence."]),
        ("# Text\nA sentence.", ["A sentence."]),
        ("", []),
    ],
)
def test_sentences_end_where_they_do(text: str, sentences: list[str]) -> None:
    assert cut(text) == sentences


TEXT = "Airplane! is a comedy. 《夜渡》很好。Mr. Bean: The Movie! costs 7.9. Half"


@given(st.lists(st.integers(0, len(TEXT)), max_size=10))
def test_the_pieces_do_not_matter(places: list[int]) -> None:
    assert cut(TEXT, *places) == [
        "Airplane! is a comedy.",
        "《夜渡》很好。",
        "Mr. Bean: The Movie! costs 7.9.",
    ]


@given(st.text(max_size=300))
def test_no_text_fails(text: str) -> None:
    assert all(sentence == sentence.strip() for sentence in cut(text))


def test_an_endless_sentence_takes_no_endless_memory() -> None:
    cutter = SentenceCutter([])
    for _ in range(1000):
        assert list(cutter.take("word " * 20)) == []
    assert len(next(cutter.take("end. N"))) <= 2100
