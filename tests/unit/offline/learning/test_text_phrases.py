import doctest

from app.offline.learning import text_phrases
from app.offline.learning.text_phrases import names_in, telling_words, text_frequency


def test_names_are_neighbouring_words_with_capital_letters():
    text = "Heat Wave. When Al Pacino meets Robert De Niro in Ås, Émile Żak pays. The End"

    assert names_in(text, "Heat Wave") == ["al pacino", "robert de niro", "émile żak"]
    assert names_in("no names here", None) == []


def test_telling_words_are_often_here_and_seldom_elsewhere():
    texts = ["shark water beach shark 1975", "water beach sand", "water shark", "water codex99"]
    frequency = text_frequency(texts)

    assert frequency["water"] == 4
    words = [word.text for word in telling_words(texts[0], frequency, len(texts))]
    assert words == ["shark", "beach", "water"]
    assert telling_words(texts[3], frequency, len(texts))[0].text == "water"


def test_the_doctests():
    assert doctest.testmod(text_phrases).failed == 0
