"""Cosines of a few queries with all items, over vectors packed as 16-bit integers.

    cosine[q, i] = Σ_k query[q, k] · vector[i, k]

A single query reads all vectors, which are too many for any cache, and waits for memory alone: half
the bytes take half the time. So vectors and queries are rounded to 16-bit integers, each with its
own scale. Cosines are right to about 1e-5; a test demands 1e-4.

Why C (`c/cosines.c`): numpy has no product of 16-bit integers. There is no implementation in numpy
here: where the kernel cannot run, `app.engine.retrieval.index` searches the float32 vectors, which
are the oracle of the tests.
"""

from ctypes import c_int, c_int32, c_void_p
from typing import Final

import numpy as np

from app.core.types import Matrix, Rows
from app.engine.kernels.instruction_set import NUMBERS, aligned, choose_instruction_set
from app.engine.kernels.loader import Signature, Unavailable, address, bind, load_library

QUERY_MAX: Final = 4095
"""Largest integer of a query. With those of the vectors it bounds every sum, see `c/cosines.c`."""

ROW_MULTIPLE: Final = 32
"""Vectors lie together in panels of 16 or 32, so they are packed by this many."""

_P, _N = c_void_p, c_int32
SHARED: Final = {"QUERY_MAX": QUERY_MAX, "ROW_MULTIPLE": ROW_MULTIPLE}
FUNCTIONS: Final[dict[str, Signature]] = {
    # vectors, n, dim, instruction set, integers, scales
    "pack_vectors": (None, (_P, _N, _N, _N, _P, _P)),
    # queries, number of them, dim, integers, scales, n, instruction set, out
    "cosines_batch": (c_int, (_P, _N, _N, _P, _P, _N, _N, _P)),
}


class PackedVectors:
    """float32[n, dim] vectors, packed."""

    def __init__(self, vectors: Matrix) -> None:
        """Pack all rows.

        Raises:
            Unavailable: the kernel cannot run here, or not with vectors of this length.
            KernelMismatch: C and this file disagree.
        """
        self._library = load_library()
        bind(self._library, "cosines", FUNCTIONS, SHARED)
        self._n, self._dim = vectors.shape
        self._instruction_set = NUMBERS[choose_instruction_set(self._library, (self._dim,))]
        padded = -(-self._n // ROW_MULTIPLE) * ROW_MULTIPLE
        self._packed = aligned(padded * self._dim, np.int16)
        self._scale = np.empty(padded, np.float32)
        self._pack(0, padded, vectors)

    def put(self, rows: Rows, vectors: Matrix) -> None:
        """Pack some rows anew; `vectors`: all of them, as they are now."""
        # Whole panels, because their rows are interleaved.
        for panel in np.unique(rows // ROW_MULTIPLE).tolist():
            self._pack(panel * ROW_MULTIPLE, ROW_MULTIPLE, vectors)

    def cosines(self, probes: Matrix) -> Matrix:
        """Return float32[p, n], lines of which are contiguous, for float32[p, dim].

        Raises:
            MemoryError: there is none left.
        """
        out = np.empty((len(probes), len(self._scale)), np.float32)
        probes = np.ascontiguousarray(probes)
        failed = self._library.cosines_batch(
            address(probes),
            len(probes),
            self._dim,
            address(self._packed),
            address(self._scale),
            len(self._scale),
            self._instruction_set,
            address(out),
        )
        if failed:
            raise MemoryError
        return out[:, : self._n]

    def _pack(self, first: int, n: int, vectors: Matrix) -> None:
        rows = np.zeros((n, self._dim), np.float16)  # padding stays zero
        some = vectors[first : first + n]
        rows[: len(some)] = some
        packed, scale = self._packed[first * self._dim :], self._scale[first:]
        self._library.pack_vectors(
            address(rows),
            n,
            self._dim,
            self._instruction_set,
            address(packed),
            address(scale),
        )


def packed(vectors: Matrix) -> PackedVectors | None:
    """Return the vectors packed; None where the kernel cannot do that."""
    try:
        return PackedVectors(vectors)
    except Unavailable:
        return None
