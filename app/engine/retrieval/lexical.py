"""Search by words: BM25 that forgives typos, and how much of a query a title covers.

What a query word matches is looked up, and remembered, by `app.engine.retrieval.vocabulary`; here
the words of a query come together, and two of them may be one compound of an item. This module does
not know what a good answer is: how its scores enter the order is decided elsewhere.
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
from app.engine.retrieval.lexicon import MAX_TITLE_WORDS
from app.engine.retrieval.vocabulary import Items, Matched, Vocabulary, Word
from app.engine.retrieval.word_cutting import query_words, words_of

MAX_QUERY_WORDS: Final = 32
"""Words of a query that are read; bounds the time of a request, whatever is pasted in."""

MOST_REMEMBERED: Final = 16_384
MOST_REMEMBERED_ROWS: Final = 200_000_000
"""Words looked up, and rows they would match if each matched everything; most match few."""

_QUERIES: Final = 256
"""Queries remembered, from the search to the scores of a batch."""


@dataclass(frozen=True, slots=True)
class _Query:
    """What each of m words matches, and float32[m] its part of the query, by idf; the sum is 1."""

    matched: tuple[Matched, ...]
    weights: Vector


class Words(Protocol):
    """The words of n items: what those of a query match, as sums over rows."""

    def items(self, query: str) -> list[WeightedScores]:
        """Return what adds up to how well each item matches the words of a query.

        BM25 over the words. A similar word counts with its impact times its similarity, a compound
        as if the query were spelled like the item; of all that one query word matches in an item
        only the best counts.
        """
        ...

    def titles(self, query: str) -> list[WeightedScores]:
        """Return what adds up to how much of a query each title holds, in [0, 1] but for rounding.

        The mean of how well each query word is matched by the best word of the title, weighted by
        idf: 1 for the word itself or a compound of it, its similarity for a similar word, else 0.
        """
        ...

    def with_title(self, query: str, rows: Rows) -> Mask:
        """Return bool[r]: which of int64[r] rows have the words of the query as their title.

        The order of the words does not count: "Matrix, The" is "the matrix".
        """
        ...


class WordIndex:
    """The lexical index of a bundle. Searched by one thread at a time; `idf` by any."""

    def __init__(self, arrays: Arrays, cache_size: int = MOST_REMEMBERED) -> None:
        """Take the arrays of `words.safetensors`; none is copied.

        Args:
            arrays: as `app.engine.retrieval.lexicon.lexicon_arrays` returns them.
            cache_size: query words (and pairs of them) whose matches are remembered; fewer in a
                catalogue in which one word may match millions of rows.

        Raises:
            BundleError: arrays are missing, of another type, or disagree in length.
        """
        items = Items(arrays)
        vocabulary = Vocabulary(arrays, items)
        self._index, self._number = items, vocabulary.number
        self._n_items = len(items)
        self._n_postings = len(items.postings.rows)
        self.idf = vocabulary.idf
        cache_size = min(cache_size, max(MOST_REMEMBERED_ROWS // max(self._n_items, 1), 64))
        # Around methods of the vocabulary, not of ours: a cache that holds its owner never dies.
        self._look_up = lru_cache(cache_size)(vocabulary.look_up)
        self._join = lru_cache(cache_size)(vocabulary.join)
        self._read = lru_cache(_QUERIES)(
            partial(_read, self._look_up, self._join, vocabulary.either)
        )

    def __len__(self) -> int:
        """Return the number of items."""
        return self._n_items

    def items(self, query: str) -> list[WeightedScores]:
        """See `Words`."""
        return [(matched.items, 1.0) for matched in self._read(query).matched]

    def titles(self, query: str) -> list[WeightedScores]:
        """See `Words`."""
        return self.titles_by(query, self.weights(query))

    def with_title(self, query: str, rows: Rows) -> Mask:
        """See `Words`."""
        words = list(map(self._number, words_of(query)[:MAX_TITLE_WORDS]))
        if not words or min(words) < 0:
            return np.zeros(len(rows), np.bool_)
        return self._index.with_title(words, rows)

    @property
    def words_per_item(self) -> float:
        """Return how many distinct words an item has, in the mean."""
        return self._n_postings / max(self._n_items, 1)

    def weights(self, query: str) -> Vector:
        """Return float32[m]: the part of each word in the query, by idf; the sum is 1."""
        return self._read(query).weights

    def titles_by(self, query: str, weights: Vector) -> list[WeightedScores]:
        """Return `titles` by other weights of the words of the query than those of this index."""
        matched = self._read(query).matched
        return [(each.titles, part) for each, part in zip(matched, weights.tolist(), strict=True)]


def _read(
    look_up: Callable[[str], Word],
    join: Callable[[str], Matched | None],
    either: Callable[[Matched, Matched], Matched],
    query: str,
) -> _Query:
    texts = query_words(query)[:MAX_QUERY_WORDS]
    words = [look_up(text) for text in texts]
    matched = [word.matched for word in words]
    for place, pair in enumerate(pairwise(texts)):
        if (joined := join("".join(pair))) is not None:
            for each in (place, place + 1):
                matched[each] = either(matched[each], joined)
    weights = np.array([word.idf for word in words], dtype=np.float32)
    return _Query(tuple(matched), weights / weights.sum())
