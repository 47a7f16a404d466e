"""Lexical features: how well the words of a query fit a candidate; for training and serving.

m is the number of words of the query that are read. The weight of a word is its part of the sum of
their idf. A text *matches* a word by the word itself, a similar one, a compound, or a word that it
begins. It *holds* a word only by the word itself. If no item of the catalogue has the word, what is
most similar to it stands for it. One number a candidate, undefined ones are 0:

    bm25             Σ impacts of the words / (2.2 · Σ idf), about 0 … 1
    bm25_rank        log(1 + number of candidates of the request with a higher bm25)
    title_coverage   Σ weight · similarity of the best word of the title, at most 1
    text_coverage    Σ weights of the words that the text matches, at most 1
    exact_coverage   Σ weights of the words that the text has itself, at most 1
    holds_all        1 if the text holds all words
    missing_words    how many words the text does not hold
    rarest_missing   the highest idf of the words that the text has not itself / that of all words
    title_covered    share of the title's words that are exactly words of the query
    phrase           longest run of words of the title that follow each other in the query too / m
    starts           1 if the title begins with the first word of the query
    whole_title      1 if the title has the typed words and no others, in any order
    title_words      log(1 + number of words of the title)
    numbers_matched  share of the query's words with a digit that the text has
    numbers_clash    1 if the title has numbers, and the query has, but none of them is in the title

Then one number a request, the same for all its candidates:

    query_words      m
    unknown_words    share of the words that match nothing
    sharpness        the highest idf / log(1 + number of items)
    holders          log(1 + number of candidates with holds_all, at most 200)

Stop words of a title count only in `whole_title`, unless the query has nothing but stop words. A
numeral is the same word as its number ("iv", "4"). Ids, row numbers and the order of candidates
never come in. The number of holders is cut because the sources bring no more of them for certain.

`pairs` computes what depends on one candidate, `finish` the rest. In between, a catalogue that
changes puts in the values of rows that stand in another index
(`app.engine.retrieval.live_lexical`).
"""

import ctypes
import math
from collections.abc import Iterable, Mapping, Sequence
from ctypes import CDLL, Structure, c_double, c_int, c_int64, c_void_p
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from app.core.types import Mask, Matrix, Rows, Vector
from app.engine.kernels.features import log_ranks
from app.engine.kernels.loader import (
    Signature,
    Unavailable,
    address,
    bind,
    load_library,
    struct_layout,
    table_layout,
)
from app.engine.kernels.matching import RowNumbers, positions_of
from app.engine.kernels.topk import Piece

LEXICAL_FEATURES: Final = (
    "bm25",
    "bm25_rank",
    "title_coverage",
    "text_coverage",
    "exact_coverage",
    "holds_all",
    "missing_words",
    "rarest_missing",
    "title_covered",
    "phrase",
    "starts",
    "whole_title",
    "title_words",
    "numbers_matched",
    "numbers_clash",
    "query_words",
    "unknown_words",
    "sharpness",
    "holders",
)
"""The names of the features, in order."""

_LINES: Final = {name: line for line, name in enumerate(LEXICAL_FEATURES)}

STOP_WORD: Final = 1
NUMBER: Final = 2
"""Bits of the kind of a word of the vocabulary."""

MOST_KEYS: Final = 64
"""Words of a query, those that are read and those that are typed."""

MOST_HOLDERS: Final = 200
"""So many holders count. `app.engine.retrieval.registry` brings as many, where there are."""

_HIGHEST_IMPACT: Final = 2.2
"""The limit of the impact of a word, in idf: BM25's k1 + 1."""


