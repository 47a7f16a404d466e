"""Search by words: BM25 that forgives typos, and how much of a query a title covers.

`app.engine.retrieval.vocabulary` looks up what one query word matches. This module remembers that,
and puts the words of a query together; two of them may be one compound word of an item. How the
scores enter the order of an answer is decided elsewhere (`app.engine.scoring.blend`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from typing import Final, Protocol

import numpy as np

from app.core.types import Mask, Rows, Vector
from app.domain.columns import Arrays
from app.engine.kernels.topk import WeightedScores
from app.engine.retrieval.lexical_arrays import MAX_TITLE_WORDS
from app.engine.retrieval.vocabulary import ItemWords, QueryWord, Vocabulary, WordMatch
from app.engine.retrieval.word_cutting import query_words, words_of

MAX_QUERY_WORDS: Final = 32
"""Words of a query that are read; this bounds the time of a request."""

MOST_REMEMBERED: Final = 16_384
MOST_REMEMBERED_ROWS: Final = 200_000_000
"""Bounds of the cache: words, and words times items, as if each word matched every item."""

_QUERIES: Final = 256
"""Queries remembered: a pass reads each once to search and once to score."""


@dataclass(frozen=True, slots=True)
class _QueryMatch:
    """What each of m words matches, and float32[m] its part of the query, by idf; the sum is 1."""

    words: tuple[WordMatch, ...]
    weights: Vector


class LexicalSearch(Protocol):
    """Searches the words of n items; scores are sums over rows."""

    def items(self, query: str) -> list[WeightedScores]:
        """Return pieces whose sum is how well each item matches the words of a query.

        BM25 over the words. A similar word counts with its impact times its similarity, a compound
        as if the query were spelled like the item. Where one query word matches several words of an
        item, only the best counts.
        """
        ...

    def titles(self, query: str) -> list[WeightedScores]:
        """Return pieces whose sum is how much of a query each title covers, in [0, 1].

        The mean of how well each query word is matched by the best word of the title, weighted by
        idf: 1 for the word itself or a compound of it, its similarity for a similar word, else 0.
        """
        ...

    def rows_with(self, query: str) -> Rows:
        """Return int64[m], ascending: the rows whose text has all words of a query, spelled so.

        Stop words do not count, unless there are no others. Without words: none.
        """
        ...

    def with_title(self, query: str, rows: Rows) -> Mask:
        """Return bool[r]: which of int64[r] rows have the words of the query as their title.

        The order of the words does not count: "Matrix, The" is "the matrix".
        """
        ...


class LexicalIndex:
    """The lexical index of a bundle. Searched by one thread at a time; `idf` by any."""

    def __init__(self, arrays: Arrays, cache_size: int = MOST_REMEMBERED) -> None:
        """Take the arrays of `words.safetensors`; none is copied.

        Args:
            arrays: as `app.engine.retrieval.lexical_arrays.lexical_arrays` returns them.
            cache_size: query words (and pairs of them) whose matches are remembered; fewer in a
                large catalogue, where one word may match millions of rows.

        Raises:
            BundleError: arrays are missing, of another type, or disagree in length.
        """
        items = ItemWords(arrays)
        vocabulary = Vocabulary(arrays, items)
        self._items, self._number = items, vocabulary.number
        self._n_items = len(items)
        self._n_postings = len(items.postings.rows)
        self.idf = vocabulary.idf
        cache_size = min(cache_size, max(MOST_REMEMBERED_ROWS // max(self._n_items, 1), 64))
        # Around methods of the vocabulary, not of this class: an object whose own cache refers to
        # it is never freed.
        self._look_up = lru_cache(cache_size)(vocabulary.look_up)
        self._join = lru_cache(cache_size)(vocabulary.join)
        self._read = lru_cache(_QUERIES)(
            partial(_read, self._look_up, self._join, vocabulary.either)
        )

    def __len__(self) -> int:
        """Return the number of items."""
        return self._n_items

    def items(self, query: str) -> list[WeightedScores]:
        """See `LexicalSearch`."""
        return [(word.items, 1.0) for word in self._read(query).words]

    def titles(self, query: str) -> list[WeightedScores]:
        """See `LexicalSearch`."""
        read = self._read(query)
        return [
            (word.titles, part)
            for word, part in zip(read.words, read.weights.tolist(), strict=True)
        ]

    def rows_with(self, query: str) -> Rows:
        """See `LexicalSearch`."""
        words = list(map(self._number, dict.fromkeys(query_words(query)[:MAX_QUERY_WORDS])))
        if not words or min(words) < 0:
            return np.empty(0, np.int64)
        return self._items.rows_with(words)

    def with_title(self, query: str, rows: Rows) -> Mask:
        """See `LexicalSearch`."""
        words = list(map(self._number, words_of(query)[:MAX_TITLE_WORDS]))
        if not words or min(words) < 0:
            return np.zeros(len(rows), np.bool_)
        return self._items.with_title(words, rows)

    @property
    def words_per_item(self) -> float:
        """Return the mean number of distinct words of an item."""
        return self._n_postings / max(self._n_items, 1)

    def weights(self, query: str) -> Vector:
        """Return float32[m]: the part of each word in the query, by idf; the sum is 1."""
        return self._read(query).weights

    def titles_by(self, query: str, weights: Vector) -> list[WeightedScores]:
        """Return `titles`, with other weights of the query words than those of this index."""
        words = self._read(query).words
        return [(word.titles, part) for word, part in zip(words, weights.tolist(), strict=True)]


def _read(
    look_up: Callable[[str], QueryWord],
    join: Callable[[str], WordMatch | None],
    either: Callable[[WordMatch, WordMatch], WordMatch],
    query: str,
) -> _QueryMatch:
    texts = query_words(query)[:MAX_QUERY_WORDS]
    words = [look_up(text) for text in texts]
    matches = [word.matched for word in words]
    for position, pair in enumerate(pairwise(texts)):
        if (compound := join("".join(pair))) is not None:
            for each in (position, position + 1):
                matches[each] = either(matches[each], compound)
    weights = np.array([word.idf for word in words], dtype=np.float32)
    return _QueryMatch(tuple(matches), weights / weights.sum())
