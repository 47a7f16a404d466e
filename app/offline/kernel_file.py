"""The file of what our kernel multiplies by, rounded once per machine and encoder.

Rounding takes most of the time of an export (`app.offline.encoder_bytes`), and the same model gives
the same bytes. This module knows all that they depend on; not how weights are rounded, nor where
the file is kept (`app.offline.kept`).
"""

import hashlib
import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import save
from threadpoolctl import threadpool_info
from tokenizers import Tokenizer

from app.offline.encoder_bytes import kernel_arrays
from app.offline.kept import kept

SOURCES: Final = ("offline/encoder_bytes.py", "offline/quantise.py", "engine/encoder_kernel.py")
"""Where we say how weights are rounded and laid out, below `app/`."""

_APP: Final = Path(__file__).parents[1]
_LIBRARIES: Final = ("numpy", "safetensors", "tokenizers", "torch", "transformers")


def kernel_file(
    bert: Any,  # noqa: ANN401
    digest: str,
    tokenizer: str,
    weights: Mapping[str, npt.NDArray[Any]],
) -> bytes:
    """Return the content of a safetensors file with what `kernel_arrays` returns.

    Args:
        bert: the transformer, in torch.
        digest: a hash of its weights.
        tokenizer: the JSON of its own, cutting to the longest text.
        weights: float16[n, k] by name, as `0.qkv.weight`.
    """

    def make() -> bytes:
        return save(kernel_arrays(bert, Tokenizer.from_str(tokenizer), weights))

    return kept(_key(bert, digest, tokenizer, weights), make)


def _key(
    bert: Any,  # noqa: ANN401
    digest: str,
    tokenizer: str,
    weights: Mapping[str, npt.NDArray[Any]],
) -> str:
    """Return a hash of all that decides the bytes."""
    config = bert.config.to_dict()
    config.pop("_name_or_path", None)  # the same model may lie elsewhere
    libraries = {name: version(name) for name in _LIBRARIES}
    attention = getattr(bert.config, "_attn_implementation", None)
    said = [digest, str(bert.dtype), config, attention, tokenizer, libraries, _arithmetic()]
    found = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode())
    for name in SOURCES:
        found.update((_APP / name).read_bytes())
    for name, array in sorted(weights.items()):
        found.update(f"{name}{array.dtype}{array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def _arithmetic() -> list[object]:
    """Return what the last bits of a sum depend on, and with them which way a weight is rounded.

    That is the processor's instructions, the libraries that were built for them, what they choose
    where they run, and over how many threads they share out a sum.
    """
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    chosen = {f"{pool['num_threads']} {pool.get('architecture')}" for pool in pools}
    built = np.show_config(mode="dicts"), torch.__config__.show()
    return [*built, torch.__config__.parallel_info(), sorted(chosen), os.environ.get("MKL_CBWR")]
