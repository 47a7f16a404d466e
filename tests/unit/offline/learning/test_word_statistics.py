import numpy as np

from app.offline.learning.title_words import TitleWord
from app.offline.learning.word_statistics import WordStatistics


def zipf_titles(n=2_000, length=6):
    """Titles of words that are as frequent as words of a language: the r-th one by 1 / r."""
    rng = np.random.default_rng(3)
    names = ["".join(chr(97 + d) for d in divmod(rank, 26)) + "zq" * 2 for rank in range(650)]
    chance = 1 / np.arange(1, len(names) + 1)
    drawn = rng.choice(len(names), (n, length), p=chance / chance.sum())
    return [" ".join(names[at] for at in row) for row in drawn.tolist()]


def test_a_word_counts_once_a_title_with_all_forms_of_its_stem():
    statistics = WordStatistics(["red boot boots", "boots", None, "blue"], seed=0)

    assert [statistics.df(word) for word in ("boot", "boots", "blue", "green")] == [2, 2, 1, 0]


def test_drawn_words_spread_evenly_over_the_logarithm_of_df():
    titles = zipf_titles()
    statistics = WordStatistics(titles, seed=0)
    mass, plain = np.zeros(16), np.zeros(16)
    for title in titles:
        words = [TitleWord(text) for text in title.split() if not statistics.is_little(text)]
        if not words:
            continue
        weights = np.array([statistics.weight(word) for word in words])
        classes = [statistics.df(word.text).bit_length() - 1 for word in words]
        np.add.at(mass, classes, weights / weights.sum())
        np.add.at(plain, classes, 1 / len(words))

    drawn = mass[plain > 0.05 * plain.sum()]
    assert drawn.max() < 1.3 * drawn.min()
    shares = plain[plain > 0.05 * plain.sum()]
    assert shares.max() > 2 * shares.min()  # so they do not without weights


def test_little_words_are_those_of_english_and_those_of_most_titles():
    titles = [f"der neue {name}" for name in "abcdefghijklmnopqrstuvwxyz"]
    statistics = WordStatistics(titles, seed=0)

    assert statistics.is_little("der")
    assert statistics.is_little("your")
    assert not statistics.is_little("q")


def test_numbers_and_units_are_seldom_drawn():
    statistics = WordStatistics([f"soap {n + 2} oz" for n in range(12)], seed=0)
    soap, five, oz = (statistics.weight(TitleWord(text)) for text in ("soap", "5", "oz"))

    assert five < 0.2 * soap
    assert oz < 0.2 * soap


def test_spellings_that_the_titles_have_are_known():
    statistics = WordStatistics(["Flip flops red", "flipflops", "toy story", "toys"], seed=0)

    assert statistics.plurals == {"toy": ("toys",), "toys": ("toy",)}
    assert statistics.compounds == {"flipflops": ("flip", "flops")}


def test_a_catalogue_without_titles_has_no_words():
    statistics = WordStatistics([None, ""], seed=0)

    assert statistics.df("boots") == 0
    assert not statistics.long_titles
