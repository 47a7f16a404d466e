"""How close the vectors of an exported encoder are to those of the original model."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.core.types import TextRole, Vector
from app.engine.encoding.encoder import PackedEncoder
from app.offline.encoder.prompts import Prompts
from app.offline.encoder.vocabulary_texts import vocabulary_texts

LEAST_MEAN: Final = 0.999
LEAST: Final = 0.995

_TEXTS: Final = ((70, 8), (30, 32))
"""How many texts of up to how many tokens, as queries and again as items."""

_SEED: Final = 11  # another one than the weights are rounded with


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Cosines of our vectors to those of the original, in float32: their mean, and the least.

    `centre`: float32[dim], the mean of the original's vectors.
    """

    mean: float
    least: float
    centre: Vector

    @property
    def holds(self) -> bool:
        """Whether they are so close that the encoder may serve."""
        return self.mean >= LEAST_MEAN and self.least >= LEAST

    def __str__(self) -> str:
        return (
            f"a cosine to the original of {self.mean:.4f} in the mean and {self.least:.4f} at "
            f"least, and {LEAST_MEAN} and {LEAST} are needed"
        )


def fidelity(directory: Path, source: Any, prompts: Prompts) -> Fidelity:  # noqa: ANN401
    """Compare on random texts, on the runtime that would serve on this machine.

    Args:
        directory: the exported folder.
        source: the sentence-transformer.
        prompts: those that the export has read.

    Raises:
        BundleError, EngineError: the exported folder cannot be opened, or fails.
    """
    encoder = PackedEncoder(directory, len(os.sched_getaffinity(0)))
    texts = list(vocabulary_texts(encoder.tokenizer, _TEXTS, _SEED))
    roles: tuple[tuple[TextRole, str], ...] = (("query", prompts.query), ("item", prompts.item))
    cosines, originals = [], []
    for role, prompt in roles:
        original = source.encode(
            texts, prompt=prompt, normalize_embeddings=True, show_progress_bar=False
        )
        originals.append(original)
        cosines.append((encoder.encode(texts, role) * original).sum(axis=1))
    every = np.concatenate(cosines)
    centre = np.concatenate(originals).mean(axis=0)
    return Fidelity(float(every.mean()), float(every.min()), centre)
