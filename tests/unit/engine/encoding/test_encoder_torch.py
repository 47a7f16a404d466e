"""How texts are laid into passes of a few shapes, and who has the device. No model is needed."""

import gc
import threading
import weakref

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.modules import Pooling

from app.core.errors import DeviceError, EngineError
from app.engine.encoding import device
from app.engine.encoding.encoder import PackedEncoder
from app.engine.encoding.torch_gpu import MOST_CELLS, MOST_TEXTS, padded, passes, shapes
from app.offline.encoder.export import export_encoder
from tests.tiny_bert import saved, tiny_bert


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("tiny")
    export_encoder(
        str(saved(root / "src", tiny_bert(root / "bert"), Pooling(24, "mean"))), root / "out"
    )
    return root / "out"


# Passes


@pytest.mark.parametrize(
    ("lengths", "found"),
    [
        ([3], [([0], (1, 8))]),
        ([8], [([0], (1, 8))]),
        ([9], [([0], (1, 16))]),
        ([3, 9, 2], [([2, 0, 1], (4, 16))]),
        ([256, 3], [([1, 0], (2, 256))]),
        ([200], [([0], (1, 256))]),
        ([5] * 65, [(list(range(64)), (64, 8)), ([64], (1, 8))]),
        ([256] * 17, [(list(range(16)), (16, 256)), ([16], (1, 256))]),
        ([], []),
    ],
)
def test_texts_go_together_as_long_as_their_cells_are_few(lengths, found):
    assert list(passes(lengths, 256)) == found


@pytest.mark.parametrize("longest", [16, 100, 256, 512])
def test_each_text_has_one_pass_whose_shape_is_known(longest):
    rng = np.random.default_rng(7)
    known = set(shapes(longest))
    for n in (1, 2, 63, 64, 65, 700):
        lengths = np.minimum(rng.geometric(0.05, n), longest).tolist()
        found = list(passes(lengths, longest))
        assert sorted(row for rows, _ in found for row in rows) == list(range(n))
        for rows, (texts, width) in found:
            assert (texts, width) in known
            assert len(rows) <= texts < 2 * len(rows)
            assert max(lengths[row] for row in rows) <= width


def test_shapes_are_few_bounded_and_the_largest_is_first():
    found = shapes(256)
    assert len(found) == len(set(found)) == 39
    assert found[0] == (64, 64)
    assert found[-1] == (1, 8)
    assert all(texts <= MOST_TEXTS and texts * width <= MOST_CELLS for texts, width in found)
    assert {width for _, width in shapes(100)} == {8, 16, 32, 64, 100}, "the last is no power of 2"


def test_a_text_that_is_longer_than_a_pass_goes_alone():
    assert list(passes([5000, 5000], 5000)) == [([0], (1, 5000)), ([1], (1, 5000))]
    assert (1, 5000) in shapes(5000)


def test_what_a_shape_has_too_much_of_is_padding_and_a_text_of_one_token():
    assert padded([[5, 6, 7], [8]], (4, 4)).tolist() == [
        [5, 6, 7, -1],
        [8, -1, -1, -1],
        [0, -1, -1, -1],
        [0, -1, -1, -1],
    ]


def test_padding_changes_no_vector(folder):
    encoder = PackedEncoder(folder, 1, "torch-cpu")
    texts = ["red", "red sofas", "oak table a red sofa", "a"] * 5
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(encoder.encode(texts), alone, atol=1e-6)


def test_it_is_freed_without_the_collector(folder):
    """What is frozen is never collected, so a cycle would keep the weights on the device."""
    gc.disable()
    try:
        encoder = PackedEncoder(folder, 1, "torch-cpu")
        encoder.encode(["red sofa"])
        parts = [weakref.ref(encoder._runtime), weakref.ref(encoder._runtime._bert)]
        del encoder
        assert [part() for part in parts] == [None, None]
    finally:
        gc.enable()


# The device


def test_who_waits_has_the_next_turn():
    seen = []

    def other():
        with device.turn():
            seen.append("other")

    waiting = threading.Thread(target=other)
    with device.turn():
        waiting.start()
        while not device._NEXT.locked():
            pass  # until the other one waits
        seen.append("mine")
    with device.turn():
        seen.append("mine again")
    waiting.join()
    assert seen == ["mine", "other", "mine again"]


def test_a_failure_of_the_device_is_ours_and_ends_the_turn():
    with pytest.raises(EngineError, match=r"failed \(RuntimeError\)"), device.turn():
        raise RuntimeError("out of memory, and where")
    with device.turn():
        pass


def test_the_cpu_is_always_there_and_has_no_name():
    device.require("cpu")
    assert device.name_of("cpu") == ""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")
def test_a_gpu_that_is_there_has_a_name():
    device.require("cuda")
    assert device.name_of("cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_missed():
    with pytest.raises(DeviceError, match=r"^device cuda: .*(without CUDA|no GPU)"):
        device.require("cuda")
