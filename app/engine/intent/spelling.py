"""Puts misspelt words of a query right, before it is read."""

from typing import Final

from app.engine.intent.slots import Slots
from app.engine.intent.vocabulary import IntentVocabulary

_LEAST_TYPO: Final = 5


def corrected(slots: Slots, vocabulary: IntentVocabulary) -> list[str]:
    """Return the tokens, with misspelt names of values and common words put right."""
    tokens = slots.tokens
    phrases, words, names = slots.book.phrases, slots.book.words, vocabulary.names
    longest = names.longest
    changed: list[str] | None = None
    for at, token in enumerate(tokens):
        if (
            len(token) >= _LEAST_TYPO
            and token not in words
            and token not in longest
            and token not in phrases
            and token.isalpha()
        ):
            right = "" if vocabulary.words.count(token) else names.correct(token)
            if right and right != token:
                changed = changed or list(tokens)
                changed[at] = right
    return changed or tokens
