"""Looks up one query word: which words of the vocabulary it matches, and which items have those.

It reads the arrays that `app.engine.retrieval.lexical_arrays` writes, as they are in the bundle. A
query word and a vocabulary word are similar if the Dice coefficient of their trigrams is at least
0.55. A compound is one word in one text and two neighbours in another ("flipflop", "flip flop"), or
a word with another one in front ("magnet" finds "kühlschrankmagnet"). The last word of a query may
be the beginning of a word that is still being typed. `app.engine.retrieval.lexical` puts the words
of a query together.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.core.bounds import are_below, are_finite, are_offsets, is_plain, rise_in_lists
from app.core.errors import BundleError
from app.core.types import Mask, Rows, Vector
from app.domain.columns import Arrays, StringColumn
from app.engine.kernels.lexical_features import NUMBER, STOP_WORD
from app.engine.kernels.matching import (
    Matches,
    Postings,
    RowNumbers,
    Trigrams,
    matching_over,
    positions_of,
)
from app.engine.kernels.topk import Piece
from app.engine.retrieval.lexical_arrays import LEAST_PART, LEAST_REST, LINKS
from app.engine.retrieval.word_cutting import STOP_WORDS, stem, trigrams_of_word
from app.engine.retrieval.word_ends import WordEnds

BARE: Final = 0.2
"""What a word without its accents counts, where the query has accents that some item has too."""

COMPLETED: Final = 0.8
"""What a word counts that a query word begins. Nothing is known of its end."""

LAST_PART: Final = 0.7
"""What a compound counts that ends in a query word."""

VARIANT: Final = 0.9
"""What another way to write a number or a unit counts."""


_NOT_LINKED: Final = (b"",)
_LINKED: Final = (b"", *[link.encode() for link in LINKS])

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

    def times(self, items: float, titles: float) -> "WordMatch":
        """Return the same rows, with their values times two numbers."""
        (rows, impacts), (titled, similarities) = map(_rows_and_values, (self.items, self.titles))
        return WordMatch(
            (rows, impacts * np.float32(items)), (titled, similarities * np.float32(titles))
        )


@dataclass(frozen=True, slots=True)
class QueryWord:
    """One query word, looked up; `idf` is its own, an unknown one has that of df 0.

    `known`: whether it is in the vocabulary. `instead`: where what is most similar to an unknown
    word stands; None = all that it matches.
    """

    idf: float
    matched: WordMatch
    known: bool = False
    instead: Piece | None = None

    def or_else(
        self, other: WordMatch, either: Callable[[WordMatch, WordMatch], WordMatch]
    ) -> "QueryWord":
        """Return the word, which may also be matched in another way."""
        return QueryWord(self.idf, either(self.matched, other), self.known, self.instead)


class ItemWords:
    """Which words stand in which item: titles in order, and postings of whole texts."""

    def __init__(self, arrays: Arrays) -> None:
        self._titles, self._title_words = _csr(arrays, "title", "words", np.int32)
        self._spelt, self._spellings = _csr(arrays, "spelling", "words", np.int32)
        if len(self._spelt) != len(self._titles):
            raise BundleError("the lexical index of the bundle has other spellings than titles")
        offsets, rows = _csr(arrays, "posting", "rows", np.int32)
        impacts: Vector = _part(arrays, "posting/impacts", np.float32, len(rows))
        n_words = len(offsets) - 1
        known = are_below(self._title_words, n_words) and are_below(self._spellings, n_words)
        if not (known and are_below(rows, len(self)) and rise_in_lists(rows, offsets)):
            raise BundleError("the lexical index of the bundle has postings of no word or item")
        if not are_finite(impacts):
            raise BundleError("the lexical index of the bundle has an impact that is no number")
        self.postings = Postings(offsets, rows, impacts, self._titled(offsets, rows))

    def __len__(self) -> int:
        return len(self._titles) - 1

    @property
    def titles(self) -> tuple[Rows, RowNumbers]:
        """The words of all titles: int64[n + 1], where each begins, and int32 words in order."""
        return self._titles, self._title_words

    def _titled(self, offsets: Rows, posted: RowNumbers) -> npt.NDArray[np.bool_]:
        """Return for each posting whether the title has the word, not only the text.

        Otherwise thousands of titles would have to be read for a new word of a query.
        """
        n = len(self)
        words = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        # Ascending: postings go by word, and by row within a word.
        pairs = words * n + posted
        rows = np.repeat(np.arange(n), np.diff(self._titles))
        spelt = np.repeat(np.arange(n), np.diff(self._spelt))
        # Sorted, because a search for ascending pairs reads the memory in order.
        in_titles = np.sort(
            np.concatenate(
                [self._title_words * np.int64(n) + rows, self._spellings * np.int64(n) + spelt]
            )
        )
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

    def with_title(self, words: Sequence[int], rows: Rows, same: Mapping[int, int]) -> Mask:
        """Return bool[r]: which of int64[r] rows have these words as their title, in any order.

        `same`: words that are another way to write one -> the one that stands for them in `words`.
        """
        matches = np.zeros(len(rows), np.bool_)
        starts, ends = self._titles.take(rows), self._titles.take(rows + 1)
        ordered = sorted(words)
        for position in np.flatnonzero(ends - starts == len(ordered)).tolist():
            title = self._title_words[starts[position] : ends[position]].tolist()
            matches[position] = sorted([same.get(word, word) for word in title]) == ordered
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
        self._words = words
        # A dictionary of objects: a new word looks up dozens, one for each way to cut it in two.
        self._numbers = {words.raw(number): number for number in range(n)}
        self._idf: Vector = _part(arrays, "idf", np.float32, n)
        if not (are_finite(self._idf) and (self._idf > 0).all()):
            raise BundleError("the lexical index of the bundle has a weight of a word below 0")
        self._unknown_idf = float(np.log(1 + (len(items) + 0.5) / 0.5))
        lists, members = _csr(arrays, "trigram", "words", np.int32)
        codes: Rows = _part(arrays, "trigram/codes", np.int64, len(lists) - 1)
        counts = _part(arrays, "trigram/counts", np.int32, n)
        if len(items.postings.offsets) != n + 1:
            raise BundleError("the lexical index of the bundle has the postings of another one")
        self._matching = matching_over(items.postings, Trigrams(codes, lists, members, counts))
        by_ending: RowNumbers = _part(arrays, "ending/words", np.int32)
        offsets, self._compound_words = _csr(arrays, "compound", "words", np.int32)
        if not (are_below(by_ending, n) and are_below(self._compound_words, n)):
            raise BundleError("the lexical index of the bundle names words that it lacks")
        if len(offsets) != n + 1:
            raise BundleError("the lexical index of the bundle has the compounds of another one")
        self._ends = WordEnds(words, by_ending, items.postings.offsets)
        self._compounds = offsets.data

    def __len__(self) -> int:
        return len(self._numbers)

    def kinds(self) -> npt.NDArray[np.uint8]:
        """Return uint8[V]: of each word, whether it is a stop word and whether it has a digit."""
        data, offsets = self._words.arrays
        # A word is cut where digits begin or end, and digits are folded to these ten.
        first = data.take(offsets[:-1], mode="clip") if len(data) else data
        digits = (first >= ord("0")) & (first <= ord("9"))
        kinds = np.where(digits, NUMBER, 0).astype(np.uint8)
        for word in map(self.number, STOP_WORDS):
            if word >= 0:
                kinds[word] |= STOP_WORD
        return kinds

    def number(self, word: str) -> int:
        """Return the number of a word in the vocabulary, −1 if it is not there."""
        return self._numbers.get(word.encode(), -1)

    def idf(self, word: str) -> float:
        """Return the idf of a word; an unknown one has that of df 0."""
        number = self.number(word)
        return float(self._idf[number]) if number >= 0 else self._unknown_idf

    def look_up(self, word: str, spelling: str) -> QueryWord:
        """Return what a query word matches: itself, similar words, and compounds of it.

        `spelling`: the word with its accents. Where an item has those, it counts more than the
        others.
        """
        number = self._numbers.get(word.encode(), -1)
        idf = float(self._idf[number]) if number >= 0 else self._unknown_idf
        if len(word) > MAX_FUZZY_LENGTH:
            return QueryWord(idf, self._exactly([number], 1.0), number >= 0)
        similar = self._matching.similar_words(trigrams_of_word(word))
        if number >= 0 and not len(similar[0]):  # a spelling, which is similar to nothing
            similar = np.array([number]), np.ones(1, np.float32)
        matched = WordMatch(*self._matching.match(*similar))
        instead = self._most_similar(*similar) if number < 0 else None
        for parts in self._in_two_words(word):
            matched = self.either(matched, parts)
            instead = parts.items if number < 0 and parts.items.rows.size else instead
        compounds = self._compounds_of(number) if number >= 0 else self._ending_in(word)
        if len(compounds):
            matched = self.either(matched, self._exactly(compounds, LAST_PART))
        accented = self._numbers.get(spelling.encode(), -1) if spelling != word else -1
        if accented >= 0:
            matched = self.either(matched.times(BARE, BARE), self._exactly([accented], 1.0))
        return QueryWord(idf, matched, number >= 0, instead)

    def _in_two_words(self, word: str) -> Iterator[WordMatch]:
        """Yield where a word stands in two words, one behind the other, for each way to cut it."""
        cuts = range(1, len(word)) if len(word) > 5 else ()  # shorter ones join by chance
        for cut in cuts:
            right = self._numbers.get(word[cut:].encode(), -1)
            # Vocabulary words are stems: "christmaslight" is joined of "christma" and "light".
            lefts = {word[:cut], stem(word[:cut])} if right >= 0 else ()
            for left in sorted(map(self.number, lefts)):
                if left >= 0:
                    yield self._items.next_to(left, right)

    def _most_similar(self, words: Rows, similarities: Vector) -> Piece | None:
        if not len(words):
            return None
        return self._exactly(words[similarities >= similarities.max()], 1.0).items

    def _compounds_of(self, number: int) -> Sequence[int] | Rows:
        """Return the most frequent compounds that end in a word, by their numbers."""
        first, last = self._compounds[number], self._compounds[number + 1]
        if first == last:  # of most words
            return ()
        return self._ends.most_frequent(self._compound_words[first:last])

    def _ending_in(self, word: str) -> Sequence[int] | Rows:
        """Return the longer words that end in an unknown one, the most frequent ones."""
        if len(word) < LEAST_PART or not word.isalpha():
            return ()
        return self._ends.ending_in(word)

    def complete(self, beginning: str) -> QueryWord | None:
        """Return what the words match that a query word begins, itself not included; or None.

        The idf is that of one word which all their items have.
        """
        numbers = self._ends.beginning_with(beginning)
        if beginning.endswith("i"):  # vocabulary words are stems: "batteri" begins "battery"
            singular = self.number(beginning[:-1] + "y")
            numbers = np.append(numbers, singular) if singular >= 0 else numbers
        if not len(numbers):
            return None
        matched = self._exactly(numbers, 1.0)
        n, df = len(self._items), matched.items.rows.size
        return QueryWord(float(np.log(1 + (n - df + 0.5) / (df + 0.5))), matched)

    def look_up_with(self, word: str, spelling: str, variants: Sequence[str]) -> QueryWord:
        """Return what a query word matches as `look_up` does, or as one of its variants."""
        found = self.look_up(word, spelling)
        for number in map(self.number, variants):
            if number >= 0:
                found = found.or_else(self._exactly([number], VARIANT), self.either)
        return found

    def either(self, one: WordMatch, other: WordMatch) -> WordMatch:
        """Return the rows that one of two words matches, with the better value of both."""
        return WordMatch(
            self._matching.merge(_rows_and_values(one.items), _rows_and_values(other.items)),
            self._matching.merge(_rows_and_values(one.titles), _rows_and_values(other.titles)),
        )

    def goes_on(self, word: str) -> bool:
        """Tell whether a longer word of the vocabulary begins with a word."""
        return self._ends.begins_longer(word)

    def join(self, left: str, right: str) -> WordMatch | None:
        """Return what two query words written as one word match; None if they are no word.

        Each of the two query words gets half of the impact.
        """
        known, first, last = self._numbers, left.encode(), right.encode()
        links = _LINKED if len(left) > LEAST_REST and len(right) > LEAST_REST else _NOT_LINKED
        joined = [first + link + last for link in links]
        numbers = [known[word] for word in joined if word in known]
        if not numbers:
            return None
        return self._exactly(numbers, 1.0).times(0.5, 1.0)

    def _exactly(self, numbers: Sequence[int] | Rows, weight: float) -> WordMatch:
        words = np.array([number for number in numbers if number >= 0], dtype=np.int64)
        return WordMatch(*self._matching.match(words, np.full(len(words), weight, np.float32)))


def _rows_and_values(piece: Piece) -> Matches:
    assert piece.values is not None  # noqa: S101 - a piece of a word has values
    return piece.rows, piece.values


def _csr(
    arrays: Arrays, name: str, values: str, dtype: type[np.generic]
) -> tuple[Rows, npt.NDArray[Any]]:
    offsets, flat = (
        _part(arrays, f"{name}/offsets", np.int64),
        _part(arrays, f"{name}/{values}", dtype),
    )
    if not are_offsets(offsets, len(flat)):
        raise BundleError(f"the lexical index of the bundle lacks sound offsets {name!r}")
    return offsets, flat


def _part(
    arrays: Arrays, name: str, dtype: type[np.generic], length: int | None = None
) -> npt.NDArray[Any]:
    array = arrays.get(name, np.empty(0, np.void))
    if not is_plain(array, dtype) or length not in (None, len(array)):
        raise BundleError(f"the lexical index of the bundle lacks a sound part {name!r}")
    return array
