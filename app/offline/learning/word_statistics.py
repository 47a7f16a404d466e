"""What the titles of a catalogue say about their words: how frequent, and in which spellings.

People search neither for the rarest words of a title nor for the commonest ones. Words drawn evenly
out of titles would mostly be common; words drawn evenly out of a vocabulary would mostly be rare.
So each word has a weight. With these weights the words that are drawn out of titles spread evenly
over the logarithm of their document frequency (df, the number of titles that have the word).

A large catalogue is counted by a sample of its titles.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.offline.learning.title_words import TitleWord, is_little, stems_of, title_words

MOST_COUNTED: Final = 100_000
"""Titles that are counted."""

_MOST_FITTED: Final = 10_000
"""Titles that the weights are fitted on."""

_ROUNDS: Final = 12
_MOST_WEIGHT: Final = 30.0
"""By how much one word may be preferred to another one."""

_CLASSES: Final = 64
_LEAST_SHARE: Final = 0.005
"""Share of the words of titles that a class of df must have, to get an even share of the draws."""

_COMMON: Final = 0.25
"""Share of the titles above which a word says nothing, in a catalogue of some size."""
_LEAST_COMMON: Final = 20

_SELDOM_TYPED: Final = 0.1
"""Weight of numbers, units and single letters, relative to the least of other words."""
_LEAST_UNIT: Final = 5

_LEAST_LETTERS: Final = 3
_REMEMBERED: Final = 1 << 15
_LONG_TITLE: Final = 6.0

_Floats = npt.NDArray[np.float64]


class WordStatistics:
    """Weights and spellings of the words of titles.

    Attributes:
        plurals: word -> the other spellings of its stem that titles have.
        compounds: a word -> the two words that other titles write for it: "flipflop".
        long_titles: whether titles have many words, as those of products do.
    """

    def __init__(self, titles: Sequence[str | None], seed: int) -> None:
        """Count the titles, given by row; None where there is none."""
        rng = np.random.default_rng(seed)
        counted = [title_words(titles[row] or "") for row in _sample(rng, len(titles))]
        self._df, texts = Counter[str](), Counter[str]()
        for words in counted:
            distinct = {word.text for word in words}
            texts.update(distinct)
            self._df.update({stem for text in distinct for stem in stems_of(text)})
        self._too_common = max(_COMMON * len(counted), _LEAST_COMMON)
        self._units = _units(counted)
        self.plurals = _plurals(texts)
        self.compounds = _compounds(counted, texts)
        lengths = [len(words) for words in counted if words]
        self.long_titles = bool(lengths) and float(np.median(lengths)) >= _LONG_TITLE
        self._by_class = self._fitted(counted[:: max(len(counted) // _MOST_FITTED, 1)])
        # A method with a memory, and not a decorator, which would keep this object alive.
        self.weight = lru_cache(_REMEMBERED)(self._weight)

    def df(self, text: str) -> int:
        """Return how many of the counted titles have a typed word, spelled so or with its stem."""
        return min((self._df[stem] for stem in stems_of(text)), default=0)

    def is_little(self, text: str) -> bool:
        """Tell whether a word says nothing alone, in any catalogue or in this one."""
        return is_little(text) or self.df(text) > self._too_common

    def _weight(self, word: TitleWord) -> float:
        """Return how often to draw a word of a title, relative to the others; 0 = little word."""
        if self.is_little(word.text):
            return 0.0
        if self._is_seldom_typed(word):
            return _SELDOM_TYPED * float(self._by_class.min())
        return float(self._by_class[self._class_of(word.text)])

    def _is_seldom_typed(self, word: TitleWord) -> bool:
        single = len(word.text) == 1 and not word.unspaced
        return single or word.is_number or word.text in self._units

    def _class_of(self, text: str) -> int:
        return max(self.df(text), 1).bit_length() - 1

    def _fitted(self, titles: Sequence[Sequence[TitleWord]]) -> _Floats:
        """Return float64[64]: the weight of a word by its class, the logarithm of its df.

        Only words that are often typed count: numbers would make up classes of their own.
        """
        drawn = [
            [w for w in words if not (self.is_little(w.text) or self._is_seldom_typed(w))]
            for words in titles
        ]
        drawn = [words for words in drawn if words]
        weights = np.ones(_CLASSES)
        if not drawn:
            return weights
        classes = np.array([self._class_of(w.text) for words in drawn for w in words])
        starts = np.cumsum([0, *map(len, drawn)])[:-1]
        lengths = np.array(list(map(len, drawn)))
        sizes = np.bincount(classes, minlength=_CLASSES)
        frequent = np.flatnonzero(sizes >= _LEAST_SHARE * len(classes))
        for _ in range(_ROUNDS):
            chance = weights[classes]
            chance /= np.repeat(np.add.reduceat(chance, starts), lengths)
            reached = np.bincount(classes, chance, minlength=_CLASSES)
            weights[frequent] *= len(drawn) / (len(frequent) * reached[frequent])
            weights[frequent] /= weights[frequent].max()
            weights[frequent] = np.maximum(weights[frequent], 1 / _MOST_WEIGHT)
            # A class of few words is like the next one.
            weights = np.interp(np.arange(_CLASSES), frequent, weights[frequent])
        return weights


def _sample(rng: np.random.Generator, n_titles: int) -> list[int]:
    if n_titles <= MOST_COUNTED:
        return list(range(n_titles))
    drawn = rng.choice(n_titles, MOST_COUNTED, replace=False, shuffle=False)
    rows: list[int] = np.sort(drawn).tolist()
    return rows


def _units(titles: Sequence[Sequence[TitleWord]]) -> frozenset[str]:
    """Return the words that stand behind a number in more than half of the places: "oz"."""
    everywhere, behind_numbers = Counter[str](), Counter[str]()
    for words in titles:
        everywhere.update([word.text for word in words])
        behind_numbers.update(
            [word.text for number, word in pairwise(words) if number.text[:1].isdigit()]
        )
    often = (text for text, n in behind_numbers.items() if n >= _LEAST_UNIT)
    return frozenset(text for text in often if 2 * behind_numbers[text] > everywhere[text])


def _plurals(texts: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    by_stem = defaultdict[tuple[str, ...], list[str]](list)
    for text in texts:
        if text.isascii() and text.isalpha() and len(text) >= _LEAST_LETTERS:
            by_stem[stems_of(text)].append(text)
    # Sorted: the order of a set, and so of `texts`, changes with the hash seed of the process.
    return {
        text: tuple(sorted(other for other in same if other != text))
        for same in by_stem.values()
        if len(same) > 1
        for text in same
    }


def _compounds(
    titles: Sequence[Sequence[TitleWord]], texts: Mapping[str, Any]
) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for words in titles:
        for left, right in pairwise(words):
            joined = left.text + right.text
            if joined in texts and not (left.unspaced or right.unspaced):
                parts = left.text, right.text
                if all(part.isalpha() and len(part) >= _LEAST_LETTERS for part in parts):
                    found.setdefault(joined, parts)
    return found
