import doctest

import pytest

from app.engine.retrieval import word_cutting
from app.engine.retrieval.word_cutting import words_of
from app.offline.learning import title_words as module
from app.offline.learning.title_words import as_typed, title_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("X-Men: the T-Shirt's day-to-day", ["x-men", "the", "t-shirts", "day", "to", "day"]),
        ("Skin79 0.5-Oz. 16GB", ["skin79", "0.5", "oz", "16gb"]),
        ("Crème Brûlée 2go", ["crème", "brûlée", "2go"]),
        ("Été X-Men: day-to-day 0.5-oz", ["été", "x-men", "day", "to", "day", "0.5", "oz"]),
        ("iPhone手机壳 新", ["iphone", "手机", "机壳", "新"]),
        ("รองเท้า", ["รอ", "อง", "งเท้า"]),
        ("", []),
        ("!?", []),
    ],
)
def test_a_text_is_cut_as_people_type(text, words):
    assert [word.text for word in title_words(text)] == words


@pytest.mark.parametrize("text", ["红茶杯", "รองเท้า", "サンタクロース", "クク"])
def test_the_pairs_of_a_run_give_the_run_again(text):
    assert as_typed(title_words(text)) == [text]


@pytest.mark.parametrize("text", ["Men's Café boots, 16GB", "红茶杯 A", "רֹאשׁ 龍門", "Łódź x-ray"])
def test_typed_words_are_cut_into_the_words_of_the_index(text):
    typed = [stem for word in title_words(text) for stem in words_of(word.text)]

    assert typed == words_of(text)


@pytest.mark.parametrize(
    ("text", "is_number"),
    [("1984", True), ("16gb", True), ("jvm6175", True), ("ps3", False), ("ounce", False)],
)
def test_numbers_and_codes_are_told_from_names(text, is_number):
    assert title_words(text)[0].is_number is is_number


@pytest.mark.parametrize("tested", [module, word_cutting])
def test_the_doctests(tested):
    assert doctest.testmod(tested).failed == 0
