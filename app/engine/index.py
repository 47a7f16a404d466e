"""Nearest vectors by inner product: the exact flat FAISS index.

It is filled at load from the checked `vectors.npy`, so there is no index file to parse. Exact
search is the right choice up to about 100k rows; beyond that its time grows with the catalogue.
"""

import faiss
import numpy as np

from app.errors import EngineError
from app.types import Matrix, Rows


class FlatIndex:
    """Exact inner-product search over unit vectors (so scores are cosines)."""

    kind = "flat"

    def __init__(self, vectors: Matrix, threads: int) -> None:
        """Copy float32[n, dim] into an index; `threads` bounds the OpenMP team of a search."""
        self._threads = threads
        self._index = faiss.IndexFlatIP(vectors.shape[1])
        self._index.add(np.ascontiguousarray(vectors, dtype=np.float32))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, probes: Matrix, n: int) -> tuple[Matrix, Rows]:
        """Return (float32[p, n] scores, int64[p, n] rows), best first; n is cut to the catalogue.

        Raises:
            EngineError: FAISS refused the search.
        """
        # The OpenMP team size is a property of the calling thread, so it is set where we search.
        faiss.omp_set_num_threads(self._threads)
        try:
            scores, rows = self._index.search(probes, min(n, len(self)))
        except (AssertionError, RuntimeError) as error:
            raise EngineError("the vector search failed") from error
        return scores, rows
