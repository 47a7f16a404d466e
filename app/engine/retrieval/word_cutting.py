"""Cuts a text into words, and folds and stems them, as names, part numbers and titles need it.

The same function cuts items and queries, so that both always agree. It knows only English plurals
and has no dictionary. Scripts without spaces between words are cut into pairs: Han, Kana and Hangul
of characters; Thai, Lao, Khmer and Burmese of a letter with its signs. Pairs need no dictionary,
which would know no names, and they cut a query as they cut the item that contains it.

An item is also found by further *spellings*, which are not among its words: a word with its
accents, the last character of a run of Han, and a picture (emoji). So an exact accent can count
more than the bare letter, and a single character finds every run that contains it.
"""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from app.core.types import Rows
from app.engine.retrieval.folding import accented, bare, folded

WORD_CUTTING_VERSION: Final = 2
"""Raise it with every change of how words are cut or folded: older indexes are then refused."""

STOP_WORDS: Final = frozenset(
    "a an the of for with and in on to by from or at is s".split()  # noqa: SIM905 - reads better
)

# Han, Kana, Hangul: scripts without spaces between words.
_UNSPACED: Final = (
    "\u1100-\u11ff\u3005\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\U00020000-\U0003ffff"
)
# Vowel signs and the like: \w lacks them, and without them a Hindi or Hebrew word would be cut.
_SIGNS: Final = "\u0300-\u036f" + "".join(
    sign for sign in map(chr, range(0x370, 0x1B00)) if unicodedata.category(sign) in {"Mn", "Mc"}
)
_SOUTH_EAST: Final = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0eba\u0ec0-\u0ece\u0edc-\u0edf"  # Thai, Lao
    "\u1000-\u103f\u1050-\u108f\ua9e0-\ua9fe\uaa60-\uaa7f"  # Burmese
    "\u1780-\u17d3"  # Khmer
)
_LETTER: Final = rf"[^\W\d_{_UNSPACED}{_SOUTH_EAST}]"
_WORD: Final = re.compile(
    rf"[{_UNSPACED}]+|\d+(?:\.\d+)?|{_LETTER}+(?:[{_SIGNS}]+{_LETTER}*)*|[{_SOUTH_EAST}]+"
)
_ASCII_WORD: Final = re.compile(r"[a-z]+|\d+(?:\.\d+)?")
_RUN: Final = re.compile(f"[{_UNSPACED}]")
_RUNS: Final = re.compile(f"[{_UNSPACED}]{{2,}}")
_SOUTH_EAST_RUN: Final = re.compile(f"[{_SOUTH_EAST}]")
_STACKED: Final = "[\u1039\u17d2]."  # a letter written below another one
# A letter, what is written before it (a vowel), and what is written around it.
_CLUSTER: Final = re.compile(
    rf"[\u0e40-\u0e44\u0ec0-\u0ec4]?[^{_SIGNS}](?:{_STACKED}|[{_SIGNS}\u0e30\u0e32\u0eb0\u0eb2])*"
    rf"|[{_SIGNS}]+"
)
_EMOJI: Final = re.compile(
    "[\U0001f1e6-\U0001f1ff]{2}|[\u2600-\u27bf\u2b50\u2b55\U0001f300-\U0001f3fa\U0001f400-\U0001faff]"
)

_CODE_POINT_BITS = 21
_EDGE: Final = (ord("^"), ord("$"))  # neither is part of any word


def words_of(text: str) -> list[str]:
    """Return the words of a text in order, repeats included.

    Letters are folded (`app.engine.retrieval.folding`), and English plurals; letters and digits
    part, a decimal stays one word.

    >>> words_of("Men's Café boots, 16GB 1.5in")
    ['men', 'cafe', 'boot', '16', 'gb', '1.5', 'in']
    >>> words_of("红茶杯 A"), words_of("รองเท้า")
    (['红茶', '茶杯', 'a'], ['รอ', 'อง', 'งเท้า'])
    """
    return _cut(folded(text))


def words_and_spellings(text: str) -> tuple[list[str], list[str]]:
    """Return the words of a text, and the further spellings that it is found by, each once.

    >>> words_and_spellings("Rosé wine"), words_and_spellings("红茶杯")
    ((['rose', 'wine'], ['rosé']), (['红茶', '茶杯'], ['杯']))
    """
    if text.isascii():
        return words_of(text), []
    exact = accented(text)
    plain = bare(exact)
    words = _cut(plain)
    spellings = dict.fromkeys([run[-1] for run in _RUNS.findall(exact)])
    spellings |= dict.fromkeys(_EMOJI.findall(exact))
    if plain != exact:
        accents = [word for word in _cut(exact) if not word.isascii() and not _RUN.match(word)]
        spellings |= dict.fromkeys(accents)
    known = set(words)
    return words, [spelling for spelling in spellings if spelling not in known]


