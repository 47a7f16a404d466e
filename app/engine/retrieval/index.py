"""Nearest vectors by inner product, exactly or by the lists of FAISS, behind one `search`.

`FlatIndex` multiplies by the checked `vectors.npy`. It is exact, has no index file to parse, and
suits up to about 100,000 rows. It is no flat index of FAISS: on one thread a matrix product is
faster, and the candidates of other sources need its cosines too. `ListIndex` is for more rows. It
reads only the lists nearest to the probe, of codes of two bits a number, and computes the exact
scores of what it found. Which one a bundle has, and how many lists are read, was decided by the
recall that was measured when it was built (`app.offline.encoder.vector_index`). On a GPU,
`app.engine.retrieval.gpu_index` takes the place of the lists.

A row of zeros is an item without a vector (`app.engine.encoding.text_vectors`). No search brings
it. Its cosine of 0 could otherwise rank among the first, where those of other items are negative.
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
"""Share of passing rows up to which all of them are scored: lists lose recall below it."""

OVERSAMPLE: Final = 4.0
"""How many times more rows are fetched by the codes than are asked for. The scores of the codes are
coarse; with so many rows the nearest are hardly ever missed. The build measures the recall of both
steps together."""

LEAST_MERGED: Final = 1_000
MERGED_SHARE: Final = 256
"""There is a merge once so many rows were put since the last one, and one in so many of all."""

NO_ROWS: Final[Rows] = np.empty(0, np.int64)

_FIRST_NUMBERS: Final = 8
_MOST_READ: Final = 4
"""How many times the size of its file a part of an index may have."""


class EmptyRows:
    """Which rows of float32[n, dim] are zero: the items that have no vector."""

    def __init__(self, vectors: Matrix) -> None:
        """Look at all rows; the vectors are not copied."""
        self._vectors = vectors
        # A unit vector seldom begins with zeros: most rows need not be read to their end.
        self.mask: Mask = np.logical_not(vectors[:, :_FIRST_NUMBERS].any(axis=1))
        self.update(np.flatnonzero(self.mask))

    def update(self, rows: Rows) -> None:
        """Look at some rows (int64[c]) again."""
        self.mask[rows] = ~self._vectors[rows].any(axis=1)
        self._any = bool(self.mask.any())

    def among(self, rows: Rows) -> Mask | None:
        """Return bool[c]: which of int64[c] rows are empty; None where none of them is."""
        if not self._any:
            return None
        empty: Mask = self.mask.take(rows)
        return empty if np.count_nonzero(empty) else None

    def or_blocked(self, blocked: Mask | None) -> Mask | None:
        """Return bool[n]: the blocked rows and the empty ones; None where there are none."""
        if not self._any:
            return blocked
        return self.mask if blocked is None else self.mask | blocked


class VectorIndex(Protocol):
    """Searches the float32[n, dim] unit vectors of a catalogue (so scores are cosines)."""

    kind: str

    empty: EmptyRows
    """The rows that no search brings, because they have no vector."""

    def __len__(self) -> int:
        """Return n."""
        ...

    def over(self, vectors: Matrix) -> "VectorIndex":
        """Return an index over more rows, of which those of this one come first."""
        ...

    def put(self, rows: Rows) -> None:
        """Take over the vectors of some rows (int64[c]), which have changed."""
        ...

    def merge(self) -> Callable[[], None] | None:
        """Return a call that brings all changed rows into the main index; None where few changed.

        This may take long and disturbs no search; nothing may be put meanwhile. The call it returns
        is fast; make it in the thread that searches.
        """
        ...

    def cosines(self, probes: Matrix) -> Matrix | None:
        """Return float32[p, n], of each probe with every row; None where that is too much work."""
        ...

    def search(self, probes: Matrix, n: int, blocked: Mask | None = None) -> tuple[Matrix, Rows]:
        """Return (float32[p, n] scores, int64[p, n] rows), best first; n is cut to the catalogue.

        Rows that are blocked (bool[rows]), and empty ones, are not among them. A position without
        a row has row −1 and score −inf.

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
        self.empty = EmptyRows(vectors)

    def __len__(self) -> int:
        return len(self._vectors)

    def over(self, vectors: Matrix) -> "FlatIndex":
        """See `VectorIndex`."""
        return FlatIndex(vectors, None if self._packed is None else packed(vectors))

    def put(self, rows: Rows) -> None:
        """See `VectorIndex`: the vectors themselves are searched."""
        self.empty.update(rows)
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
        """See `VectorIndex`; all other rows are scored."""
        n, blocked = min(n, len(self)), self.empty.or_blocked(blocked)
        scores = probes @ self._vectors.T
        if blocked is not None:
            scores[:, blocked] = -np.inf
        rows = np.argpartition(scores, len(self) - n, axis=1)[:, len(self) - n :]
        return _best(np.take_along_axis(scores, rows, 1), rows, n)