# ---- Port ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Titles:
    """The titles of n items, in words of a vocabulary of V words.

    offsets: int64[n + 1] into words: int32, title after title; kinds: uint8[V], bits `STOP_WORD`
    and `NUMBER`. The arrays are contiguous, and fit each other.
    """

    offsets: Rows
    words: RowNumbers
    kinds: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class AskedWord:
    """A word of a query that is read.

    Attributes:
        key: which of the distinct words of the query it is, from 0.
        items: the rows whose text matches it, with their impacts.
        titles: the rows whose title matches it, with their similarities.
        exactly: the rows that have the word itself, in whichever way it is written.
        instead: the rows of what is most similar to it, if the index lacks the word itself.
        is_number: the word has a digit.

    All rows are among those of `items`.
    """

    key: int
    items: Piece
    titles: Piece
    exactly: Piece
    instead: Piece
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class AskedQuery:
    """A query as one index reads it.

    Attributes:
        words: those that are read.
        typed: the keys of all words in order, stop words too, as far as a title is read.
        keys: word of the vocabulary -> key; several words where one is written in several ways.
        stop_words: the query has nothing but stop words.
        unmatched, lacking: bit w tells that word w matches nothing, or that no item of the index
            has the word itself.
        address: of an `AskedQuery` in C, which lives as long as this object.
    """

    words: tuple[AskedWord, ...]
    typed: tuple[int, ...]
    keys: Mapping[int, int]
    stop_words: bool = False
    unmatched: int = field(init=False, compare=False)
    lacking: int = field(init=False, compare=False)
    address: int = field(init=False, compare=False)
    _arrays: tuple[npt.NDArray[Any], ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        read = [word.key for word in self.words]
        keys = (*read, *self.typed, *self.keys.values())
        if len(read) + len(self.typed) > MOST_KEYS or max(keys, default=0) >= MOST_KEYS:
            raise ValueError(f"a query with more than {MOST_KEYS} words")
        words = np.array([_line_of_word(word) for word in self.words], np.int64)
        numbers = np.array([*self.typed, *self.keys, *self.keys.values()], np.int32)
        n_typed, n_keys, size = len(self.typed), len(self.keys), numbers.itemsize
        typed_at = address(numbers)
        keys_at = typed_at + n_typed * size
        lists = (address(words), typed_at, keys_at, keys_at + n_keys * size)
        lengths = (len(self.words), n_typed, n_keys, self.stop_words)
        asked = np.array([*lists, *lengths], np.int64)
        object.__setattr__(self, "unmatched", _bits(word.items for word in self.words))
        object.__setattr__(self, "lacking", _bits(word.exactly for word in self.words))
        object.__setattr__(self, "address", address(asked))
        object.__setattr__(self, "_arrays", (words, numbers, asked))


class PairRequest(NamedTuple):
    """A query and its candidates.

    Attributes:
        query: as read by the index that computes.
        idf: float32[m], > 0, contiguous, of its words in the bundle, whichever index computes.
        unknown: bit w tells that word w matches nothing in any index.
        replaced: bit w tells that no item of any index has word w itself, so others stand for it.
        rows: int64[c], the candidates, each once; a row that the index lacks has zeros.
    """

    query: AskedQuery
    idf: Vector
    unknown: int
    replaced: int
    rows: Rows


def _bits(pieces: Iterable[Piece]) -> int:
    """Return the number whose bit w is 1 where piece w has no rows."""
    return sum(1 << number for number, piece in enumerate(pieces) if not piece.rows.size)


class LexicalFeatures(Protocol):
    """Computes the lexical features of a batch. It owns buffers: one thread at a time."""

    def pairs(self, requests: Sequence[PairRequest]) -> Matrix:
        """Return float32[L, N], a column per candidate of each request, request after request.

        The features that `finish` computes are 0.
        """
        ...

    def finish(self, pairs: Matrix, requests: Sequence[PairRequest], n_items: int) -> Matrix:
        """Compute the missing features in place, and return the same array.

        Args:
            pairs: as `pairs` returns it, for the same requests.
            requests: read are the idf, the unknown words, and the number of candidates.
            n_items: number of items that the idf come from.
        """
        ...


def lexical_features_over(titles: Titles) -> LexicalFeatures:
    """Return what computes lexical features: our own C where it can run, else numpy."""
    try:
        return KernelLexicalFeatures(load_library(), titles)
    except Unavailable:
        return NumpyLexicalFeatures(titles)


# ---- Numpy ---------------------------------------------------------------------------------------


class NumpyLexicalFeatures:
    """The port in numpy, request by request."""

    def __init__(self, titles: Titles) -> None:
        """Take the titles; nothing is copied."""
        self._titles = titles

    def pairs(self, requests: Sequence[PairRequest]) -> Matrix:
        """See `LexicalFeatures`."""
        out = np.zeros((len(LEXICAL_FEATURES), sum(len(r.rows) for r in requests)), np.float32)
        start = 0
        for request in requests:
            block = out[:, start : start + len(request.rows)]
            start += len(request.rows)
            inside = (request.rows >= 0) & (request.rows < len(self._titles.offsets) - 1)
            rows = request.rows[inside]
            if not (len(rows) and request.query.words):
                continue
            found = {
                **_of_texts(request, rows),
                **self._of_titles(request.query, rows),
            }
            for name, values in found.items():
                block[_LINES[name], inside] = values
        return out

    def finish(self, pairs: Matrix, requests: Sequence[PairRequest], n_items: int) -> Matrix:
        """See `LexicalFeatures`."""
        start = 0
        for _, idf, unknown, _, rows in requests:
            block = pairs[:, start : start + len(rows)]
            start += len(rows)
            if not len(rows):
                continue
            block[_LINES["bm25_rank"]] = log_ranks(block[_LINES["bm25"]][None])[0]
            block[_LINES["query_words"]] = len(idf)
            block[_LINES["unknown_words"]] = unknown.bit_count() / max(len(idf), 1)
            block[_LINES["sharpness"]] = float(idf.max(initial=0.0)) / _log_items(n_items)
            n_holders = min(int(block[_LINES["holds_all"]].sum()), MOST_HOLDERS)
            block[_LINES["holders"]] = math.log1p(n_holders)
        return pairs

    def _of_titles(self, query: AskedQuery, rows: Rows) -> dict[str, Vector | Mask]:
        titles = self._titles
        positions, bounds = positions_of(titles.offsets, rows)
        words = titles.words.take(positions)
        owners = np.repeat(np.arange(len(rows)), np.diff(bounds))
        keys = np.full(len(words), -1)
        for word, key in query.keys.items():
            keys[words == word] = key
        kinds = titles.kinds.take(words)
        whole = _same_words(query.typed, keys, bounds)
        if not query.stop_words:
            keys, owners, kinds = (each[kinds & STOP_WORD == 0] for each in (keys, owners, kinds))
        n_words = np.bincount(owners, minlength=len(rows))
        read = np.array([word.key for word in query.words])
        covered = np.bincount(owners, np.isin(keys, read), minlength=len(rows))
        grid = np.full((len(rows), n_words.max() + 1), -1)
        grid[owners, np.arange(len(owners)) - (np.cumsum(n_words) - n_words)[owners]] = keys
        numbers = [word.key for word in query.words if word.is_number]
        shared = np.bincount(owners, np.isin(keys, numbers), minlength=len(rows))
        has_number = np.bincount(owners, kinds & NUMBER, minlength=len(rows)) > 0
        return {
            "title_covered": covered / np.maximum(n_words, 1),
            "phrase": _longest_run(grid, read) / np.float32(len(read)),
            "starts": grid[:, 0] == read[0],
            "whole_title": whole,
            "title_words": np.log1p(n_words),
            "numbers_clash": has_number & (shared == 0) & bool(numbers),
        }


def _of_texts(request: PairRequest, rows: Rows) -> dict[str, Vector | Mask | npt.NDArray[np.int64]]:
    words, idf = request.query.words, request.idf
    total = float(idf.sum(dtype=np.float64))
    weights = (idf / np.float32(total))[:, None]
    has, impacts = map(np.stack, zip(*(_of_rows(word.items, rows) for word in words), strict=True))
    similarities = np.stack([_of_rows(word.titles, rows)[1] for word in words])
    exact = np.stack([_of_rows(word.exactly, rows)[0] for word in words])
    replaced = np.array([request.replaced >> number & 1 for number in range(len(words))], np.bool_)
    instead = np.stack([_of_rows(word.instead, rows)[0] for word in words])
    exact &= ~replaced[:, None]
    holds = exact | (instead & replaced[:, None])
    is_number = np.array([word.is_number for word in words])
    with_number = exact[is_number].sum(axis=0).astype(np.float32)
    return {
        "bm25": impacts.sum(axis=0) / np.float32(_HIGHEST_IMPACT * total),
        "title_coverage": np.minimum((weights * similarities).sum(axis=0), 1.0),
        "text_coverage": np.minimum((weights * has).sum(axis=0), 1.0),
        "exact_coverage": np.minimum((weights * exact).sum(axis=0), 1.0),
        "holds_all": holds.all(axis=0),
        "missing_words": len(words) - holds.sum(axis=0),
        "rarest_missing": np.where(exact, np.float32(0), idf[:, None]).max(axis=0) / idf.max(),
        "numbers_matched": with_number / np.float32(max(int(is_number.sum()), 1)),
    }


def _of_rows(piece: Piece, rows: Rows) -> tuple[Mask, Vector]:
    """Return bool[c]: which of int64[c] rows a piece has; and float32[c], their values or 0."""
    if not len(piece.rows):
        return np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.float32)
    at = np.minimum(np.searchsorted(piece.rows, rows), len(piece.rows) - 1)
    has = piece.rows.take(at) == rows
    values = np.ones(len(at), np.float32) if piece.values is None else piece.values.take(at)
    return has, np.where(has, values, np.float32(0))


