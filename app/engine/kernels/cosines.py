"""The cosines of a query with every item, by 16-bit integers: half the memory to read.

One query reads all vectors, which lie beyond the nearest caches: that is what it waits for. Cosines
are right to about 1e-5 (a test asks for 1e-4). The arithmetic is in `vectors_kernel.c`.
"""

from ctypes import c_int32
from typing import Final

import numpy as np

from app.core.types import Matrix, Rows
from app.engine.kernels.encoder import NUMBERS, aligned, choose_instruction_set
from app.engine.kernels.loader import Unavailable, load_library, pointer

_PANEL: Final = 32
"""Rows that lie together in the layout of every kind of product."""


class PackedVectors:
    """float32[n, dim] vectors, packed."""

    def __init__(self, vectors: Matrix) -> None:
        """Pack all rows.

        Raises:
            Unavailable: the kernel cannot run here, or not with vectors of this length.
        """
        self._library = load_library()
        self._n, self._dim = vectors.shape
        self._products = c_int32(NUMBERS[choose_instruction_set(self._library, (self._dim,))])
        padded = -(-self._n // _PANEL) * _PANEL
        self._packed = aligned(padded * self._dim, np.int16)
        self._scale = np.empty(padded, np.float32)
        self._pack(0, padded, vectors)

    def put(self, rows: Rows, vectors: Matrix) -> None:
        """Pack some rows anew; `vectors`: all of them, as they are now."""
        for panel in np.unique(rows // _PANEL).tolist():
            self._pack(panel * _PANEL, _PANEL, vectors)

    def cosines(self, probes: Matrix) -> Matrix:
        """Return float32[p, n], lines of which are contiguous, for float32[p, dim].

        Raises:
            MemoryError: there is none.
        """
        out = np.empty((len(probes), len(self._scale)), np.float32)
        probes = np.ascontiguousarray(probes)
        arrays = (self._packed, self._scale)
        failed = self._library.multiply(
            *(pointer(probes), c_int32(len(probes)), c_int32(self._dim)),
            *(pointer(array) for array in arrays),
            *(c_int32(out.shape[1]), self._products, pointer(out)),
        )
        if failed:
            raise MemoryError
        return out[:, : self._n]

    def _pack(self, first: int, n: int, vectors: Matrix) -> None:
        rows = np.zeros((n, self._dim), np.float16)
        some = vectors[first : first + n]
        rows[: len(some)] = some
        packed, scale = self._packed[first * self._dim :], self._scale[first:]
        self._library.pack_words(
            *(pointer(rows), c_int32(n), c_int32(self._dim), self._products),
            *(pointer(packed), pointer(scale)),
        )


def packed(vectors: Matrix) -> PackedVectors | None:
    """Return the vectors packed; None where the kernel cannot do that."""
    try:
        return PackedVectors(vectors)
    except Unavailable:
        return None
