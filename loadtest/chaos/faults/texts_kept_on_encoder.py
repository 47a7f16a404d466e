"""The encoder keeps the texts of a call on itself, where another thread replaces them."""

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from app.engine.encoding.encoder import PackedEncoder, TextRole


def seed() -> None:
    """Encode what was kept last."""
    right, kept = PackedEncoder.encode, dict[int, Sequence[str]]()

    def shared(
        encoder: PackedEncoder, texts: Sequence[str], role: TextRole = "item"
    ) -> npt.NDArray[np.float32]:
        kept[id(encoder)] = texts
        time.sleep(0)
        return right(encoder, kept[id(encoder)], role)

    PackedEncoder.encode = shared