def _same_words(typed: Sequence[int], keys: Rows, bounds: Rows) -> Mask:
    """Return bool[c]: which titles have exactly these words, in any order.

    Title i has keys[bounds[i]] … keys[bounds[i + 1]], −1 for words that the query lacks.
    """
    same: Mask = (np.diff(bounds) == len(typed)) & bool(typed)
    ordered = sorted(typed)
    for title in np.flatnonzero(same).tolist():
        same[title] = sorted(keys[bounds[title] : bounds[title + 1]].tolist()) == ordered
    return same


def _longest_run(grid: Rows, read: Rows) -> Vector:
    """Return float32[c]: the most words of a title that follow each other in the query as well.

    Args:
        grid: int64[c, w], the keys of each title, −1 for words that the query lacks.
        read: int64[m], the keys of the query's words.
    """
    # runs[i]: the length of the run that ends with word i of the query, and here in the title.
    runs, longest = np.zeros((len(read), len(grid)), np.int64), np.zeros(len(grid), np.int64)
    for keys in grid.T:
        before = np.vstack([np.zeros_like(runs[:1]), runs[:-1]])
        runs = np.where(keys == read[:, None], before + 1, 0)
        longest = np.maximum(longest, runs.max(axis=0))
    return longest.astype(np.float32)