def _cut(text: str) -> list[str]:
    """Return the words of a folded text."""
    if text.isascii():
        return list(map(stem, _ASCII_WORD.findall(text)))
    words: list[str] = []
    for word in _WORD.findall(text):
        if word.isascii():
            words.append(stem(word))
        elif _RUN.match(word):
            words.extend(_pairs(word))
        elif _SOUTH_EAST_RUN.match(word):
            words.extend(_pairs(_CLUSTER.findall(word)))
        else:
            words.append(stem(word))
    return words


def _pairs(characters: Sequence[str]) -> Sequence[str]:
    return list(map("".join, pairwise(characters))) if len(characters) > 1 else characters


def spans_of(text: str) -> list[tuple[int, int, bool]]:
    """Return where the words of a text stand: start, end, and whether the script has no spaces.

    The text is not folded. A run of a script without spaces is one span.

    >>> spans_of("16GB 红茶杯")
    [(0, 2, False), (2, 4, False), (5, 8, True)]
    """
    return [(*found.span(), _is_unspaced(found[0])) for found in _WORD.finditer(text)]


def characters_of(run: str) -> list[str]:
    """Return the characters of a run of a script without spaces, each letter with its signs.

    >>> characters_of("红茶"), characters_of("รองเท้า")
    (['红', '茶'], ['ร', 'อ', 'ง', 'เท้า'])
    """
    return _CLUSTER.findall(run) if _SOUTH_EAST_RUN.match(run) else list(run)


def _is_unspaced(word: str) -> bool:
    return not word.isascii() and bool(_RUN.match(word) or _SOUTH_EAST_RUN.match(word))


def query_words(text: str) -> list[str]:
    """Return the words of a query without stop words, or all if it has no others.

    >>> query_words("lord of the rings"), query_words("The Is")
    (['lord', 'ring'], ['the', 'is'])
    """
    return [word for word, _ in query_terms(text)]


def query_terms(text: str) -> list[tuple[str, str]]:
    """Return the words of a query, each with its spelling: the word itself, or with its accents.

    A query without words but with pictures has those.

    >>> query_terms("the rosé wines"), query_terms("🎄!")
    ([('rose', 'rosé'), ('wine', 'wine')], [('🎄', '🎄')])
    """
    if text.isascii():
        terms = [(word, word) for word in words_of(text)]
    else:
        exact = accented(text)
        words, spelt = _cut(bare(exact)), _cut(exact)
        if not words:
            words = spelt = _EMOJI.findall(exact)
        # Rare signs may cut a word at another place: then nothing is said of its accents.
        terms = list(zip(words, spelt if len(spelt) == len(words) else words, strict=True))
    return [term for term in terms if term[0] not in STOP_WORDS] or terms


def is_character(word: str) -> bool:
    """Tell whether a word is a single character of a script that is cut into pairs.

    >>> is_character("茶"), is_character("a"), is_character("茶杯")
    (True, False, False)
    """
    return len(word) == 1 and _is_unspaced(word)


def stem(word: str) -> str:
    """Return a form that singular and plural share; not always a word itself.

    >>> [stem(word) for word in ("boxes", "glass", "batteries", "movie", "movies", "shoes")]
    ['box', 'glass', 'battery', 'movy', 'movy', 'shoe']
    """
    if word[-1:] not in {"s", "e"}:
        return word
    if len(word) > 2 and word.endswith(("ies", "ie")):
        return word[: word.rindex("ie")] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def trigrams_of(words: Sequence[str]) -> tuple[Rows, Rows]:
    """Return the distinct trigrams of each `^word$`: int64[m] codes, int64[m] positions of words.

    Ordered by position, then code. A code is three code points of 21 bits. Words are not empty, so
    each has at least one trigram.
    """
    points = np.frombuffer(
        "".join(f"^{word}$" for word in words).encode("utf-32-le"), dtype="<u4"
    ).astype(np.int64)
    if not points.size:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    first, middle, last = points[:-2], points[1:-1], points[2:]
    codes = (first << 2 * _CODE_POINT_BITS) | (middle << _CODE_POINT_BITS) | last
    position = np.cumsum(first == _EDGE[0]) - 1
    # Leave out windows that span two words: they contain the edges `$^`.
    inside = (middle != _EDGE[0]) & (middle != _EDGE[1]) & (first != _EDGE[1])
    codes, position = codes[inside], position[inside]
    order = np.lexsort((codes, position))
    codes, position = codes[order], position[order]
    new = np.ones(len(codes), dtype=np.bool_)
    new[1:] = (codes[1:] != codes[:-1]) | (position[1:] != position[:-1])
    return codes[new], position[new]


def trigrams_of_word(word: str) -> Rows:
    """Return int64[m], ascending: what `trigrams_of` returns for one word, in a tenth of its time.

    >>> trigrams_of_word("aaaa").tolist() == trigrams_of(["aaaa"])[0].tolist()
    True
    """
    first, last = _EDGE
    points = [first, *map(ord, word), last]
    codes = {
        (a << 2 * _CODE_POINT_BITS) | (b << _CODE_POINT_BITS) | c
        for a, b, c in zip(points, points[1:], points[2:], strict=False)
    }
    return np.array(sorted(codes), np.int64)
