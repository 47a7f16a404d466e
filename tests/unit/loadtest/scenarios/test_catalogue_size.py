"""The catalogue of copies: which of them are films, and how far the similarities of it fall."""

import numpy as np
import pytest

from loadtest.scenarios.catalogue_size import Copies, copied, gap, noise_for, varied

DIM = 384


class Real:
    """Knows no text but the one that it expects."""

    id, dim = "real", DIM

    def encode(self, texts, role="item"):
        assert list(texts) == ["Heat"] * len(texts)
        return np.full((len(texts), DIM), DIM**-0.5, np.float32)


@pytest.fixture
def base():
    """Films around four subjects: the 200th hit still has to do with the probe."""
    rng = np.random.default_rng(7)
    subjects = varied(np.zeros((4, DIM), np.float32), 1.0, rng)
    return varied(np.repeat(subjects, 300, axis=0), 1.2, rng)


@pytest.fixture
def probes(base):
    return varied(base[::100], 0.8, np.random.default_rng(1))


def test_the_first_of_the_copies_is_the_film(base):
    encoder = Copies(Real(), base, noise=2.0)
    vectors = encoder.encode(["#3 Heat v0", "#3 Heat v1", "#5 Heat v0", "#3 Heat v12"])
    np.testing.assert_allclose(vectors[[0, 2]], base[[3, 5]], atol=1e-6)
    np.testing.assert_allclose(vectors[[1, 3]] @ base[3], 5**-0.5, atol=0.15)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)


def test_copies_of_a_number_lie_to_each_other_as_films_do(base):
    copies = copied(base, np.full(len(base), 7), noise=3.0)
    np.testing.assert_allclose(copies @ copies.T, base @ base.T, atol=0.2)


def test_what_is_no_copy_is_encoded_without_the_marks(base):
    assert len(Copies(Real(), base, 2.0).encode(["Heat v5", "#3 Heat", "Heat"])) == 3


def test_the_gap_is_that_of_the_copies_themselves(base, probes):
    numbers = np.repeat(np.arange(20), len(base))
    scores = np.sort(probes @ copied(np.tile(base, (20, 1)), numbers, 1.5).T)
    made = np.mean(scores[:, -1] - scores[:, -200])
    assert gap(base, probes, 20, 1.5) == pytest.approx(made, abs=0.01)


def test_the_noise_is_the_least_that_keeps_the_gap(base, probes):
    noise, got, real = noise_for(base, probes, 20)
    assert got == pytest.approx(real, abs=0.002)
    assert gap(base, probes, 20, noise - 0.25) < real - 0.002
