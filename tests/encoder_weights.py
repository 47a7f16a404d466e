"""A folder with the weights of a small random transformer, as our kernel reads them."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from app.bundle.encoder_info import EncoderInfo, Pooling
from app.engine.kernels.encoder import BLOCK, GROUP, PANEL

WORDS = 50
PLACES = 20


def write_weights(
    folder: Path,
    seed: int = 0,
    *,
    width: int = 64,
    inner: int = 128,
    heads: int = 4,
    layers: int = 2,
    pooling: Pooling = "mean",
) -> EncoderInfo:
    """Write both files of weights; return what `encoder.json` would say."""
    rng = np.random.default_rng(seed)

    def floats(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    embeddings = {
        "words": floats(WORDS, width).astype(np.float16),
        "places": floats(PLACES, width).astype(np.float16),
    }
    vectors = {f"embedded.{part}": floats(width) for part in ("scale", "shift")}
    dense = {}
    for layer in range(layers):
        for name, n, k in (
            ("qkv", 3 * width, width),
            ("mix", width, width),
            ("widen", inner, width),
            ("narrow", width, inner),
        ):
            at = f"{layer}.{name}"
            shape = (n // PANEL, k // GROUP, PANEL, GROUP)
            weight = rng.integers(-127, 128, shape).astype(np.int8)
            vectors[f"{at}.bias"] = floats(n)
            dense |= {
                f"{at}.weight": weight,
                f"{at}.scale": np.abs(floats(-(-k // BLOCK), n)) / 1e3,
                f"{at}.sums": weight.sum(axis=(1, 3), dtype=np.float32).reshape(-1),
                f"{at}.factor": np.ones(k, np.float32),
            }
        for name in ("mixed", "out"):
            vectors |= {f"{layer}.{name}.{part}": floats(width) for part in ("scale", "shift")}
    save_file(embeddings | vectors, folder / "encoder.safetensors")
    save_file(dense, folder / "kernel.safetensors")
    return EncoderInfo(
        id="random",
        dim=width,
        max_tokens=PLACES,
        pooling=pooling,
        heads=heads,
        layers=layers,
        epsilon=1e-12,
        weights="encoder.safetensors",
        graph="",
        tokenizer="",
        weights_sha256="",
        versions={},
        kernel="kernel.safetensors",
    )
