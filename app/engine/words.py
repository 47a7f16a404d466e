"""Search by words: BM25 that forgives typos, and how much of a query a title covers.

What a query word matches is looked up, and remembered, by `app.engine.vocabulary`; here the words
of a query come together, and two of them may be one compound of an item. This module does not know
what a good answer is: how its scores enter the order is decided elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from typing import Final, Protocol

import numpy as np

from app.columns import Arrays
from app.engine.attributes import Mask
from app.engine.vocabulary import Items, Matched, Vocabulary, Word
from app.errors import BundleError
from app.types import Rows, Vector
from app.words import query_words

MAX_QUERY_WORDS: Final = 32
"""Words of a query that are read; bounds the time of a request, whatever is pasted in."""

MOST_REMEMBERED: Final = 16_384
MOST_REMEMBERED_ROWS: Final = 200_000_000
"""Words looked up, and rows they would match if each matched everything; most match few."""

_FEW_MATCH: Final = 100
"""Where less than one in so many rows matches, scores are summed over those alone: a number for
each row of a million takes longer to clear and to look through than to find the few.
"""

_QUERIES: Final = 256
"""Queries remembered, from the search to the scores of a batch."""

_NO_ROWS: Rows = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class _Query:
    """What each of m words matches, and float32[m] its part of the query, by idf; the sum is 1."""

    matched: tuple[Matched, ...]
    weights: Vector


class Words(Protocol):
    """Search by the words of n items."""

    def search(
        self, query: str, size: int, hidden: Rows = _NO_ROWS, blocked: Mask | None = None
    ) -> tuple[Rows, Vector]:
        """Return the rows that match the words of a query best; see `WordIndex`."""
        ...

    def coverage(self, query: str, rows: Rows) -> Vector:
        """Return how much of a query the titles of the rows hold; see `WordIndex`."""
        ...


class WordIndex:
    """The lexical index of a bundle; pure, so safe to share between threads."""

    def __init__(self, arrays: Arrays, cache_size: int = MOST_REMEMBERED) -> None:
        """Take the arrays of `words.safetensors`; none is copied.

        Args:
            arrays: as `app.lexicon.lexicon_arrays` returns them.
            cache_size: query words (and pairs of them) whose matches are remembered; fewer in a
                catalogue in which one word may match millions of rows.

        Raises:
            BundleError: arrays are missing, of another type, or disagree in length.
        """
        items = Items(arrays)
        vocabulary = Vocabulary(arrays, items)
        if len(items.postings) != len(vocabulary):
            raise BundleError("the lexical index of the bundle has the postings of another one")
        self._n_items = len(items.titles)
        self._n_postings = items.n_postings
        self.idf = vocabulary.idf
        cache_size = min(cache_size, max(MOST_REMEMBERED_ROWS // max(self._n_items, 1), 64))
        # Around methods of the vocabulary, not of ours: a cache that holds its owner never dies.
        self._look_up = lru_cache(cache_size)(vocabulary.look_up)
        self._join = lru_cache(cache_size)(vocabulary.join)
        self._read = lru_cache(_QUERIES)(partial(_read, self._look_up, self._join))

    def __len__(self) -> int:
        """Return the number of items."""
        return self._n_items

    def search(
        self, query: str, size: int, hidden: Rows = _NO_ROWS, blocked: Mask | None = None
    ) -> tuple[Rows, Vector]:
        """Return (int64[n] rows, float32[n] scores > 0), n ≤ `size`, best first, then by row.

        The score is BM25 over the words of the query. A similar word counts with its impact times
        its similarity, a compound as if the query were spelled like the item; of all that one
        query word matches in an item only the best counts. Items that match nothing are left out,
        and so are the hidden and (bool[n]) blocked ones.
        """
        return highest_words(*self.impacts(query), size, hidden, blocked)

    def coverage(self, query: str, rows: Rows) -> Vector:
        """Return float32[len(rows)] in [0, 1]: how much of the query the titles of the rows hold.

        The mean of how well each query word is matched by the best word of the title, weighted by
        idf: 1 for the word itself or a compound of it, its similarity for a similar word, else 0.

        Args:
            query: any text; without words everything is 0.
            rows: int64[n], each 0 … len − 1, in any order, repeats allowed.
        """
        covered = np.zeros(len(self), dtype=np.float32)
        self.add_coverage(query, self.weights(query), covered)
        return np.minimum(covered.take(rows), 1.0)

    @property
    def words_per_item(self) -> float:
        """Return how many distinct words an item has, in the mean."""
        return self._n_postings / max(self._n_items, 1)

    def weights(self, query: str) -> Vector:
        """Return float32[m]: the part of each word in the query, by idf; the sum is 1."""
        return self._read(query).weights

    def impacts(self, query: str) -> tuple[Rows, Vector]:
        """Return (int64[m] rows, ascending, float32[m]): all that match, and their scores."""
        words = self._read(query).matched
        found = np.concatenate([_NO_ROWS, *(matched.rows for matched in words)])
        if len(found) * _FEW_MATCH < len(self):
            rows = _distinct(found)
            total = np.zeros(len(rows), np.float32)
            for matched in words:
                total[rows.searchsorted(matched.rows)] += matched.impacts
            return rows, total
        total = np.zeros(len(self), np.float32)
        for matched in words:
            total[matched.rows] += matched.impacts
        rows = np.flatnonzero(total > 0)  # of booleans: several times faster
        return rows, total.take(rows)

    def add_coverage(self, query: str, weights: Vector, covered: Vector) -> None:
        """Add to float32[≥ len] how much of the query titles hold, by the weights of its words."""
        for matched, weight in zip(self._read(query).matched, weights, strict=True):
            covered[matched.titles] += weight * matched.worth


def highest_words(
    rows: Rows, scores: Vector, size: int, hidden: Rows = _NO_ROWS, blocked: Mask | None = None
) -> tuple[Rows, Vector]:
    """Return (int64[n] rows, float32[n] scores), n ≤ `size`, best first, then by row.

    `rows`: ascending; those that are hidden or (bool[≥ any row]) blocked are left out.
    """
    if hidden.size or blocked is not None:
        keep = ~np.isin(rows, hidden)
        if blocked is not None:
            keep &= ~blocked.take(rows)
        rows, scores = rows[keep], scores[keep]
    if len(rows) > size > 0:
        edge = len(rows) - size
        keep = scores >= np.partition(scores, edge)[edge]
        rows, scores = rows[keep], scores[keep]
    order = np.argsort(-scores, kind="stable")[:size]
    return rows.take(order), scores.take(order)


def _distinct(rows: Rows) -> Rows:
    """Return the rows ascending, each once. Sorts them in place."""
    rows.sort()
    new = np.ones(len(rows), np.bool_)
    np.not_equal(rows[1:], rows[:-1], out=new[1:])
    return rows[new]


def _read(
    look_up: Callable[[str], Word], join: Callable[[str], Matched | None], query: str
) -> _Query:
    texts = query_words(query)[:MAX_QUERY_WORDS]
    words = [look_up(text) for text in texts]
    matched = [word.matched for word in words]
    for place, pair in enumerate(pairwise(texts)):
        if (joined := join("".join(pair))) is not None:
            matched[place] = matched[place].or_(joined)
            matched[place + 1] = matched[place + 1].or_(joined)
    weights = np.array([word.idf for word in words], dtype=np.float32)
    return _Query(tuple(matched), weights / weights.sum())
