"""Fits the fast tier of an encoder: a vector a token, whose sum points where the text's does.

Least squares on short runs of words out of the catalogue's texts, as people search, and on whole
texts; drawn towards what the encoder makes of each token alone, which is all that is known of words
that the catalogue does not use. This module does not know what the texts stand for.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from scipy import sparse

from app.bundle.manifest import StaticFacts
from app.core.types import Matrix
from app.engine.encoding.encoder import PackedEncoder
from app.engine.encoding.static import STATIC_FILE, StaticEncoder
from app.offline.encoder.vector_index import nearest, overlap

LEAST_TEXTS = 200
"""With fewer there is little to fit to: what tokens are alone is no encoder."""

_RUNS = 12_000
_WHOLE = 10_000
_JUDGED = 400
_BATCH = 256
_STEPS = 30
_PULL = 0.03
"""Weight of the tokens alone beside the texts."""
_NEAREST, _AMONG = 10, 100


def distil(
    texts: Sequence[str], vectors: Matrix, encoder: PackedEncoder, folder: Path, seed: int
) -> StaticFacts:
    """Write the fast tier of `encoder` into the folder of a bundle.

    Beyond some twenty thousand texts, time and memory do not grow with the catalogue.

    Args:
        texts: of the items.
        vectors: float32[n, dim], what `encoder` made of them.
        encoder: what the table shall come near to.
        folder: of the bundle.
        seed: of the sample of runs and texts.

    Returns:
        How near it comes, on runs of words that it was not fitted to.
    """
    rng = np.random.default_rng(seed)
    runs = word_runs(texts, rng, _RUNS + _JUDGED)
    n_judged = max(1, min(_JUDGED, len(runs) // 4))
    judged, runs = runs[:n_judged], runs[n_judged:]
    some = np.sort(rng.permutation(len(texts))[:_WHOLE])
    tokens = encoder.tokens([*runs, *(texts[row] for row in some)])
    targets = np.concatenate([_encode(encoder, tokens[: len(runs)]), vectors[some]])
    arrays = _packed(_fitted(_shares(tokens, encoder.n_tokens), targets, _alone(encoder)))
    save_file(arrays, folder / STATIC_FILE)
    return _judge(StaticEncoder(encoder, arrays), judged, encoder, vectors)


def word_runs(texts: Sequence[str], rng: np.random.Generator, most: int) -> list[str]:
    """Return up to `most` different runs of one to six words out of random texts, as people search.

    >>> word_runs(["a heist"], np.random.default_rng(0), 9)
    ['a heist', 'heist', 'a']
    """
    runs: dict[str, None] = {}
    for row in rng.integers(0, len(texts), most).tolist():
        words = texts[row].split()
        size = int(rng.integers(1, 7))
        start = int(rng.integers(0, max(1, len(words) - size + 1)))
        runs[" ".join(words[start : start + size])] = None
    return list(runs)


def _encode(encoder: PackedEncoder, tokens: Sequence[Sequence[int]]) -> Matrix:
    vectors = np.empty((len(tokens), encoder.dim), np.float32)
    for at in range(0, len(tokens), _BATCH):
        vectors[at : at + _BATCH] = encoder.encode_tokens(tokens[at : at + _BATCH])
    return vectors


def _alone(encoder: PackedEncoder) -> Matrix:
    """Return float32[tokens, dim]: each token as a text of its own."""
    (empty,) = encoder.tokens([""])  # the special ones around every text
    first, last = empty[:1], empty[1:]
    alone = _encode(encoder, [[*first, token, *last] for token in range(encoder.n_tokens)])
    alone[empty] = 0.0
    return alone


def _shares(tokens: Sequence[Sequence[int]], n_tokens: int) -> sparse.csr_matrix:
    """Return float32[texts, tokens]: what share of a text each token is."""
    ends = np.cumsum([0, *map(len, tokens)])
    shares = np.repeat([1 / len(each) for each in tokens], [len(each) for each in tokens])
    columns = np.concatenate([np.asarray(each) for each in tokens])
    return sparse.csr_matrix((shares.astype(np.float32), columns, ends), (len(tokens), n_tokens))


def _fitted(shares: sparse.csr_matrix, targets: Matrix, alone: Matrix) -> Matrix:
    """Return the table T of least |shares · T - targets|² + pull · |T - start|².

    `start`: the tokens alone, those of few texts longer, as they say more. Conjugate gradients, all
    dimensions at once; the diagonal, which spans frequent and rare tokens, is divided out.
    """
    n_texts = np.asarray((shares > 0).sum(axis=0)).ravel()
    start = alone * (2 * np.log1p(len(targets) / (1 + n_texts)) / np.log1p(len(targets)))[:, None]
    start = start.astype(np.float32)
    back = shares.T.tocsr()
    diagonal = np.asarray(back.multiply(back).sum(axis=1)) + _PULL
    table = start.copy()
    left = back @ (targets - shares @ start)
    step = turned = left / diagonal
    size = (left * turned).sum(axis=0)
    for _ in range(_STEPS):
        image = back @ (shares @ step) + _PULL * step
        far = size / np.maximum((step * image).sum(axis=0), 1e-20)
        table += far * step
        left -= far * image
        turned = left / diagonal
        size, before = (left * turned).sum(axis=0), size
        step = turned + size / np.maximum(before, 1e-20) * step
    fitted: Matrix = table.astype(np.float32)
    return fitted


def _packed(table: Matrix) -> dict[str, npt.NDArray[Any]]:
    """Return int8 rows, and what a step of each is worth."""
    scale = np.maximum(np.abs(table).max(axis=1), 1e-9) / 127
    return {
        "table": np.rint(table / scale[:, None]).astype(np.int8),
        "scale": scale.astype(np.float32),
    }


def _judge(
    static: StaticEncoder, texts: Sequence[str], encoder: PackedEncoder, vectors: Matrix
) -> StaticFacts:
    exact, near = encoder.encode(texts), static.encode(texts)
    wanted = nearest(vectors, exact, min(_NEAREST, len(vectors)))
    found = nearest(vectors, near, min(_AMONG, len(vectors)))
    cosine = float((exact * near).sum(axis=1).mean())
    return StaticFacts(cosine=round(cosine, 4), overlap=round(overlap(found, wanted), 4))
