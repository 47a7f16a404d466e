"""The instruction sets that our kernels multiply with, and which of them this machine has.

All give the same bits, because sums of integers are exact; they differ in speed. A C function takes
the number of one. Also `aligned`, since what they read starts on a cache line.
"""

from collections.abc import Sequence
from ctypes import CDLL, c_int, c_int32
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast, get_args

import numpy as np
import numpy.typing as npt

from app.engine.kernels.loader import Unavailable, bind

InstructionSet: TypeAlias = Literal["amx", "vnni", "avx2"]
"""Fastest first: AMX has tiles of 16 x 64 bytes, VNNI registers of 64 bytes, AVX2 of 32."""

NUMBERS: Final[dict[InstructionSet, int]] = {"avx2": 0, "vnni": 1, "amx": 2}
"""The enum in `c/instruction_set.h`."""

_WIDTH_MULTIPLES: Final[dict[InstructionSet, int]] = {"avx2": 16, "vnni": 32, "amx": 64}
"""The kernels have no loops for remainders: every width of a matrix is a multiple of this."""

_CACHE_LINE: Final = 64

N = TypeVar("N", bound=np.integer[Any])


def choose_instruction_set(
    library: CDLL, widths: Sequence[int], only: InstructionSet | None = None
) -> InstructionSet:
    """Return the fastest instruction set that is here and fits the widths of all matrices.

    Args:
        library: as `load_library` returns it.
        widths: how many numbers the rows of the matrices have.
        only: this one and no other.

    Raises:
        Unavailable: there is none; the message names what is missing.
    """
    shared = {name.upper(): number for name, number in NUMBERS.items()}
    functions = {"instruction_set_available": (c_int, [c_int32])}
    bind(library, "instruction_set", functions, shared)
    why = ""
    for name in (only,) if only else get_args(InstructionSet):
        if not library.instruction_set_available(NUMBERS[name]):
            why = f"the processor or its system lacks {name}"
        elif any(width % _WIDTH_MULTIPLES[name] for width in widths):
            why = f"{name} needs widths that are multiples of {_WIDTH_MULTIPLES[name]}"
        else:
            return cast("InstructionSet", name)
    raise Unavailable(why)


def aligned(length: int, kind: type[N]) -> npt.NDArray[N]:
    """Return an uninitialised array of `length` integers that starts on a cache line."""
    size = length * np.dtype(kind).itemsize
    raw = np.empty(size + _CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % _CACHE_LINE
    return raw[start : start + size].view(kind)
