"""Nearest vectors by inner product, exactly or by the lists of FAISS, behind one `search`.

`FlatIndex` multiplies by the checked `vectors.npy`: exact, no index file to parse, right up to
about 100k rows. It is no flat index of FAISS: on one thread a product answers sooner, and the
candidates of other sources need its cosines too. `ListIndex` is for more rows: it reads only the
lists that lie nearest to the probe, of codes of two bits a number, then scores what it found
exactly. Which one, and how many lists, was decided by measured recall when the bundle was built
(`app.offline.encoder.vector_index`).
On a GPU, `app.engine.retrieval.gpu_index` takes the place of the lists.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

import faiss
import numpy as np

from app.core.errors import BundleError, EngineError
from app.core.types import Mask, Matrix, Rows
from app.engine.kernels.cosines import PackedVectors, packed

INDEX_FILE = "index.faiss"

FEW_PASSING: Final = 0.3
"""Share of rows up to which a filter's rows are scored one and all: lists lose recall below it."""

OVERSAMPLE: Final = 4.0
"""So many times what is asked for is fetched by the codes, whose scores are coarse: what is among
the nearest is then hardly ever missed. The build measures the recall of both together."""

LEAST_MERGED: Final = 1_000
MERGED_SHARE: Final = 256
"""Rows put since the last merge at which there is another, and one in so many of all."""

NO_ROWS: Final[Rows] = np.empty(0, np.int64)


class VectorIndex(Protocol):
    """Searches the float32[n, dim] unit vectors of a catalogue (so scores are cosines)."""

    kind: str

    def __len__(self) -> int:
        """Return n."""
        ...

    def over(self, vectors: Matrix) -> "VectorIndex":
        """Return an index over more rows, of which those of this one come first."""
        ...

    def put(self, rows: Rows) -> None:
        """Take notice that the vectors of some rows (int64[c]) are no more what they were."""
        ...

    def merge(self) -> Callable[[], None] | None:
        """Work out how all that was put comes into the main index; None where little was.

        May take long, and disturbs no search; nothing may be put meanwhile. Call the result where
        searches are: fast.
        """
        ...

    def cosines(self, probes: Matrix) -> Matrix | None:
        """Return float32[p, n], of each probe with every row; None where that is too much work."""
        ...

    def search(self, probes: Matrix, n: int, blocked: Mask | None = None) -> tuple[Matrix, Rows]:
        """Return (float32[p, n] scores, int64[p, n] rows), best first; n is cut to the catalogue.

        Rows that are blocked (bool[rows]) are not found. A place that nothing was found for has
        row −1 and score −inf.

        Raises:
            EngineError: FAISS refused the search, or the device failed.
        """
        ...


class FlatIndex:
    """Exact search over all rows: one matrix product a batch."""

    kind = "flat"

    def __init__(self, vectors: Matrix, packed: PackedVectors | None = None) -> None:
        """Search float32[n, dim], which is not copied. `packed`: the same, for `cosines`."""
        self._vectors, self._packed = vectors, packed

    def __len__(self) -> int:
        return len(self._vectors)

    def over(self, vectors: Matrix) -> "FlatIndex":
        """See `VectorIndex`."""
        return FlatIndex(vectors, None if self._packed is None else packed(vectors))

    def put(self, rows: Rows) -> None:
        """See `VectorIndex`: the vectors themselves are searched, whatever they are."""
        if self._packed is not None:
            self._packed.put(rows, self._vectors)

    def merge(self) -> None:
        """See `VectorIndex`: never."""

    def cosines(self, probes: Matrix) -> Matrix:
        """See `VectorIndex`: always there; within 1e-4 where the vectors are packed."""
        if self._packed is not None:
            return self._packed.cosines(probes)
        return probes @ self._vectors.T

    def search(self, probes: Matrix, n: int, blocked: Mask | None = None) -> tuple[Matrix, Rows]:
        """See `VectorIndex`; every place is found that is not blocked."""
        n = min(n, len(self))
        scores = probes @ self._vectors.T
        if blocked is not None:
            scores[:, blocked] = -np.inf
        rows = np.argpartition(scores, len(self) - n, axis=1)[:, len(self) - n :]
        return _best(np.take_along_axis(scores, rows, 1), rows, n)


