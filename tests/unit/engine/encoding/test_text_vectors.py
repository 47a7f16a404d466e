"""What the vectors of all texts share is taken away; a text without a vector stays without."""

from collections.abc import Sequence

import numpy as np

from app.core.types import Matrix, TextRole
from app.engine.encoding.text_vectors import text_vectors, without_centre
from app.testing.encoder import HashEncoder


class Crowded(HashEncoder):
    """Adds one and the same vector to every vector: all texts are alike."""

    def __init__(self) -> None:
        super().__init__()
        self.centre = np.full(self.dim, 0.25 / 5**0.5, np.float32)

    def encode(self, texts: Sequence[str], role: TextRole = "item") -> Matrix:
        vectors = super().encode(texts, role) + np.float32(0.25)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_unrelated_texts_are_no_longer_alike() -> None:
    encoder = Crowded()
    texts = ["space adventure", "heist", "love story", "—"]
    before, after = encoder.encode(texts[:3]), text_vectors(texts, encoder)

    assert before[0] @ before[1] > 0.7
    assert abs(after[0] @ after[1]) < 0.5
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), [1, 1, 1, 0], atol=1e-5)
    assert after[3].tolist() == [0.0] * 64
    np.testing.assert_allclose(after[:3], text_vectors(texts[:3], encoder), atol=1e-6)
    assert after.dtype == np.float32


def test_without_a_centre_the_vectors_stay_as_they_are() -> None:
    vectors = HashEncoder().encode(["space", "heist"])
    assert without_centre(vectors, None) is vectors
    assert np.array_equal(text_vectors(["space", "heist"], HashEncoder()), vectors)
