"""Nearest vectors of a large catalogue on a GPU: every row is scored, for a whole batch at once.

The rows are on the device in float16, two bytes a number. The best ones are scored again, exactly,
by the vectors on the host. `ListIndex` reads a few lists, because the memory of a CPU is slow; a
GPU reads all rows, so nothing is trained and nothing has to be merged.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from app.core.types import Device, Mask, Matrix, Rows
from app.engine.encoding.device import require, turn
from app.engine.retrieval.index import EmptyRows, exact_best

OVERSAMPLE: Final = 1.25
SPARE: Final = 16
"""How many times more rows are fetched than are asked for, and how many rows on top. A score in
float16 is rounded by up to 0.00025, so rows that are so near to each other may change places."""

_MOST_SCORES: Final = 2**27
"""Scores at a time: 256 MiB on the device."""

_ROWS_AT_ONCE: Final = 2**16
"""Rows copied in one turn, so that loading a bundle does not delay queries for long."""


class DeviceIndex:
    """Exact search over all rows on a device, up to the rounding of float16 at the last places.

    On "cpu" it does the same, slowly, for tests.
    """

    kind = "device"

    def __init__(self, vectors: Matrix, device: Device, held: torch.Tensor | None = None) -> None:
        """Copy float32[n, dim] to a device, but for the rows that are there.

        `held`: float16[m, dim] on the device, m ≤ n: the first rows.

        Raises:
            DeviceError: the device cannot be used.
            EngineError: it failed, or has no room for the rows.
        """
        require(device)
        self._vectors, self._device = vectors, device
        self.empty = EmptyRows(vectors)
        known = 0 if held is None else len(held)
        with turn():
            self._rows = torch.empty(vectors.shape, dtype=torch.float16, device=device)
            if held is not None:
                self._rows[:known] = held
        for start in range(known, len(vectors), _ROWS_AT_ONCE):
            self.put(np.arange(start, min(start + _ROWS_AT_ONCE, len(vectors))))

    def __len__(self) -> int:
        return len(self._vectors)

    def over(self, vectors: Matrix) -> "DeviceIndex":
        """See `VectorIndex`; what is on the device is copied there."""
        return DeviceIndex(vectors, self._device, self._rows)

    def put(self, rows: Rows) -> None:
        """See `VectorIndex`: copied to the device. Raises `EngineError`."""
        self.empty.update(rows)
        new = _half(self._vectors[rows])
        with turn():
            self._rows[torch.from_numpy(rows).to(self._device)] = new.to(self._device)

    def merge(self) -> None:
        """See `VectorIndex`: never, `put` writes into the one index there is."""

    def cosines(self, probes: Matrix) -> None:
        """See `VectorIndex`: never."""

    def search(self, probes: Matrix, n: int, blocked: Mask | None = None) -> tuple[Matrix, Rows]:
        """See `VectorIndex`.

        Raises:
            EngineError: the device failed.
        """
        n = min(n, len(self))
        most = min(int(n * OVERSAMPLE) + SPARE, len(self))
        blocked = self.empty.or_blocked(blocked)
        rows = np.concatenate(list(self._nearest(probes, most, blocked)))
        return exact_best(self._vectors, probes, rows, n)

    def _nearest(self, probes: Matrix, most: int, blocked: Mask | None) -> Iterator[Rows]:
        """Yield int64[p, most] for some probes at a time: the best rows, −1 where none passes."""
        step = max(1, _MOST_SCORES // len(self))
        for start in range(0, len(probes), step):
            some = _half(probes[start : start + step])
            with turn():
                scores = some.to(self._device) @ self._rows.T
                if blocked is not None:
                    hidden = torch.from_numpy(blocked.copy()).to(self._device)
                    scores.masked_fill_(hidden, -torch.inf)
                best, rows = scores.topk(most, dim=1, sorted=False)
                nearest: npt.NDArray[np.int64] = (
                    rows.masked_fill(best == -torch.inf, -1).cpu().numpy()
                )
            yield nearest


def _half(vectors: Matrix) -> torch.Tensor:
    """Return a copy in float16: torch takes no read-only array, as those of a bundle are."""
    return torch.from_numpy(vectors.astype(np.float16))
