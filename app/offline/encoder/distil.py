"""Fits the table of fast encoding: one vector a token, whose sum approximates a text's vector.

The table T minimises |S · T - V|² + pull · |T - A|², where

    S   float32[texts, tokens], the share that each token has in a text
    V   float32[texts, dim], the encoder's vectors of these texts
    A   float32[tokens, dim], the encoder's vectors of each token as a text of its own

The texts are those of the items, and short runs of words out of them, because people search with
few words. The runs are encoded as queries, with the prompt of queries if the model has one; S holds
no token of a prompt. The second term pulls T towards A: for tokens that the catalogue does not use,
A is all that is known.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from scipy import sparse
from threadpoolctl import threadpool_limits

from app.bundle.manifest import FastEncodingFacts
from app.core.types import Matrix
from app.engine.encoding.encoder import PackedEncoder
from app.engine.encoding.fast_encoding import FAST_ENCODING_FILE, FastEncoder
from app.engine.encoding.text_vectors import without_centre
from app.offline.encoder.vector_index import nearest, overlap
from app.offline.threads import BLAS_THREADS

MOST_TOKENS = 65_536
"""A larger vocabulary gets no table. Every token is encoded once, and the fit holds several arrays
of float32[tokens, dim]: for the 250,000 tokens of XLM-R that takes minutes and gigabytes."""

LEAST_TEXTS = 200
"""Fewer texts are too little to fit to, and the tokens alone approximate no text."""

_RUNS = 12_000
_WHOLE_TEXTS = 10_000
_EVALUATED = 400
_BATCH = 256
_STEPS = 30
_PULL = 0.03
"""Weight of the second term."""

_NEAREST, _AMONG = 10, 100


def distil(
    texts: Sequence[str], vectors: Matrix, encoder: PackedEncoder, folder: Path, seed: int
) -> FastEncodingFacts:
    """Fit the table of fast encoding to `encoder` and write it into the folder of a bundle.

    Time and memory stop growing with the catalogue at about twenty thousand texts, because no more
    are used.

    Args:
        texts: of the items.
        vectors: float32[n, dim], what `text_vectors` made of them.
        encoder: what the table approximates.
        folder: of the bundle.
        seed: of the sample of runs and texts.

    Returns:
        How well it does, on runs of words that it was not fitted to.
    """
    rng = np.random.default_rng(seed)
    runs = word_runs(texts, rng, _RUNS + _EVALUATED)
    n_evaluated = max(1, min(_EVALUATED, len(runs) // 4))
    evaluated, runs = runs[:n_evaluated], runs[n_evaluated:]
    sample = np.sort(rng.permutation(len(texts))[:_WHOLE_TEXTS])
    tokens = encoder.tokens([*runs, *(texts[row] for row in sample)])
    of_runs = _encode(encoder, encoder.tokens(runs, "query"))
    targets = np.concatenate([of_runs, vectors[sample]])
    with threadpool_limits(BLAS_THREADS, user_api="blas"):
        table = _fit(_token_shares(tokens, encoder.n_tokens), targets, _token_vectors(encoder))
        arrays = _quantised(table)
        save_file(arrays, folder / FAST_ENCODING_FILE)
        return _evaluate(FastEncoder(encoder, arrays), evaluated, encoder, vectors)


def word_runs(texts: Sequence[str], rng: np.random.Generator, most: int) -> list[str]:
    """Return up to `most` different runs of one to six words out of random texts, as people search.

    >>> word_runs(["a heist"], np.random.default_rng(0), 9)
    ['a heist', 'a']
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
    return without_centre(vectors, encoder.centre)


def _token_vectors(encoder: PackedEncoder) -> Matrix:
    """Return float32[tokens, dim]: each token as a text of its own."""
    (special,) = encoder.tokens([""])  # the special tokens that stand around every text
    (around,) = encoder.tokens([""], "query")  # … and, behind the first of them, the prompt
    first, last = around[: len(around) - len(special) + 1], special[1:]
    vectors = _encode(encoder, [[*first, token, *last] for token in range(encoder.n_tokens)])
    vectors[special] = 0.0  # they say nothing: every text has them
    return vectors


def _token_shares(tokens: Sequence[Sequence[int]], n_tokens: int) -> sparse.csr_matrix:
    """Return float32[texts, tokens]: the share that each token has in a text."""
    ends = np.cumsum([0, *map(len, tokens)])
    shares = np.repeat([1 / len(each) for each in tokens], [len(each) for each in tokens])
    columns = np.concatenate([np.asarray(each) for each in tokens])
    return sparse.csr_matrix((shares.astype(np.float32), columns, ends), (len(tokens), n_tokens))


def _fit(shares: sparse.csr_matrix, targets: Matrix, token_vectors: Matrix) -> Matrix:
    """Return float32[tokens, dim], the table T of the least squares above.

    `token_vectors` are scaled first by their inverse document frequency, from 0 to 2: a rare token
    says more of a text than one that stands in all of them.

    Solved by conjugate gradients, all dimensions at once. The diagonal of the normal equations is
    the preconditioner, because it differs by orders of magnitude between frequent and rare tokens.
    """
    n_texts = np.asarray((shares > 0).sum(axis=0)).ravel()
    start = (
        token_vectors
        * (2 * np.log1p(len(targets) / (1 + n_texts)) / np.log1p(len(targets)))[:, None]
    )
    start = start.astype(np.float32)
    transposed = shares.T.tocsr()
    diagonal = np.asarray(transposed.multiply(transposed).sum(axis=1)) + _PULL
    table = start.copy()
    residual = transposed @ (targets - shares @ start)
    direction = scaled = residual / diagonal
    norm = (residual * scaled).sum(axis=0)
    for _ in range(_STEPS):
        image = transposed @ (shares @ direction) + _PULL * direction
        step = norm / np.maximum((direction * image).sum(axis=0), 1e-20)
        table += step * direction
        residual -= step * image
        scaled = residual / diagonal
        norm, norm_before = (residual * scaled).sum(axis=0), norm
        direction = scaled + norm / np.maximum(norm_before, 1e-20) * direction
    fitted: Matrix = table.astype(np.float32)
    return fitted


def _quantised(table: Matrix) -> dict[str, npt.NDArray[Any]]:
    """Return `table`, int8[tokens, dim], and `scale`, float32[tokens]: its factors."""
    scale = np.maximum(np.abs(table).max(axis=1), 1e-9) / 127
    return {
        "table": np.rint(table / scale[:, None]).astype(np.int8),
        "scale": scale.astype(np.float32),
    }


def _evaluate(
    fast: FastEncoder, texts: Sequence[str], encoder: PackedEncoder, vectors: Matrix
) -> FastEncodingFacts:
    exact = without_centre(encoder.encode(texts, "query"), encoder.centre)
    approximate = fast.encode(texts)
    expected = nearest(vectors, exact, min(_NEAREST, len(vectors)))
    retrieved = nearest(vectors, approximate, min(_AMONG, len(vectors)))
    cosine = float((exact * approximate).sum(axis=1).mean())
    return FastEncodingFacts(
        cosine=round(cosine, 4), overlap=round(overlap(retrieved, expected), 4)
    )
