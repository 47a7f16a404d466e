"""Text to vectors: a padding-free sentence encoder, run by ONNX Runtime.

Here live the description of an exported encoder, the packing of uneven texts into one flat run of
tokens, and the split of a call into sub-batches. This module does not know how the graph was made
(`app.offline.export` does), which texts are queries and which are items, or who waits for them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from pydantic import TypeAdapter
from tokenizers import Tokenizer

from app.errors import BundleError, EngineError

INFO_FILE = "encoder.json"
OUTPUT = "embeddings"
PADDED_TOKENS = 1024
"""Most cells (texts x longest text) of one sub-batch. Above it the padded attention and the larger
working set cost more than the fuller matrix products gain, and scratch memory grows."""
MASKED = -1e4
"""Added to the attention score of a padded cell: its softmax weight underflows to exactly 0."""

Pooling: TypeAlias = Literal["mean", "cls"]


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """What `encoder.json` says of an exported encoder.

    Attributes:
        id: name and fingerprint; it changes with weights, tokenizer, pooling and max_tokens.
        dim: length of a vector.
        max_tokens: texts are cut to this many tokens, special ones included.
        pooling: how token vectors become one: their mean, or the first one.
        graphs: file name of the graph by the precision it computes in.
        tokenizer: file name of the tokenizer; it holds the truncation.
        weights_sha256: over names, shapes and float32 values of the source weights.
        versions: of the libraries that made the export.
    """

    id: str
    dim: int
    max_tokens: int
    pooling: Pooling
    graphs: dict[str, str]
    tokenizer: str
    weights_sha256: str
    versions: dict[str, str]


class PackedEncoder:
    """The `Encoder` port over an exported folder.

    Blocking, and meant for one thread: calls are not to overlap. Keeps no state between calls.
    """

    def __init__(self, directory: Path, threads: int) -> None:
        """Load an exported encoder.

        Args:
            directory: holds `encoder.json` and the files that it names.
            threads: threads of a matrix product, the calling one included; ≥ 1.

        Raises:
            BundleError: a file is missing, damaged or not readable by this runtime.
        """
        if threads < 1:
            raise ValueError("threads must be at least 1")
        try:
            info = TypeAdapter(EncoderInfo).validate_json((directory / INFO_FILE).read_bytes())
            self._tokenizer = Tokenizer.from_file(str(directory / info.tokenizer))
            self._session = _session(directory / info.graphs["float32"], threads)
        except Exception as error:  # the runtime and the tokenizer raise bare `Exception`s
            raise BundleError("the encoder cannot be loaded") from error
        self._pooling = info.pooling
        self.id = info.id
        self.dim = info.dim

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return float32[len(texts), dim], C-contiguous, rows of unit norm, in the order of texts.

        Raises:
            EngineError: a text is not valid Unicode, or the runtime failed.
        """
        vectors = np.empty((len(texts), self.dim), np.float32)
        try:
            # One by one: as fast for short texts as the batch call, which starts its own threads.
            tokens = [self._tokenizer.encode(text).ids for text in texts]
            for rows in sub_batches([len(ids) for ids in tokens]):
                feed = pack([tokens[row] for row in rows], self._pooling)
                vectors[rows] = self._session.run([OUTPUT], feed)[0]
        except Exception as error:  # see __init__
            raise EngineError("the texts could not be encoded") from error
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
    weights = real / lengths[:, None] if pooling == "mean" else real & (columns == 0)
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
    options.log_severity_level = 3  # errors only: they are raised as well
    return ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
