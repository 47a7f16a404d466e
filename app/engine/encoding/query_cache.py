"""A cache of query vectors: the same query with another user or filter is not encoded again."""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from app.core.errors import EngineError
from app.core.ports import Encoder
from app.core.types import Vector
from app.engine.encoding.text_vectors import text_vectors

MOST: Final = 4096
"""Queries remembered: 6 MB of vectors of 384 dimensions."""

_log = logging.getLogger(__name__)


class RememberedQueries:
    """The newest `most` queries with their vectors. One thread at a time uses it."""

    def __init__(self, encoder: Encoder, most: int) -> None:
        """Ask `encoder` for what is not remembered."""
        self._encoder, self._most = encoder, most
        self._vectors: OrderedDict[str, Vector] = OrderedDict()

    def __len__(self) -> int:
        return len(self._vectors)

    def __contains__(self, query: str) -> bool:
        return query in self._vectors

    def encode(self, queries: Sequence[str]) -> list[Vector]:
        """Return float32[dim] for each of some distinct queries; see `text_vectors`.

        Raises:
            EngineError: the encoder failed.
        """
        fresh = [query for query in queries if query not in self._vectors]
        # Copies: a view of one row would keep the whole batch.
        new: dict[str, Vector] = {}
        if fresh:
            new = dict(zip(fresh, text_vectors(fresh, self._encoder, "query"), strict=True))
        vectors = [new[q] if q in new else self._vectors[q] for q in queries]
        for query, vector in zip(queries, vectors, strict=True):
            self._vectors[query] = vector.copy() if query in new else vector
            self._vectors.move_to_end(query)
        while len(self._vectors) > self._most:
            self._vectors.popitem(last=False)
        return vectors

    def encode_each(self, queries: Sequence[str]) -> dict[str, Vector]:
        """Return float32[dim] of each of some distinct queries; without those that fail alone."""
        try:
            return dict(zip(queries, self.encode(queries), strict=True))
        except EngineError:
            if len(queries) > 1:  # one of them may be at fault
                return {q: v for each in queries for q, v in self.encode_each([each]).items()}
            _log.exception("a query could not be encoded: answering by its words")
            return {}