def _log_items(n_items: int) -> float:
    return math.log1p(max(n_items, 1))  # without items there is no candidate to divide for


# ---- Binding of c/lexical_features.c -------------------------------------------------------------
#
# A query is prepared once and asked for many times, so what C reads of it is kept with it. Of each
# request C reads a line of an int64 table.


class _Titles(Structure):
    """`Titles` in C: addresses of the arrays of `Titles`."""

    _fields_ = [
        ("offsets", c_void_p),
        ("words", c_void_p),
        ("kinds", c_void_p),
        ("n_items", c_int64),
    ]


def _of_list(name: str) -> tuple[str, str, str]:
    return f"{name}.rows", f"{name}.values", f"{name}.n"


_LISTS: Final = ("items", "titles", "exactly", "instead")
_WORD: Final = ("key", "is_number", *(column for name in _LISTS for column in _of_list(name)))
_QUERY: Final = ("words", "typed", "vocabulary", "keys")
_QUERY_LENGTHS: Final = ("n_words", "n_typed", "n_keys", "stop_words")
_REQUEST: Final = ("query", "idf", "rows", "n_words", "n_unknown", "replaced", "n_rows")
_SHARED: Final = {
    **table_layout("AskedWord", _WORD),
    **table_layout("AskedQuery", (*_QUERY, *_QUERY_LENGTHS)),
    **table_layout("PairRequest", _REQUEST),
    **struct_layout(_Titles),
    **{name.upper(): number for name, number in _LINES.items()},
    "LEXICAL_FEATURES": len(LEXICAL_FEATURES),
    "STOP_WORD": STOP_WORD,
    "NUMBER": NUMBER,
    "MOST_KEYS": MOST_KEYS,
    "MOST_HOLDERS": MOST_HOLDERS,
    "OUT_OF_MEMORY": 1,
}
_P, _N = c_void_p, c_int64
_FUNCTIONS: Final[dict[str, Signature]] = {
    # titles, requests, number of them, log1p, out, columns of out
    "lexical_features_of_pairs": (c_int, (_P, _P, _N, _P, _P, _N)),
    # requests, number of them, log1p, log of the number of items, out, columns of out
    "finish_lexical_features": (c_int, (_P, _N, _P, c_double, _P, _N)),
}


