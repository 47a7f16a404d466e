"""Fast encoding: the vector of a text is the sum of one vector a token, at unit length.

It takes a tenth of the transformer's time or less, and ignores the order of the words. How near it
comes to the transformer is measured when the table is fitted (`app.offline.encoder.distil`), and
stands in the manifest. Which requests get it is decided at admission, not here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.core.bounds import are_finite, is_plain
from app.core.errors import BundleError
from app.core.types import Mask, Matrix, TextRole
from app.engine.encoding.encoder import PackedEncoder

FAST_ENCODING_FILE: Final = "encoder/fast_encoding.safetensors"
_LEAST_NORM: Final = 1e-6  # a sum may be 0: dividing by this leaves it so


class FastEncoder:
    """The `Encoder` port over a table of token vectors, in the space of a transformer's vectors."""

    def __init__(self, whole: PackedEncoder, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Share the tokenizer of `whole`.

        `arrays`: `table` int8[tokens, dim] and `scale` float32[tokens]; the vector of a token is
        table[token] · scale[token].

        Raises:
            BundleError: the table does not fit the encoder.
        """
        self.id = f"{whole.id}-fast"
        self.dim = whole.dim
        self.centre = None  # it was fitted to vectors without it
        self._tokens, self._knows = whole.tokens, whole.knows
        if not {"table", "scale"} <= set(arrays):
            raise BundleError("the fast encoding of the bundle lacks a part")
        self._table, self._scale = arrays["table"], arrays["scale"]
        whole_table = is_plain(self._table, np.int8, whole.n_tokens, whole.dim)
        whole_scale = is_plain(self._scale, np.float32, whole.n_tokens)
        if not (whole_table and whole_scale and are_finite(self._scale)):
            raise BundleError("the fast encoding of the bundle does not fit its encoder")

    def encode(self, texts: Sequence[str], role: TextRole = "query") -> Matrix:  # noqa: ARG002
        """Return float32[len(texts), dim], rows of unit norm, in the order of texts.

        The table was fitted to texts as queries, and only queries are encoded fast.

        Raises:
            EngineError: a text is not valid Unicode.
        """
        if not texts:
            return np.empty((0, self.dim), np.float32)
        tokens = self._tokens(texts)
        starts = np.cumsum([0, *(len(each) for each in tokens[:-1])])
        ids = np.concatenate([np.asarray(each, np.int64) for each in tokens])
        rows = self._table[ids] * self._scale[ids, None]
        sums = np.add.reduceat(rows, starts, axis=0)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        vectors: Matrix = sums / np.maximum(norms, _LEAST_NORM)
        return vectors

    def knows(self, texts: Sequence[str]) -> Mask:
        """Return bool[len(texts)]: whether any token of a text is known; see the port.

        Raises:
            EngineError: a text is not valid Unicode.
        """
        return self._knows(texts)
