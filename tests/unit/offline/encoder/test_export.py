"""Export of tiny random BERTs: they equal the original."""

import json
from typing import get_args

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

from app.core.errors import DeviceError, UsageError
from app.engine.encoding.encoder import PackedEncoder
from app.engine.kernels.instruction_set import InstructionSet
from app.engine.kernels.loader import Unavailable
from app.offline.encoder.export import export_encoder
from tests.tiny_bert import saved, tiny_bert

pytestmark = pytest.mark.model

TEXTS = ["", "red sofas", "a table", "oak " * 40, "Red SOFA unknown"]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("normalised", [True, False])
def test_export_equals_the_original(tmp_path, pooling, normalised):
    tail = [Normalize()] if normalised else []
    source = saved(tmp_path / "src", tiny_bert(tmp_path / "bert"), Pooling(24, pooling), *tail)
    info = export_encoder(str(source), tmp_path / "out")
    encoder = PackedEncoder(tmp_path / "out", threads=1)
    original = SentenceTransformer(str(source), device="cpu")
    expected = original.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=5e-3)
    assert np.abs(expected[0] - expected[1]).max() > 0.05  # texts differ by more than the tolerance
    assert (info.dim, info.max_tokens, info.pooling) == (24, 16, pooling)
    assert (encoder.id, encoder.dim) == (info.id, 24)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize(
    "runtime", ["amx", "vnni", "avx2", "onnxruntime", "torch-cpu", "torch-cuda"]
)
def test_every_runtime_runs_another_shape(tmp_path, pooling, runtime):
    # More than the 192 weights that share a scale in the kernel, and no multiple of it.
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 640}
    # Larger random weights would make a lottery of every rounding to bytes.
    spread = {"num_hidden_layers": 3, "initializer_range": 0.2}
    bert = tiny_bert(tmp_path / "bert", **sizes, **spread)
    source = saved(tmp_path / "src", bert, Pooling(64, pooling))
    export_encoder(str(source), tmp_path / "out")
    try:
        encoder = PackedEncoder(tmp_path / "out", 2, runtime)
    except (Unavailable, DeviceError) as why:
        pytest.skip(str(why))
    original = SentenceTransformer(str(source), device="cpu")
    expected = original.encode(TEXTS, normalize_embeddings=True)
    if runtime in get_args(InstructionSet):
        assert (encoder.encode(TEXTS) * expected).sum(axis=1).min() >= 0.999
    else:
        np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-2)


def test_a_width_that_the_kernel_lacks_runs_on_onnx_runtime(tmp_path, caplog):
    source = saved(tmp_path / "src", tiny_bert(tmp_path / "bert"), Pooling(24, "mean"))
    export_encoder(str(source), tmp_path / "out")
    assert PackedEncoder(tmp_path / "out", threads=1).runtime == "onnxruntime"
    assert "texts are encoded by ONNX Runtime" in caplog.text
    with pytest.raises(Unavailable):
        PackedEncoder(tmp_path / "out", 1, "avx2")


def test_a_width_that_the_fastest_products_lack_runs_by_others(tmp_path):
    sizes = {"hidden_size": 48, "num_attention_heads": 3, "intermediate_size": 48}
    bert = tiny_bert(tmp_path / "bert", **sizes)
    export_encoder(str(saved(tmp_path / "src", bert, Pooling(48, "mean"))), tmp_path / "out")
    encoder = PackedEncoder(tmp_path / "out", 1)
    if encoder.runtime == "onnxruntime":
        pytest.skip("no kernel here")
    assert encoder.runtime == "avx2"
    for products in ("amx", "vnni"):
        with pytest.raises(Unavailable):
            PackedEncoder(tmp_path / "out", 1, products)


def test_a_bundle_of_before_runs_on_onnx_runtime_and_says_so(tmp_path, caplog):
    sizes = {"hidden_size": 48, "num_attention_heads": 3, "intermediate_size": 48}
    bert = tiny_bert(tmp_path / "bert", **sizes)
    export_encoder(str(saved(tmp_path / "src", bert, Pooling(48, "mean"))), tmp_path / "out")
    path = tmp_path / "out" / "encoder.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    (tmp_path / "out" / facts.pop("kernel")).unlink()
    for later in ("query_prompt", "item_prompt", "padding", "cosine", "least_cosine"):
        facts.pop(later)
    for later in ("centre", "architecture", "no_kernel"):
        facts.pop(later)
    path.write_text(json.dumps(facts), encoding="utf-8")
    encoder = PackedEncoder(tmp_path / "out", threads=1)
    assert encoder.runtime == "onnxruntime"
    assert encoder.centre is None
    assert np.array_equal(encoder.encode(TEXTS, "query"), encoder.encode(TEXTS, "item"))
    assert "older build" in caplog.text


def test_the_folder_says_what_it_holds(tmp_path):
    source = saved(tmp_path / "src", tiny_bert(tmp_path / "bert"), Pooling(24, "mean"))
    info = export_encoder(str(source), tmp_path / "out")
    written = json.loads((tmp_path / "out" / "encoder.json").read_text(encoding="utf-8"))
    assert written["id"] == info.id
    assert info.id.startswith("src-")
    assert written["kernel"] is None  # 24 wide: not for the kernel
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        ["encoder.json", written["tokenizer"], written["weights"], written["graph"]]
    )
    assert len(written["weights_sha256"]) == 64
    # Builds for other devices have a suffix, which not every wheel tells in both places.
    assert written["versions"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]


def test_the_id_follows_what_changes_the_vectors(tmp_path):
    bert = tiny_bert(tmp_path / "bert")
    mean, again, cls = (
        export_encoder(str(saved(tmp_path / n / "m", bert, Pooling(24, mode))), tmp_path / n)
        for n, mode in (("1", "mean"), ("2", "mean"), ("3", "cls"))
    )
    with torch.no_grad():
        bert.auto_model.embeddings.LayerNorm.bias[0] += 1e-3
    source = saved(tmp_path / "4" / "m", bert, Pooling(24, "mean"))
    other = export_encoder(str(source), tmp_path / "4")
    assert mean.id == again.id
    assert len({mean.id, cls.id, other.id}) == 3


def test_a_weight_beyond_float16_runs_on_onnx_runtime(tmp_path):
    bert = tiny_bert(tmp_path / "bert")
    with torch.no_grad():
        bert.auto_model.encoder.layer[0].output.dense.weight[0, 0] = 1e6
    source = saved(tmp_path / "src", bert, Pooling(24, "mean"))
    info = export_encoder(str(source), tmp_path / "out")
    assert "beyond the range of float16" in info.no_kernel
    assert info.weights is None
    original = SentenceTransformer(str(source), device="cpu")
    expected = original.encode(TEXTS, normalize_embeddings=True)
    found = PackedEncoder(tmp_path / "out", threads=1).encode(TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_missing_model_is_our_error(tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        export_encoder(str(tmp_path / "nowhere"), tmp_path / "out")
