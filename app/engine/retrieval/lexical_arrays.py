"""Builds the lexical index of a catalogue: from texts, the arrays of `words.safetensors`.

`app.engine.retrieval.lexical` searches them. The arrays are:

    word/*               the vocabulary, a string column, sorted by its bytes
    idf                  float32[V], log(1 + (N − df + ½) / (df + ½)), df over whole texts
    posting/offsets      int64[V + 1]: where the postings of each word begin
    posting/rows         int32, ascending within a word
    posting/impacts      float32: BM25 with k1 = 1.2, b = 0.75, times idf
    title/offsets        int64[N + 1]; title/words int32: words in order, at most 32 a title
    spelling/offsets     int64[N + 1]; spelling/words int32: further spellings of each title
    ending/words         int32: words of 8 bytes and more, by their bytes from the last to the first
    compound/offsets     int64[V + 1]; compound/words int32: the compounds that end in each word
    trigram/codes        int64[G], sorted; trigram/offsets int64[G + 1]; trigram/words int32
    trigram/counts       int32[V]: distinct trigrams of each word, 0 for what is only a spelling
    code/*               see `app.engine.retrieval.codes`

The vocabulary also has the spellings of `words_and_spellings`. They have postings as words do, and
no other part: they count in no length, and are similar to no word.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.core.types import Vector
from app.domain.columns import encode_column, offsets_of, prefixed
from app.engine.retrieval.codes import code_arrays
from app.engine.retrieval.word_cutting import stem, trigrams_of, words_and_spellings

MAX_TITLE_WORDS = 32

LINKS: Final = ("s", "n", "en", "es")
"""Letters between the parts of German compounds. In a query they are missing, or part of a word."""

LEAST_PART: Final = 5
LEAST_REST: Final = 3
"""Letters of the last part of a compound, and of what stands before it."""

_K1 = 1.2
_B = 0.75


@dataclass(frozen=True, slots=True)
class _Counts:
    """How often each item has each of its words, item after item.

    Attributes:
        words: the vocabulary, in order of first appearance.
        word: int32[m], positions in `words`, distinct within an item.
        times: float32[m], how often the item has each; 0 for a spelling.
        distinct: int64[N], distinct words an item.
        lengths: float32[N], words an item.
        title: int32[t], positions in `words`, title after title.
        title_lengths: int64[N].
        spelt: int32[s], positions in `words` of the spellings of titles, title after title.
        spelt_lengths: int64[N].
    """

    words: list[str]
    word: npt.NDArray[np.int32]
    times: Vector
    distinct: npt.NDArray[np.int64]
    lengths: Vector
    title: npt.NDArray[np.int32]
    title_lengths: npt.NDArray[np.int64]
    spelt: npt.NDArray[np.int32]
    spelt_lengths: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Statistics:
    """The weights of words in a larger catalogue, of which these items are a part.

    `idf`: of a word. `words_per_item`: distinct words an item, in the mean.
    """

    idf: Callable[[str], float]
    words_per_item: float


def lexical_arrays(
    titles: Sequence[str | None],
    texts: Sequence[str],
    statistics: Statistics | None = None,
    names: Sequence[Sequence[str]] | None = None,
) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays listed above for N items.

    An item is found by its title even if its text does not have the title's words: each of those
    counts once.

    Args:
        titles: by row, None where there is none.
        texts: by row, the whole text of the item, usually its title too.
        statistics: the weights of words; None = these items alone decide them.
        names: by row, the id of an item, and values that may be a part number of it.

    Raises:
        ValueError: there are more or fewer titles than texts, or names.
    """
    counts = _counted(titles, texts)
    order = sorted(range(len(counts.words)), key=counts.words.__getitem__)
    words = [counts.words[position] for position in order]
    number = np.empty(len(order), dtype=np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)
    return {
        **prefixed("word", encode_column("string", words)),
        **_postings(number[counts.word], counts, words, statistics),
        "title/offsets": offsets_of(counts.title_lengths),
        "title/words": number[counts.title],
        "spelling/offsets": offsets_of(counts.spelt_lengths),
        "spelling/words": number[counts.spelt],
        "ending/words": _by_ending(words),
        **_compounds(words),
        **_trigrams(words, np.bincount(number[counts.word], counts.times, len(words)) > 0),
        **code_arrays(titles, texts, names),
    }


