"""Texts to token numbers: a model's own tokenizer, and a shorter way for plain text.

The tokenizer normalises, cuts and looks up every character anew, which for a short query takes
several times as long as looking its words up. In a BERT what a plain word becomes does not depend
on its neighbours, so the tokenizer's model is asked for single words, and they are remembered.
"""

import json
import re
from typing import Any, Final

from tokenizers import Tokenizer

MOST_WORDS: Final = 16_384

_WORDS: Final = re.compile("[a-z0-9]+|[^ a-z0-9]")
"""How BERT cuts printable ASCII in lower case: a sign is a word of its own."""


class Tokens:
    """The token numbers of texts, special ones included. Calls of several threads may overlap."""

    def __init__(self, tokenizer: Tokenizer, most_words: int = MOST_WORDS) -> None:
        """Remember up to `most_words` words; when there are as many all are forgotten."""
        self._tokenizer, self._model, self._most_words = tokenizer, tokenizer.model, most_words
        self._known: dict[str, list[int]] | None = {} if _cuts_as_bert(tokenizer) else None
        if self._known is not None and tokenizer.truncation:
            self._most = tokenizer.truncation["max_length"]
            one = tokenizer.encode("a")  # a letter is one token, between the special ones
            place = one.word_ids.index(0)
            self._before, self._after = one.ids[:place], one.ids[place + 1 :]

    def of(self, text: str) -> list[int]:
        """Return what the tokenizer makes of a text; it raises `Exception` for broken Unicode."""
        plain = text.isascii() and text.isprintable() and "[" not in text  # as special ones have
        known = self._known
        if known is None or not plain:
            return self._whole(text)
        found: list[int] = self._before.copy()
        for word in _WORDS.findall(text.lower()):
            tokens = known.get(word)
            found += self._learn(known, word) if tokens is None else tokens
            if len(found) > self._most:  # it will be cut: nothing is gained by going on
                return self._whole(text)
        found += self._after
        return found if len(found) <= self._most else self._whole(text)

    def _whole(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def _learn(self, known: dict[str, list[int]], word: str) -> list[int]:
        ids: list[int] = [token.id for token in self._model.tokenize(word)]
        if len(known) >= self._most_words:
            known.clear()
        known[word] = ids
        return ids


def informative_tokens(tokenizer: Tokenizer) -> bytes:
    """Return a byte a token number: 1 for a token that says something of its text, else 0.

    Special tokens stand in every text, the unknown token for any word that the vocabulary lacks,
    and punctuation in all kinds of texts. So only a token with a letter or a digit counts.
    """
    vocabulary = tokenizer.get_vocab()
    unknown = json.loads(tokenizer.to_str())["model"].get("unk_token")
    special = {
        each.content for each in tokenizer.get_added_tokens_decoder().values() if each.special
    }
    informative = bytearray(max(vocabulary.values()) + 1)
    for token, number in vocabulary.items():
        informative[number] = (
            token not in special and token != unknown and any(map(str.isalnum, token))
        )
    return bytes(informative)


def _cuts_as_bert(tokenizer: Tokenizer) -> bool:
    said: dict[str, Any] = json.loads(tokenizer.to_str())
    normalizer = said["normalizer"] or {}
    return (
        normalizer.get("type") == "BertNormalizer"
        and normalizer["lowercase"]
        and (said["pre_tokenizer"] or {}).get("type") == "BertPreTokenizer"
        and said["model"]["type"] == "WordPiece"
        and bool(said["truncation"])
        and 0 in tokenizer.encode("a").word_ids
        and all("[" in token["content"] for token in said["added_tokens"])
    )
