from random import Random

import pytest

from app.offline.learning.query_variations import varied, with_typo
from app.offline.learning.word_statistics import WordStatistics

NONE = WordStatistics([], seed=0)


def edits(left, right):
    """Return the edit distance, with swapped neighbours as one edit."""
    rows = [list(range(len(right) + 1))]
    for i, a in enumerate(left, 1):
        row = [i]
        for j, b in enumerate(right, 1):
            best = min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                best = min(best, rows[i - 2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]


@pytest.mark.parametrize("word", ["lotion", "heels", "žluťoučký"])
def test_a_typo_is_one_edit_behind_the_first_letter(word):
    rng = Random(1)
    typos = {with_typo(word, rng) for _ in range(300)}

    assert len(typos) > len(word)
    assert {typo[0] for typo in typos} == {word[0]}
    assert max(edits(word, typo) for typo in typos) == 1


def test_one_word_in_twenty_has_a_typo_and_short_words_have_none():
    rng = Random(2)
    drawn = [varied(["cream", "red"], NONE, rng) for _ in range(20_000)]
    long = [word for words in drawn for word in words if word != "red"]
    # An unfinished "cream" is its beginning.
    typos = [word for word in long if not "cream".startswith(word)]

    assert len(long) == len(drawn)
    assert 0.03 < len(typos) / len(drawn) < 0.06


def test_a_fifth_of_the_queries_change_their_order():
    rng = Random(3)
    drawn = [varied(["red", "big", "car"], NONE, rng) for _ in range(10_000)]

    assert {"".join(sorted(words)) for words in drawn} == {"bigcarred"}
    assert 0.18 < sum(words != ["red", "big", "car"] for words in drawn) / len(drawn) < 0.22


@pytest.mark.parametrize("word", ["红茶杯子手机", "รองเท้าผ้าใบ", "サンタクロース", "12345"])
def test_runs_without_spaces_and_numbers_stay(word):
    rng = Random(4)

    assert {tuple(varied([word], NONE, rng)) for _ in range(500)} == {(word,)}


def test_a_word_becomes_a_plural_or_a_compound_only_where_titles_have_both():
    statistics = WordStatistics(["hair brush", "hairbrush", "toy", "toys"], seed=0)
    rng = Random(5)

    assert {tuple(varied(["toy"], statistics, rng)) for _ in range(300)} == {("toy",), ("toys",)}
    joined = {" ".join(sorted(varied(["hair"], statistics, rng))) for _ in range(300)}
    assert joined == {"hair"}
    both = {"".join(varied(["hair", "brush"], statistics, rng)) for _ in range(300)}
    assert "hairbrush" in both
    split = [varied(["hairbrush"], statistics, rng) for _ in range(300)]
    assert ["hair", "brush"] in split
