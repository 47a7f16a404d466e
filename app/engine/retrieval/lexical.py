"""Search by words: BM25 that forgives typos, and how much of a query a title covers.

`app.engine.retrieval.vocabulary` looks up what one query word matches. This module remembers that,
and puts the words of a query together: two of them may be one compound word of an item, the last
one may be half a word, and a number may be written in another way. How the scores enter the order
of an answer is decided elsewhere (`app.engine.scoring.blend`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial, reduce
from itertools import pairwise
from typing import Final, NamedTuple, Protocol

import numpy as np

from app.core.types import Mask, Matrix, Rows, Vector
from app.domain.columns import Arrays
from app.engine.kernels.lexical_features import (
    AskedQuery,
    LexicalFeatures,
    PairRequest,
    Titles,
    lexical_features_over,
)
from app.engine.kernels.matching import RowNumbers
from app.engine.kernels.topk import Piece, WeightedScores
from app.engine.retrieval.codes import Codes, code_of, is_distinctive, is_year
from app.engine.retrieval.lexical_arrays import MAX_TITLE_WORDS
from app.engine.retrieval.lexical_pairs import QueryPreparation
from app.engine.retrieval.variants import NUMERALS, WITH_VARIANTS, variants_of
from app.engine.retrieval.vocabulary import COMPLETED, ItemWords, QueryWord, Vocabulary, WordMatch
from app.engine.retrieval.word_cutting import is_character, query_terms, query_words, words_of

MAX_QUERY_WORDS: Final = 32
"""Words of a query that are read; this bounds the time of a request."""

MOST_REMEMBERED: Final = 16_384
MOST_REMEMBERED_ROWS: Final = 200_000_000
"""Bounds of the cache: words, and words times items, as if each word matched every item."""

_LEAST_ALONE: Final = 3
_LEAST_BEHIND: Final = 2
_WHOLE: Final = 3
"""Letters of a last word that may be half a word: of a query of one word, and behind others. A word
of the vocabulary that is this long is a whole word."""

_RARE: Final = 8
"""How many times as many items have what a short word begins, if it may be half a word."""

_NO_ROWS: Final[Rows] = np.empty(0, np.int64)
_NUMERAL: Final = -10
_VALUES: Final = frozenset(NUMERALS.values())
CODED: Final = 100.0
"""What it counts that the query names an item: more than any words."""

_QUERIES: Final = 256
"""Queries remembered: a pass reads each once to search and once to score."""


class _QueryMatch(NamedTuple):
    """What a query of m words matches.

    Attributes:
        texts: the words.
        words: what each word matches.
        instead: of each word where what stands for it, should no item have it; None = all of that.
        idf: float32[m], of each word.
        weights: float32[m], the part of each word in the query, by idf; the sum is 1.
        code: the query as a code.
        coded: int64[r], the rows that have this code.
    """

    texts: Sequence[str]
    words: tuple[WordMatch, ...]
    instead: tuple[Piece | None, ...]
    idf: Vector
    weights: Vector
    code: str
    coded: Rows


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

    def pictured(self, query: str) -> bool:
        """Tell whether a query without words has a picture (emoji) of an item; from any thread."""
        ...

    def coded(self, query: str) -> Rows:
        """Return int64[r], the rows that the whole query names: by an id, a SKU, a part number.

        A title wins over what may be something else than a code: "2012" is a film, too.
        """
        ...

    def with_title(self, query: str, rows: Rows) -> Mask:
        """Return bool[r]: which of int64[r] rows have the words of the query as their title.

        The order of the words does not count: "Matrix, The" is "the matrix".
        """
        ...

    def features(self, queries: Sequence[str], candidates: Sequence[Rows]) -> Matrix:
        """Return float32[L, N]: the `LEXICAL_FEATURES` of each query and its candidates.

        Args:
            queries: one of each request; "" = none.
            candidates: int64[c] rows of each request, each once. N is their number together; the
                columns follow request by request.
        """
        ...


class LexicalIndex:
    """The lexical index of a bundle. Searched by one thread at a time; `idf` by any."""

    def __init__(
        self,
        arrays: Arrays,
        cache_size: int = MOST_REMEMBERED,
        features_over: Callable[[Titles], LexicalFeatures] = lexical_features_over,
    ) -> None:
        """Take the arrays of `words.safetensors`; none is copied.

        Args:
            arrays: as `app.engine.retrieval.lexical_arrays.lexical_arrays` returns them.
            cache_size: query words (and pairs of them) whose matches are remembered; fewer in a
                large catalogue, where one word may match millions of rows.
            features_over: makes what computes the features; an evaluation asks for numpy.

        Raises:
            BundleError: arrays are missing, of another type, or disagree in length.
        """
        items = ItemWords(arrays)
        vocabulary = Vocabulary(arrays, items)
        self._items, self._number, codes = items, vocabulary.number, Codes(arrays, len(items))
        # Whichever way a title writes a number, one word stands for it.
        self._same = {
            number: _NUMERAL - int(value)
            for numeral, value in NUMERALS.items()
            for number in map(vocabulary.number, (numeral, value))
            if number >= 0
        }
        self._n_items = len(items)
        self._n_postings = len(items.postings.rows)
        self.idf = vocabulary.idf
        cache_size = min(cache_size, max(MOST_REMEMBERED_ROWS // max(self._n_items, 1), 64))
        # Around methods of the vocabulary, not of this class: an object whose own cache refers to
        # it is never freed.
        self._look_up = lru_cache(cache_size)(vocabulary.look_up)
        self._goes_on = lru_cache(cache_size)(vocabulary.goes_on)
        self._join = lru_cache(cache_size)(vocabulary.join)
        self._complete = lru_cache(cache_size)(vocabulary.complete)
        self._vary = lru_cache(cache_size)(vocabulary.look_up_with)
        look_ups = _LookUps(
            self._look_up,
            self._goes_on,
            self._join,
            self._complete,
            self._vary,
            vocabulary.either,
            codes.rows,
        )
        self._read = lru_cache(_QUERIES)(partial(_read, look_ups))
        preparation = QueryPreparation(items, vocabulary)
        self._asked = lru_cache(_QUERIES)(partial(_asked, preparation, self._read))
        self._features = features_over(preparation.titles)

    def __len__(self) -> int:
        """Return the number of items."""
        return self._n_items

    def items(self, query: str) -> list[WeightedScores]:
        """See `LexicalSearch`."""
        read = self._read(query)
        pieces: list[WeightedScores] = [(word.items, 1.0) for word in read.words]
        if (rows := read.coded).size:
            pieces.append((Piece(rows.astype(np.int32), np.ones(rows.size, np.float32)), CODED))
        return pieces

    def titles(self, query: str) -> list[WeightedScores]:
        """See `LexicalSearch`."""
        read = self._read(query)
        return [
            (word.titles, part)
            for word, part in zip(read.words, read.weights.tolist(), strict=True)
        ]

    def rows_with(self, query: str) -> Rows:
        """See `LexicalSearch`."""
        texts = dict.fromkeys(query_words(query)[:MAX_QUERY_WORDS])
        words = [self._number(text) for text in texts if not is_character(text)]
        if not texts or -1 in words:
            return _NO_ROWS
        # A single character stands in many pairs.
        found: list[Rows | RowNumbers] = [
            self._read(text).words[0].items.rows for text in texts if is_character(text)
        ]
        if words:
            found.append(self._items.rows_with(words))
        return reduce(np.intersect1d, found).astype(np.int64)

    def pictured(self, query: str) -> bool:
        """See `LexicalSearch`."""
        return any(self._number(term) >= 0 for term, _ in query_terms(query))

    def coded(self, query: str) -> Rows:
        """See `LexicalSearch`."""
        read = self._read(query)
        if not read.coded.size or is_distinctive(read.code):
            return read.coded
        return _NO_ROWS if is_year(read.code) or self.covers(query) else read.coded

    def with_code(self, query: str) -> Rows:
        """Return int64[r], the rows that have the query as a code, even if it is a title too."""
        return self._read(query).coded

    def covers(self, query: str) -> bool:
        """Tell whether a title has all words of a query."""
        titles = [word.titles for word in self._read(query).words]
        whole = [piece.rows[np.asarray(piece.values) >= 1.0] for piece in titles]
        return bool(whole) and reduce(np.intersect1d, whole).size > 0

    def with_title(self, query: str, rows: Rows) -> Mask:
        """See `LexicalSearch`."""
        words = [self._number_of_title_word(word) for word in words_of(query)[:MAX_TITLE_WORDS]]
        if not words or -1 in words:
            return np.zeros(len(rows), np.bool_)
        return self._items.with_title(words, rows, self._same)

    def _number_of_title_word(self, word: str) -> int:
        value = NUMERALS.get(word, word)
        if value in _VALUES:
            return _NUMERAL - int(value)
        return self._number(word)

    def features(self, queries: Sequence[str], candidates: Sequence[Rows]) -> Matrix:
        """See `LexicalSearch`."""
        requests = self.pair_requests(queries, candidates)
        return self.finish(self.pairs(requests), requests)

    def pair_requests(
        self,
        queries: Sequence[str],
        candidates: Sequence[Rows],
        main: Sequence[PairRequest] | None = None,
    ) -> list[PairRequest]:
        """Return queries and candidates as `pairs` takes them.

        `main`: the same queries in the index of the bundle, if this is another one. It decides what
        the words weigh, and which of them no item has.
        """
        asked = [self._asked(query) for query in queries]
        if main is not None:
            return [
                request._replace(query=query, rows=rows)
                for request, query, rows in zip(main, asked, candidates, strict=True)
            ]
        return [
            PairRequest(query, self._read(text).idf, query.unmatched, query.lacking, rows)
            for text, query, rows in zip(queries, asked, candidates, strict=True)
        ]

    def pairs(self, requests: Sequence[PairRequest]) -> Matrix:
        """Return the features of pairs: see `LexicalFeatures`."""
        return self._features.pairs(requests)

    def finish(self, pairs: Matrix, requests: Sequence[PairRequest]) -> Matrix:
        """Return all features, with those of the requests: see `LexicalFeatures`."""
        return self._features.finish(pairs, requests, self._n_items)

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


@dataclass(frozen=True, slots=True)
class _LookUps:
    """The methods of a vocabulary, most of them with a memory."""

    look_up: Callable[[str, str], QueryWord]
    goes_on: Callable[[str], bool]
    join: Callable[[str, str], WordMatch | None]
    complete: Callable[[str], QueryWord | None]
    vary: Callable[[str, str, tuple[str, ...]], QueryWord]
    either: Callable[[WordMatch, WordMatch], WordMatch]
    codes: Callable[[str], Rows]


def _read(ask: _LookUps, query: str) -> _QueryMatch:
    terms = query_terms(query)[:MAX_QUERY_WORDS]
    texts = [text for text, _ in terms]
    words = [ask.look_up(*term) for term in terms]
    for position, (left, right) in enumerate(pairwise(texts), 1):
        if right in WITH_VARIANTS and (variants := variants_of(right, left)):
            words[position] = ask.vary(*terms[position], variants)
    for position, (left, right) in enumerate(pairwise(texts)):
        if ask.goes_on(left) and (compound := ask.join(left, right)) is not None:
            for each in (position, position + 1):
                words[each] = words[each].or_else(compound, ask.either)
    for position in _unfinished(query, texts, words):
        words[position] = _completed(ask, texts[position], words[position], n_words=len(texts))
    idf = np.array([word.idf for word in words], dtype=np.float32)
    code = code_of(query)
    return _QueryMatch(
        texts=texts,
        words=tuple([word.matched for word in words]),
        instead=tuple([word.instead for word in words]),
        idf=idf,
        weights=idf / np.add.reduce(idf),
        code=code,
        coded=ask.codes(code),
    )


def _asked(
    preparation: QueryPreparation, read: Callable[[str], _QueryMatch], query: str
) -> AskedQuery:
    matched = read(query)
    return preparation.asked(query, matched.texts, matched.words, matched.instead)


def _unfinished(query: str, texts: Sequence[str], words: Sequence[QueryWord]) -> list[int]:
    """Return the positions of the words that may be a part of longer ones; mostly none."""
    last = len(words) - 1
    if query.isascii():
        whole = last < 0 or (words[last].known and len(texts[last]) >= _WHOLE)
        return [] if whole else [last]
    return [n for n, text in enumerate(texts) if n == last or is_character(text)]


def _completed(ask: _LookUps, text: str, word: QueryWord, n_words: int) -> QueryWord:
    """Return what a last word matches, or any that it begins; the idf is that of the commoner.

    It is still being typed, unless it is a whole word. A single character of a script without
    spaces is half of a pair wherever it stands.
    """
    known, half = word.known, is_character(text)
    completed = None
    if half or _may_be_half(text, n_words, known=known):
        completed = ask.complete(text)
    if completed is None:
        return word
    if known and not half:
        n_with_it, n_completed = (each.matched.items.rows.size for each in (word, completed))
        if n_completed < _RARE * n_with_it:
            return word  # a short word that is common enough is whole: "my"
    weight = COMPLETED if known else 1.0
    more = word.or_else(completed.matched.times(weight, weight), ask.either)
    instead = None if known else completed.matched.items
    return replace(more, idf=min(word.idf, completed.idf), instead=instead)


def _may_be_half(word: str, n_words: int, *, known: bool) -> bool:
    """Tell whether the last word of a query may be the beginning of a longer one."""
    if not word.isalpha() or (known and (n_words == 1 or len(word) >= _WHOLE)):
        return False
    return len(word) >= (_LEAST_ALONE if n_words == 1 else _LEAST_BEHIND)
