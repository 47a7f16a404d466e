"""What words match, over flat arrays: words that are spelt alike, and the rows that hold them.

Which words a query means, and what a match is worth, `app.engine.vocabulary` decides.
"""

from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from app.types import Rows, Vector

LEAST_SIMILARITY: Final = 0.55
MAX_SIMILAR: Final = 64
"""Vocabulary words that one query word may stand for, the most similar ones."""

RowNumbers: TypeAlias = npt.NDArray[np.int32]
"""Rows as they lie in the bundle: half as much to remember."""

Found: TypeAlias = tuple[RowNumbers, Vector]
"""int32[m] rows, ascending, each once, and float32[m], a value of each."""


@dataclass(frozen=True, slots=True)
class Postings:
    """Which rows hold each of V words: word w has places offsets[w] … offsets[w + 1].

    offsets: int64[V + 1]; rows: int32, ascending within a word; impacts: float32; titled: bool,
    whether the title holds the word, not only the text.
    """

    offsets: Rows
    rows: RowNumbers
    impacts: Vector
    titled: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Trigrams:
    """Which of V words hold each of G trigrams.

    codes: int64[G], ascending; offsets: int64[G + 1] into words: int32, ascending within a trigram;
    counts: int32[V], distinct trigrams of each word.
    """

    codes: Rows
    offsets: Rows
    words: RowNumbers
    counts: npt.NDArray[np.int32]


class Matching(Protocol):
    """Matches over the arrays of one index. Not for several threads at once."""

    def similar(self, codes: Rows) -> tuple[Rows, Vector]:
        """Return the words most similar to one with these trigrams, and how similar they are.

        That is int64[s] words, best first and then in their order, s ≤ MAX_SIMILAR, and float32[s],
        their Dice coefficients of trigrams, from LEAST_SIMILARITY on. `codes`: int64, ascending.
        """
        ...

    def matched(self, words: Rows, worth: Vector) -> tuple[Found, Found]:
        """Return the rows that hold any of the words, and those whose title does.

        The best of the words counts: by impact times its worth, in titles by its worth.
        """
        ...

    def either(self, one: Found, other: Found) -> Found:
        """Return the rows of both, with the higher value."""
        ...


class NumpyMatching:
    """The port in numpy."""

    def __init__(self, postings: Postings, trigrams: Trigrams) -> None:
        """Take the arrays; none is copied."""
        self._postings, self._trigrams = postings, trigrams

    def similar(self, codes: Rows) -> tuple[Rows, Vector]:
        """See `Matching`."""
        index = self._trigrams
        lists = np.searchsorted(index.codes, codes)
        # A code that the index lacks lands on its successor, or behind the last one.
        known = index.codes.take(lists, mode="clip") == codes if len(index.codes) else []
        shared = np.bincount(index.words[places_of(index.offsets, lists[known])[0]])
        found = np.flatnonzero(shared)
        dice = 2 * shared[found] / (index.counts[found] + len(codes))
        close = dice >= LEAST_SIMILARITY
        found, dice = found[close], dice[close]
        best = np.argsort(-dice, kind="stable")[:MAX_SIMILAR]
        return found[best], dice[best].astype(np.float32)

    def matched(self, words: Rows, worth: Vector) -> tuple[Found, Found]:
        """See `Matching`."""
        postings = self._postings
        places, bounds = places_of(postings.offsets, words)
        worths = np.repeat(worth, np.diff(bounds))
        rows, impacts = postings.rows.take(places), postings.impacts.take(places) * worths
        titled = np.flatnonzero(postings.titled.take(places))
        titles, worths = rows.take(titled), worths.take(titled)
        if len(words) > 1:
            return _best(rows, impacts), _best(titles, worths)
        return (rows, impacts), (titles, worths)

    def either(self, one: Found, other: Found) -> Found:
        """See `Matching`."""
        rows, values = (np.concatenate(each) for each in zip(one, other, strict=True))
        return _best(rows, values)


def places_of(offsets: Rows, pieces: Rows | RowNumbers) -> tuple[Rows, Rows]:
    """Return (int64[t] places, piece by piece, int64[p + 1] where each begins and ends).

    Piece i is places offsets[i] … offsets[i + 1] of a flat array.
    """
    starts = offsets.take(pieces)
    lengths = offsets.take(pieces + 1) - starts
    bounds = np.zeros(len(pieces) + 1, np.int64)
    np.cumsum(lengths, out=bounds[1:])
    places = np.repeat(starts - bounds[:-1], lengths)
    places += np.arange(len(places))
    return places, bounds


def _best(rows: RowNumbers, values: Vector) -> Found:
    """Return each row once, ascending, and the highest of its values."""
    if not len(rows):
        return np.empty(0, np.int32), np.empty(0, np.float32)
    order = rows.argsort(kind="stable")
    ordered = rows.take(order)
    new = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    starts = new.nonzero()[0]
    return ordered.take(starts), np.maximum.reduceat(values.take(order), starts)
