"""The encoder on our own kernel, `encoder_kernel.c`: products of bytes.

Here live the layout that the C file shares with us, and the check of all that it trusts: types and
sizes, and that every token has a row. Not the arithmetic, nor how weights become bytes
(`app.offline.encoder.kernel_weights`).
"""

import ctypes
from collections.abc import Sequence
from ctypes import CDLL, POINTER, Structure, c_float, c_int32, c_void_p
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast, get_args

import numpy as np
import numpy.typing as npt

from app.bundle.encoder_info import EncoderInfo
from app.bundle.reader import map_tensors
from app.engine.kernels.loader import Unavailable, address, load_library, pointer

InstructionSet: TypeAlias = Literal["amx", "vnni", "avx2"]
"""The instructions that multiply, fastest first; the vectors are the same to the last bit."""

NUMBERS: Final[dict[InstructionSet, int]] = {"avx2": 0, "vnni": 1, "amx": 2}
"""What the C file calls them."""

PANEL: Final = 16
"""Rows of weights that lie together."""

FOUR: Final = 4
"""Weights of a row that lie together."""

_MULTIPLES: Final[dict[InstructionSet, int]] = {"avx2": 16, "vnni": 32, "amx": 64}
"""The kernel has no tail loops: every width is a multiple of this, that of a head of _HEAD."""

_HEAD: Final = 16

_CACHE_LINE: Final = 64

N = TypeVar("N", bound=np.integer[Any])


class _Dense(Structure):
    _fields_ = [(name, c_void_p) for name in ("weight", "scale", "sums", "factor", "bias")]


class _Norm(Structure):
    _fields_ = [("scale", c_void_p), ("shift", c_void_p)]


class _Layer(Structure):
    _fields_ = [
        ("qkv", _Dense),
        ("mix", _Dense),
        ("mixed", _Norm),
        ("widen", _Dense),
        ("narrow", _Dense),
        ("out", _Norm),
    ]


class _Model(Structure):
    _fields_ = [
        *((name, c_int32) for name in ("products", "layers", "width", "heads", "inner", "mean")),
        ("epsilon", c_float),
        ("words", c_void_p),
        ("places", c_void_p),
        ("embedded", _Norm),
        ("layer", POINTER(_Layer)),
    ]


