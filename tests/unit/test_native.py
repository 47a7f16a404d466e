"""What the kernel's integers promise: no sum overflows, and little is lost."""

import ctypes

import numpy as np
import pytest

from app.engine.native import Unavailable, load_library

TOKEN_MAX = 4095
AVX2 = 0
PANEL = 16
RNG = np.random.default_rng(7)
WEIGHTS = {
    "normal": RNG.standard_normal((48, 384)) * 0.05,
    "wide": RNG.standard_normal((16, 1536)) * 0.05,
    "equal": np.full((16, 1536), 0.25),
    "one large": np.eye(16, 384) * 60000 + 1e-3,
    "zero": np.zeros((16, 32)),
    "smallest": np.full((16, 32), 6e-8),
}


@pytest.fixture
def block() -> int:
    """How many bytes of a row share a scale."""
    try:
        return load_library().bytes_block()
    except Unavailable as why:
        pytest.skip(str(why))


def packed(weight: np.ndarray, kind: type = np.int16) -> tuple[np.ndarray, np.ndarray]:
    """Return the integers in the order of the weights, and the scale of each."""
    try:
        library = load_library()
    except Unavailable as why:
        pytest.skip(str(why))
    rows, columns = weight.shape
    block = columns if kind is np.int16 else library.bytes_block()
    integers, scale = (
        np.empty(rows * columns, kind),
        np.empty((-(-columns // block), rows), np.float32),
    )
    pack = library.pack_words if kind is np.int16 else library.pack_bytes
    pack(
        ctypes.c_void_p(weight.ctypes.data),
        *(ctypes.c_int32(number) for number in (rows, columns, AVX2)),
        *(ctypes.c_void_p(array.ctypes.data) for array in (integers, scale)),
    )
    panels = integers.reshape(rows // PANEL, columns // 2, PANEL, 2)
    of_each = np.repeat(scale.T, block, axis=1)[:, :columns]
    return panels.transpose(0, 2, 1, 3).reshape(rows, columns), of_each.astype(np.float64)


@pytest.mark.parametrize("name", WEIGHTS)
def test_no_sum_can_overflow_and_the_weights_come_back(name):
    weight = WEIGHTS[name].astype(np.float16)
    integers, scale = packed(weight)
    sums = np.abs(integers.astype(np.int64)).sum(axis=1) * TOKEN_MAX
    assert sums.max() <= np.iinfo(np.int32).max
    assert np.all(np.abs(integers * scale - weight) <= 0.5001 * scale)


@pytest.mark.parametrize("name", WEIGHTS)
def test_bytes_come_back_by_the_scale_of_their_block_and_cannot_overflow(name, block):
    weight = WEIGHTS[name].astype(np.float16)
    integers, scale = packed(weight, np.int8)
    assert np.abs(integers.astype(np.int64)).max() <= 127
    assert np.iinfo(np.int32).max >= 127 * block * TOKEN_MAX
    assert np.all(np.abs(integers * scale - weight) <= 0.5001 * scale)


def test_each_block_of_a_row_uses_all_eight_bits(block):
    weight = WEIGHTS["wide"] * np.resize(np.repeat([1, 0.01, 100], block), 1536)
    integers, _ = packed(weight.astype(np.float16), np.int8)
    assert np.all(np.abs(integers).reshape(16, -1, block).max(axis=2) == 127)


def test_a_row_of_ordinary_weights_keeps_ten_bits():
    integers, _ = packed(WEIGHTS["wide"].astype(np.float16))
    assert np.abs(integers).max(axis=1).min() >= 512
