"""Varies a drawn query as people do: typos, word order, singular and plural, compounds.

All functions take the words of a query as people type them and a seeded generator, and return new
words. Words of a script without spaces stay as they are, but for their order.
"""

from collections.abc import Sequence
from random import Random
from typing import Final

from app.engine.retrieval.word_cutting import spans_of
from app.offline.learning.word_statistics import WordStatistics

TYPO: Final = 0.05
"""Share of the words of enough letters that get one."""
_LEAST_TYPO: Final = 5

SHUFFLED: Final = 0.2
"""Share of the queries of several words whose words change places."""

_OTHER_NUMBER: Final = 0.1
"""Share of the words that become singular or plural, where titles have both."""
_OTHER_COMPOUND: Final = 0.15

UNFINISHED: Final = 0.05
"""Share of the queries whose last word is only begun."""
_LEAST_BEGUN: Final = 3

_ROWS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_BESIDE: Final = {
    key: row[max(at - 1, 0) : at] + row[at + 1 : at + 2]
    for row in _ROWS
    for at, key in enumerate(row)
}


def varied(words: Sequence[str], statistics: WordStatistics, rng: Random) -> list[str]:
    """Return the words of a query, varied in at most a few ways; mostly none."""
    result = [_other_number(word, statistics, rng) for word in words]
    result = _other_compound(result, statistics, rng)
    if len(result) > 1 and rng.random() < SHUFFLED:
        result = _shuffled(result, rng)
    result = [
        with_typo(word, rng) if _is_long(word) and rng.random() < TYPO else word for word in result
    ]
    if result and _is_long(result[-1]) and rng.random() < UNFINISHED:
        result[-1] = result[-1][: rng.randrange(_LEAST_BEGUN, len(result[-1]))]
    return result


def with_typo(word: str, rng: Random) -> str:
    """Return a word with one typo behind its first letter: people mostly get that one right.

    Two letters swapped, one dropped, one doubled, or the neighbouring key instead.
    """
    kind = rng.randrange(4)
    at = rng.randrange(1, len(word) - 1)
    head, letter, tail = word[:at], word[at], word[at + 1 :]
    if kind == 0:
        return head + tail[0] + letter + tail[1:]
    if kind == 1:
        return head + tail
    if kind == 2 or letter not in _BESIDE:
        return head + letter + letter + tail
    return head + rng.choice(_BESIDE[letter]) + tail


def _is_long(word: str) -> bool:
    """Tell whether a word is long enough for a typo, of letters, and of a script with spaces."""
    if len(word) < _LEAST_TYPO or not word.isalpha():
        return False
    return word.isascii() or not any(unspaced for _, _, unspaced in spans_of(word))


def _other_number(word: str, statistics: WordStatistics, rng: Random) -> str:
    others = statistics.plurals.get(word)
    if others is None or rng.random() >= _OTHER_NUMBER:
        return word
    return rng.choice(others)


def _other_compound(words: Sequence[str], statistics: WordStatistics, rng: Random) -> list[str]:
    compounds = statistics.compounds
    result: list[str] = []
    for word in words:
        if result and compounds.get(result[-1] + word) == (result[-1], word):
            if rng.random() < _OTHER_COMPOUND:
                result[-1] += word
                continue
        elif word in compounds and rng.random() < _OTHER_COMPOUND:
            result.extend(compounds[word])
            continue
        result.append(word)
    return result


def _shuffled(words: Sequence[str], rng: Random) -> list[str]:
    """Return the words in another order."""
    away = rng.randrange(len(words) - 1)  # any word but the last one becomes the last one
    rest = [word for at, word in enumerate(words) if at != away]
    rng.shuffle(rest)
    return [*rest, words[away]]
