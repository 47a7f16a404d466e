"""Texts drawn at random from the vocabulary of a tokenizer.

Weights are rounded for them, and vectors are compared on them. They come from no catalogue, so that
an encoder depends on its model alone and stays the same when a catalogue changes.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from tokenizers import Tokenizer


def vocabulary_texts(
    tokenizer: Tokenizer, counts: Sequence[tuple[int, int]], seed: int
) -> Iterator[str]:
    """Yield random texts.

    Args:
        tokenizer: of the model.
        counts: how many texts of up to how many tokens.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    for count, longest in counts:
        for _ in range(count):
            yield tokenizer.decode(_common(rng, int(rng.integers(longest)) + 1, tokenizer))


def _common(rng: np.random.Generator, n: int, tokenizer: Tokenizer) -> list[int]:
    """Draw tokens log-uniformly by rank, as words occur in texts: a vocabulary is sorted so."""
    size = tokenizer.get_vocab_size()
    first = size // 30 + 1  # before it: punctuation and single letters
    drawn: list[int] = (first * (size / first) ** rng.random(n)).astype(int).tolist()
    return drawn
