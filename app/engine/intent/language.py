"""Tells which language a query is in, by its script and by the words of one language alone."""

from collections.abc import Sequence
from typing import Final

from app.engine.intent.cutting import is_single
from app.engine.intent.hashes import HashCounts
from app.engine.intent.phrases import language_of_script, phrase_books, signs

_KANA: Final = "\u3041", "\u30ff"
_LATIN_END: Final = "\u0250"


class LatinLanguages:
    """The languages in Latin letters, one of which the phrases of a query are read in."""

    def __init__(self, words: HashCounts) -> None:
        """Take the words of the titles."""
        self._words = words
        self._signs = signs()
        self.default = next(iter(phrase_books()))
        self._others = frozenset().union(
            *(words for code, words in self._signs.items() if code != self.default)
        )

    def is_default(self, tokens: Sequence[str]) -> bool:
        """Tell whether tokens are read in the default language."""
        return self._others.isdisjoint(tokens) or self.of(tokens) == self.default

    def of(self, tokens: Sequence[str]) -> str:
        """Return the code of the language that tokens are read in."""
        if self._others.isdisjoint(tokens):
            return self.default
        counts = {code: len(words.intersection(tokens)) for code, words in self._signs.items()}
        code = max(counts, key=lambda code: (counts[code], code == self.default))
        if counts[code] == 1 and code != self.default:
            (sign,) = self._signs[code].intersection(tokens)
            return self.default if self._words.count(sign) else code
        return code


def language_of(tokens: Sequence[str], latin: str) -> str:
    """Return the language of tokens of any script, "" = unknown; `latin`: that of Latin letters."""
    single = sum(map(is_single, tokens))
    letters = [token for token in tokens if token.isalpha() and not is_single(token)]
    if single and single >= len(letters):
        kana = any(_KANA[0] <= token <= _KANA[1] for token in tokens)
        return "" if kana else language_of_script().get("han", "")
    strange = sum(token[0] >= _LATIN_END for token in letters)
    return "" if strange * 2 > len(letters) else latin
