"""Weights as bytes: nothing can overflow, little is lost, and less than by plain rounding."""

import numpy as np
import pytest

from app.engine.kernels.encoder import BLOCK
from app.offline.encoder.quantise import MOST, PARTS, Quantised, Seen, quantise

RNG = np.random.default_rng(7)
#: Inputs that go up and down together, one of them far.
INPUTS = RNG.standard_normal((2000, 48)) @ RNG.standard_normal((48, 48)) * 0.1
INPUTS[:, 5] *= 30
WEIGHTS = {
    "normal": RNG.standard_normal((32, 48)) * 0.05,
    "equal": np.full((16, 48), 0.25),
    "one large": np.eye(16, 48) * 60000 + 1e-3,
    "zero": np.zeros((16, 48)),
    "smallest": np.full((16, 48), 6e-8),
    "wide": RNG.standard_normal((16, BLOCK + 80)),
}


def seen(inputs: np.ndarray) -> Seen:
    ends = (inputs.min(axis=0), inputs.max(axis=0))
    return Seen(inputs.T @ inputs / len(inputs), *(end.astype(np.float32) for end in ends))


def multiplied(found: Quantised) -> np.ndarray:
    """Return float[n, k], the weight in whose place the bytes are."""
    of_each = np.repeat(found.scale.T, BLOCK, axis=1)[:, : len(found.factor)]
    return found.integers * of_each * found.factor


def made(name: str) -> tuple[np.ndarray, np.ndarray, Quantised]:
    weight = WEIGHTS[name].astype(np.float32)
    width = weight.shape[1]
    inputs = INPUTS if width == 48 else RNG.standard_normal((3000, width))
    return weight, inputs, quantise(weight, seen(inputs))


@pytest.mark.parametrize("name", WEIGHTS)
def test_no_sum_of_sixteen_bits_can_overflow(name):
    _, _, found = made(name)
    parts = found.integers.astype(np.int64).reshape(len(found.integers), -1, PARTS // 4, 2, 2)
    for sign in (1, -1):
        sums = np.maximum(sign * parts, 0).sum(axis=(2, 4))
        assert sums.max(initial=0) <= MOST
    assert np.iinfo(np.int16).max >= 255 * MOST


@pytest.mark.parametrize("name", WEIGHTS)
def test_products_stay(name):
    weight, inputs, found = made(name)
    wanted, got = inputs @ weight.T, inputs @ multiplied(found).T
    assert np.square(got - wanted).mean() <= 1e-3 * np.square(wanted).mean()


def test_less_is_lost_than_by_rounding_each_weight_alone():
    weight, inputs, found = made("normal")
    steps = found.scale.T * found.factor
    alone = np.rint(weight / steps) * steps
    lost = [np.square(inputs @ (each - weight).T).mean() for each in (multiplied(found), alone)]
    assert lost[0] < lost[1] / 1.5


def test_an_input_that_never_moved_does_no_harm():
    inputs = INPUTS.copy()
    inputs[:, 9] = 0
    found = quantise(WEIGHTS["normal"].astype(np.float32), seen(inputs))
    assert np.isfinite(multiplied(found)).all()
    moved = INPUTS @ WEIGHTS["normal"].T
    assert np.square(INPUTS @ multiplied(found).T - moved).mean() <= 1e-2 * np.square(moved).mean()


@pytest.mark.parametrize("name", WEIGHTS)
def test_sums_are_those_of_the_rows_that_are_multiplied(name):
    _, _, found = made(name)
    np.testing.assert_allclose(
        found.sums(), (multiplied(found) / found.factor).sum(axis=1), rtol=1e-4, atol=1e-3
    )
