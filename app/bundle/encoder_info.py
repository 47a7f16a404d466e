"""What `encoder.json` says of an exported encoder."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

INFO_FILE = "encoder.json"
Pooling: TypeAlias = Literal["mean", "cls"]


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """A BERT, and the files that it was written to.

    Attributes:
        id: name and fingerprint; it changes with weights, tokenizer, pooling and max_tokens.
        dim: length of a vector.
        max_tokens: texts are cut to this many tokens, special ones included.
        pooling: how token vectors become one: their mean, or the first one.
        heads, layers: of the transformer.
        epsilon: of its layer norms.
        weights: name of the safetensors file: `words` and `places` float16[rows, dim], then by
            layer float16 matrices [out, in], and float32 vectors.
        kernel: name of the safetensors file with what our own kernel multiplies by, see
            `encoder_kernel`; None where its widths do not suit the kernel.
        graph: name of the ONNX graph over the file of weights.
        tokenizer: name of the tokenizer's file; it holds the truncation.
        weights_sha256: over names, shapes and float32 values of the source weights.
        versions: of the libraries that made the export.
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