def _counted(titles: Sequence[str | None], texts: Sequence[str]) -> _Counts:
    # Flat C arrays that grow, so that Python objects exist for one item at a time only.
    position_of = defaultdict[str, int](count().__next__)
    word, times, title, spelt = array("i"), array("f"), array("i"), array("i")
    distinct, lengths = array("q"), array("f")
    title_lengths, spelt_lengths = array("q"), array("q")
    for heading, text in zip(titles, texts, strict=True):
        first, spellings = words_and_spellings(heading or "")
        del first[MAX_TITLE_WORDS:]
        words, more = words_and_spellings(text)
        tally = Counter(words)
        tally.update([w for w in dict.fromkeys(first) if w not in tally])
        lengths.append(tally.total())
        spellings = [w for w in spellings if w not in tally]
        for spelling in (*spellings, *more):
            tally.setdefault(spelling, 0)
        word.extend([position_of[w] for w in tally])
        times.extend(tally.values())
        distinct.append(len(tally))
        title.extend([position_of[w] for w in first])
        title_lengths.append(len(first))
        spelt.extend([position_of[w] for w in spellings])
        spelt_lengths.append(len(spellings))
    return _Counts(
        list(position_of),
        np.array(word, np.int32),
        np.array(times, np.float32),
        np.array(distinct, np.int64),
        np.array(lengths, np.float32),
        np.array(title, np.int32),
        np.array(title_lengths, np.int64),
        np.array(spelt, np.int32),
        np.array(spelt_lengths, np.int64),
    )


def _postings(
    word: npt.NDArray[np.int32],
    counts: _Counts,
    words: Sequence[str],
    statistics: Statistics | None,
) -> dict[str, npt.NDArray[Any]]:
    n_items = len(counts.lengths)
    df = np.bincount(word, minlength=len(words))
    if statistics is None:
        idf = np.log(1 + (n_items - df + 0.5) / (df + 0.5)).astype(np.float32)
        # Items without words count in the mean length too.
        mean = float(counts.lengths.mean()) if n_items else 1.0
    else:
        idf = np.array([statistics.idf(each) for each in words], np.float32)
        # The larger catalogue knows only its mean number of distinct words. We take it that words
        # repeat as often there as here.
        repeats = float(counts.lengths.sum()) / max(int(counts.distinct.sum()), 1)
        mean = statistics.words_per_item * repeats
    mean = max(mean, 1e-9)
    damping = (_K1 * (1 - _B + _B * counts.lengths / mean)).astype(np.float32)
    rows = np.repeat(np.arange(n_items, dtype=np.int32), counts.distinct)
    times = np.maximum(counts.times, np.float32(1.0))  # a spelling stands there once
    impacts = idf[word] * (times * np.float32(_K1 + 1)) / (times + damping[rows])
    order = np.argsort(word, kind="stable")  # rows stay ascending within a word
    return {
        "idf": idf,
        "posting/offsets": offsets_of(df),
        "posting/rows": rows[order],
        "posting/impacts": impacts[order],
    }


def _by_ending(words: list[str]) -> npt.NDArray[np.int32]:
    backwards = [word.encode()[::-1] for word in words]
    long = [number for number, word in enumerate(backwards) if len(word) >= LEAST_PART + LEAST_REST]
    return np.array(sorted(long, key=backwards.__getitem__), np.int32)


def _compounds(words: list[str]) -> dict[str, npt.NDArray[Any]]:
    """Return for each word the longer ones that end in it, and begin with another word.

    What stands before it must be a word, or a word and a link: "adjustable" is no table.
    """
    number_of = {word: number for number, word in enumerate(words)}
    ends, compounds = array("i"), array("i")
    for number, word in enumerate(words):
        if len(word) < LEAST_PART + LEAST_REST or not word.isalpha():
            continue
        for cut in range(LEAST_REST, len(word) - LEAST_PART + 1):
            end = number_of.get(word[cut:])
            if end is not None and _is_first_part(word[:cut], number_of):
                ends.append(end)
                compounds.append(number)
    order = np.argsort(np.array(ends, np.int32), kind="stable")
    lengths = np.bincount(np.array(ends, np.int64), minlength=len(words))
    return {
        "compound/offsets": offsets_of(lengths),
        "compound/words": np.array(compounds, np.int32)[order],
    }


def _is_first_part(part: str, words: Container[str]) -> bool:
    if part in words or stem(part) in words:
        return True
    without = (part.removesuffix(link) for link in LINKS if part.endswith(link))
    return any(len(left) >= LEAST_REST and left in words for left in without)


def _trigrams(words: list[str], real: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[Any]]:
    codes, position = trigrams_of([words[number] for number in np.flatnonzero(real).tolist()])
    word = np.flatnonzero(real)[position]
    order = np.argsort(codes, kind="stable")  # words stay ascending within a trigram
    distinct, lengths = np.unique(codes, return_counts=True)
    return {
        "trigram/codes": distinct,
        "trigram/offsets": offsets_of(lengths),
        "trigram/words": word[order].astype(np.int32),
        "trigram/counts": np.bincount(word, minlength=len(words)).astype(np.int32),
    }
