"""Tells whether a text names a word only to say that it is not there: "sugar-free", "no sugar".

An item like that meets "without sugar", although its text has the word. The phrases are those of
the section `denial` of the language packs.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

from app.engine.intent.cutting import cut
from app.engine.intent.packs import packs
from app.engine.retrieval.word_cutting import stem

_IGNORED: Final = frozenset("-,")


class _Phrases(NamedTuple):
    before: tuple[tuple[str, ...], ...]
    after: tuple[tuple[str, ...], ...]


def denies(text: str, word: str) -> bool:
    """Tell whether a text has a word, and everywhere only to say that it is missing.

    >>> denies("Vanilla ice cream, sugar-free", "sugar"), denies("With sugar", "sugar")
    (True, False)
    """
    tokens, searched = _tokens(text), tuple(_tokens(word))
    n = len(searched)
    places = [at for at in range(len(tokens) - n + 1) if tuple(tokens[at : at + n]) == searched]
    return bool(places) and all(_is_denied(tokens, at, at + n) for at in places)


def _tokens(text: str) -> list[str]:
    return [stem(token) for token in cut(text).texts if token not in _IGNORED]


def _is_denied(tokens: Sequence[str], start: int, end: int) -> bool:
    phrases = _phrases()
    return any(
        tuple(tokens[max(start - len(phrase), 0) : start]) == phrase for phrase in phrases.before
    ) or any(tuple(tokens[end : end + len(phrase)]) == phrase for phrase in phrases.after)


@cache
def _phrases() -> _Phrases:
    before, after = (
        tuple(tuple(_tokens(text)) for pack in packs() for text in pack.phrases("denial", key))
        for key in ("before", "after")
    )
    return _Phrases(before, after)
