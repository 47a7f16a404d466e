"""The integers of packed vectors: no sum overflows, and little is lost."""

import numpy as np
import pytest

from app.engine.kernels.cosines import FUNCTIONS, QUERY_MAX, SHARED
from app.engine.kernels.instruction_set import NUMBERS
from app.engine.kernels.loader import Unavailable, address, bind, load_library

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


def packed(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the integers in the order of the weights, and the scale of each row."""
    try:
        library = load_library()
    except Unavailable as why:
        pytest.skip(str(why))
    bind(library, "cosines", FUNCTIONS, SHARED)
    rows, columns = weight.shape
    integers, scale = np.empty(rows * columns, np.int16), np.empty((rows, 1), np.float32)
    library.pack_vectors(
        address(weight), rows, columns, NUMBERS["avx2"], address(integers), address(scale)
    )
    panels = integers.reshape(rows // PANEL, columns // 2, PANEL, 2)
    return panels.transpose(0, 2, 1, 3).reshape(rows, columns), scale.astype(np.float64)


@pytest.mark.parametrize("name", WEIGHTS)
def test_no_sum_can_overflow_and_the_weights_come_back(name):
    weight = WEIGHTS[name].astype(np.float16)
    integers, scale = packed(weight)
    sums = np.abs(integers.astype(np.int64)).sum(axis=1) * QUERY_MAX
    assert sums.max() <= np.iinfo(np.int32).max
    assert np.all(np.abs(integers * scale - weight) <= 0.5001 * scale)


def test_a_row_of_ordinary_weights_keeps_ten_bits():
    integers, _ = packed(WEIGHTS["wide"].astype(np.float16))
    assert np.abs(integers).max(axis=1).min() >= 512