class ListIndex:
    """Search of the nearest lists of coded vectors; the scores of the rows it returns are exact.

    Rows that changed since the lists were made are scored for every probe, until they are merged
    into them. The lists do not have the empty rows.
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

        `pending`: int64[c] rows that the lists lack, or have an old vector of.
        """
        self._index, self._vectors, self._threads = index, vectors, threads
        self._parameters = faiss.SearchParametersIVF()
        self._parameters.nprobe = probes
        self._pending = pending
        self.empty = EmptyRows(vectors)

    @classmethod
    def open(cls, path: Path, vectors: Matrix, probes: int, threads: int) -> "ListIndex":
        """Read a verified index file.

        Raises:
            BundleError: it is no such index, or one over other vectors.
        """
        try:
            # FAISS makes room for a part before it reads it. None is larger than the file, but a
            # table that it computes may be; the limit is for both.
            faiss.set_deserialization_vector_byte_limit(_MOST_READ * path.stat().st_size)
            index = faiss.read_index(str(path))
        except (OSError, RuntimeError, MemoryError) as error:
            raise BundleError("the index of the bundle cannot be read") from error
        if isinstance(index, faiss.IndexIVF) and index.d == vectors.shape[1]:
            opened = cls(index, vectors, probes, threads)
            if probes > 0 and _is_sound(index, np.flatnonzero(~opened.empty.mask)):
                return opened
        raise BundleError("the index of the bundle does not fit its vectors")

    def __len__(self) -> int:
        return len(self._vectors)

    def over(self, vectors: Matrix) -> "ListIndex":
        """See `VectorIndex`; the lists are shared."""
        probes = self._parameters.nprobe
        return ListIndex(self._index, vectors, probes, self._threads, self._pending)

    def put(self, rows: Rows) -> None:
        """See `VectorIndex`."""
        self.empty.update(rows)
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
        rows = rows[~self.empty.mask[rows]]
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
            passing = np.flatnonzero(~(self.empty.mask | blocked))
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
        nearest: Rows = rows
        return nearest

    def _with_pending(self, rows: Rows, blocked: Mask | None) -> Rows:
        settled = np.where(np.isin(rows, self._pending), -1, rows)
        unsearchable = self.empty.mask if blocked is None else self.empty.mask | blocked
        pending = self._pending[~unsearchable[self._pending]]
        added = np.broadcast_to(pending, (len(rows), len(pending)))
        return np.concatenate([settled, added], axis=1)


def _is_sound(index: faiss.IndexIVF, rows: Rows) -> bool:
    """Tell whether the parts of an index fit each other, and its lists have each row once.

    FAISS compares the sizes within each part when it reads the file, but not the parts, and it
    returns whatever rows the lists name. `rows`: int64[c], ascending.
    """
    parts: Any = index  # the stubs lack most of its parts
    lists: Any = faiss.downcast_InvertedLists(parts.invlists)
    coarse = faiss.downcast_index(parts.quantizer)
    fits = (
        (coarse.d, coarse.ntotal) == (index.d, index.nlist)
        and lists.nlist == index.nlist
        and index.metric_type == faiss.METRIC_INNER_PRODUCT
        and index.is_trained
        and index.ntotal == len(rows)
    )
    if fits and isinstance(index, faiss.IndexIVFPQFastScan):
        codes, block = parts.pq, parts.bbs * parts.M2 // 2
        fits = (
            codes.d == index.d == codes.M * codes.dsub
            and (codes.M, codes.nbits, codes.code_size) == (parts.M, parts.nbits, parts.code_size)
            and parts.M2 == parts.M + parts.M % 2
            and (parts.bbs, block) == (lists.n_per_block, lists.block_size)
            and (parts.implem, parts.qbs, parts.qbs2, parts.by_residual) == (0, 0, 0, False)
        )
    if not fits:
        return False
    sizes = [lists.list_size(number) for number in range(lists.nlist)]
    if sum(sizes) != len(rows):
        return False
    named = [
        faiss.rev_swig_ptr(lists.get_ids(number), size) for number, size in enumerate(sizes) if size
    ]
    return np.array_equal(np.sort(np.concatenate([NO_ROWS, *named])), rows)


def _selector(rows: Mask) -> faiss.IDSelector:
    bits = np.packbits(rows, bitorder="little")
    return faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]


def _clear_tails(index: faiss.Index) -> None:
    """Set to zero the removed codes that FAISS keeps behind the last one of each list.

    FAISS 1.15.1 ORs a new code into the bytes that are there, which would make it another code.
    """
    lists: Any = faiss.downcast_InvertedLists(index.invlists)  # type: ignore[attr-defined]
    if not hasattr(lists, "packer"):  # codes are stored one by one
        return
    nothing = np.zeros(lists.packer.code_size, np.uint8)
    for number in range(lists.nlist):
        end, size = lists.list_size(number), lists.block_size
        blocks = -(-end // lists.n_per_block)
        codes = faiss.rev_swig_ptr(lists.get_codes(number), blocks * size).reshape(-1, size)
        for position in range(end, blocks * lists.n_per_block):
            lists.packer.pack_1(nothing, position, codes)


def exact_best(vectors: Matrix, probes: Matrix, rows: Rows, n: int) -> tuple[Matrix, Rows]:
    """Return what `VectorIndex.search` does, of some rows for each probe.

    `rows`: int64[p, m], in any order; −1 = no row.
    """
    scores = np.stack([vectors[near] @ probe for near, probe in zip(rows, probes, strict=True)])
    scores[rows < 0] = -np.inf
    return _best(scores, rows, n)


def _best(scores: Matrix, rows: Rows, n: int) -> tuple[Matrix, Rows]:
    """Return the n best of each line, best first; a score of −inf has no row."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :n]
    best_scores = np.take_along_axis(scores, order, 1)
    best_rows = np.take_along_axis(rows, order, 1)
    return best_scores, np.where(np.isneginf(best_scores), -1, best_rows)
