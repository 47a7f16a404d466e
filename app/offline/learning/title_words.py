"""Cuts a text into the words that people would type to find it.

`app.engine.retrieval.word_cutting` cuts a text into stems that an index compares. A query that is
drawn from a title must look as people type, so here a word keeps its ending, its accents and its
hyphen, in small letters: "X-Men's" is "x-mens". Of a script without spaces each pair of
neighbouring characters is a word; neighbouring pairs overlap.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

from app.engine.retrieval.word_cutting import STOP_WORDS, characters_of, spans_of, words_of

# A query of such words alone says nothing. STOP_WORDS has fewer: an index must find "You".
_LITTLE: Final = STOP_WORDS | frozenset(
    "after all also am are as be but can did do does each has have he her him his how i if into it "  # noqa: SIM905 - reads better
    "its just me more most my no not now one only or our out over she so some such than that their "
    "them then there these they this those too up was we were what when where which while who will "
    "you your".split()
)
_ASCII: Final = re.compile(
    r"(?<!-)[a-z0-9]+-[a-z0-9]+(?![a-z0-9-])"  # one hyphen: t-shirt, not day-to-day
    r"|\d+(?:\.\d+)+|[a-z0-9]+"
)
_QUOTES: Final = str.maketrans("", "", "'’")
_REMEMBERED: Final = 1 << 15


class TitleWord(NamedTuple):
    """A word as people type it.

    `text`: in small letters. `shared`: how many characters it shares with the word before it, 0
    unless both are pairs of one run of a script without spaces. `unspaced`: whether it is of one.
    """

    text: str
    shared: int = 0
    unspaced: bool = False

    @property
    def is_number(self) -> bool:
        """Whether it is a number, a measure ("16gb") or a code, not a name ("ps3")."""
        if self.text.isalpha():
            return False
        n_digits = sum(map(str.isdigit, self.text))
        return self.text[:1].isdigit() or 2 * n_digits > len(self.text)


def title_words(text: str) -> list[TitleWord]:
    """Return the words of a text in order, repeats and little words included.

    >>> [word.text for word in title_words("X-Men's 0.5-Oz Café, 红茶杯")]
    ['x-mens', '0.5', 'oz', 'café', '红茶', '茶杯']
    """
    small = text.translate(_QUOTES).lower()
    if small.isascii():
        return list(map(_plain, _ASCII.findall(small)))
    return _words_of_any_script(unicodedata.normalize("NFC", small))


@lru_cache(_REMEMBERED)
def _plain(text: str) -> TitleWord:
    """Return a word of a script with spaces. Many titles share one object, to save memory."""
    return TitleWord(text)


def _words_of_any_script(small: str) -> list[TitleWord]:
    words: list[TitleWord] = []
    first, last = -1, -1  # of a word that letters or digits may continue: "skin79", "x-men"
    for start, end, unspaced in spans_of(small):
        if not unspaced:
            if start == last or (small[last:start] == "-" and _is_compound(small, first, end)):
                words.pop()
            else:
                first = start
            words.append(_plain(small[first:end]))
            last = end
            continue
        last = -1
        characters = characters_of(small[start:end])
        if len(characters) == 1:
            words.append(TitleWord(characters[0], unspaced=True))
        for at, (left, right) in enumerate(pairwise(characters)):
            words.append(TitleWord(left + right, len(left) if at else 0, unspaced=True))
    return words


def _is_compound(text: str, start: int, end: int) -> bool:
    """Tell whether there is one hyphen, and none before or behind it; "0.5-oz" is none."""
    return text[max(start - 1, 0) : end + 1].count("-") == 1 and "." not in text[start:end]


def as_typed(words: Sequence[TitleWord]) -> list[str]:
    """Return the texts of words that follow each other; overlapping pairs become one text.

    >>> as_typed(title_words("Café 红茶杯"))
    ['café', '红茶杯']
    """
    texts: list[str] = []
    for at, word in enumerate(words):
        if word.shared and at:
            texts[-1] += word.text[word.shared :]
        else:
            texts.append(word.text)
    return texts


@lru_cache(_REMEMBERED)
def stems_of(text: str) -> tuple[str, ...]:
    """Return the words of the index that a typed word stands for."""
    return tuple(words_of(text))


def is_little(text: str) -> bool:
    """Tell whether a word says nothing alone: "your"."""
    return text in _LITTLE
