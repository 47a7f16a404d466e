"""Draws queries for given items out of the words of a catalogue: training without a search log.

Most words come from the title, some from names and telling words of the text, some from attribute
values. The queries are as long as real ones, and their words about as frequent
(`app.offline.learning.word_statistics`); some have typos, another order or another spelling
(`app.offline.learning.query_variations`). Synonyms are not drawn: a catalogue alone does not tell
them from mere neighbours.

Real queries of shops, and queries drawn for the titles of one of them (6,657 products of the
CrowdFlower set), by the number of their words and by the titles per 10,000 that have a word:

    % of the queries (1, 2, 3, 4, 5+ words)      % of the words (1-4, -16, -64, -256, more titles)
    CrowdFlower (180)     7  49  32   9   3         2   3  37  45  14
    WANDS (480)           5  23  35  21  17        18  24  27  25   7  (of words the titles have)
    drawn                18  41  27  10   5        14  18  26  26  16

Of the words of the two sets 3.3 % and 2.9 % have a digit, of those drawn 3.7 %. The titles were
found by the queries of the first set, so their words are frequent there. Both sets list
each query once; short queries are asked more often than long ones, so more are drawn.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from random import Random
from typing import Final, TypeAlias

import numpy as np

from app.core.types import Rows
from app.offline.learning.query_variations import varied
from app.offline.learning.text_phrases import names_in, telling_words, text_frequency
from app.offline.learning.title_words import TitleWord, as_typed, title_words
from app.offline.learning.word_statistics import WordStatistics

Attributes: TypeAlias = Mapping[str, Sequence[str | Sequence[str] | None]]
"""Name -> by row, a text, several, or None."""

FROM_TEXT: Final = 0.15
FROM_ATTRIBUTES: Final = 0.15
BEGINNING: Final = 0.05
"""Shares of the queries that are not drawn word by word from the title, where an item has those."""

LENGTHS: Final = (0.40, 0.40, 0.20)
LENGTHS_OF_LONG_TITLES: Final = (0.15, 0.40, 0.30, 0.10, 0.05)
"""Shares of the queries of one word, two words, and so on. Shops' titles are long, and so are the
queries there."""

_NEIGHBOUR: Final = 0.5
"""Share of the further words that stand beside those drawn before: "nail polish"."""
_NUMBER_BESIDE: Final = 0.3
"""How often a number beside a drawn word may be taken: "heat 1995", "fifa 15"."""
_KEEP_LITTLE: Final = 0.5
"""Share of the little words kept between two neighbours: "lord of the rings"."""
_LONGER_RUN: Final = (0.5, 0.25, 0.15, 0.10)
"""By how many characters a drawn pair of a script without spaces grows."""

_MOST_BEGINNING: Final = 8
_NAME: Final = 0.6
_TWO_WORDS: Final = 0.5
_LAST_NAME: Final = 0.2
_VALUE_ALONE: Final = 0.35
_TWO_VALUES: Final = 0.2

_MOST_VALUE_WORDS: Final = 5
_MOST_VALUE_LETTERS: Final = 40
_LEAST_VALUE_LETTERS: Final = 3

_TRIES: Final = 10
"""How often words are drawn anew that the same row had before."""

_COUNTED_TEXTS: Final = 2_000
_ROW_BITS: Final = 40
_REMEMBERED: Final = 1 << 16


class QueryWriter:
    """Draws queries for the rows of a catalogue. The same seed gives the same queries."""

    def __init__(
        self,
        titles: Sequence[str | None],
        texts: Sequence[str],
        attributes: Attributes,
        seed: int,
    ) -> None:
        """Count the words of the catalogue.

        Args:
            titles: by row, None where there is none.
            texts: by row, the whole text of the item, usually its title too.
            attributes: text attributes; their values by row. Long values and codes are not drawn.
            seed: of all draws, ≥ 0.
        """
        self._titles, self._texts, self._attributes = titles, texts, attributes
        self._seed = seed
        self._statistics = WordStatistics(titles, seed)
        step = max(len(texts) // _COUNTED_TEXTS, 1)
        counted = texts[::step]
        self._n_counted, self._in_texts = len(counted), text_frequency(counted)
        shares = LENGTHS_OF_LONG_TITLES if self._statistics.long_titles else LENGTHS
        self._lengths = list(accumulate(shares))

    def write(self, rows: Rows) -> list[str]:
        """Return a query for each of int64[m] rows; "" where an item has no words at all.

        A row that comes several times gets different words, until it has no others. The queries
        of a row do not depend on the other rows, so a second call repeats them.
        """
        queries = [""] * len(rows)
        order = np.argsort(rows, kind="stable")
        distinct, starts = np.unique(rows[order], return_index=True)
        rng = Random()  # noqa: S311 - draws, no secrets
        for row, places in zip(distinct.tolist(), np.split(order, starts[1:]), strict=True):
            rng.seed(self._seed << _ROW_BITS | row)
            item = _Item(self._titles[row], self._statistics)
            seen: set[str] = set()
            for place in places.tolist():
                for _ in range(_TRIES):
                    words = self._drawn(row, item, rng)
                    if " ".join(words) not in seen:
                        break
                # Varied only now: where words run out, no more queries than elsewhere have typos.
                seen.add(" ".join(words))
                queries[place] = " ".join(varied(words, self._statistics, rng))
        return queries

    def _drawn(self, row: int, item: "_Item", rng: Random) -> list[str]:
        at = rng.random()
        words: list[str] = []
        if at < FROM_TEXT:
            words = self._from_text(row, item, rng)
        elif at < FROM_TEXT + FROM_ATTRIBUTES:
            words = self._from_attributes(row, item, rng)
        elif at < FROM_TEXT + FROM_ATTRIBUTES + BEGINNING:
            words = item.beginning(rng)
        words = words or item.draw(1 + bisect_right(self._lengths, rng.random()), rng)
        # Items without a title.
        return words or self._from_attributes(row, item, rng) or self._from_text(row, item, rng)

    def _from_text(self, row: int, item: "_Item", rng: Random) -> list[str]:
        """Return a name out of the text, or one or two of its telling words."""
        names, telling = item.of_text(self._names_and_words, row)
        if names and (not telling or rng.random() < _NAME):
            return _name(rng.choice(names).split(), rng)
        if not telling:
            return []
        n = min(1 + (rng.random() < _TWO_WORDS), len(telling))
        return [word.text for word in rng.sample(telling, n)]

    def _names_and_words(self, row: int) -> tuple[list[str], list[TitleWord]]:
        text = self._texts[row]
        return (
            names_in(text, self._titles[row]),
            telling_words(text, self._in_texts, self._n_counted),
        )

    def _from_attributes(self, row: int, item: "_Item", rng: Random) -> list[str]:
        """Return an attribute value alone, with a word of the title, or with another value."""
        found = [each for column in self._attributes.values() if (each := _values(column[row]))]
        if not found:
            return []
        at = rng.randrange(len(found))
        value = rng.choice(found.pop(at))
        words = _name(value.split(), rng)
        kind = rng.random()
        if kind < _VALUE_ALONE:
            return words
        if found and kind < _VALUE_ALONE + _TWO_VALUES:
            more = rng.choice(rng.choice(found)).split()
        else:
            more = item.draw(1, rng)
        return [*words, *(word for word in more if word not in words)]


class _Item:
    """The words of the title of one item, with the weights that they are drawn by."""

    def __init__(self, title: str | None, statistics: WordStatistics) -> None:
        self._words = title_words(title) if title else []
        weights = [statistics.weight(word) for word in self._words]
        if not any(weights):  # "It", "You": little words are better than none
            weights = [1.0] * len(self._words)
        self._weights = weights
        self._places = [at for at, weight in enumerate(weights) if weight]
        self._text: tuple[list[str], list[TitleWord]] | None = None

    def of_text(
        self, read: Callable[[int], tuple[list[str], list[TitleWord]]], row: int
    ) -> tuple[list[str], list[TitleWord]]:
        """Return what was read of the text; it is read once, and only if it is asked for."""
        if self._text is None:
            self._text = read(row)
        return self._text

    def beginning(self, rng: Random) -> list[str]:
        """Return the whole title, or a beginning of it."""
        words = as_typed(self._words)
        if len(words) <= _MOST_BEGINNING and rng.random() < _TWO_WORDS:
            return words
        return words[: rng.randint(2, _MOST_BEGINNING // 2)]

    def draw(self, n: int, rng: Random) -> list[str]:
        """Return up to n words of the title in their order, with little words between some."""
        if not self._places:
            return []
        chosen = self._chosen(n, rng)
        if all(self._words[at].is_number for at in chosen):
            chosen = self._with_a_word(chosen, rng)
        kept = sorted(chosen)
        if rng.random() < _KEEP_LITTLE:
            kept = self._with_little_words(kept)
        return self._texts_of(self._grown(kept, rng))

    def _chosen(self, n: int, rng: Random) -> set[int]:
        """Return the places of up to n words."""
        places, cumulated = self._places, list(accumulate(self._weights))
        n_numbers = sum(self._words[at].is_number for at in places)
        # A number must not come only because there are no more words: "1995".
        more = rng.random() < _NUMBER_BESIDE
        n = max(min(n, len(places) - n_numbers + (more and n_numbers > 0)), 1)
        chosen = {_one(cumulated, rng)}
        while len(chosen) < n:
            if rng.random() < _NEIGHBOUR:
                beside = self._beside(chosen, rng)
                chosen.add(rng.choice(beside) if beside else _one(cumulated, rng))
            else:
                chosen.add(_one(cumulated, rng))
        return chosen

    def _beside(self, chosen: set[int], rng: Random) -> list[int]:
        """Return the places next to the chosen ones that may follow; little words do not count."""
        first, last = self._places.index(min(chosen)), self._places.index(max(chosen))
        beside = [*self._places[max(first - 1, 0) : first], *self._places[last + 1 : last + 2]]
        return [
            at for at in beside if not self._words[at].is_number or rng.random() < _NUMBER_BESIDE
        ]

    def _with_a_word(self, chosen: set[int], rng: Random) -> set[int]:
        """Return the places of numbers, and one of a word if there is any: "fifa 15"."""
        everywhere = range(len(self._words))
        # Little words too, if there are no others: all titles may be of one series.
        words = [at for at in self._places if not self._words[at].is_number]
        words = words or [at for at in everywhere if not self._words[at].is_number]
        if not words:
            return chosen
        nearest = min(words, key=lambda at: (min(abs(at - one) for one in chosen), at))
        return {*chosen, nearest if rng.random() < _TWO_WORDS else rng.choice(words)}

    def _with_little_words(self, kept: list[int]) -> list[int]:
        """Return the places, and those of the little words between two neighbours among them."""
        result = kept[:1]
        for last, at in pairwise(kept):
            if not any(self._weights[last + 1 : at]):
                result.extend(range(last + 1, at))
            result.append(at)
        return result

    def _grown(self, kept: list[int], rng: Random) -> list[int]:
        """Return the places; of a script without spaces, with some that follow in the same run."""
        if not any(self._words[at].unspaced for at in kept):
            return kept
        grown = set(kept)
        for at in kept:
            if self._words[at].unspaced:
                more = rng.choices(range(len(_LONGER_RUN)), _LONGER_RUN)[0]
                for after in range(at + 1, min(at + 1 + more, len(self._words))):
                    if not self._words[after].shared:
                        break
                    grown.add(after)
        return sorted(grown)

    def _texts_of(self, places: list[int]) -> list[str]:
        texts: list[str] = []
        last = -2
        for at in places:
            word = self._words[at]
            if word.shared and at == last + 1:
                texts[-1] += word.text[word.shared :]
            elif word.text not in texts:
                texts.append(word.text)
            last = at
        return texts


def _one(cumulated: Sequence[float], rng: Random) -> int:
    """Return a place, drawn by weight."""
    return bisect_right(cumulated, rng.random() * cumulated[-1], hi=len(cumulated) - 1)


def _name(words: list[str], rng: Random) -> list[str]:
    """Return the words of a name, or only the last one: "tarantino"."""
    return words[-1:] if len(words) > 1 and rng.random() < _LAST_NAME else words


def _values(value: str | Sequence[str] | None) -> list[str]:
    """Return the values of one attribute of an item that people may type, as they type them."""
    if value is None:
        return []
    several = [value] if isinstance(value, str) else value
    return [typed for each in several for typed in _typed_values(each)]


@lru_cache(_REMEMBERED)
def _typed_values(value: str) -> tuple[str, ...]:
    """Return a value as people type it, a path ("Beauty > Nails") in its parts.

    Codes, addresses and sentences: none.
    """
    if "://" in value or any(map(str.isdigit, value)):
        return ()
    typed = (as_typed(title_words(part)) for part in value.replace("|", ">").split(">"))
    texts = (" ".join(words) for words in typed if len(words) <= _MOST_VALUE_WORDS)
    return tuple(
        text
        for text in texts
        if _is_short(text) and (len(text) >= _LEAST_VALUE_LETTERS or not text.isascii())
    )


def _is_short(text: str) -> bool:
    return 0 < len(text) <= _MOST_VALUE_LETTERS
