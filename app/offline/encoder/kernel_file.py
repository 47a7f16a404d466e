"""The file of int8 weights for our kernel, made once per machine and encoder.

To round weights takes most of the time of an export (`app.offline.encoder.kernel_weights`), and the
same model on the same machine gives the same bytes. So the file is kept in the user's cache folder,
and the next export takes it from there. Its name has a key, a hash of all that decides the content,
and a checksum of the content: a file that is stale, cut short or damaged is never used. Trouble
with the folder costs the time to make the content again, and nothing else.
"""

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import save
from threadpoolctl import threadpool_info
from tokenizers import Tokenizer

from app.engine.kernels.loader import cache_folder
from app.offline.encoder.kernel_weights import kernel_arrays
from app.offline.threads import ROUNDING_THREADS, fixed_threads

SOURCES: Final = (
    "offline/encoder/kernel_weights.py",
    "offline/encoder/quantise.py",
    "offline/encoder/vocabulary_texts.py",
    "engine/kernels/encoder.py",
)
"""The files below `app/` that decide how weights are rounded and laid out."""

_APP: Final = Path(__file__).parents[2]
_LIBRARIES: Final = ("numpy", "safetensors", "tokenizers", "torch", "transformers")


def kernel_file(
    bert: Any,  # noqa: ANN401
    digest: str,
    tokenizer: str,
    weights: Mapping[str, npt.NDArray[Any]],
    prompts: Sequence[str],
) -> bytes:
    """Return the content of a safetensors file with what `kernel_arrays` returns.

    Args:
        bert: the transformer, in torch.
        digest: a hash of its weights.
        tokenizer: the JSON of its own, cutting to the longest text.
        weights: float16[n, k] by name, as `0.qkv.weight`.
        prompts: what stands before texts, each before an equal part of them.
    """

    def make() -> bytes:
        return save(kernel_arrays(bert, Tokenizer.from_str(tokenizer), weights, prompts))

    with fixed_threads(ROUNDING_THREADS):
        return disk_cached(_key(bert, digest, tokenizer, weights, prompts), make)


def _key(
    bert: Any,  # noqa: ANN401
    digest: str,
    tokenizer: str,
    weights: Mapping[str, npt.NDArray[Any]],
    prompts: Sequence[str],
) -> str:
    """Return a hash of all that the bytes depend on."""
    config = bert.config.to_dict()
    config.pop("_name_or_path", None)  # the same model may be in another folder
    libraries = {name: version(name) for name in _LIBRARIES}
    attention = getattr(bert.config, "_attn_implementation", None)
    parts = [digest, str(bert.dtype), config, attention, tokenizer, libraries, _arithmetic()]
    parts += prompts
    found = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode())
    for name in SOURCES:
        found.update((_APP / name).read_bytes())
    for name, array in sorted(weights.items()):
        found.update(f"{name}{array.dtype}{array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def _arithmetic() -> list[object]:
    """Return what the last bits of a float sum depend on: they may turn how a weight is rounded.

    That is the processor's instructions, how the libraries were built, and which code they choose
    at run time. Among how many threads they divide a sum is fixed.
    """
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    chosen = {str(pool.get("architecture")) for pool in pools}
    built = np.show_config(mode="dicts"), torch.__config__.show()
    return [*built, sorted(chosen), os.environ.get("MKL_CBWR")]


# ---- Files in the user's cache folder ------------------------------------------------------------

KEEP: Final = 4
"""Files that stay in the folder, those used last."""

LEAST_BYTES: Final = 1 << 20
"""Smaller content is not kept: it is made in a moment, and that of tests would evict others."""

_PREFIX: Final = "rounded-"
"""Start of the names of our files, also of those that a killed build left half written."""

_log = logging.getLogger(__name__)


def disk_cached(key: str, make: Callable[[], bytes]) -> bytes:
    """Return what `make` returns; `make` is not called where an earlier call kept the content.

    Args:
        key: hex digits, a hash of all that decides what `make` returns.
        make: called at most once; what it raises is raised.
    """
    folder = cache_folder()
    content = _read(folder, key)
    if content is None:
        content = make()
        if len(content) >= LEAST_BYTES:
            _keep(folder, key, content)
    return content


def _name(key: str, content: bytes) -> str:
    return f"{_PREFIX}{key}-{hashlib.sha256(content).hexdigest()}.safetensors"


def _read(folder: Path, key: str) -> bytes | None:
    with suppress(OSError):  # another build may remove a file at any time
        for path in folder.glob(f"{_PREFIX}{key}-*"):
            content = path.read_bytes()
            if path.name == _name(key, content):
                with suppress(OSError):  # a folder that can only be read
                    os.utime(path)
                return content
            path.unlink()
    return None


def _keep(folder: Path, key: str, content: bytes) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{_PREFIX}{secrets.token_hex(8)}.part"
        try:
            part.write_bytes(content)
            part.replace(folder / _name(key, content))  # atomic: another build may write the same
        finally:
            part.unlink(missing_ok=True)
        _prune(folder)
    except OSError as error:
        _log.warning("the encoder's weights, rounded, are not kept for the next build: %s", error)


def _prune(folder: Path) -> None:
    for path in sorted(folder.glob(f"{_PREFIX}*"), key=_last_used)[:-KEEP]:
        path.unlink(missing_ok=True)


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # removed by another build
        return 0.0