class KernelLexicalFeatures:
    """The port by a loaded library (`app.engine.kernels.loader`)."""

    def __init__(self, library: CDLL, titles: Titles) -> None:
        """Take the titles; nothing is copied. Raises `KernelMismatch`."""
        bind(library, "lexical_features", _FUNCTIONS, _SHARED)
        self._library = library
        # The struct has only addresses: the arrays must live as long as this object.
        self._titles = titles
        self._in_c = _Titles(
            offsets=address(titles.offsets),
            words=address(titles.words),
            kinds=address(titles.kinds),
            n_items=len(titles.offsets) - 1,
        )
        self._titles_at = ctypes.addressof(self._in_c)
        lengths = np.diff(titles.offsets)
        self._log1p = _log1p(max(int(lengths.max(initial=0)), 1024))

    def pairs(self, requests: Sequence[PairRequest]) -> Matrix:
        """See `LexicalFeatures`."""
        _rows, table, n = _request_table(requests)
        out = np.empty((len(LEXICAL_FEATURES), n), np.float32)
        failure = self._library.lexical_features_of_pairs(
            self._titles_at, address(table), len(requests), address(self._log1p), address(out), n
        )
        if failure:
            raise MemoryError
        return out

    def finish(self, pairs: Matrix, requests: Sequence[PairRequest], n_items: int) -> Matrix:
        """See `LexicalFeatures`."""
        _rows, table, n = _request_table(requests)
        if n >= len(self._log1p):
            self._log1p = _log1p(2 * n)
        failure = self._library.finish_lexical_features(
            address(table),
            len(requests),
            address(self._log1p),
            _log_items(n_items),
            address(pairs),
            n,
        )
        if failure:
            raise MemoryError
        return pairs


def _request_table(
    requests: Sequence[PairRequest],
) -> tuple[list[Rows], npt.NDArray[np.int64], int]:
    """Return the rows, a table of the requests, and the number of all candidates.

    The caller holds the rows during the call: the table has only their addresses.
    """
    rows = [np.ascontiguousarray(request.rows, np.int64) for request in requests]
    lines = [
        (q.query.address, address(q.idf), address(of_query), len(q.idf), *_numbers(q))
        for q, of_query in zip(requests, rows, strict=True)
    ]
    return rows, np.array(lines, np.int64), sum(map(len, rows))


def _numbers(request: PairRequest) -> tuple[int, int, int]:
    return request.unknown.bit_count(), request.replaced, len(request.rows)


def _line_of_word(word: AskedWord) -> tuple[int, ...]:
    lists = (word.items, word.titles, word.exactly, word.instead)
    return (word.key, word.is_number, *(n for each in lists for n in each.address))


def _log1p(n: int) -> Vector:
    """Return float32[n + 1]: of 0 … n. A look-up in C; it is the same number as in numpy."""
    return np.log1p(np.arange(n + 1)).astype(np.float32)
