"""Search by words: BM25 that forgives typos, and how much of a query a title covers.

It reads the arrays that `app.offline.lexicon` writes, as they lie in the bundle. A vocabulary word
is similar to a query word from a Dice coefficient of their trigrams of 0.55 on. A compound is one
word here and two neighbours there ("flipflop", "flip flop"); it counts in both directions. This
module does not know what a good answer is: how its scores enter the order is decided elsewhere.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.columns import Arrays, StringColumn
from app.errors import BundleError
from app.types import Matrix, Rows, Vector
from app.words import query_words, stem, trigrams_of

LEAST_SIMILARITY: Final = 0.55
MAX_SIMILAR: Final = 64
"""Vocabulary words that one query word may stand for, the most similar ones."""

MAX_QUERY_WORDS: Final = 32
"""Words of a query that are read; bounds the time of a request, whatever is pasted in."""

MAX_FUZZY_LENGTH: Final = 32
"""Letters of a query word; longer ones are noise, and count only where they stand exactly so."""


@dataclass(frozen=True, slots=True)
class _Word:
    """One query word, looked up.

    Attributes:
        idf: of the word itself; an unknown one has the idf of df 0.
        similar: int64[s], vocabulary words that it matches, itself included.
        similarity: float32[s] in [0.55, 1], 1 for itself.
        splits: pairs of vocabulary words that it is joined of.
    """

    idf: float
    similar: Rows
    similarity: Vector
    splits: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class _Query:
    """m words, and for each but the last the vocabulary word it makes with the next one, or −1."""

    words: tuple[_Word, ...]
    joined: tuple[int, ...]


class _Csr:
    """Pieces of flat arrays: piece i is places offsets[i] … offsets[i + 1]."""

    def __init__(self, offsets: Rows) -> None:
        self._offsets = offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def piece(self, number: int) -> slice:
        return slice(*self._offsets[number : number + 2].tolist())

    def places(self, pieces: Rows) -> tuple[Rows, Rows]:
        """Return (int64[t] places, int64[t] which of `pieces` each belongs to), piece by piece."""
        starts = self._offsets[pieces]
        lengths = self._offsets[pieces + 1] - starts
        owners = np.repeat(np.arange(len(pieces)), lengths)
        skipped = starts - (np.cumsum(lengths) - lengths)
        return np.arange(len(owners)) + skipped[owners], owners


class _Items:
    """Which words stand in which item: titles in order, and postings of whole texts."""

    def __init__(self, arrays: Arrays) -> None:
        self.titles, self.title_words = _csr(arrays, "title", "words", np.int32)
        self.postings, self._rows = _csr(arrays, "posting", "rows", np.int32)
        self._impacts: Vector = _part(arrays, "posting/impacts", np.float32, len(self._rows))

    def impacts(self, words: Rows, factors: Vector) -> tuple[Rows, Vector]:
        """Return the rows of each word, one word after the other, and impact times factor there."""
        places, owners = self.postings.places(words)
        return self._rows[places], self._impacts[places] * factors[owners]

    def side_by_side(self, left: int, right: int) -> tuple[Rows, Vector]:
        """Return the rows whose title has the words next to each other, and both impacts added."""
        first, second = self.postings.piece(left), self.postings.piece(right)
        both = np.intersect1d(self._rows[first], self._rows[second], assume_unique=True)
        places, owners = self.titles.places(both)
        words = self.title_words[places]
        here = (words[:-1] == left) & (words[1:] == right) & (owners[:-1] == owners[1:])
        rows = both[np.unique(owners[:-1][here])]
        at_left, at_right = (np.searchsorted(self._rows[p], rows) for p in (first, second))
        return rows, self._impacts[first][at_left] + self._impacts[second][at_right]


class _Vocabulary:
    """Query words to vocabulary words."""

    def __init__(self, arrays: Arrays, items: _Items) -> None:
        self._items = items
        parts = {name.removeprefix("word/"): part for name, part in arrays.items()}
        self._words = StringColumn(parts)  # it takes those of its own
        n = len(self._words)
        self._idf: Vector = _part(arrays, "idf", np.float32, n)
        self._unknown_idf = float(np.log(1 + (len(items.titles) + 0.5) / 0.5))
        self._codes: Rows = _part(arrays, "trigram/codes", np.int64)
        self._lists, self._members = _csr(arrays, "trigram", "words", np.int32)
        self._n_trigrams = _part(arrays, "trigram/counts", np.int32, n)

    def __len__(self) -> int:
        return len(self._words)

    def number(self, word: str) -> int:
        """Return the place of a word in the vocabulary, −1 if it is not there."""
        sought = word.encode()
        place = bisect_left(range(len(self)), sought, key=self._words.raw)
        return place if place < len(self) and self._words.raw(place) == sought else -1

    def look_up(self, word: str) -> _Word:
        number = self.number(word)
        idf = float(self._idf[number]) if number >= 0 else self._unknown_idf
        if len(word) > MAX_FUZZY_LENGTH:
            exact = np.array([number] if number >= 0 else [], dtype=np.int64)
            return _Word(idf, exact, np.ones(len(exact), np.float32), ())
        similar, similarity = self._similar(word)
        return _Word(idf, similar, similarity, tuple(self._splits(word)))

    def _similar(self, word: str) -> tuple[Rows, Vector]:
        codes, _ = trigrams_of([word])
        # A code that the index lacks lands on its successor, which may be asked for as well.
        lists = np.unique(np.searchsorted(self._codes, codes))
        lists = lists[lists < len(self._codes)]
        lists = lists[np.isin(self._codes[lists], codes)]
        shared = np.bincount(self._members[self._lists.places(lists)[0]])
        found = np.flatnonzero(shared)
        dice = 2 * shared[found] / (self._n_trigrams[found] + len(codes))
        close = dice >= LEAST_SIMILARITY
        found, dice = found[close], dice[close]
        best = np.argsort(-dice, kind="stable")[:MAX_SIMILAR]
        return found[best], dice[best].astype(np.float32)

    def _splits(self, word: str) -> Iterable[tuple[int, int]]:
        cuts = range(1, len(word)) if len(word) > 5 else ()  # shorter ones join by chance
        for cut in cuts:
            right = self.number(word[cut:])
            # Vocabulary words are stems: "christmaslight" is joined of "christma" and "light".
            lefts = {word[:cut], stem(word[:cut])} if right >= 0 else ()
            for left in sorted(map(self.number, lefts)):
                # Most splits are chance, "pot" "ter": only what some title has costs requests time.
                if left >= 0 and len(self._items.side_by_side(left, right)[0]):
                    yield left, right


class WordIndex:
    """The lexical index of a bundle; pure, so safe to share between threads."""

    def __init__(self, arrays: Arrays, cache_size: int = 4096) -> None:
        """Take the arrays of `words.safetensors`; none is copied.

        Args:
            arrays: as `app.offline.lexicon.lexicon_arrays` returns them.
            cache_size: query words (and pairs of them) whose look-up is remembered.

        Raises:
            BundleError: arrays are missing, of another type, or disagree in length.
        """
        self._items = _Items(arrays)
        vocabulary = _Vocabulary(arrays, self._items)
        self._n_words = len(vocabulary)
        if len(self._items.postings) != self._n_words:
            raise BundleError("the lexical index of the bundle has the postings of another one")
        # Around methods of the vocabulary, not of ours: a cache that holds its owner never dies.
        self._look_up = lru_cache(cache_size)(vocabulary.look_up)
        self._number = lru_cache(cache_size)(vocabulary.number)

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._items.titles)

    def search(self, query: str, size: int) -> tuple[Rows, Vector]:
        """Return (int64[n] rows, float32[n] scores > 0), n ≤ `size`, best first, then by row.

        The score is BM25 over the words of the query. A similar word counts with its impact times
        its similarity, a compound as if the query were spelled like the item; of all that one
        query word matches in an item only the best counts. Items that match nothing are left out.
        """
        asked = self._read(query)
        total = np.zeros(len(self), dtype=np.float32)
        best = np.zeros(len(self), dtype=np.float32)
        for place in range(len(asked.words)):
            rows, impacts = self._matches(asked, place)
            np.maximum.at(best, rows, impacts)
            total[rows] = total[rows] + best[rows]  # not +=: rows repeat, each counts once
            best[rows] = 0
        rows = np.flatnonzero(total > 0)
        scores = total[rows]
        if len(rows) > size > 0:
            keep = scores >= np.partition(scores, -size)[-size]
            rows, scores = rows[keep], scores[keep]
        order = np.argsort(-scores, kind="stable")[:size]
        return rows[order], scores[order]

    def coverage(self, query: str, rows: Rows) -> Vector:
        """Return float32[len(rows)] in [0, 1]: how much of the query the titles of the rows hold.

        The mean of how well each query word is matched by the best word of the title, weighted by
        idf: 1 for the word itself or a compound of it, its similarity for a similar word, else 0.

        Args:
            query: any text; without words everything is 0.
            rows: int64[n], each 0 … len − 1, in any order, repeats allowed.
        """
        covered = np.zeros(len(rows), dtype=np.float32)
        asked = self._read(query)
        numbers, reach = _reach(asked)
        slot = np.zeros(self._n_words, dtype=np.int32)
        slot[numbers] = np.arange(1, len(numbers) + 1)
        places, owners = self._items.titles.places(rows)
        slots = slot[self._items.title_words[places]]
        hits = np.flatnonzero(slots > 0)  # few: most words of a title are not asked for
        if not len(hits):
            return covered
        slots, owners = slots[hits] - 1, owners[hits]
        matched = reach[slots]
        neighbours = (np.diff(hits) == 1) & (np.diff(owners) == 0)
        for place, word in enumerate(asked.words):
            for split in word.splits:
                left, right = np.searchsorted(numbers, split)
                matched[:-1][neighbours & (slots[:-1] == left) & (slots[1:] == right), place] = 1
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        weights = np.array([word.idf for word in asked.words], dtype=np.float32)
        score = np.maximum.reduceat(matched, starts, axis=0) @ (weights / weights.sum())
        covered[owners[starts]] = np.minimum(score, 1)
        return covered

    def _read(self, query: str) -> _Query:
        words = query_words(query)[:MAX_QUERY_WORDS]
        return _Query(
            tuple(map(self._look_up, words)),
            tuple(self._number(left + right) for left, right in pairwise(words)),
        )

    def _matches(self, asked: _Query, place: int) -> tuple[Rows, Vector]:
        """Return (rows, impacts) of all that one query word matches; rows repeat."""
        word = asked.words[place]
        # A joined word is worth its impact to the pair, so half to each of the two.
        pairs = [number for number in asked.joined[max(place - 1, 0) : place + 1] if number >= 0]
        numbers = np.concatenate([word.similar, np.array(pairs, dtype=np.int64)])
        factors = np.concatenate([word.similarity, np.full(len(pairs), 0.5, np.float32)])
        found = [self._items.impacts(numbers, factors)]
        found += [self._items.side_by_side(left, right) for left, right in word.splits]
        return np.concatenate([rows for rows, _ in found]), np.concatenate([i for _, i in found])


def _reach(asked: _Query) -> tuple[Rows, Matrix]:
    """Return (int64[s] the vocabulary words that matter, sorted, float32[s, m] their worth)."""
    pairs = [number for word in asked.words for split in word.splits for number in split]
    joined = [number for number in asked.joined if number >= 0]
    numbers = np.unique(
        np.concatenate([np.array(pairs + joined, np.int64), *(w.similar for w in asked.words)])
    )
    reach = np.zeros((len(numbers), len(asked.words)), dtype=np.float32)
    for place, word in enumerate(asked.words):
        reach[np.searchsorted(numbers, word.similar), place] = word.similarity
    for place, number in enumerate(asked.joined):
        if number >= 0:
            reach[np.searchsorted(numbers, number), place : place + 2] = 1
    return numbers, reach


def _csr(
    arrays: Arrays, name: str, values: str, dtype: type[np.generic]
) -> tuple[_Csr, npt.NDArray[Any]]:
    offsets = _part(arrays, f"{name}/offsets", np.int64)
    # No offsets at all is no CSR: even without pieces there is one.
    length = int(offsets[-1]) if len(offsets) else -1
    return _Csr(offsets), _part(arrays, f"{name}/{values}", dtype, length)


def _part(
    arrays: Arrays, name: str, dtype: type[np.generic], length: int | None = None
) -> npt.NDArray[Any]:
    array = arrays.get(name, np.empty(0, np.void))
    if array.dtype != dtype or array.ndim != 1 or length not in (None, len(array)):
        raise BundleError(f"the lexical index of the bundle lacks a sound part {name!r}")
    return array
