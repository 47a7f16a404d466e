"""The transformer on our own kernel: float16 embeddings, dense layers by products of bytes.

It computes what BERT does, of texts as token numbers, for every text as if it were alone:

    x = LayerNorm(words[token] + places[position])
    for each layer:
        x = LayerNorm(x + mix(attention(qkv(x))))
        x = LayerNorm(x + narrow(GELU(widen(x))))
    vector = mean of x over the tokens, plain or weighted by position, or x of the first one,
             at unit norm

`qkv`, `mix`, `widen` and `narrow` are dense layers. Their weights are int8, and so are their
inputs, each token with its own scale: see `c/encoder_dense.h`. How weights become bytes is in
`app.offline.encoder.kernel_weights`.

Why C (`c/encoder.c`): a query has few tokens, and general libraries are made for large matrices.
The kernel has no padding, no barrier between threads within a layer, and half to a quarter of the
weights to read. There is no implementation in numpy: ONNX Runtime runs where the kernel cannot, and
the contract tests compare both with the original model.

C trusts what it is given. So this file checks types and shapes of all weights, that the heads
divide the width, and that every token has a row.
"""

import ctypes
import math
from collections.abc import Sequence
from ctypes import POINTER, Structure, c_float, c_int, c_int32, c_void_p
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.bundle.encoder_info import EncoderInfo, Pooling
from app.bundle.reader import read_tensors
from app.engine.kernels.instruction_set import (
    NUMBERS,
    InstructionSet,
    aligned,
    choose_instruction_set,
)
from app.engine.kernels.loader import (
    Signature,
    Unavailable,
    address,
    bind,
    load_library,
    struct_layout,
)

PANEL: Final = 16
"""Rows of a weight that lie interleaved: as many as a register of AVX-512 has lanes."""

GROUP: Final = 4
"""Weights of a row that lie together: the instructions multiply and add up four bytes at once."""

BLOCK: Final = 192
"""Weights of a row that share a scale, from its start on."""

_POOLINGS: Final[tuple[Pooling, ...]] = ("cls", "mean", "weighted_mean")
"""Their places are the numbers that they have in C."""

_HEAD_MULTIPLE: Final = 16
"""The width of a head is a multiple of this: two registers of AVX2."""


class _Dense(Structure):
    """`Dense` in C: addresses of int8 weights and float32 arrays."""

    _fields_ = [
        ("weight", c_void_p),
        ("scale", c_void_p),
        ("sums", c_void_p),
        ("factor", c_void_p),
        ("bias", c_void_p),
    ]


class _Norm(Structure):
    """`Norm` in C: addresses of float32[dim]."""

    _fields_ = [("scale", c_void_p), ("shift", c_void_p)]


class _Layer(Structure):
    """`Layer` in C."""

    _fields_ = [
        ("qkv", _Dense),
        ("mix", _Dense),
        ("mixed", _Norm),
        ("widen", _Dense),
        ("narrow", _Dense),
        ("out", _Norm),
    ]


class _Model(Structure):
    """`Model` in C: sizes, and addresses of float16 rows."""

    _fields_ = [
        ("instruction_set", c_int32),
        ("layers", c_int32),
        ("width", c_int32),
        ("heads", c_int32),
        ("inner", c_int32),
        ("pooling", c_int32),
        ("epsilon", c_float),
        ("words", c_void_p),
        ("places", c_void_p),
        ("embedded", _Norm),
        ("layer", POINTER(_Layer)),
    ]


_SHARED: Final = {
    **struct_layout(_Dense, _Norm, _Layer, _Model),
    "BLOCK": BLOCK,
    "PANEL": PANEL,
    "GROUP": GROUP,
}
_FUNCTIONS: Final[dict[str, Signature]] = {
    # model, token numbers, starts of texts, texts, out, threads
    "encode_batch": (c_int, (c_void_p, c_void_p, c_void_p, c_int32, c_void_p, c_int32)),
}


