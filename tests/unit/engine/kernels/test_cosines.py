"""Packed vectors against float32 products."""

import numpy as np
import pytest

from app.engine.kernels.cosines import PackedVectors
from app.engine.kernels.loader import Unavailable
from app.engine.retrieval.index import FlatIndex

DIM = 384


def unit(rng, n):
    vectors = rng.standard_normal((n, DIM), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def packed(vectors):
    try:
        return PackedVectors(vectors)
    except Unavailable as why:
        pytest.skip(str(why))


@pytest.mark.parametrize("n", [1, 31, 32, 33, 1000])
@pytest.mark.parametrize("probes", [1, 3, 17])
def test_cosines_are_right(n, probes):
    rng = np.random.default_rng(n)
    vectors = unit(rng, n)
    asked = np.concatenate([vectors[:1], unit(rng, probes)])[:probes]
    found = packed(vectors).cosines(asked)
    np.testing.assert_allclose(found, asked @ vectors.T, atol=1e-4)
    assert found.shape == (probes, n)


def test_a_probe_has_the_same_cosines_in_every_batch():
    rng = np.random.default_rng(0)
    vectors, asked = packed(unit(rng, 200)), unit(rng, 9)
    together = vectors.cosines(asked)
    alone = np.concatenate([vectors.cosines(asked[n : n + 1]) for n in range(9)])
    np.testing.assert_array_equal(together, alone)


def test_rows_that_change_are_packed_anew():
    rng = np.random.default_rng(1)
    vectors, asked = unit(rng, 100), unit(rng, 4)
    index = FlatIndex(vectors, packed(vectors))
    rows = np.array([0, 31, 32, 99])
    vectors[rows] = unit(rng, 4)
    index.put(rows)
    np.testing.assert_allclose(index.cosines(asked), asked @ vectors.T, atol=1e-4)
    more = np.concatenate([vectors, unit(rng, 50)])
    np.testing.assert_allclose(index.over(more).cosines(asked), asked @ more.T, atol=1e-4)


def test_a_row_of_zeros_is_near_nothing():
    vectors = np.zeros((40, DIM), np.float32)
    probe = unit(np.random.default_rng(2), 1)
    assert not packed(vectors).cosines(probe).any()


def test_vectors_of_an_odd_length_are_refused():
    with pytest.raises(Unavailable, match=r"width|lack|kernel|compiler"):
        PackedVectors(np.zeros((3, 7), np.float32))
