"""Rounds the weights of a dense layer to int8, so that its products with real inputs change least.

To round each weight by itself to the nearest of 255 steps would lose too much. Two methods help:

GPTQ (Frantar et al. 2023): a row is rounded weight by weight, and the error of each is made up for
    by the weights that are not rounded yet, as far as their inputs are correlated with its own.
SmoothQuant (Xiao et al. 2023): an input with a wide range is divided by a factor that its weights
    are multiplied by. The input is rounded to a byte later, together with the others of its token,
    and the others would otherwise share few of its 255 steps.

A third rule is the kernel's: with AVX2 it adds eight products in 16 bits, so the weights that meet
in one such sum are bounded (`MOST`).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.engine.kernels.encoder import BLOCK

PARTS: Final = 16
"""Inputs whose products AVX2 adds in two sums of 16 bits, from each multiple of this on: those of
the inputs 0, 1, 4, 5, 8, 9, 12, 13, and those of 2, 3, 6, 7, 10, 11, 14, 15. vpmaddubsw adds
neighbours, and four of its results, each of four inputs further on, are added up."""

MOST: Final = 128
"""What the weights of one sign in such a sum may add up to: a byte is at most 255, and 255 · 128 is
just below 2¹⁵. So no sum overflows, whatever the inputs are."""

_LARGEST: Final = 127
_HANDED_OVER: Final = 0.7  # 0: weights get equal ranges, 1: inputs do; chosen on MiniLM
_DAMPING: Final = 0.03  # of the mean square of an input: real texts differ from those recorded
_STEP: Final = 64  # inputs between two updates of all later ones at once, which is faster

Floats = npt.NDArray[np.float32]


@dataclass
class Seen:
    """Statistics of k inputs: mean float64[k, k] of their products, and float32[k] their ends."""

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
    # An input that hardly varied in these texts may vary in others: no range is taken as tiny.
    reach, most = (np.maximum(each, max(np.median(each) / 2, 1e-6)) for each in (reach, most))
    return np.asarray(most ** (1 - _HANDED_OVER) / reach**_HANDED_OVER, np.float32)


def _spread(products: npt.NDArray[np.float64]) -> Floats:
    """Return float32[k, k]: by line j the error at input j changes the later weights (GPTQ)."""
    mean_square = products.trace() / len(products) or 1.0
    damped = products + _DAMPING * mean_square * np.eye(len(products))
    return np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)


def _scale(rows: Floats) -> Floats:
    """Return float32[n]: the finest steps of rows [k, n] whose sums stay within `MOST`."""
    # Axes: the sums of which PARTS inputs; which four of them; which of two sums; neighbours; n.
    parts = rows.reshape(-1, PARTS // 4, 2, 2, rows.shape[1])
    sums = [np.maximum(sign * parts, 0).sum(axis=(1, 3)).max(axis=(0, 1)) for sign in (1, -1)]
    scale = np.maximum(np.maximum(*sums) / MOST, np.abs(rows).max(axis=0) / _LARGEST)
    return np.where(scale > 0, scale, 1).astype(np.float32)


def _round(rows: Floats, spread: Floats, scale: Floats, to: npt.NDArray[np.int8]) -> Floats:
    """Round the weights [s, n] of a few inputs; return the error of each, over its own spread."""
    lost = np.empty_like(rows)
    for j, row in enumerate(rows):
        if j % PARTS == 0:
            room = np.full((2, 2, rows.shape[1]), MOST, np.float32)  # of each sum, by sign
        up, down = room[j % 4 // 2]
        # The errors of others may have pushed a weight beyond what its sum has room for.
        most_up, most_down = np.minimum(up, _LARGEST), np.minimum(down, _LARGEST)
        rounded = np.clip(np.rint(row / scale), -most_down, most_up)
        up -= np.maximum(rounded, 0)
        down += np.minimum(rounded, 0)
        to[j] = rounded
        lost[j] = (row - rounded * scale) / spread[j, j]
        rows[j + 1 :] -= np.outer(spread[j, j + 1 :], lost[j])
    return lost
