"""The weights of a transformer like BERT, in the layout that our own runtimes read."""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from app.offline.encoder.architectures import first_position

Weights = dict[str, npt.NDArray[np.float32]]


def weights_of(transformer: Any) -> Weights:  # noqa: ANN401 - a model of transformers
    """Return all weights by name, in float32."""
    return {name: value.float().cpu().numpy() for name, value in transformer.state_dict().items()}


def sha256_of_weights(weights: Weights) -> str:
    """Return a hash over names, shapes and values.

    The layers of BERT's own pooling have no part in a vector. Where a file lacks them, they are
    random in every load, so they are left out.
    """
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        if "pooler." in name:
            continue
        digest.update(f"{name}{value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def packed_arrays(transformer: Any, max_tokens: int) -> dict[str, npt.NDArray[Any]]:  # noqa: ANN401
    """Return the arrays of the weights file: float16 matrices [out, in], float32 vectors.

    Raises:
        OverflowError: a weight is beyond the range of float16.
    """

    def dense(to: str, *names: str) -> None:
        """Join the layers of `names` to one, so that one product computes all."""
        arrays[to + ".weight"] = _half(np.concatenate([weights[n + ".weight"] for n in names]))
        arrays[to + ".bias"] = np.concatenate([weights[n + ".bias"] for n in names])

    def norm(to: str, name: str) -> None:
        arrays[to + ".scale"], arrays[to + ".shift"] = (
            weights[name + ".weight"],
            weights[name + ".bias"],
        )

    weights = weights_of(transformer)
    arrays: dict[str, npt.NDArray[Any]] = {}
    arrays["words"] = _half(weights["embeddings.word_embeddings.weight"])
    first = first_position(transformer)
    places = weights["embeddings.position_embeddings.weight"][first : first + max_tokens]
    # All tokens of a single text have token type 0, so its row is added to every position.
    arrays["places"] = _half(places + weights["embeddings.token_type_embeddings.weight"][0])
    norm("embedded", "embeddings.LayerNorm")
    for layer in range(transformer.config.num_hidden_layers):
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
        raise OverflowError
    return half
