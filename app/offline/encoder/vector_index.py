"""Builds the index of a large catalogue's vectors, and sets its width of search by measured recall.

Up to `FLAT_ROWS` rows there is no index: serving multiplies the query by all vectors, exactly.
"""

from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np

from app.bundle.manifest import IndexFacts
from app.core.ports import Encoder
from app.core.types import Matrix, Rows
from app.engine.encoding.text_vectors import without_centre
from app.engine.retrieval.index import INDEX_FILE, ListIndex
from app.engine.retrieval.sources import SOURCE_SIZE

FLAT_ROWS = 100_000
LEAST_RECALL = 0.985
"""Recall of the `SOURCE_SIZE` nearest rows, on probes that the index was not built from."""

_PROBES = 256
_PER_LIST = 40  # training vectors a list: FAISS warns below 39, and more changes little
_CODE_BITS = 4
_BLOCK = 65_536


def query_like(texts: Sequence[str], encoder: Encoder, seed: int) -> Matrix:
    """Return float32[256, dim]: runs of two to four words out of random texts, as people search."""
    rng = np.random.default_rng(seed)
    runs = []
    for row in rng.integers(0, len(texts), _PROBES).tolist():
        words = texts[row].split()
        size = int(rng.integers(2, 5))
        start = int(rng.integers(0, max(1, len(words) - size + 1)))
        runs.append(" ".join(words[start : start + size]))
    return without_centre(encoder.encode(runs, "query"), encoder.centre)


def write_index(folder: Path, vectors: Matrix, probes: Matrix, seed: int) -> IndexFacts:
    """Write an inverted-file index of 4-bit codes; as many lists are searched as the recall needs.

    A code stands for two numbers: there are few bytes to read, and the scores of 32 rows are looked
    up at once (André, Kermarrec, Le Scouarnec: Cache locality is not enough, VLDB 2015). Empty
    rows, of items without a vector, are left out.

    Time O(n · √n · dim) for the lists and O(n · dim · probes) for the exact oracle; memory
    dim / 4 + 8 bytes a row, and the vectors it is trained on (160 · √n rows).

    Args:
        folder: of the bundle.
        vectors: float32[n, dim], unit rows, more than `FLAT_ROWS`.
        probes: float32[p, dim], what the recall is measured with.
        seed: of the sample that the lists are made from.
    """
    rows = np.flatnonzero(vectors.any(axis=1))
    dim = vectors.shape[1]
    n_lists = int(4 * np.sqrt(len(rows)))
    codes = dim // 2 if dim % 2 == 0 else dim
    index = faiss.IndexIVFPQFastScan(
        faiss.IndexFlatIP(dim), dim, n_lists, codes, _CODE_BITS, faiss.METRIC_INNER_PRODUCT
    )
    # Codes of the vectors, not of their differences from the centre of their list: the recall is as
    # high, and the index is built sooner.
    index.by_residual = False
    sample = np.random.default_rng(seed).permutation(rows)[: n_lists * _PER_LIST]
    index.train(np.ascontiguousarray(vectors[np.sort(sample)]))
    for start in range(0, len(rows), _BLOCK):
        some = rows[start : start + _BLOCK]
        index.add_with_ids(np.ascontiguousarray(vectors[some]), some)
    faiss.write_index(index, str(folder / INDEX_FILE))
    expected = nearest(vectors, probes, SOURCE_SIZE)
    width = 4
    while True:
        _, rows = ListIndex(index, vectors, width, faiss.omp_get_max_threads()).search(
            probes, SOURCE_SIZE
        )
        recall = overlap(rows, expected)
        if recall >= LEAST_RECALL or width >= n_lists:
            return IndexFacts(kind=ListIndex.kind, probes=width, recall=round(recall, 4))
        width = min(width * 3 // 2, n_lists)


def nearest(vectors: Matrix, probes: Matrix, most: int) -> Rows:
    """Return int64[p, most], the nearest rows in no order, exactly, a block of rows at a time.

    Empty rows come last.
    """
    scores = np.empty((len(probes), 0), np.float32)
    rows = np.empty((len(probes), 0), np.int64)
    for start in range(0, len(vectors), _BLOCK):
        block = probes @ vectors[start : start + _BLOCK].T
        block[:, ~vectors[start : start + _BLOCK].any(axis=1)] = -np.inf
        scores = np.hstack([scores, block])
        rows = np.hstack([rows, np.tile(np.arange(block.shape[1]) + start, (len(probes), 1))])
        best = np.argpartition(-scores, most - 1, axis=1)[:, :most]
        scores = np.take_along_axis(scores, best, 1)
        rows = np.take_along_axis(rows, best, 1)
    return rows


def overlap(retrieved: Rows, expected: Rows) -> float:
    """Return the mean share of each row of `expected` that is in the same row of `retrieved`.

    >>> overlap(np.array([[1, 2], [5, 6]]), np.array([[2, 3], [6, 5]]))
    0.75
    """
    shares = [np.isin(best, rows).mean() for best, rows in zip(expected, retrieved, strict=True)]
    return float(np.mean(shares))
