"""Texts to token numbers: the model's own tokenizer, with a cache of words for plain text.

The tokenizer normalises, splits and looks up every character of a text, which for a short query
takes several times as long as a look-up of its words. In BERT the tokens of a plain word do not
depend on its neighbours. So each word is tokenised once, alone, and its tokens are remembered.
"""

import json
import re
from typing import Any, Final

from tokenizers import Tokenizer

MOST_WORDS: Final = 16_384

_WORDS: Final = re.compile("[a-z0-9]+|[^ a-z0-9]")
"""How BERT splits printable ASCII in lower case: each punctuation mark is a word of its own."""


_BYTE: Final = re.compile("<0x[0-9A-F]{2}>")
"""How SentencePiece writes a byte of a character that its vocabulary lacks."""

_PART: Final = "\N{REPLACEMENT CHARACTER}"
"""What some bytes of a character are decoded to."""


class Tokens:
    """The token numbers of texts, special ones included. Calls of several threads may overlap."""

    def __init__(self, tokenizer: Tokenizer, most_words: int = MOST_WORDS) -> None:
        """Remember up to `most_words` words; when there are as many, all are forgotten.

        A tokenizer that does not split like BERT is asked for every text.
        """
        self._tokenizer, self._model, self._most_words = tokenizer, tokenizer.model, most_words
        self._known: dict[str, list[int]] | None = {} if _splits_like_bert(tokenizer) else None
        if self._known is not None and tokenizer.truncation:
            self._max_tokens = tokenizer.truncation["max_length"]
            letter = tokenizer.encode("a")  # one token, between the special ones
            position = letter.word_ids.index(0)
            self._before, self._after = letter.ids[:position], letter.ids[position + 1 :]

    def of(self, text: str) -> list[int]:
        """Return what the tokenizer makes of a text; it raises `Exception` for broken Unicode."""
        # A special token that is written out, as "[MASK]", is a token of its own.
        plain = text.isascii() and text.isprintable() and "[" not in text
        known = self._known
        if known is None or not plain:
            return self._tokenize(text)
        ids: list[int] = self._before.copy()
        for word in _WORDS.findall(text.lower()):
            tokens = known.get(word)
            ids += self._learn(known, word) if tokens is None else tokens
            if len(ids) > self._max_tokens:  # the tokenizer truncates, at whichever side
                return self._tokenize(text)
        ids += self._after
        return ids if len(ids) <= self._max_tokens else self._tokenize(text)

    def _tokenize(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def _learn(self, known: dict[str, list[int]], word: str) -> list[int]:
        ids: list[int] = [token.id for token in self._model.tokenize(word)]
        if len(known) >= self._most_words:
            known.clear()
        known[word] = ids
        return ids


def informative_tokens(tokenizer: Tokenizer) -> bytes:
    """Return a byte a token number: how much the token says of its text.

    Special tokens stand in every text, the unknown token for any word that the vocabulary lacks,
    and punctuation in all kinds of texts. So they say nothing: 0. Another token counts its letters
    and digits, three at most: a single one says less than a word. A part of a character that needs
    several tokens counts 1.
    """
    vocabulary = tokenizer.get_vocab()
    config: dict[str, Any] = json.loads(tokenizer.to_str())
    special = {
        each.content for each in tokenizer.get_added_tokens_decoder().values() if each.special
    }
    special.add(_unknown(config["model"]))
    # There a token is written as one letter a byte, also for bytes of punctuation.
    by_bytes = "ByteLevel" in json.dumps(config.get("decoder"))
    informative = bytearray(max(vocabulary.values()) + 1)
    for token, number in vocabulary.items():
        if token in special or _BYTE.fullmatch(token):
            continue
        text = tokenizer.decoder.decode([token]) if by_bytes else token
        letters = sum(map(str.isalnum, text))
        informative[number] = min(letters, 3) or int(by_bytes and _PART in text)
    return bytes(informative)


def unknown_token(tokenizer: Tokenizer) -> int:
    """Return the number of the token for words that the vocabulary lacks; a free one if none."""
    number = tokenizer.token_to_id(_unknown(json.loads(tokenizer.to_str())["model"]))
    return tokenizer.get_vocab_size() if number is None else int(number)


def _unknown(model: dict[str, Any]) -> str:
    """Return the token for words that the vocabulary lacks; "" if the model has none."""
    if model.get("type") == "Unigram":
        number = model.get("unk_id")
        return "" if number is None else str(model["vocab"][number][0])
    return model.get("unk_token") or ""


def _splits_like_bert(tokenizer: Tokenizer) -> bool:
    """Return whether `Tokens.of` may look words up one by one."""
    config: dict[str, Any] = json.loads(tokenizer.to_str())
    normalizer = config["normalizer"] or {}
    return (
        normalizer.get("type") == "BertNormalizer"
        and normalizer["lowercase"]
        and (config["pre_tokenizer"] or {}).get("type") == "BertPreTokenizer"
        and config["model"]["type"] == "WordPiece"
        and bool(config["truncation"])
        and 0 in tokenizer.encode("a").word_ids
        and all("[" in token["content"] for token in config["added_tokens"])
    )
