"""Folds the letters of a text, so that different ways to write one word become the same.

Always: case, compatibility forms (full width …), digits of other scripts, traditional and
simplified Chinese, Arabic and Persian forms of a letter, vowel points of Arabic and Hebrew, and
the comma in a number ("20,000", "1,5"). `folded` also takes the accents and the strokes off a
letter (é, ł, ø, ß …); `accented` leaves them.

Traditional characters become simplified ones, character by character. The table, `simplified.txt`,
has pairs of one traditional and one simplified character: the first choice of TSCharacters.txt of
OpenCC (https://github.com/BYVoid/OpenCC, Apache License 2.0), characters of the basic plane. The
library itself converts whole phrases, for readers; it would be a dependency of the serving path
that brings nothing here, because items and queries are folded alike.
"""

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_APOSTROPHE: Final = re.compile(r"(?<=[^\W\d_])['’‘`´ʼ＇](?=[^\W\d_])")
_THOUSANDS: Final = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_DECIMAL_COMMA: Final = re.compile(r"(?<![\d.,])(\d+),(\d{1,2})(?![\d,.]\d)(?!\d)")
_COMMA: Final = re.compile(r"\d,\d")
_NOT_ASCII: Final = re.compile("[^\x00-\x7f]+")
_ACCENTS: Final = re.compile("[\u0300-\u036f]")


def _pairs(text: str) -> dict[int, str]:
    """Return code point of the first -> second, for the pairs of characters in a text."""
    pairs = "".join(text.split())
    return dict(zip(map(ord, pairs[::2]), pairs[1::2], strict=True))


def _digits() -> dict[int, str]:
    """Return each decimal digit that is not ASCII, and its ASCII form."""
    wide = map(chr, range(0x80, 0x1FC00))
    return {ord(char): str(unicodedata.decimal(char)) for char in wide if char.isdecimal()}


# Soft hyphen, zero-width blank, joiners, marks of direction and of variants, tatweel, the points of
# Arabic and Hebrew.
_SILENT: Final = dict.fromkeys(
    [
        *(0xAD, 0x640, 0x670, 0xFEFF),
        *range(0x200B, 0x2010),
        *range(0x2060, 0x2065),
        *range(0xFE00, 0xFE10),
        *range(0x591, 0x5BE),
        *(0x5BF, 0x5C1, 0x5C2, 0x5C4, 0x5C5, 0x5C7),
        *range(0x610, 0x61B),
        *range(0x64B, 0x660),
        *range(0x6D6, 0x6DD),
        *range(0x6DF, 0x6E5),
    ]
)
# Persian and Urdu forms become Arabic ones: yeh, kaf, heh. Alef forms lose their hamza or madda
# with the points above.
_ARABIC: Final = _pairs("ىي یي ېي ےي کك ڪك ةه ۀه ہه ھه ەه ۃه ٱا")
# Before the compatibility forms, which would turn the marks into letters.
_MARKS: Final = {ord("™"): " ", ord("℠"): " ", ord("×"): "x"}
SIMPLIFIED: Final[Mapping[int, str]] = _pairs(
    Path(__file__).with_name("simplified.txt").read_text("utf-8")
)
"""Code point of a traditional Chinese character -> the simplified one."""

_ALWAYS: Final[dict[int, str | None]] = {**_SILENT, **_ARABIC, **_digits(), **SIMPLIFIED}
# Letters that are no letter and accent in Unicode. Small ones only: case is folded before.
_STROKES: Final[dict[int, str]] = {
    **_pairs("łl øo đd ðd ħh ŧt ɨi ʉu ɓb ɗd ƙk ƴy ƒf ŋn ıi ƶz ǥg ɍr"),
    ord("æ"): "ae",
    ord("œ"): "oe",
    ord("þ"): "th",
    ord("ĳ"): "ij",
}


def folded(text: str) -> str:
    """Return a text without accents and strokes, and folded as the module says.

    >>> folded("Łódź, Ørsted's CAFÉ 1,5"), folded("龍門 ﻛﺘﺎﺏ"), folded("A™ ２0,000")
    ('lodz, orsteds cafe 1.5', '龙门 كتاب', 'a  20000')
    """
    if not text.isascii():
        return bare(accented(text))
    if "'" in text or "`" in text:
        text = _APOSTROPHE.sub("", text)
    return _numbers(text.lower())


def accented(text: str) -> str:
    """Return a text folded as the module says, with its accents and strokes.

    >>> accented("ROSÉ, Straße, Łódź")
    'rosé, strasse, łódź'
    """
    marked = _translated(_APOSTROPHE.sub("", text), _MARKS)
    # Apart first: a letter and its point are one character in some texts, two in others.
    apart = _translated(unicodedata.normalize("NFKD", marked).casefold(), _ALWAYS)
    return _numbers(unicodedata.normalize("NFC", apart))


def bare(text: str) -> str:
    """Return what `accented` returned, without accents and strokes."""
    apart = unicodedata.normalize("NFKD", text)
    # NFC puts Kana and Hangul together again; only the accents of alphabets stay away.
    return _translated(unicodedata.normalize("NFC", _ACCENTS.sub("", apart)), _STROKES)


def _translated(text: str, table: Mapping[int, str | None]) -> str:
    """Return `text.translate(table)`; faster where most of the text is ASCII."""
    return _NOT_ASCII.sub(lambda part: part[0].translate(table), text)


def _numbers(text: str) -> str:
    """Return a text without the commas that group the digits of a number, or begin decimals."""
    if "," not in text or not _COMMA.search(text):
        return text
    text = _THOUSANDS.sub(lambda number: number[0].replace(",", ""), text)
    return _DECIMAL_COMMA.sub(r"\1.\2", text)
