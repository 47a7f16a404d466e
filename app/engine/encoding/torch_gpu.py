"""The encoder on torch, for a GPU: float16, in passes of a few shapes, with a CUDA graph for each.

A pass over a few short texts consists of hundreds of small kernels, and to launch them one by one
takes longer than to run them. So each pass is padded to one of about forty shapes, and a CUDA graph
of each shape launches all its kernels at once. All graphs are recorded when the encoder is loaded:
a shape that does not work then stops the start, and no query waits for a recording.

On "cpu" the same passes run in float32 without graphs. That is for tests on machines without a GPU;
no server uses it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from app.bundle.encoder_info import EncoderInfo
from app.core.types import Device
from app.engine.encoding.device import require, turn

Shape: TypeAlias = tuple[int, int]
"""Of a pass: texts, and cells of each; a text has a cell a token, the others are padding."""

MOST_TEXTS: Final = 64
MOST_CELLS: Final = 4096
"""Texts and cells of one pass at most. Up to there one padded pass should take less time than two:
an estimate from the arithmetic of current GPUs, not measured."""

LEAST_WIDTH: Final = 8
PADDING: Final = -1
_WARM_UPS: Final = 3


def shapes(longest: int) -> list[Shape]:
    """Return all shapes of passes over texts of up to `longest` tokens, largest first.

    >>> shapes(12)[:3]
    [(64, 12), (64, 8), (32, 12)]
    """
    widths = {_width(length, longest) for length in range(1, longest + 1)}
    counts = {_power(n) for n in range(1, MOST_TEXTS + 1)}
    found = [(n, width) for n in counts for width in widths if _fits(n, width)]
    return sorted(found, key=lambda shape: (shape[0] * shape[1], shape), reverse=True)


def passes(lengths: Sequence[int], longest: int) -> Iterator[tuple[list[int], Shape]]:
    """Yield row numbers, shortest texts first, and the shape of the pass that they go through.

    >>> list(passes([3, 9, 2], 256))
    [([2, 0, 1], (4, 16))]
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or not _fits(end + 1 - start, _width(lengths[order[end]], longest)):
            yield order[start:end], (_power(end - start), _width(lengths[order[end - 1]], longest))
            start = end


def _fits(texts: int, width: int) -> bool:
    return texts == 1 or (texts <= MOST_TEXTS and _power(texts) * width <= MOST_CELLS)


def _width(length: int, longest: int) -> int:
    return min(max(_power(length), LEAST_WIDTH), longest)


def _power(n: int) -> int:
    return 1 << (n - 1).bit_length()


class Bert:
    """The transformer of an exported folder."""

    def __init__(
        self, directory: Path, info: EncoderInfo, device: Device, dtype: torch.dtype
    ) -> None:
        """Load the weights; `dtype`: what is computed in."""
        assert info.weights is not None  # noqa: S101 - the encoder has checked it
        stored = load_file(directory / info.weights)
        self._weights = {name: each.to(device, dtype) for name, each in stored.items()}
        self._info = info
        self.words, self.places = (len(stored[name]) for name in ("words", "places"))

    def vectors(self, cells: Tensor) -> Tensor:
        """Return float32[texts, dim], rows of unit norm.

        `cells`: int64[texts, width], token numbers, then `PADDING`; no text is without a token.
        """
        real, weights = cells != PADDING, self._weights
        x = functional.embedding(cells.clamp(min=0), weights["words"])
        x = self._norm("embedded", x + weights["places"][: cells.shape[1]])
        for layer in range(self._info.layers):
            x = self._layer(f"{layer}.", x, real[:, None, None])
        # In float32 from here: a sum over many tokens would lose in float16.
        pooled = x[:, 0].float()
        if self._info.pooling != "cls":
            share = real.float()
            if self._info.pooling == "weighted_mean":
                share = share * torch.arange(1, share.shape[1] + 1, device=share.device)
            pooled = (x.float() * (share / share.sum(1, keepdim=True))[:, :, None]).sum(1)
        return functional.normalize(pooled, dim=1)

    def _layer(self, name: str, x: Tensor, real: Tensor) -> Tensor:
        mixed = self._dense(name + "mix", self._attend(name, x, real))
        x = self._norm(name + "mixed", mixed + x)
        wide = functional.gelu(self._dense(name + "widen", x))
        return self._norm(name + "out", self._dense(name + "narrow", wide) + x)

    def _attend(self, name: str, x: Tensor, real: Tensor) -> Tensor:
        split = self._dense(name + "qkv", x).view(*x.shape[:2], 3, self._info.heads, -1)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=real)
        return mixed.transpose(1, 2).flatten(2)

    def _dense(self, name: str, x: Tensor) -> Tensor:
        return functional.linear(x, self._weights[name + ".weight"], self._weights[name + ".bias"])

    def _norm(self, name: str, x: Tensor) -> Tensor:
        # Its sums are of float32, whatever comes in; so are those of the softmax.
        scale, shift = self._weights[name + ".scale"], self._weights[name + ".shift"]
        return functional.layer_norm(x, scale.shape, scale, shift, self._info.epsilon)


