"""Export of models other than BERT, of prompts and of the poolings: the same vectors."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling
from transformers import MPNetConfig, MPNetModel

from app.core.errors import BundleError, DeviceError
from app.engine.encoding.encoder import PackedEncoder
from app.engine.kernels.instruction_set import InstructionSet
from app.engine.kernels.loader import Unavailable
from app.offline.encoder.export import export_encoder
from app.offline.encoder.fidelity import LEAST, LEAST_MEAN
from tests import tiny_bert as bert
from tests.tiny_xlm_roberta import tiny_xlm_roberta

pytestmark = pytest.mark.model

TEXTS = ["", "red sofas", "the table", "oak " * 40, "太空冒险 科幻", "red sofa ไทย", "oak!", "a"]
POOLINGS = ["mean", "cls", "weightedmean", "mean_sqrt_len_tokens"]
RUNTIMES = ["amx", "vnni", "avx2", "onnxruntime", "torch-cpu"]
PROMPTS = {"query": "query: ", "passage": "passage: "}


def saved(folder: Path, *modules: torch.nn.Module, **options: object) -> SentenceTransformer:
    SentenceTransformer(modules=list(modules), device="cpu", **options).save_pretrained(str(folder))
    return SentenceTransformer(str(folder), device="cpu")


def assert_within_the_bar(found: np.ndarray, original: np.ndarray) -> None:
    original = original / np.linalg.norm(original, axis=1, keepdims=True)
    cosine = (found * original).sum(axis=1)
    assert cosine.mean() >= LEAST_MEAN
    assert cosine.min() >= LEAST


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_tiny_xlm_roberta_has_the_vectors_of_the_original(tmp_path, pooling, runtime):
    model = saved(tmp_path / "src", tiny_xlm_roberta(tmp_path / "base"), Pooling(48, pooling))
    info = export_encoder(str(tmp_path / "src"), tmp_path / "out")
    try:
        encoder = PackedEncoder(tmp_path / "out", 2, runtime)
    except Unavailable as why:
        pytest.skip(str(why))

    assert_within_the_bar(encoder.encode(TEXTS), model.encode(TEXTS))
    assert runtime not in get_args(InstructionSet) or info.no_kernel == ""
    # 18 rows, of which the first two are no positions of a text.
    assert (info.max_tokens, info.architecture) == (16, "XLMRobertaModel")
    assert [len(ids) for ids in encoder.tokens(TEXTS[:4])] == [2, 5, 4, 16]


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("make", [bert.tiny_bert, tiny_xlm_roberta])
def test_queries_and_items_get_their_own_prompts(tmp_path, make, normalised):
    base = make(tmp_path / "base")
    tail = [Normalize()] if normalised else []
    width = base.auto_model.config.hidden_size
    model = saved(tmp_path / "src", base, Pooling(width), *tail, prompts=PROMPTS)
    info = export_encoder(str(tmp_path / "src"), tmp_path / "out")
    encoder = PackedEncoder(tmp_path / "out", 1)

    queries, items = encoder.encode(TEXTS, "query"), encoder.encode(TEXTS, "item")
    assert_within_the_bar(queries, model.encode(TEXTS, prompt_name="query"))
    assert_within_the_bar(items, model.encode(TEXTS, prompt_name="passage"))
    assert np.array_equal(encoder.encode(TEXTS), items)
    assert (info.query_prompt, info.item_prompt) == ("query: ", "passage: ")
    plain = PackedEncoder(tmp_path / "out", 1).tokens(["red"])
    assert [len(ids) for ids in plain] == [3]  # without a role, no prompt
    if make is tiny_xlm_roberta:
        assert np.abs(queries[1] - items[1]).max() > 0.01
    assert "prompts: 'query: ' for queries, 'passage: ' for items" in info.lines()


def test_a_prompt_that_applies_to_all_texts_applies_to_both(tmp_path):
    base = tiny_xlm_roberta(tmp_path / "base")
    options = {"prompts": {"any": "the "}, "default_prompt_name": "any"}
    model = saved(tmp_path / "src", base, Pooling(48), **options)
    info = export_encoder(str(tmp_path / "src"), tmp_path / "out")
    encoder = PackedEncoder(tmp_path / "out", 1)
    expected = model.encode(TEXTS)

    assert (info.query_prompt, info.item_prompt) == ("the ", "the ")
    assert_within_the_bar(encoder.encode(TEXTS, "query"), expected)
    assert_within_the_bar(encoder.encode(TEXTS, "item"), expected)


def test_prompts_change_the_id(tmp_path):
    base = tiny_xlm_roberta(tmp_path / "base")
    ids = set()
    for name, prompts in (("1", None), ("2", PROMPTS), ("3", {"query": "the "})):
        saved(tmp_path / name / "m", base, Pooling(48), prompts=prompts)
        ids.add(export_encoder(str(tmp_path / name / "m"), tmp_path / name / "out").id)
    assert len(ids) == 3


def test_a_text_is_known_by_the_pieces_that_are_its_own(tmp_path):
    saved(tmp_path / "src", tiny_xlm_roberta(tmp_path / "base"), Pooling(48), prompts=PROMPTS)
    export_encoder(str(tmp_path / "src"), tmp_path / "out")
    encoder = PackedEncoder(tmp_path / "out", 1)
    unknown = ["", "  ", "!", "ไทย", "<unk>", "▁"]
    known = ["红 太空", "科幻", "sofas", "ไทย oak"]
    assert encoder.knows([*unknown, *known]).tolist() == [False] * 6 + [True] * 4


def _mpnet(folder: Path) -> list[torch.nn.Module]:
    sizes = bert.SIZES | {"max_position_embeddings": 18, "pad_token_id": 1}
    return [bert.transformer(folder, MPNetModel(MPNetConfig(**sizes))), Pooling(24, "mean")]


OTHERS = {
    "its architecture is MPNetModel": _mpnet,
    "its activation is 'relu'": lambda at: [bert.tiny_bert(at, hidden_act="relu"), Pooling(24)],
    "its pooling is 'max'": lambda at: [bert.tiny_bert(at), Pooling(24, "max")],
    "its pooling is ('cls', 'mean')": lambda at: [
        bert.tiny_bert(at),
        Pooling(24, ("cls", "mean")),
    ],
    "its modules are Transformer, Pooling, Dense, Normalize": lambda at: [
        bert.tiny_bert(at),
        Pooling(24, "mean"),
        Dense(24, 8),
        Normalize(),
    ],
}


@pytest.mark.parametrize("why", OTHERS)
def test_any_other_model_runs_on_onnx_runtime_and_the_build_says_why(tmp_path, why):
    torch.manual_seed(7)
    modules = OTHERS[why](tmp_path / "base")
    model = saved(tmp_path / "src", *modules, prompts={"query": "red "})
    info = export_encoder(str(tmp_path / "src"), tmp_path / "out")
    encoder = PackedEncoder(tmp_path / "out", 1)
    texts = [text for text in TEXTS if len(text) < 40]
    queries, items = model.encode(texts, prompt_name="query"), model.encode(texts)

    assert encoder.runtime == "onnxruntime"
    assert encoder.dim == items.shape[1]
    assert_within_the_bar(encoder.encode(texts), items)
    assert_within_the_bar(encoder.encode(texts, "query"), queries)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(encoder.encode(texts), alone, atol=1e-3)
    assert why in info.lines()[0]
    assert "on ONNX Runtime" in info.lines()[0]
    assert encoder.encode(TEXTS).shape == (len(TEXTS), encoder.dim)  # the long one too
    with pytest.raises(Unavailable):
        PackedEncoder(tmp_path / "out", 1, "avx2")
    with pytest.raises(DeviceError, match="only ONNX Runtime"):
        PackedEncoder(tmp_path / "out", 1, "torch-cpu")


def test_a_kernel_that_comes_too_far_from_the_original_is_left_out(tmp_path):
    """Few wide layers of large random weights: each rounding to bytes turns the vector."""
    sizes = {"hidden_size": 48, "intermediate_size": 48, "num_hidden_layers": 3}
    base = bert.tiny_bert(tmp_path / "base", **sizes, initializer_range=1.0)
    model = saved(tmp_path / "src", base, Pooling(48))
    info = export_encoder(str(tmp_path / "src"), tmp_path / "out")
    encoder = PackedEncoder(tmp_path / "out", 1)
    if info.kernel and encoder.runtime == "onnxruntime":
        pytest.skip("no kernel here")

    assert "a cosine to the original of" in info.no_kernel
    assert encoder.runtime == "onnxruntime"
    assert not (tmp_path / "out" / "kernel.safetensors").exists()
    assert_within_the_bar(encoder.encode(TEXTS), model.encode(TEXTS))


def test_pooling_that_leaves_out_the_prompt_is_refused(tmp_path):
    modules = [tiny_xlm_roberta(tmp_path / "base"), Pooling(48, "mean", include_prompt=False)]
    saved(tmp_path / "src", *modules, prompts=PROMPTS)
    with pytest.raises(BundleError, match="leaves the prompt out"):
        export_encoder(str(tmp_path / "src"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_unrelated_texts_share_is_noted_where_it_is_much(tmp_path):
    base = tiny_xlm_roberta(tmp_path / "base")
    with torch.no_grad():  # the last layer norm adds its bias to every token
        base.auto_model.encoder.layer[-1].output.LayerNorm.bias[:] = 3.0
    model = saved(tmp_path / "src", base, Pooling(48))
    info = export_encoder(str(tmp_path / "src"), tmp_path / "out")
    encoder = PackedEncoder(tmp_path / "out", 1)

    # Whatever it is, the vectors are those of the original.
    assert_within_the_bar(encoder.encode(TEXTS), model.encode(TEXTS))
    assert encoder.centre.shape == (48,)
    assert 0.7 < float(encoder.centre @ encoder.centre) < 1.0
    assert any("unrelated texts have a cosine of" in line for line in info.lines())