class KernelRuntime:
    """The weights of an exported folder; see `encoder.Runtime`.

    `products` says which instructions multiply.
    """

    def __init__(
        self, directory: Path, info: EncoderInfo, threads: int, products: InstructionSet | None
    ) -> None:
        """Load the weights, for the fastest products or only those given.

        Raises:
            Unavailable: the kernel cannot run here, or not a model of this shape.
        """
        self._held: list[npt.NDArray[Any]] = []  # what the kernel points to lives as long as we do
        self._threads, self._dim = threads, info.dim
        self._library = load_library()
        if info.kernel is None:
            raise Unavailable("the bundle holds nothing for it: another shape, or an older build")
        # Mapped: of the words only those that texts have are read. What the kernel multiplies by
        # has the names of the weights that it was made of, and takes their place.
        self._arrays = map_tensors(directory / info.weights) | map_tensors(directory / info.kernel)
        self._inner = inner = len(self._arrays["0.widen.bias"])
        self.products = choose_instruction_set(self._library, (info.dim, inner), products)
        # In the order that they are read in, in one piece: so they can lie in huge pages, and the
        # kernel, which asks for what comes next, is right at the end of a layer as well.
        self._free = aligned(info.layers * info.dim * (4 * info.dim + 2 * inner), np.int8)
        layers = (_Layer * info.layers)(*(self._layer(f"{n}.") for n in range(info.layers)))
        self._rows = [len(self._arrays[name]) for name in ("words", "places")]
        words, places = (
            self._read(name, np.float16, rows, info.dim)
            for name, rows in zip(("words", "places"), self._rows, strict=True)
        )
        self._model = _Model(
            *(NUMBERS[self.products], info.layers, info.dim, info.heads, inner),
            *(info.pooling == "mean", info.epsilon, words, places),
            *(self._norm("embedded"), layers),
        )
        del self._arrays, self._free

    def run(self, tokens: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Return float32[len(tokens), dim], rows of unit norm; each as if it were alone.

        Raises:
            ValueError: a token without a row, a text that is empty or longer than the places.
            MemoryError: no room for what lies between the layers.
        """
        lengths = [len(ids) for ids in tokens]
        flat = list(chain.from_iterable(tokens))  # numpy needs a microsecond for each text
        words, places = self._rows
        if min(flat) < 0 or max(flat) >= words or min(lengths) < 1 or max(lengths) > places:
            raise ValueError("tokens that the weights have no row for")
        ids = np.array(flat, np.int32)
        starts = np.array([0, *accumulate(lengths)], np.int32)
        vectors = np.empty((len(tokens), self._dim), np.float32)
        failed = self._library.encode(
            ctypes.byref(self._model),
            *(pointer(array) for array in (ids, starts)),
            c_int32(len(tokens)),
            pointer(vectors),
            c_int32(self._threads),
        )
        if failed:
            raise MemoryError
        return vectors

    def _layer(self, name: str) -> _Layer:
        width, inner = self._dim, self._inner
        return _Layer(
            self._dense(name + "qkv", 3 * width, width),
            self._dense(name + "mix", width, width),
            self._norm(name + "mixed"),
            self._dense(name + "widen", inner, width),
            self._dense(name + "narrow", width, inner),
            self._norm(name + "out"),
        )

    def _dense(self, name: str, n: int, k: int) -> _Dense:
        blocks = -(-k // self._library.bytes_block())
        shapes = {".scale": (blocks, n), ".sums": (n,), ".factor": (k,)}
        weight = self._tensor(name + ".weight", np.int8, n // PANEL, k // FOUR, PANEL, FOUR)
        placed, self._free = self._free[: weight.size], self._free[weight.size :]
        placed[:] = weight.reshape(-1)
        return _Dense(
            self._hold(placed),
            *(self._hold(self._tensor(name + of, np.float32, *shapes[of])) for of in shapes),
            self._read(name + ".bias", np.float32, n),
        )

    def _norm(self, name: str) -> _Norm:
        ends = (".scale", ".shift")
        return _Norm(*(self._read(name + end, np.float32, self._dim) for end in ends))

    def _read(self, name: str, kind: type[np.floating[Any]], *shape: int) -> int:
        return self._hold(self._tensor(name, kind, *shape))

    def _tensor(self, name: str, kind: type[np.number[Any]], *shape: int) -> npt.NDArray[Any]:
        """Return a tensor, if it is what the kernel takes it for."""
        array = self._arrays[name]
        if array.dtype != kind or array.shape != shape or not array.flags.c_contiguous:
            raise ValueError(f"the weights {name} have another type or shape")
        return array

    def _hold(self, array: npt.NDArray[Any]) -> int:
        self._held.append(array)
        return address(array)


def suits(width: int, inner: int, head: int) -> bool:
    """Return whether the kernel can run a model with tokens and heads of these widths."""
    return not any(each % PANEL for each in (width, inner)) and not head % _HEAD


def choose_instruction_set(
    library: CDLL, widths: Sequence[int], only: InstructionSet | None = None
) -> InstructionSet:
    """Return the fastest products that this machine can make of such widths, or those given.

    Raises:
        Unavailable: there are none.
    """
    why = ""
    for products in (only,) if only else get_args(InstructionSet):
        if not library.can(c_int32(NUMBERS[products])):
            why = f"the processor or its system lacks {products}"
        elif any(width % _MULTIPLES[products] for width in widths):
            why = f"{products} needs widths that are multiples of {_MULTIPLES[products]}"
        else:
            return cast("InstructionSet", products)
    raise Unavailable(why)


def aligned(length: int, kind: type[N]) -> npt.NDArray[N]:
    """Return an uninitialised array that starts on a cache line."""
    size = length * np.dtype(kind).itemsize
    raw = np.empty(size + _CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % _CACHE_LINE
    return raw[start : start + size].view(kind)