class TorchRuntime:
    """A transformer and its graphs on a device; implements `app.engine.encoding.encoder.Runtime`.

    Calls of several threads take turns, one pass each.
    """

    def __init__(self, directory: Path, info: EncoderInfo, device: Device) -> None:
        """Load the weights, and on a GPU record a graph for every shape.

        Raises:
            DeviceError: the device cannot be used.
            EngineError: it failed, or has no room.
        """
        require(device)
        self._dim = info.dim
        with turn():
            dtype = torch.float16 if device == "cuda" else torch.float32
            self._bert = Bert(directory, info, device, dtype)
            self._shapes = shapes(self._bert.places)
            most = max(texts * width for texts, width in self._shapes)
            self._cells = torch.zeros(most, dtype=torch.int64, device=device)
            self._vectors = torch.zeros((MOST_TEXTS, info.dim), device=device)
        self._graphs = self._recorded() if device == "cuda" else {}

    def run(self, tokens: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Return float32[len(tokens), dim], rows of unit norm.

        Raises:
            ValueError: a token without a row, a text that is empty or longer than the places.
            EngineError: the device failed.
        """
        lengths = [len(ids) for ids in tokens]
        # Checked here: an index that is out of bounds makes the GPU useless to the whole process.
        if min(lengths) < 1 or max(lengths) > self._bert.places:
            raise ValueError("tokens that the weights have no row for")
        if min(map(min, tokens)) < 0 or max(map(max, tokens)) >= self._bert.words:
            raise ValueError("tokens that the weights have no row for")
        vectors = np.empty((len(tokens), self._dim), np.float32)
        for rows, shape in passes(lengths, self._bert.places):
            cells = torch.from_numpy(padded([tokens[row] for row in rows], shape))
            with turn():
                self._cells[: cells.numel()].copy_(cells.view(-1))
                self._pass(shape)
                # Waits for the device: what is returned is on the host.
                vectors[rows] = self._vectors[: len(rows)].cpu().numpy()
        return vectors

    def _pass(self, shape: Shape) -> None:
        """Compute the vectors of the cells, both in fixed buffers: a graph has their addresses."""
        if graph := self._graphs.get(shape):
            graph.replay()
        else:
            self._compute(shape)

    def _compute(self, shape: Shape) -> None:
        texts, width = shape
        cells = self._cells[: texts * width].view(texts, width)
        self._vectors[:texts].copy_(self._bert.vectors(cells))

    def _recorded(self) -> dict[Shape, torch.cuda.CUDAGraph]:
        """Return a graph for each shape.

        All share one memory pool for what lies between the layers, because nothing in it outlives a
        pass. The largest shape comes first, so that the others fit into what it allocated.
        """
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        pool = torch.cuda.graph_pool_handle()
        graphs = {}
        for shape in self._shapes:
            with turn():
                # In the first passes libraries allocate and choose their kernels, which a graph
                # must not record. They run on the stream that records.
                side.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(side):
                    for _ in range(_WARM_UPS):
                        self._compute(shape)
                torch.cuda.current_stream().wait_stream(side)
                graphs[shape] = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graphs[shape], pool=pool, stream=side):
                    self._compute(shape)
        return graphs


def padded(tokens: Sequence[Sequence[int]], shape: Shape) -> npt.NDArray[np.int64]:
    """Return int64[shape], a row a text; rows without a text are one token long."""
    cells = np.full(shape, PADDING, np.int64)
    cells[:, 0] = 0
    for row, ids in zip(cells, tokens, strict=False):
        row[: len(ids)] = ids
    return cells
