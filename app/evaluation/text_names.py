"""Names and phrases out of the texts of a catalogue: whether the items that hold them come first.

A name is two capitalised words in a row, in the text of an item but for its title. Where a
catalogue has too few of them, any two words in a row count. This module knows a finished bundle,
not how it was built, nor protocols.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from app.bundle.reader import Bundle, load_arrays
from app.core.ports import Engine
from app.core.ranking import RankRequest
from app.core.types import JsonValue
from app.domain.columns import Column
from app.engine.open import columns_of, render_of
from app.engine.retrieval.lexical import LexicalIndex
from app.engine.retrieval.word_cutting import STOP_WORDS
from app.offline.metrics.intervals import mean_intervals

MOST_NAMES, FEWEST_NAMES = 50, 13
TOP = 10
"""Items that must hold a name, and places of an answer that count."""

MOST_TEXTS = 20_000
"""Texts that are read for names, drawn from a larger catalogue."""

_BATCH = 50
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


class BundleTexts:
    """The items of a bundle as texts: which of them hold some words, and what they say."""

    def __init__(self, bundle: Bundle) -> None:
        """Read the columns and the lexical index of a bundle. Raises `BundleError`."""
        self._columns: dict[str, Column] = columns_of(bundle)
        self._render = render_of(bundle)
        self._words = LexicalIndex(load_arrays(bundle, "words.safetensors"))
        ids = self._columns["id"]
        self.ids = [str(ids.value(row)) for row in range(len(ids))]

    def holding(self, query: str) -> list[str]:
        """Return the ids of the items whose text, title included, has all words of a query."""
        return [self.ids[row] for row in self._words.rows_with(query).tolist()]

    def beside_title(self, row: int) -> str:
        """Return the text of an item without its title."""

        def value_of(name: str) -> JsonValue:
            column = None if name == "title" else self._columns.get(name)
            return None if column is None else column.value(row)

        return self._render(value_of)


@dataclass(frozen=True, slots=True)
class NamesFound:
    """How many places among the first ten items that hold the name have, for each name."""

    right: dict[str, int]

    def document(self, seed: int) -> dict[str, object]:
        """Return share, number of names, and the names that do not have all ten places.

        `share` has an interval over the names; it is null where the catalogue has none.
        """
        shares = np.array(list(self.right.values()), np.float64) / TOP
        return {
            "share": mean_intervals(shares[:, None], seed)[0].document(),
            "n": len(shares),
            "short": {name: n for name, n in self.right.items() if n < TOP},
        }


def drawn_names(texts: BundleTexts, seed: int) -> list[str]:
    """Return up to `MOST_NAMES` names that at least ten items, and at most a tenth of all, hold."""
    n_items = len(texts.ids)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(n_items)[:MOST_TEXTS]).tolist()
    # In a sample, fewer items have the name.
    fewest = max(2, TOP * len(rows) // max(n_items, 1))
    read = [_words(texts.beside_title(row)) for row in rows]
    names = list[str]()
    for of_text in (_names, _phrases):
        if len(names) < FEWEST_NAMES:
            counts = Counter(name for words in read for name in dict.fromkeys(of_text(words)))
            common = sorted(name for name, count in counts.items() if count >= fewest)
            names += _held(rng.permutation(common).tolist(), texts, MOST_NAMES - len(names))
    return names


def names_found(engine: Engine, texts: BundleTexts, names: Sequence[str]) -> NamesFound:
    """Ask an engine for each name, and count the items that hold it. Raises `EngineError`."""
    right = dict[str, int]()
    for start in range(0, len(names), _BATCH):
        batch = names[start : start + _BATCH]
        results = engine.rank([RankRequest(query=name, k=TOP) for name in batch]).results
        for name, result in zip(batch, results, strict=True):
            holders = set(texts.holding(name))
            right[name] = sum(item.id in holders for item in result.items)
    return NamesFound(right)


def _words(text: str) -> list[list[str]]:
    """Return the words of a text, in runs with one blank between two words."""
    runs, end = list[list[str]](), -2
    for found in _WORD.finditer(text):
        if found.start() == end + 1 and text[end] == " ":
            runs[-1].append(found.group())
        else:
            runs.append([found.group()])
        end = found.end()
    return runs


def _phrases(runs: Iterable[Sequence[str]]) -> list[str]:
    return [f"{one} {two}" for run in runs for one, two in pairwise(run) if _both_tell(one, two)]


def _names(runs: Iterable[Sequence[str]]) -> list[str]:
    return [name for name in _phrases(runs) if name[0].isupper() and name.split()[1][0].isupper()]


def _both_tell(one: str, two: str) -> bool:
    return all(len(word) > 1 and word.lower() not in STOP_WORDS for word in (one, two))


def _held(names: Sequence[str], texts: BundleTexts, n: int) -> list[str]:
    """Return the first n of the names that enough items, and not too many, hold."""
    chosen = list[str]()
    for name in names:
        if len(chosen) == n:
            break
        if TOP <= len(texts.holding(name)) <= max(TOP, len(texts.ids) // 10):
            chosen.append(name)
    return chosen
