"""The encoder on ONNX Runtime, in float32, where our kernel cannot run the model, or not here.

For a model like BERT it packs the tokens of texts of different lengths end to end, so that dense
layers compute no padding, and splits a call into sub-batches. The graph is made by
`app.offline.encoder.onnx_graph`. Any other model is a graph that takes padded texts
(`app.offline.encoder.traced_graph`).
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from app.bundle.encoder_info import EncoderInfo, Pooling

OUTPUT = "embeddings"
PADDED_TOKENS = 1024
"""Cells (texts x longest text) of one sub-batch at most. With more, padded attention and a working
set beyond the caches cost more than larger matrix products gain, and scratch memory grows."""
MASKED = -1e4
"""Added to the attention score of a padded cell, so that its softmax weight underflows to 0."""


_LEAST_NORM: Final = 1e-12
_POSITION_WEIGHTS: Final[dict[Pooling, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]]] = {
    "mean": np.ones_like,
    "cls": lambda columns: columns == 0,
    "weighted_mean": lambda columns: columns + 1,
}
"""The weight of each position in the vector of a text, before they are made to add up to 1."""


class GraphRuntime:
    """A session over the graph of an exported folder; see `encoder.Runtime`."""

    def __init__(self, directory: Path, info: EncoderInfo, threads: int) -> None:
        self._session = _session(directory / info.graph, threads)
        self._pooling = info.pooling
        self._dim = info.dim

    def run(self, tokens: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Return float32[len(tokens), dim], rows of unit norm."""
        vectors = np.empty((len(tokens), self._dim), np.float32)
        for rows in sub_batches([len(ids) for ids in tokens]):
            feed = pack([tokens[row] for row in rows], self._pooling)
            vectors[rows] = self._session.run([OUTPUT], feed)[0]
        return vectors


class TracedRuntime:
    """A session over the graph of a whole model; see `encoder.Runtime`.

    The graph takes padded texts and returns vectors of any length.
    """

    def __init__(self, directory: Path, info: EncoderInfo, threads: int) -> None:
        self._session = _session(directory / info.graph, threads)
        self._dim, self._padding = info.dim, info.padding

    def run(self, tokens: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Return float32[len(tokens), dim], rows of unit norm."""
        vectors = np.empty((len(tokens), self._dim), np.float32)
        for rows in sub_batches([len(ids) for ids in tokens]):
            some = [tokens[row] for row in rows]
            lengths = np.array([len(ids) for ids in some])
            mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
            ids = np.full(mask.shape, self._padding, np.int64)
            for cells, text in zip(ids, some, strict=True):
                cells[: len(text)] = text
            vectors[rows] = self._session.run([OUTPUT], {"ids": ids, "mask": mask})[0]
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.maximum(norms, _LEAST_NORM)
        return vectors


def sub_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield groups of row numbers: similar lengths, at most `PADDED_TOKENS` cells or one row each.

    >>> list(sub_batches([600, 3, 500, 2]))
    [[3, 1], [2], [0]]
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    start = 0
    for end, row in enumerate(order):
        if end > start and (end - start + 1) * lengths[row] > PADDED_TOKENS:
            yield order[start:end]
            start = end
    if order:
        yield order[start:]


def pack(tokens: Sequence[Sequence[int]], pooling: Pooling) -> dict[str, npt.NDArray[np.generic]]:
    """Lay B texts of T tokens in all, the longest of L, end to end: the inputs of the graph.

    Returns:
        ids, positions: int64[T], token number and place in its own text.
        pad: int64[B, L], packed row of each cell; a padded cell repeats row 0, bias hides it.
        unpad: int64[T], cell of each packed row, counted over the flat B·L.
        bias: float32[B, L], 0 for a token, `MASKED` for padding.
        pool: float32[B, L], weight of each cell in the vector of its text.
    """
    lengths = np.array([len(ids) for ids in tokens])
    starts = np.cumsum(lengths) - lengths
    columns = np.arange(lengths.max())
    real = columns < lengths[:, None]
    positions = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    weights = real * _POSITION_WEIGHTS[pooling](columns)
    weights = weights / weights.sum(axis=1, keepdims=True)
    return {
        "ids": np.concatenate([np.asarray(ids, np.int64) for ids in tokens]),
        "positions": positions,
        "pad": np.where(real, starts[:, None] + columns, 0),
        "unpad": np.repeat(np.arange(len(tokens)) * len(columns), lengths) + positions,
        "bias": np.where(real, np.float32(0), np.float32(MASKED)),
        "pool": weights.astype(np.float32),
    }


def _session(graph: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning workers would burn the core that the event loop needs between two passes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Both are for inputs of one shape. Texts have any length: then the arena keeps more memory
    # than is needed, and a pattern is stored for each new shape.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 3  # errors only: they are raised as well
    return ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
