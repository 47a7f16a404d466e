"""The content of `encoder.json`: how an encoder was exported, and into which files."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

INFO_FILE = "encoder.json"
Pooling: TypeAlias = Literal["mean", "cls"]


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """An encoder of the BERT family, and its files.

    Attributes:
        id: name and fingerprint; it changes with weights, tokenizer, pooling and max_tokens.
        dim: length of a vector.
        max_tokens: texts are cut to this many tokens, special ones included.
        pooling: how token vectors become one: their mean, or the first one.
        heads, layers: how many the transformer has.
        epsilon: of its layer norms.
        weights: name of the safetensors file: `words` and `places` (word and position embeddings)
            float16[rows, dim], then for each layer float16 matrices [out, in] and float32 vectors.
        kernel: name of the safetensors file with the weights for our own kernel (see
            `app.offline.encoder.kernel_weights`); None if the encoder's widths do not suit it.
        graph: name of the ONNX graph, which refers to the file of weights.
        tokenizer: name of the tokenizer's file, which also says where texts are cut.
        weights_sha256: over names, shapes and float32 values of the source weights.
        versions: of the libraries that exported it.
    """

    id: str
    dim: int
    max_tokens: int
    pooling: Pooling
    heads: int
    layers: int
    epsilon: float
    weights: str
    graph: str
    tokenizer: str
    weights_sha256: str
    versions: dict[str, str]
    kernel: str | None = None
