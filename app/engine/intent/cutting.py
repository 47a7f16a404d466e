"""Cuts a query into tokens that know where they stand: words, numbers, characters, signs.

A token is a word of letters, a number, a single Han or Kana character, or a sign that may mean
something ("$", "<", "-"). Case, width and accents are folded, traditional Chinese characters become
simplified ones, and apostrophes inside words fall away, so that phrases and queries that look alike
are equal. `app.engine.retrieval.word_cutting`
cuts for the word search and folds more; it knows no positions.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final, NamedTuple

from app.engine.retrieval.folding import SIMPLIFIED

MINUS: Final = "\u2238"
"""The token of a hyphen that stands in front of a word and behind none: "-sony"."""

_SINGLE: Final = "\u3005\u3007\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u4dbf\u4e00-\u9fff"
_TOKEN: Final = re.compile(
    rf"[{_SINGLE}]|\d+(?:[.,]\d+)*|[^\W\d_{_SINGLE}]+(?:'[^\W\d_{_SINGLE}]+)*|[^\w\s]"
)
_WORD: Final = re.compile(rf"[{_SINGLE}]|\d+(?:[.,]\d+)*|[^\W\d_{_SINGLE}]+")
_BEFORE_SINGLE: Final = 0x3004
_CHARACTER: Final = re.compile(f"[{_SINGLE}]")
_SIGNS: Final = frozenset(
    '$\u20ac\xa3\xa5\u20b9%+-~<>\u2264\u2265=&/,;:"()[]'
    "\u300a\u300b\u300c\u300d\u300e\u300f\u3001" + MINUS
)
_LIKE_SIGNS: Final = str.maketrans(
    {
        **dict.fromkeys("\u2019\u2018`\xb4\u02bc", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
    }
)


class Cut(NamedTuple):
    """A query in tokens: their folded texts, and the characters [start, end) of each."""

    texts: list[str]
    starts: list[int]
    ends: list[int]


def cut(query: str) -> Cut:
    """Return the tokens of a query.

    >>> cut("Sci-Fi, 科幻 -sony 16GB").texts
    ['sci', 'fi', ',', '科', '幻', '∸', 'sony', '16', 'gb']
    """
    folded, origin = (query.lower(), None) if query.isascii() else _folded(query)
    texts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for match in _TOKEN.finditer(folded):
        text, (start, end) = match[0], match.span()
        if not text.isalnum() and not text[0].isdecimal():
            if text == "-":
                text = _hyphen(folded, start)
            elif "'" in text and len(text) > 1:
                text = text.replace("'", "")
            elif text not in _SIGNS:
                continue
            if not text:
                continue
        texts.append(text)
        starts.append(start)
        ends.append(end)
    if origin is not None:
        starts = [origin[start] for start in starts]
        ends = [origin[end - 1] + 1 for end in ends]
    return Cut(texts, starts, ends)


def words_in(text: str) -> list[str]:
    """Return the folded words of a text without signs and positions; quick.

    >>> words_in("Men's 科幻, wh-1000xm4")
    ['mens', '科', '幻', 'wh', '1000', 'xm', '4']
    """
    return words_in_folded(fold(text))


def words_in_folded(text: str) -> list[str]:
    """Return the words of a text that `fold` returned."""
    return _WORD.findall(text.replace("'", "") if "'" in text else text)


def fold(text: str) -> str:
    """Return a text without case, width and accents, with one sign for those that look alike.

    >>> fold("Amélie – “2”")
    'amelie - "2"'
    """
    return text.lower() if text.isascii() else _folded(text)[0]


def is_single(token: str) -> bool:
    """Tell whether a token is a character of a script that writes no spaces between words."""
    return (
        len(token) == 1 and ord(token) > _BEFORE_SINGLE and _CHARACTER.fullmatch(token) is not None
    )


def _hyphen(text: str, at: int) -> str:
    """Return the token of a hyphen: "" within a word, `MINUS` in front of one, else itself."""
    before = text[at - 1] if at else " "
    after = text[at + 1 : at + 2]
    if after.isalpha() and before.isalpha():
        return ""
    return MINUS if after.isalpha() and before.isspace() else "-"


def _folded(text: str) -> tuple[str, list[int] | None]:
    """Return the folded text, and for each of its characters where it stands in `text`."""
    pieces = [_fold(char) for char in text]
    folded = "".join(pieces)
    if len(folded) == len(text) and all(pieces):
        return folded, None
    return folded, [at for at, piece in enumerate(pieces) for _ in piece]


@lru_cache(8192)
def _fold(char: str) -> str:
    apart = unicodedata.normalize("NFKD", char.translate(_LIKE_SIGNS)).casefold()
    bare = "".join(part for part in apart if not unicodedata.combining(part))
    # Kana and Hangul come together again.
    return unicodedata.normalize("NFC", bare).translate(SIMPLIFIED) if bare else ""
