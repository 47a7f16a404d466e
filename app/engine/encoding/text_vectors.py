"""Texts to vectors where a text may have no vector: items, changed items and queries alike.

All texts of which the encoder knows hardly a token get nearly the same vector: the cosine of two of
them is close to 1, whatever they say. So such a text has no vector. Its row is zero, no search by
vectors brings it (`app.engine.retrieval.index`), and it is found by its words alone. The same is
true of a text without any letter or digit.
"""

from collections.abc import Sequence

import numpy as np

from app.core.ports import Encoder
from app.core.types import Matrix, TextRole


def text_vectors(texts: Sequence[str], encoder: Encoder, role: TextRole = "item") -> Matrix:
    """Return float32[len(texts), dim]: unit rows, and zeros where a text has no vector.

    Raises:
        EngineError: the encoder failed.
    """
    known = encoder.knows(texts)
    if known.all():
        return encoder.encode(texts, role)
    rows = np.flatnonzero(known)
    vectors = np.zeros((len(texts), encoder.dim), np.float32)
    if rows.size:
        vectors[rows] = encoder.encode([texts[row] for row in rows.tolist()], role)
    return vectors
