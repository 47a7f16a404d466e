"""Query words to what they match: vocabulary words, the items that hold them, and their titles.

It reads the arrays that `app.lexicon` writes, as they lie in the bundle. A vocabulary word
is similar to a query word from a Dice coefficient of their trigrams of 0.55 on. A compound is one
word here and two neighbours there ("flipflop", "flip flop"). This module does not know how the
words of a query come together; see `app.engine.words`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from app.columns import Arrays, StringColumn
from app.engine.selection import Piece
from app.errors import BundleError
from app.types import Rows, Vector
from app.words import stem, trigrams_of_word

_Rows: TypeAlias = npt.NDArray[np.int32]
"""Rows as they lie in the bundle: half as much to remember."""

LEAST_SIMILARITY: Final = 0.55
MAX_SIMILAR: Final = 64
"""Vocabulary words that one query word may stand for, the most similar ones."""

MAX_FUZZY_LENGTH: Final = 32
"""Letters of a query word; longer ones are noise, and count only where they stand exactly so."""


@dataclass(frozen=True, slots=True)
class Matched:
    """What a word matches: rows ascending, each once.

    `items`: whose text holds it, by the best impact in each; `titles`: those whose title does, by
    how well, in [0.55, 1].
    """

    items: Piece
    titles: Piece

    def or_(self, other: "Matched") -> "Matched":
        """Return what either of two words matches, the better one of both."""
        return Matched(_either(self.items, other.items), _either(self.titles, other.titles))


@dataclass(frozen=True, slots=True)
class Word:
    """One query word, looked up; `idf` is its own, an unknown one has that of df 0."""

    idf: float
    matched: Matched


class Csr:
    """Pieces of flat arrays: piece i is places offsets[i] … offsets[i + 1]."""

    def __init__(self, offsets: Rows) -> None:
        self._offsets = offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def lengths(self) -> Rows:
        """Return int64[pieces]: how many places each has."""
        return np.diff(self._offsets)

    def piece(self, number: int) -> slice:
        """Return the places of one piece."""
        return slice(*self._offsets[number : number + 2].tolist())

    def places(self, pieces: Rows | _Rows) -> tuple[Rows, Rows]:
        """Return (int64[t] places, piece by piece, int64[p + 1] where each begins and ends)."""
        starts = self._offsets.take(pieces)
        lengths = self._offsets.take(pieces + 1) - starts
        bounds = np.zeros(len(pieces) + 1, np.int64)
        np.cumsum(lengths, out=bounds[1:])
        places = np.repeat(starts - bounds[:-1], lengths)
        places += np.arange(len(places))
        return places, bounds


class Items:
    """Which words stand in which item: titles in order, and postings of whole texts."""

    def __init__(self, arrays: Arrays) -> None:
        self.titles, self.title_words = _csr(arrays, "title", "words", np.int32)
        self.postings, self._rows = _csr(arrays, "posting", "rows", np.int32)
        self._impacts: Vector = _part(arrays, "posting/impacts", np.float32, len(self._rows))
        self._in_title = self._titled()

    @property
    def n_postings(self) -> int:
        """How many pairs of a word and an item that holds it there are."""
        return len(self._rows)

    def _titled(self) -> npt.NDArray[np.bool_]:
        """Return for each posting whether the title holds the word, not only the text.

        Else titles would have to be read for each new word of a query, which may stand in
        thousands of them, all over the memory.
        """
        n = len(self.titles)
        words = np.repeat(np.arange(len(self.postings)), self.postings.lengths())
        # Ascending: postings go by word, and by row within a word.
        pairs = words * n + self._rows
        rows = np.repeat(np.arange(n), self.titles.lengths())
        wanted = np.sort(self.title_words * np.int64(n) + rows)  # sorted, it is a walk: faster
        places = np.searchsorted(pairs, wanted)
        if not np.array_equal(pairs[places[places < len(pairs)]], wanted):
            raise BundleError("the lexical index of the bundle has titles that its postings lack")
        found = np.zeros(len(pairs), np.bool_)
        found[places] = True
        return found

    def matched(self, words: Rows, worth: Vector) -> Matched:
        """Return what some of the words match; impacts are multiplied by the worth of the word."""
        places, bounds = self.postings.places(words)
        worths = np.repeat(worth, np.diff(bounds))
        rows, impacts = self._rows.take(places), self._impacts.take(places) * worths
        titled = np.flatnonzero(self._in_title.take(places))
        titles, worths = rows.take(titled), worths.take(titled)
        if len(words) > 1:
            (rows, impacts), (titles, worths) = _best(rows, impacts), _best(titles, worths)
        return Matched(Piece(rows, impacts), Piece(titles, worths))

    def next_to(self, left: int, right: int) -> Matched:
        """Return the rows whose title has the words next to each other: worth 1, both impacts."""
        first, second = self.postings.piece(left), self.postings.piece(right)
        both = np.intersect1d(self._rows[first], self._rows[second], assume_unique=True)
        places, bounds = self.titles.places(both)
        owners = np.repeat(np.arange(len(both)), np.diff(bounds))
        words = self.title_words[places]
        here = (words[:-1] == left) & (words[1:] == right) & (owners[:-1] == owners[1:])
        rows = both[np.unique(owners[:-1][here])]
        at_left, at_right = (np.searchsorted(self._rows[p], rows) for p in (first, second))
        impacts = self._impacts[first][at_left] + self._impacts[second][at_right]
        return Matched(Piece(rows, impacts), Piece(rows, np.ones(len(rows), np.float32)))


class Vocabulary:
    """Query words to vocabulary words."""

    def __init__(self, arrays: Arrays, items: Items) -> None:
        self._items = items
        parts = {name.removeprefix("word/"): part for name, part in arrays.items()}
        words = StringColumn(parts)  # it takes those of its own
        n = len(words)
        # Objects, for once: a word that is new asks for dozens, each way to cut it in two.
        self._numbers = {words.raw(number): number for number in range(n)}
        self._idf: Vector = _part(arrays, "idf", np.float32, n)
        self._unknown_idf = float(np.log(1 + (len(items.titles) + 0.5) / 0.5))
        self._codes: Rows = _part(arrays, "trigram/codes", np.int64)
        self._lists, self._members = _csr(arrays, "trigram", "words", np.int32)
        self._n_trigrams = _part(arrays, "trigram/counts", np.int32, n)

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
        matched = self._items.matched(*self._similar(word))
        for split in self._splits(word):
            matched = matched.or_(split)
        return Word(idf, matched)

    def join(self, word: str) -> Matched | None:
        """Return what a word of two query words joined matches; None if it is no word.

        Its impact is worth that much to the pair, so half to each of the two.
        """
        number = self.number(word)
        return self._exactly(number, 0.5) if number >= 0 else None

    def _exactly(self, number: int, factor: float) -> Matched:
        numbers = np.array([number] if number >= 0 else [], dtype=np.int64)
        found = self._items.matched(numbers, np.ones(len(numbers), np.float32))
        impacts = _values(found.items) * np.float32(factor)
        return Matched(Piece(found.items.rows, impacts), found.titles)

    def _similar(self, word: str) -> tuple[Rows, Vector]:
        codes = trigrams_of_word(word)
        lists = np.searchsorted(self._codes, codes)
        # A code that the index lacks lands on its successor, or behind the last one.
        known = self._codes.take(lists, mode="clip") == codes if len(self._codes) else []
        lists = lists[known]
        shared = np.bincount(self._members[self._lists.places(lists)[0]])
        found = np.flatnonzero(shared)
        dice = 2 * shared[found] / (self._n_trigrams[found] + len(codes))
        close = dice >= LEAST_SIMILARITY
        found, dice = found[close], dice[close]
        best = np.argsort(-dice, kind="stable")[:MAX_SIMILAR]
        return found[best], dice[best].astype(np.float32)

    def _splits(self, word: str) -> Iterable[Matched]:
        cuts = range(1, len(word)) if len(word) > 5 else ()  # shorter ones join by chance
        for cut in cuts:
            right = self.number(word[cut:])
            # Vocabulary words are stems: "christmaslight" is joined of "christma" and "light".
            lefts = {word[:cut], stem(word[:cut])} if right >= 0 else ()
            for left in sorted(map(self.number, lefts)):
                if left >= 0:
                    yield self._items.next_to(left, right)


def _either(one: Piece, other: Piece) -> Piece:
    rows = np.concatenate([one.rows, other.rows])
    return Piece(*_best(rows, np.concatenate([_values(one), _values(other)])))


def _values(piece: Piece) -> Vector:
    return np.empty(0, np.float32) if piece.values is None else piece.values


def _best(rows: _Rows, values: Vector) -> tuple[_Rows, Vector]:
    """Return each row once, ascending, and the highest of its values."""
    if not len(rows):
        return np.empty(0, np.int32), np.empty(0, np.float32)
    order = rows.argsort(kind="stable")
    ordered = rows.take(order)
    new = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    starts = new.nonzero()[0]
    return ordered.take(starts), np.maximum.reduceat(values.take(order), starts)


def _csr(
    arrays: Arrays, name: str, values: str, dtype: type[np.generic]
) -> tuple[Csr, npt.NDArray[Any]]:
    offsets = _part(arrays, f"{name}/offsets", np.int64)
    # No offsets at all is no CSR: even without pieces there is one.
    length = int(offsets[-1]) if len(offsets) else -1
    return Csr(offsets), _part(arrays, f"{name}/{values}", dtype, length)


def _part(
    arrays: Arrays, name: str, dtype: type[np.generic], length: int | None = None
) -> npt.NDArray[Any]:
    array = arrays.get(name, np.empty(0, np.void))
    if array.dtype != dtype or array.ndim != 1 or length not in (None, len(array)):
        raise BundleError(f"the lexical index of the bundle lacks a sound part {name!r}")
    return array
