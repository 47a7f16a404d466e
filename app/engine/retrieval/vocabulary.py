"""Query words to what they match: vocabulary words, the items that hold them, and their titles.

It reads the arrays that `app.engine.retrieval.lexicon` writes, as they lie in the bundle. A
vocabulary word is similar to a query word from a Dice coefficient of their trigrams of 0.55 on. A
compound is one word here and two neighbours there ("flipflop", "flip flop"). This module does not
know how the words of a query come together; see `app.engine.retrieval.lexical`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.core.errors import BundleError
from app.core.types import Rows, Vector
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
"""Letters of a query word; longer ones are noise, and count only where they stand exactly so."""


class Matched:
    """What a word matches: rows ascending, each once.

    `items`: whose text holds it, by the best impact in each; `titles`: those whose title does, by
    how well, in [0.55, 1].
    """

    __slots__ = ("items", "titles")

    def __init__(self, items: Matches, titles: Matches) -> None:
        self.items, self.titles = Piece(*items), Piece(*titles)


@dataclass(frozen=True, slots=True)
class Word:
    """One query word, looked up; `idf` is its own, an unknown one has that of df 0."""

    idf: float
    matched: Matched


class Items:
    """Which words stand in which item: titles in order, and postings of whole texts."""

    def __init__(self, arrays: Arrays) -> None:
        self._titles, self._title_words = _csr(arrays, "title", "words", np.int32)
        offsets, rows = _csr(arrays, "posting", "rows", np.int32)
        impacts: Vector = _part(arrays, "posting/impacts", np.float32, len(rows))
        self.postings = Postings(offsets, rows, impacts, self._titled(offsets, rows))

    def __len__(self) -> int:
        return len(self._titles) - 1

    def _titled(self, offsets: Rows, posted: RowNumbers) -> npt.NDArray[np.bool_]:
        """Return for each posting whether the title holds the word, not only the text.

        Else titles would have to be read for each new word of a query, which may stand in
        thousands of them, all over the memory.
        """
        n = len(self)
        words = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        # Ascending: postings go by word, and by row within a word.
        pairs = words * n + posted
        rows = np.repeat(np.arange(n), np.diff(self._titles))
        wanted = np.sort(self._title_words * np.int64(n) + rows)  # sorted, it is a walk: faster
        places = np.searchsorted(pairs, wanted)
        if not np.array_equal(pairs[places[places < len(pairs)]], wanted):
            raise BundleError("the lexical index of the bundle has titles that its postings lack")
        found = np.zeros(len(pairs), np.bool_)
        found[places] = True
        return found

    def with_title(self, words: Sequence[int], rows: Rows) -> npt.NDArray[np.bool_]:
        """Return bool[r]: which of int64[r] rows have these words as their title, in any order."""
        found = np.zeros(len(rows), np.bool_)
        starts, ends = self._titles.take(rows), self._titles.take(rows + 1)
        wanted = sorted(words)
        for place in np.flatnonzero(ends - starts == len(wanted)).tolist():
            title = self._title_words[starts[place] : ends[place]]
            found[place] = np.sort(title).tolist() == wanted
        return found

    def next_to(self, left: int, right: int) -> Matched:
        """Return the rows whose title has the words next to each other: worth 1, both impacts."""
        posted = self.postings
        first, second = (slice(*posted.offsets[w : w + 2].tolist()) for w in (left, right))
        both = np.intersect1d(posted.rows[first], posted.rows[second], assume_unique=True)
        places, bounds = positions_of(self._titles, both)
        owners = np.repeat(np.arange(len(both)), np.diff(bounds))
        words = self._title_words[places]
        here = (words[:-1] == left) & (words[1:] == right) & (owners[:-1] == owners[1:])
        rows = both[np.unique(owners[:-1][here])]
        at_left, at_right = (np.searchsorted(posted.rows[p], rows) for p in (first, second))
        impacts = posted.impacts[first][at_left] + posted.impacts[second][at_right]
        return Matched((rows, impacts), (rows, np.ones(len(rows), np.float32)))


class Vocabulary:
    """Query words to vocabulary words."""

    def __init__(self, arrays: Arrays, items: Items) -> None:
        """Take the arrays of words, and the items, whose postings are those of these words.

        Raises:
            BundleError: the parts do not fit together.
        """
        self._items = items
        parts = {name.removeprefix("word/"): part for name, part in arrays.items()}
        words = StringColumn(parts)  # it takes those of its own
        n = len(words)
        # Objects, for once: a word that is new asks for dozens, each way to cut it in two.
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
        """Return the place of a word in the vocabulary, −1 if it is not there."""
        return self._numbers.get(word.encode(), -1)

    def idf(self, word: str) -> float:
        """Return the idf of a word; an unknown one has that of df 0."""
        number = self.number(word)
        return float(self._idf[number]) if number >= 0 else self._unknown_idf

    def look_up(self, word: str) -> Word:
        """Return what a query word matches: itself, similar words, and pairs it is joined of."""
        number, idf = self.number(word), self.idf(word)
        if len(word) > MAX_FUZZY_LENGTH:
            return Word(idf, self._exactly(number, 1.0))
        similar = self._matching.similar_words(trigrams_of_word(word))
        matched = Matched(*self._matching.match(*similar))
        for split in self._splits(word):
            matched = self.either(matched, split)
        return Word(idf, matched)

    def either(self, one: Matched, other: Matched) -> Matched:
        """Return what either of two words matches, the better one of both."""
        return Matched(
            self._matching.merge(_found(one.items), _found(other.items)),
            self._matching.merge(_found(one.titles), _found(other.titles)),
        )

    def join(self, word: str) -> Matched | None:
        """Return what a word of two query words joined matches; None if it is no word.

        Its impact is worth that much to the pair, so half to each of the two.
        """
        number = self.number(word)
        return self._exactly(number, 0.5) if number >= 0 else None

    def _exactly(self, number: int, factor: float) -> Matched:
        numbers = np.array([number] if number >= 0 else [], dtype=np.int64)
        (rows, impacts), titles = self._matching.match(numbers, np.ones(len(numbers), np.float32))
        return Matched((rows, impacts * np.float32(factor)), titles)

    def _splits(self, word: str) -> Iterable[Matched]:
        cuts = range(1, len(word)) if len(word) > 5 else ()  # shorter ones join by chance
        for cut in cuts:
            right = self.number(word[cut:])
            # Vocabulary words are stems: "christmaslight" is joined of "christma" and "light".
            lefts = {word[:cut], stem(word[:cut])} if right >= 0 else ()
            for left in sorted(map(self.number, lefts)):
                if left >= 0:
                    yield self._items.next_to(left, right)


def _found(piece: Piece) -> Matches:
    assert piece.values is not None  # noqa: S101 - those of words have some
    return piece.rows, piece.values


def _csr(
    arrays: Arrays, name: str, values: str, dtype: type[np.generic]
) -> tuple[Rows, npt.NDArray[Any]]:
    offsets = _part(arrays, f"{name}/offsets", np.int64)
    # No offsets at all is no CSR: even without pieces there is one.
    length = int(offsets[-1]) if len(offsets) else -1
    return offsets, _part(arrays, f"{name}/{values}", dtype, length)


def _part(
    arrays: Arrays, name: str, dtype: type[np.generic], length: int | None = None
) -> npt.NDArray[Any]:
    array = arrays.get(name, np.empty(0, np.void))
    if array.dtype != dtype or array.ndim != 1 or length not in (None, len(array)):
        raise BundleError(f"the lexical index of the bundle lacks a sound part {name!r}")
    return array
