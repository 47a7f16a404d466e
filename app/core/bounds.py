"""Checks of arrays that come from a file, before native code reads them.

Checksums say that a file is as it was written, not that what was written makes sense. Our C and
FAISS trust what they are given: a row beyond the catalogue or an offset below zero would read, or
write, the memory of something else. So whoever takes arrays from a bundle asks these functions
once, when it is opened, and raises `BundleError`; no request pays for it. `app.engine.kernels`
lists who checks what.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def is_plain(array: Array, kind: type[np.generic], *shape: int) -> bool:
    """Tell whether an array has this type and shape, and lies as C reads it: contiguous, aligned.

    Without a shape any one-dimensional array fits.
    """
    flags = array.flags
    fits = array.shape == shape if shape else array.ndim == 1
    return bool(array.dtype == kind and fits and flags.c_contiguous and flags.aligned)


def are_offsets(offsets: Array, end: int, n_lists: int | None = None) -> bool:
    """Tell whether int64[n + 1] offsets begin at 0, never fall, and end at `end`.

    `n_lists`: what n has to be; None = anything.
    """
    return (
        is_plain(offsets, np.int64)
        and len(offsets) > 0
        and n_lists in (None, len(offsets) - 1)
        and int(offsets[0]) == 0
        and int(offsets[-1]) == end
        and bool((offsets[1:] >= offsets[:-1]).all())
    )


def are_below(numbers: Array, n: int) -> bool:
    """Tell whether all numbers of an integer array are at least 0 and below `n`."""
    if not np.issubdtype(numbers.dtype, np.integer):
        return False
    return not numbers.size or bool(numbers.min() >= 0 and numbers.max() < n)


def rise_in_lists(numbers: Array, offsets: Array) -> bool:
    """Tell whether each list of some numbers rises, so that it has no number twice.

    List i has numbers[offsets[i]] … numbers[offsets[i + 1]]; the offsets are sound.
    """
    rises = numbers[1:] > numbers[:-1]
    starts = offsets[1:-1]
    rises[starts[(starts > 0) & (starts < len(numbers))] - 1] = True  # between two lists
    return bool(rises.all())


def are_finite(numbers: Array) -> bool:
    """Tell whether no number of a float array is infinite or missing."""
    with np.errstate(all="ignore"):
        total = numbers.sum()  # finite only if all are: it needs no array of the same length
    return bool(np.isfinite(total) or np.isfinite(numbers).all())
