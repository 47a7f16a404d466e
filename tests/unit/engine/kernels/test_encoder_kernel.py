"""The encoder's kernel over random weights: batches, and what it refuses when it is opened."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from app.bundle.encoder_info import Pooling
from app.engine.kernels.encoder import KernelRuntime
from app.engine.kernels.instruction_set import InstructionSet
from app.engine.kernels.loader import Unavailable
from tests.encoder_weights import WORDS, write_weights


def opened(folder, info, instruction_set=None):
    try:
        return KernelRuntime(folder, info, 2, instruction_set)
    except Unavailable as why:
        pytest.skip(str(why))


@pytest.mark.parametrize("instruction_set", get_args(InstructionSet))
@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_a_text_has_the_same_vector_in_every_batch(tmp_path, pooling, instruction_set):
    kernel = opened(tmp_path, write_weights(tmp_path, pooling=pooling), instruction_set)
    rng = np.random.default_rng(1)
    texts = [rng.integers(0, WORDS, length).tolist() for length in (1, 2, 7, 20, 13)]
    together = kernel.run(texts)
    assert np.isfinite(together).all()
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    alone = np.concatenate([kernel.run([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"heads": 0},  # a division by zero in C
        {"heads": -4},
        {"heads": 3},
        {"heads": 8},  # heads of 8 numbers: too narrow
        {"heads": 128},
        {"layers": 0},
        {"layers": 3},
        {"layers": -1},
        {"dim": 48},
        {"dim": 0},
        {"epsilon": 0.0},
        {"epsilon": float("nan")},
    ],
    ids=str,
)
def test_what_does_not_fit_the_weights_is_refused(tmp_path, wrong):
    info = write_weights(tmp_path)
    opened(tmp_path, info)
    with pytest.raises((ValueError, KeyError)):
        KernelRuntime(tmp_path, replace(info, **wrong), 1, None)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("words", lambda a: a[:, :-1]),
        ("places", lambda a: a.astype(np.float32)),
        ("0.mixed.shift", lambda a: a[:-1]),
        ("1.narrow.scale", lambda a: a[:, :-16]),
        ("1.narrow.weight", lambda a: a.astype(np.uint8)),
        ("0.qkv.weight", lambda a: a[:-1]),
        ("0.widen.bias", lambda a: np.concatenate([a, a])),
    ],
)
def test_weights_of_another_shape_or_type_are_refused(tmp_path, name, change):
    info = write_weights(tmp_path)
    opened(tmp_path, info)
    for file in ("encoder.safetensors", "kernel.safetensors"):
        arrays = load_file(tmp_path / file)
        if name in arrays:
            changed = np.ascontiguousarray(change(arrays[name]))
            save_file(arrays | {name: changed}, tmp_path / file)
    with pytest.raises((ValueError, KeyError)):
        KernelRuntime(tmp_path, info, 1, None)
