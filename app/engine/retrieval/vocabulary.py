"""Looks up one query word: which words of the vocabulary it matches, and which items have those.

It reads the arrays that `app.engine.retrieval.lexical_arrays` writes, as they are in the bundle. A
query word and a vocabulary word are similar if the Dice coefficient of their trigrams is at least
0.55. A compound is one word in one text and two neighbours in another ("flipflop", "flip flop").
`app.engine.retrieval.lexical` puts the words of a query together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.core.errors import BundleError
from app.core.types import Mask, Rows, Vector
from app.domain.columns import Arrays, StringColumn
from app.engine.kernels.matching import (
    Matches,
    Postings,
    RowNumbers,
    Trigrams,
    matching_over,
    positions_of,
)
from app.engine.kernels.topk import Piece
from app.engine.retrieval.word_cutting import stem, trigrams_of_word

MAX_FUZZY_LENGTH: Final = 32
"""Letters of a query word up to which similar words count; longer words must match exactly."""


class WordMatch:
    """The rows that a word matches, ascending, each once.

    `items`: those whose text has it, each with its best impact. `titles`: those whose title has it,
    each with its best similarity, in [0.55, 1].
    """

    __slots__ = ("items", "titles")

    def __init__(self, items: Matches, titles: Matches) -> None:
        self.items, self.titles = Piece(*items), Piece(*titles)


@dataclass(frozen=True, slots=True)
class QueryWord:
    """One query word, looked up; `idf` is its own, an unknown one has that of df 0."""

    idf: float
    matched: WordMatch


class ItemWords:
    """Which words stand in which item: titles in order, and postings of whole texts."""

    def __init__(self, arrays: Arrays) -> None:
        self._titles, self._title_words = _csr(arrays, "title", "words", np.int32)
        offsets, rows = _csr(arrays, "posting", "rows", np.int32)
        impacts: Vector = _part(arrays, "posting/impacts", np.float32, len(rows))
        self.postings = Postings(offsets, rows, impacts, self._titled(offsets, rows))

    def __len__(self) -> int:
        return len(self._titles) - 1

    def _titled(self, offsets: Rows, posted: RowNumbers) -> npt.NDArray[np.bool_]:
        """Return for each posting whether the title has the word, not only the text.

        Otherwise thousands of titles would have to be read for a new word of a query.
        """
        n = len(self)
        words = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        # Ascending: postings go by word, and by row within a word.
        pairs = words * n + posted
        rows = np.repeat(np.arange(n), np.diff(self._titles))
        # Sorted, because a search for ascending pairs reads the memory in order.
        in_titles = np.sort(self._title_words * np.int64(n) + rows)
        positions = np.searchsorted(pairs, in_titles)
        if not np.array_equal(pairs[positions[positions < len(pairs)]], in_titles):
            raise BundleError("the lexical index of the bundle has titles that its postings lack")
        titled = np.zeros(len(pairs), np.bool_)
        titled[positions] = True
        return titled

    def rows_with(self, words: Sequence[int]) -> Rows:
        """Return int64[m], ascending: the rows whose text has all of these words."""
        posted = self.postings
        starts, ends = posted.offsets[list(words)], posted.offsets[[word + 1 for word in words]]
        # The rarest word first: what is left can only get shorter.
        first, *rest = np.argsort(ends - starts, kind="stable").tolist()
        rows = posted.rows[starts[first] : ends[first]]
        for word in rest:
            others = posted.rows[starts[word] : ends[word]]
            at = np.minimum(np.searchsorted(others, rows), len(others) - 1)
            rows = rows[others[at] == rows]
        return rows.astype(np.int64)

    def with_title(self, words: Sequence[int], rows: Rows) -> Mask:
        """Return bool[r]: which of int64[r] rows have these words as their title, in any order."""
        matches = np.zeros(len(rows), np.bool_)
        starts, ends = self._titles.take(rows), self._titles.take(rows + 1)
        ordered = sorted(words)
        for position in np.flatnonzero(ends - starts == len(ordered)).tolist():
            title = self._title_words[starts[position] : ends[position]]
            matches[position] = np.sort(title).tolist() == ordered
        return matches

    def next_to(self, left: int, right: int) -> WordMatch:
        """Return the rows whose title has both words next to each other: similarity 1.

        The impact of such a row is the sum of the impacts of both words.
        """
        posted = self.postings
        first, second = (slice(*posted.offsets[w : w + 2].tolist()) for w in (left, right))
        both = np.intersect1d(posted.rows[first], posted.rows[second], assume_unique=True)
        positions, bounds = positions_of(self._titles, both)
        owners = np.repeat(np.arange(len(both)), np.diff(bounds))
        words = self._title_words[positions]
        adjacent = (words[:-1] == left) & (words[1:] == right) & (owners[:-1] == owners[1:])
        rows = both[np.unique(owners[:-1][adjacent])]
        at_left, at_right = (np.searchsorted(posted.rows[p], rows) for p in (first, second))
        impacts = posted.impacts[first][at_left] + posted.impacts[second][at_right]
        return WordMatch((rows, impacts), (rows, np.ones(len(rows), np.float32)))


class Vocabulary:
    """Query words to vocabulary words."""

    def __init__(self, arrays: Arrays, items: ItemWords) -> None:
        """Take the arrays of words, and the items, whose postings are those of these words.

        Raises:
            BundleError: the parts do not fit together.
        """
        self._items = items
        parts = {name.removeprefix("word/"): part for name, part in arrays.items()}
        words = StringColumn(parts)  # it reads the parts it knows
        n = len(words)
        # A dictionary of objects: a new word looks up dozens, one for each way to cut it in two.
        self._numbers = {words.raw(number): number for number in range(n)}
        self._idf: Vector = _part(arrays, "idf", np.float32, n)
        self._unknown_idf = float(np.log(1 + (len(items) + 0.5) / 0.5))
        lists, members = _csr(arrays, "trigram", "words", np.int32)
        codes: Rows = _part(arrays, "trigram/codes", np.int64, len(lists) - 1)
        counts = _part(arrays, "trigram/counts", np.int32, n)
        if len(items.postings.offsets) != n + 1:
            raise BundleError("the lexical index of the bundle has the postings of another one")
        self._matching = matching_over(items.postings, Trigrams(codes, lists, members, counts))

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, word: str) -> int:
        """Return the number of a word in the vocabulary, −1 if it is not there."""
        return self._numbers.get(word.encode(), -1)

    def idf(self, word: str) -> float:
        """Return the idf of a word; an unknown one has that of df 0."""
        number = self.number(word)
        return float(self._idf[number]) if number >= 0 else self._unknown_idf

    def look_up(self, word: str) -> QueryWord:
        """Return what a query word matches: itself, similar words, and pairs that it joins."""
        number = self._numbers.get(word.encode(), -1)
        idf = float(self._idf[number]) if number >= 0 else self._unknown_idf
        if len(word) > MAX_FUZZY_LENGTH:
            return QueryWord(idf, self._exactly(number, 1.0))
        similar = self._matching.similar_words(trigrams_of_word(word))
        matched = WordMatch(*self._matching.match(*similar))
        cuts = range(1, len(word)) if len(word) > 5 else ()  # shorter ones join by chance
        for cut in cuts:
            right = self._numbers.get(word[cut:].encode(), -1)
            # Vocabulary words are stems: "christmaslight" is joined of "christma" and "light".
            lefts = {word[:cut], stem(word[:cut])} if right >= 0 else ()
            for left in sorted(map(self.number, lefts)):
                if left >= 0:
                    matched = self.either(matched, self._items.next_to(left, right))
        return QueryWord(idf, matched)

    def either(self, one: WordMatch, other: WordMatch) -> WordMatch:
        """Return the rows that one of two words matches, with the better value of both."""
        return WordMatch(
            self._matching.merge(_rows_and_values(one.items), _rows_and_values(other.items)),
            self._matching.merge(_rows_and_values(one.titles), _rows_and_values(other.titles)),
        )

    def join(self, word: str) -> WordMatch | None:
        """Return what two query words written as one word match; None if it is no word.

        Each of the two query words gets half of the impact.
        """
        number = self.number(word)
        return self._exactly(number, 0.5) if number >= 0 else None

    def _exactly(self, number: int, factor: float) -> WordMatch:
        numbers = np.array([number] if number >= 0 else [], dtype=np.int64)
        (rows, impacts), titles = self._matching.match(numbers, np.ones(len(numbers), np.float32))
        return WordMatch((rows, impacts * np.float32(factor)), titles)


def _rows_and_values(piece: Piece) -> Matches:
    assert piece.values is not None  # noqa: S101 - a piece of a word has values
    return piece.rows, piece.values


def _csr(
    arrays: Arrays, name: str, values: str, dtype: type[np.generic]
) -> tuple[Rows, npt.NDArray[Any]]:
    offsets = _part(arrays, f"{name}/offsets", np.int64)
    # Even an index without pieces has one offset.
    length = int(offsets[-1]) if len(offsets) else -1
    return offsets, _part(arrays, f"{name}/{values}", dtype, length)


def _part(
    arrays: Arrays, name: str, dtype: type[np.generic], length: int | None = None
) -> npt.NDArray[Any]:
    array = arrays.get(name, np.empty(0, np.void))
    if array.dtype != dtype or array.ndim != 1 or length not in (None, len(array)):
        raise BundleError(f"the lexical index of the bundle lacks a sound part {name!r}")
    return array
