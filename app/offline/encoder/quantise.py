"""Weights of a dense layer as bytes, chosen so that its products with real inputs stay.

Rounding each weight by itself to so few steps would lose too much. Here a row is rounded weight by
weight, and what one lost is made up for by those still to come, as far as inputs go up and down
together (GPTQ, Frantar et al. 2023). Inputs that reach far hand some of that to their weights
first, so that the others keep more steps of a byte (SmoothQuant, Xiao et al. 2023).
This module knows matrices, and what the kernel can add up; not layers, files or texts.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.engine.kernels.encoder import BLOCK

PARTS: Final = 16
"""AVX2 adds products of the weights of as many inputs, from a multiple on, in two sums of 16 bits:
those of the inputs 0, 1, 4, 5 and so on, and those of 2, 3, 6, 7 and so on."""

MOST: Final = 128
"""Weights of one sign may add up to this in such a sum: 255 · 128 is just below 2¹⁵."""

_LARGEST: Final = 127
_HANDED_OVER: Final = 0.7  # 0: weights are evened out, 1: inputs are; chosen on MiniLM
_DAMPING: Final = 0.03  # of the mean square of an input: texts differ from those that were seen
_STEP: Final = 64  # inputs after which the rows are updated at once: a matter of speed

Floats = npt.NDArray[np.float32]


@dataclass
class Seen:
    """What was seen of k inputs: mean float64[k, k] of their products, their ends float32[k]."""

    products: npt.NDArray[np.float64]
    lowest: Floats
    highest: Floats


@dataclass(frozen=True)
class Quantised:
    """A weight float[n, k] as `integers` · `scale` · `factor`.

    Attributes:
        integers: int8[n, k].
        scale: float32[blocks, n], for each `BLOCK` weights of a row.
        factor: float32[k], by which an input is multiplied before it is rounded.
    """

    integers: npt.NDArray[np.int8]
    scale: Floats
    factor: Floats

    def sums(self) -> Floats:
        """Return float32[n], the sum of each row before `factor`."""
        starts = range(0, self.integers.shape[1], BLOCK)
        parts = np.add.reduceat(self.integers, starts, axis=1, dtype=np.int64)
        return np.asarray((parts * self.scale.T.astype(np.float64)).sum(axis=1), np.float32)


def quantise(weight: Floats, seen: Seen) -> Quantised:
    """Round float[n, k]; k a multiple of `PARTS`."""
    factor = _factor(weight, seen)
    even = np.ascontiguousarray((weight / factor).T)  # by inputs: [k, n]
    integers = np.empty(even.shape, np.int8)
    spread = _spread(seen.products * np.outer(factor, factor))
    scales = []
    for start in range(0, len(even), _STEP):
        end = min(start + _STEP, len(even))
        if start % BLOCK == 0:
            scales.append(_scale(even[start : start + BLOCK]))
        lost = _round(even[start:end], spread[start:end, start:end], scales[-1], integers[start:])
        even[end:] -= spread[start:end, end:].T @ lost
    return Quantised(np.ascontiguousarray(integers.T), np.array(scales), factor)


def _factor(weight: Floats, seen: Seen) -> Floats:
    reach, most = seen.highest - seen.lowest, np.abs(weight).max(axis=0)
    # What hardly moved while it was watched may move later.
    reach, most = (np.maximum(each, max(np.median(each) / 2, 1e-6)) for each in (reach, most))
    return np.asarray(most ** (1 - _HANDED_OVER) / reach**_HANDED_OVER, np.float32)


def _spread(products: npt.NDArray[np.float64]) -> Floats:
    """Return float32[k, k]: line j, from j on, over what a loss of 1 at input j asks of others."""
    mean_square = products.trace() / len(products) or 1.0
    damped = products + _DAMPING * mean_square * np.eye(len(products))
    return np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)


def _scale(rows: Floats) -> Floats:
    """Return float32[n]: the finest steps in which no sum of [k, n] has too much in it."""
    parts = rows.reshape(-1, PARTS // 4, 2, 2, rows.shape[1])  # whose sums, four, sum, one of two
    sums = [np.maximum(sign * parts, 0).sum(axis=(1, 3)).max(axis=(0, 1)) for sign in (1, -1)]
    scale = np.maximum(np.maximum(*sums) / MOST, np.abs(rows).max(axis=0) / _LARGEST)
    return np.where(scale > 0, scale, 1).astype(np.float32)


def _round(rows: Floats, spread: Floats, scale: Floats, to: npt.NDArray[np.int8]) -> Floats:
    """Round a few inputs' weights [s, n]; return what each lost, in units of its own spread."""
    lost = np.empty_like(rows)
    for j, row in enumerate(rows):
        if j % PARTS == 0:
            room = np.full((2, 2, rows.shape[1]), MOST, np.float32)  # of each sum, by sign
        up, down = room[j % 4 // 2]
        # Made up for by another's loss, a weight may come to ask for more than there is.
        found = np.clip(np.rint(row / scale), -np.minimum(down, 127), np.minimum(up, 127))
        up -= np.maximum(found, 0)
        down += np.minimum(found, 0)
        to[j] = found
        lost[j] = (row - found * scale) / spread[j, j]
        rows[j + 1 :] -= np.outer(spread[j, j + 1 :], lost[j])
    return lost
