"""A fake of the port `Encoder`, for tests and load tests only."""

import hashlib
import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from app.core.types import Mask, Matrix, TextRole, Vector

_WORD: Final = re.compile(r"[^\W\u4e00-\u9fff]+|[\u4e00-\u9fff]")


class HashEncoder:
    """An `Encoder` without a model: the normalised sum of one pseudo-random vector for each word.

    Texts with common words are similar. A Chinese character counts as a word. A query gets the
    vector that an item of the same text has.
    """

    def __init__(self, dim: int = 64) -> None:
        self._dim = dim
        self._words: dict[str, Vector] = {}

    centre = None

    @property
    def id(self) -> str:
        """`hash-<dim>`."""
        return f"hash-{self._dim}"

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._dim

    def encode(self, texts: Sequence[str], role: TextRole = "item") -> Matrix:  # noqa: ARG002
        """Return float32[len(texts), dim], rows of unit norm, in the order of `texts`."""
        rows = np.empty((len(texts), self._dim), np.float32)
        for row, text in zip(rows, texts, strict=True):
            words = _WORD.findall(text.casefold()) or [""]
            total = np.sum([self._word(word) for word in words], axis=0, dtype=np.float64)
            row[:] = total / np.linalg.norm(total)
        return rows

    def knows(self, texts: Sequence[str]) -> Mask:
        """Return bool[len(texts)]: whether a text has any letter or digit."""
        return np.array([any(map(str.isalnum, text)) for text in texts], np.bool_)

    def _word(self, word: str) -> Vector:
        if word not in self._words:
            seed = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest()
            generator = np.random.default_rng(int.from_bytes(seed))
            self._words[word] = generator.standard_normal(self._dim).astype(np.float32)
        return self._words[word]
