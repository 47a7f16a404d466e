"""Texts to vectors where a text may have no vector: items, changed items and queries alike.

All texts of which the encoder knows hardly a token get nearly the same vector: the cosine of two of
them is close to 1, whatever they say. So such a text has no vector. Its row is zero, no search by
vectors brings it (`app.engine.retrieval.index`), and it is found by its words alone. The same is
true of a text without any letter or digit.

Some models give even unrelated texts similar vectors: with E5 their cosine is 0.8, and what a text
says is in the rest. All scores count on cosines near 0 for unrelated texts, so what the vectors of
all texts have in common (`Encoder.centre`) is taken away.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from app.core.ports import Encoder
from app.core.types import Matrix, TextRole, Vector

_LEAST_NORM: Final = 1e-6


def text_vectors(texts: Sequence[str], encoder: Encoder, role: TextRole = "item") -> Matrix:
    """Return float32[len(texts), dim]: unit rows, and zeros where a text has no vector.

    Raises:
        EngineError: the encoder failed.
    """
    known = encoder.knows(texts)
    if known.all():
        return without_centre(encoder.encode(texts, role), encoder.centre)
    rows = np.flatnonzero(known)
    vectors = np.zeros((len(texts), encoder.dim), np.float32)
    if rows.size:
        some = encoder.encode([texts[row] for row in rows.tolist()], role)
        vectors[rows] = without_centre(some, encoder.centre)
    return vectors


def without_centre(vectors: Matrix, centre: Vector | None) -> Matrix:
    """Return float32[n, dim], unit rows: `vectors` less `centre`, where there is one."""
    if centre is None:
        return vectors
    rest = vectors - centre
    rest /= np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), _LEAST_NORM)
    return rest