class KernelRuntime:
    """The weights of an exported folder; implements `app.engine.encoding.encoder.Runtime`.

    Attributes:
        instruction_set: the one that it multiplies with.
    """

    def __init__(
        self,
        directory: Path,
        info: EncoderInfo,
        threads: int,
        instruction_set: InstructionSet | None,
    ) -> None:
        """Load the weights.

        Args:
            directory: the exported folder.
            info: its `encoder.json`.
            threads: threads of a call, the calling one included.
            instruction_set: this one and no other; None = the fastest.

        Raises:
            Unavailable: the kernel cannot run here, or not a model of this shape.
            KernelMismatch: C and this file disagree.
            KeyError, ValueError: a weight is missing, or has another type or shape.
        """
        # The structs have only addresses: the arrays must live as long as this object.
        self._kept: list[npt.NDArray[Any]] = []
        self._threads, self._dim = threads, info.dim
        self._library = load_library()
        bind(self._library, "encoder", _FUNCTIONS, _SHARED)
        if info.kernel is None or info.weights is None:
            raise Unavailable(info.no_kernel or "the bundle is of an older build, without a kernel")
        # The second file has the int8 weights under the names of the float16 ones, which they
        # replace.
        self._arrays = read_tensors(directory / info.weights)
        self._arrays |= read_tensors(directory / info.kernel)
        self._inner = inner = len(self._arrays["0.widen.bias"])
        _require_sound(info, inner)
        self.instruction_set = choose_instruction_set(
            self._library, (info.dim, inner), instruction_set
        )
        # All int8 weights in one array, in the order in which they are read. So they can lie in
        # huge pages, and the kernel, which prefetches what follows a layer, prefetches the next.
        self._free = aligned(info.layers * info.dim * (4 * info.dim + 2 * inner), np.int8)
        layers = (_Layer * info.layers)(*(self._layer(f"{n}.") for n in range(info.layers)))
        self._n_words, self._n_places = len(self._arrays["words"]), len(self._arrays["places"])
        self._model = _Model(
            instruction_set=NUMBERS[self.instruction_set],
            layers=info.layers,
            width=info.dim,
            heads=info.heads,
            inner=inner,
            pooling=_POOLINGS.index(info.pooling),
            epsilon=info.epsilon,
            words=self._read("words", np.float16, self._n_words, info.dim),
            places=self._read("places", np.float16, self._n_places, info.dim),
            embedded=self._norm("embedded"),
            layer=layers,
        )
        self._model_at = ctypes.addressof(self._model)
        del self._arrays, self._free

    def run(self, tokens: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Return float32[len(tokens), dim], rows of unit norm; each as if it were alone.

        Raises:
            ValueError: a token without a row, a text that is empty or longer than the positions.
            MemoryError: no room for the buffers.
        """
        lengths = [len(ids) for ids in tokens]
        flat = list(chain.from_iterable(tokens))  # np.concatenate takes a microsecond a text
        fits = min(flat) >= 0 and max(flat) < self._n_words
        if not fits or min(lengths) < 1 or max(lengths) > self._n_places:
            raise ValueError("tokens that the weights have no row for")
        ids = np.array(flat, np.int32)
        starts = np.array([0, *accumulate(lengths)], np.int32)
        vectors = np.empty((len(tokens), self._dim), np.float32)
        failed = self._library.encode_batch(
            self._model_at,
            address(ids),
            address(starts),
            len(tokens),
            address(vectors),
            self._threads,
        )
        if failed:
            raise MemoryError
        return vectors

    def _layer(self, name: str) -> _Layer:
        width, inner = self._dim, self._inner
        # In the order in which they are read, as `_dense` places the weights one after the other.
        return _Layer(
            qkv=self._dense(name + "qkv", 3 * width, width),
            mix=self._dense(name + "mix", width, width),
            mixed=self._norm(name + "mixed"),
            widen=self._dense(name + "widen", inner, width),
            narrow=self._dense(name + "narrow", width, inner),
            out=self._norm(name + "out"),
        )

    def _dense(self, name: str, n: int, k: int) -> _Dense:
        blocks = -(-k // BLOCK)
        weight = self._tensor(name + ".weight", np.int8, n // PANEL, k // GROUP, PANEL, GROUP)
        copied, self._free = self._free[: weight.size], self._free[weight.size :]
        copied[:] = weight.reshape(-1)
        return _Dense(
            weight=self._keep(copied),
            scale=self._read(name + ".scale", np.float32, blocks, n),
            sums=self._read(name + ".sums", np.float32, n),
            factor=self._read(name + ".factor", np.float32, k),
            bias=self._read(name + ".bias", np.float32, n),
        )

    def _norm(self, name: str) -> _Norm:
        return _Norm(
            scale=self._read(name + ".scale", np.float32, self._dim),
            shift=self._read(name + ".shift", np.float32, self._dim),
        )

    def _read(self, name: str, kind: type[np.floating[Any]], *shape: int) -> int:
        return self._keep(self._tensor(name, kind, *shape))

    def _tensor(self, name: str, kind: type[np.number[Any]], *shape: int) -> npt.NDArray[Any]:
        """Return a tensor that has the type and shape that C takes for granted."""
        array = self._arrays[name]
        if array.dtype != kind or array.shape != shape or not array.flags.c_contiguous:
            raise ValueError(f"the weights {name} have another type or shape")
        return array

    def _keep(self, array: npt.NDArray[Any]) -> int:
        self._kept.append(array)
        return address(array)


def _require_sound(info: EncoderInfo, inner: int) -> None:
    """Refuse numbers that C would divide by, or count with. Raises `ValueError`."""
    positive = min(info.dim, inner, info.heads, info.layers) >= 1
    if not positive or info.dim % info.heads or not suits(info.dim, inner, info.dim // info.heads):
        raise ValueError("the heads of the encoder do not fit its width")
    if not 0.0 < info.epsilon < math.inf:
        raise ValueError("the epsilon of the encoder is no small number")


def suits(width: int, inner: int, head: int) -> bool:
    """Return whether the kernel can run a model of these widths.

    Args:
        width: of a token between two layers.
        inner: of a token within a layer.
        head: of an attention head.
    """
    return not any(each % PANEL for each in (width, inner)) and not head % _HEAD_MULTIPLE
