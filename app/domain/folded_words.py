"""The words of a text in one spelling, for comparing what people type with what operators write.

Case, accents, width and punctuation do not count. A character of Chinese, Japanese or Thai is a
word of its own, as these are written without blanks.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

_REMEMBERED: Final = 8192
_WITHOUT_BLANKS: Final = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD: Final = re.compile(rf"[{_WITHOUT_BLANKS}]|[^\W_{_WITHOUT_BLANKS}]+")
_ACCENTS: Final = re.compile("[\u0300-\u036f]")
_APOSTROPHE: Final = re.compile(r"(?<=\w)['’‘`´ʼ](?=\w)")


@lru_cache(_REMEMBERED)
def folded_words(text: str) -> tuple[str, ...]:
    """Return the words of a text.

    >>> folded_words("Children's  CAFÉ-Möbel"), folded_words("科幻 film!"), folded_words("?!")
    (('childrens', 'cafe', 'mobel'), ('科', '幻', 'film'), ())
    """
    folded = _APOSTROPHE.sub("", text.casefold())
    if not folded.isascii():
        apart = unicodedata.normalize("NFKD", folded)
        # NFC puts Hangul together again; only the accents of alphabets stay away.
        folded = unicodedata.normalize("NFC", _ACCENTS.sub("", apart))
    return tuple(_WORD.findall(folded))