class ListIndex:
    """Search of the nearest lists of coded vectors; the scores of what is found are exact.

    What was put since the lists were made is scored for every probe, until it is merged into them.
    """

    kind = "lists"

    def __init__(
        self,
        index: faiss.IndexIVF,
        vectors: Matrix,
        probes: int,
        threads: int,
        pending: Rows = NO_ROWS,
    ) -> None:
        """Search `probes` lists of an index over float32[n, dim]; `threads` of OpenMP.

        `pending`: int64[c] rows that the lists do not hold, or hold an old vector of.
        """
        self._index, self._vectors, self._threads = index, vectors, threads
        self._parameters = faiss.SearchParametersIVF()
        self._parameters.nprobe = probes
        self._pending = pending

    @classmethod
    def open(cls, path: Path, vectors: Matrix, probes: int, threads: int) -> "ListIndex":
        """Read a verified index file.

        Raises:
            BundleError: it is no such index, or one over other vectors.
        """
        try:
            index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise BundleError("the index of the bundle cannot be read") from error
        if not isinstance(index, faiss.IndexIVF) or (index.ntotal, index.d) != vectors.shape:
            raise BundleError("the index of the bundle does not fit its vectors")
        return cls(index, vectors, probes, threads)

    def __len__(self) -> int:
        return len(self._vectors)

    def over(self, vectors: Matrix) -> "ListIndex":
        """See `VectorIndex`; the lists are shared."""
        probes = self._parameters.nprobe
        return ListIndex(self._index, vectors, probes, self._threads, self._pending)

    def put(self, rows: Rows) -> None:
        """See `VectorIndex`."""
        self._pending = np.union1d(self._pending, rows)

    def merge(self) -> Callable[[], None] | None:
        """See `VectorIndex`: in a copy of the lists, which takes their place."""
        if len(self._pending) < max(LEAST_MERGED, len(self) // MERGED_SHARE):
            return None
        faiss.omp_set_num_threads(1)  # beside the passes
        rows, old = self._pending, np.zeros(len(self), np.bool_)
        old[rows] = True
        merged = faiss.clone_index(self._index)
        merged.remove_ids(_selector(old))
        _clear_tails(merged)
        merged.add_with_ids(self._vectors[rows], rows)

        def use() -> None:
            self._index, self._pending = merged, NO_ROWS  # type: ignore[assignment]

        return use

    def cosines(self, probes: Matrix) -> None:
        """See `VectorIndex`: never."""

    def search(self, probes: Matrix, n: int, blocked: Mask | None = None) -> tuple[Matrix, Rows]:
        """See `VectorIndex`; where few rows pass, all of those are scored."""
        n = min(n, len(self))
        if blocked is None:
            rows = self._nearest(probes, n, self._parameters)
        else:
            passing = np.flatnonzero(~blocked)
            if len(passing) <= max(n, FEW_PASSING * len(self)):
                scores = probes @ self._vectors[passing].T
                return _best(scores, np.broadcast_to(passing, scores.shape), n)
            parameters = faiss.SearchParametersIVF()
            parameters.nprobe = self._parameters.nprobe
            parameters.sel = _selector(~blocked)
            rows = self._nearest(probes, n, parameters)
        if len(self._pending):
            rows = self._with_pending(rows, blocked)
        return exact_best(self._vectors, probes, rows, n)

    def _nearest(self, probes: Matrix, n: int, parameters: faiss.SearchParametersIVF) -> Rows:
        # The OpenMP team size is a property of the calling thread, so it is set where we search.
        faiss.omp_set_num_threads(self._threads)
        try:
            _, rows = self._index.search(
                probes, min(int(n * OVERSAMPLE), self._index.ntotal), params=parameters
            )
        except (AssertionError, RuntimeError) as error:
            raise EngineError("the vector search failed") from error
        found: Rows = rows
        return found

    def _with_pending(self, rows: Rows, blocked: Mask | None) -> Rows:
        old = np.where(np.isin(rows, self._pending), -1, rows)
        mine = self._pending if blocked is None else self._pending[~blocked[self._pending]]
        return np.concatenate([old, np.broadcast_to(mine, (len(rows), len(mine)))], axis=1)


def _selector(rows: Mask) -> faiss.IDSelector:
    bits = np.packbits(rows, bitorder="little")
    return faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]


def _clear_tails(index: faiss.Index) -> None:
    """Set to zero what FAISS left of removed codes behind the last one of each list.

    What is added there is or-ed into it (1.15.1), and would be another code.
    """
    lists: Any = faiss.downcast_InvertedLists(index.invlists)  # type: ignore[attr-defined]
    if not hasattr(lists, "packer"):  # codes that are stored one by one, as older bundles have
        return
    nothing = np.zeros(lists.packer.code_size, np.uint8)
    for number in range(lists.nlist):
        end, size = lists.list_size(number), lists.block_size
        blocks = -(-end // lists.n_per_block)
        codes = faiss.rev_swig_ptr(lists.get_codes(number), blocks * size).reshape(-1, size)
        for place in range(end, blocks * lists.n_per_block):
            lists.packer.pack_1(nothing, place, codes)


def exact_best(vectors: Matrix, probes: Matrix, rows: Rows, n: int) -> tuple[Matrix, Rows]:
    """Return what `VectorIndex.search` does, of the rows found for each probe.

    `rows`: int64[p, m], m ≥ n, in any order; −1 = nothing.
    """
    scores = np.stack([vectors[found] @ probe for found, probe in zip(rows, probes, strict=True)])
    scores[rows < 0] = -np.inf
    return _best(scores, rows, n)


def _best(scores: Matrix, rows: Rows, n: int) -> tuple[Matrix, Rows]:
    """Return the n best of each line, best first; what has no score is no row."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :n]
    best = np.take_along_axis(scores, order, 1)
    found = np.take_along_axis(rows, order, 1)
    return best, np.where(np.isneginf(best), -1, found)
