"""What the parser knows of a catalogue: names of values and fields, titles, how full fields are.

It is made of the columns of a bundle and never changes; `changed` returns another one that shares
what did not change. Titles and their words are hashes (`app.engine.intent.hashes`), so that a
million items take a few dozen megabytes.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice, pairwise
from typing import Final

from app.core.types import JsonValue
from app.domain.columns import Column, StringColumn, StringsColumn
from app.engine.catalogue.catalogue import Catalogue, Record
from app.engine.intent.cutting import is_single, words_in
from app.engine.intent.fields import DATES, Fields, fields_of
from app.engine.intent.hashes import HashCounter, HashCounts
from app.engine.intent.names import MANY, Names
from app.engine.intent.phrases import phrase_books

FULL: Final = 0.9
"""A field that this share of the items has a value of may filter; others only prefer."""

_MOST_VALUES: Final = 10_000
_MOST_NAMES: Final = 40_000
_SAMPLE: Final = 2_000
_LONG_CHARS: Final = 40
_LONG_WORDS: Final = 5.0
_FEW: Final = 50
_ALL_DIFFERENT: Final = 0.9
_NO_NAMES: Final = frozenset({"text"})
"""The field of long texts in our items (docs/data.md)."""

_ADDRESS: Final = re.compile(r"://|^www\.|@")
_CODE: Final = re.compile(r"\d")
_BRACKETS_AT_END: Final = re.compile(r"\s*[(\[][^()\[\]]*[)\]]\s*$")
_ARTICLE_AT_END: Final = re.compile(r"^(.*), (\w{1,3})$")

_NO_UNITS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class IntentVocabulary:
    """What the parser knows of a catalogue.

    Attributes:
        fields: their names and kinds.
        names: of the values.
        counts: field -> value -> items that have it; for the fields whose values have names.
        present: field -> items that have a value.
        n_items: items in all.
        titles: the titles, in folded words joined by blanks.
        words: the words of the titles, and pairs of characters where words have no blanks.
        pairs: neighbouring words of titles of which the first says a demand elsewhere ("new york").
    """

    fields: Fields
    names: Names
    counts: Mapping[str, Mapping[str | bool, int]]
    present: Mapping[str, int]
    n_items: int
    titles: HashCounts
    words: HashCounts
    pairs: HashCounts

    def filters(self, field: str) -> bool:
        """Tell whether so many items have a value of a field that a value of it may filter."""
        return self.present.get(field, 0) >= FULL * max(self.n_items, 1)

    def share(self, field: str, value: str | bool) -> float:
        """Return the share of the items that have a value."""
        return self.counts.get(field, {}).get(value, 0) / max(self.n_items, 1)

    def n_bytes(self) -> int:
        """Return how much memory the sets of hashes take."""
        return sum(part.n_bytes for part in (self.titles, self.words, self.pairs))

    def knows(self, record: Record) -> bool:
        """Tell whether all values of an item are known, of the fields whose values have names."""
        return all(
            one in self.counts[name]
            for name, value in record.item.fields.items()
            if name in self.counts
            for one in _values_of(value)
        )

    def changed(
        self, before: Sequence[Record | None], after: Sequence[Record | None]
    ) -> "IntentVocabulary":
        """Return the vocabulary once items have changed.

        `before`, `after`: each item as it was and as it will be; None where there is none.
        """
        pairs = [(old, new) for old, new in zip(before, after, strict=True) if old or new]
        if not pairs:
            return self
        olds = [old for old, _ in pairs if old is not None]
        news = [new for _, new in pairs if new is not None]
        counts, present = self._counted(olds, news)
        added, removed = _differences(self.counts, counts)
        names = self.names
        if added or removed:
            exact = frozenset(name for name, values in counts.items() if len(values) > MANY)
            names = names.with_values(added, removed, exact=exact)
        titles = [[_title_keys(record.item.title) for record in part] for part in (olds, news)]
        old, new = ([key for keys in part for key in keys] for part in titles)
        old_words, new_words = (
            [word for key in part for word in _known_words(key.split(" "))] for part in (old, new)
        )
        old_pairs, new_pairs = ([p for key in part for p in _pairs(key)] for part in (old, new))
        return replace(
            self,
            fields=self.fields.with_times(record.values.get(DATES) for record in news),
            names=names,
            counts=counts,
            present=present,
            n_items=self.n_items + len(news) - len(olds),
            titles=self.titles.changed(new, old),
            words=self.words.changed(new_words, old_words),
            pairs=self.pairs.changed(new_pairs, old_pairs),
        )

    def _counted(
        self, olds: Sequence[Record], news: Sequence[Record]
    ) -> tuple[dict[str, Mapping[str | bool, int]], dict[str, int]]:
        counts, present = dict(self.counts), dict(self.present)
        copied: dict[str, dict[str | bool, int]] = {}
        steps = [(-1, record) for record in olds] + [(1, record) for record in news]
        for step, record in steps:
            known = {name: v for name, v in record.item.fields.items() if v is not None}
            for name, value in known.items():
                present[name] = present.get(name, 0) + step
                if name in counts:
                    own = copied.setdefault(name, dict(counts[name]))
                    for one in _values_of(value):
                        own[one] = own.get(one, 0) + step
        for name, values in copied.items():
            counts[name] = {value: n for value, n in values.items() if n > 0}
        return counts, present


def vocabulary_of(
    catalogue: Catalogue, roles: Mapping[str, str], units: Mapping[str, str] = _NO_UNITS
) -> IntentVocabulary:
    """Return the vocabulary of a catalogue as its bundle has it; see `fields_of`."""
    fields = fields_of(catalogue, roles, units)
    columns = {name: catalogue.table.column(name) for name in fields.kinds}
    counts = {
        name: counted
        for name, column in columns.items()
        if name not in _NO_NAMES and (counted := _counts(column)) is not None
    }
    total = 0
    for name in sorted(counts, key=lambda name: len(counts[name])):
        total += len(counts[name])
        if total > _MOST_NAMES:
            del counts[name]
    exact = frozenset(name for name, values in counts.items() if len(values) > MANY)
    values = [
        (name, value)
        for name, found in counts.items()
        for value in sorted(found, key=lambda value: (-found[value], str(value)))
        if value is not False
    ]
    titles, words, pairs = _titles(catalogue.table.column("title"))
    return IntentVocabulary(
        fields=fields,
        names=Names().with_values(values, attributes=fields.names, exact=exact),
        counts=counts,
        present={name: column.n_present() for name, column in columns.items()},
        n_items=catalogue.n_used,
        titles=titles,
        words=words,
        pairs=pairs,
    )


def _counts(column: Column) -> Mapping[str | bool, int] | None:
    """Return how many items have each value of a column; None where its values are no names."""
    if column.kind == "boolean":
        known = Counter(column.value(row) for row in range(len(column)))
        return {bool(value): n for value, n in known.items() if value is not None}
    if not isinstance(column, StringColumn | StringsColumn):
        return None
    if not _look_like_names([text.decode() for text in islice(column.texts(), _SAMPLE)]):
        return None
    counts: Counter[bytes] = Counter()
    texts = column.texts()
    while chunk := list(islice(texts, 4096)):
        counts.update(chunk)
        if len(counts) > _MOST_VALUES:
            return None
    n = sum(counts.values())
    if n >= _FEW and len(counts) > _ALL_DIFFERENT * n:
        return None
    return {value.decode(): count for value, count in counts.items()}


def _look_like_names(sample: Sequence[str]) -> bool:
    """Tell whether values may be names that people call, not texts, addresses or codes."""
    if not sample:
        return True
    n = len(sample)
    lengths = sum(map(len, sample)) / n
    words = sum(len(text.split()) for text in sample) / n
    addresses = sum(_ADDRESS.search(text) is not None for text in sample)
    codes = sum(_CODE.search(text) is not None for text in sample)
    all_different = len(set(sample)) > _ALL_DIFFERENT * n and n >= _FEW
    return (
        lengths <= _LONG_CHARS
        and words <= _LONG_WORDS
        and addresses < n / 2
        and not (all_different and codes > n / 2)
    )


def _titles(column: Column) -> tuple[HashCounts, HashCounts, HashCounts]:
    assert isinstance(column, StringColumn)  # noqa: S101 - titles are texts
    titles, words, pairs = HashCounter(), HashCounter(), HashCounter()
    first_words = _first_words()
    for text in column.texts():
        for key in _title_keys(text.decode()):
            titles.add(key)
            tokens = key.split(" ")
            for token in _known_words(tokens):
                words.add(token)
            if not first_words.isdisjoint(tokens):
                for pair in _pairs(key):
                    pairs.add(pair)
    return titles.counts(), words.counts(), pairs.counts()


def _known_words(tokens: Sequence[str]) -> list[str]:
    """Return the words of a title; of characters without blanks between them also each pair."""
    words = list(tokens)
    if not all(map(str.isascii, tokens)):
        words += pairs_of(tokens)
    return words


def pairs_of(tokens: Sequence[str]) -> list[str]:
    """Return each two neighbouring characters of scripts without blanks, as one word.

    >>> pairs_of(["a", "科", "幻", "片"])
    ['科幻', '幻片']
    """
    return [a + b for a, b in pairwise(tokens) if is_single(a) and is_single(b)]


def _title_keys(title: str | None) -> list[str]:
    """Return the spellings of a title: itself, without a bracket, with the article in front."""
    if not title:
        return []
    keys = [" ".join(words_in(title))]
    if title[-1] in ")]" or "," in title:
        bare = _BRACKETS_AT_END.sub("", title)
        turned = _ARTICLE_AT_END.sub(r"\2 \1", bare)
        keys += [" ".join(words_in(text)) for text in (bare, turned)]
    return [key for key in dict.fromkeys(keys) if key]


def _pairs(key: str) -> Iterator[str]:
    first_words = _first_words()
    return (f"{a} {b}" for a, b in pairwise(key.split(" ")) if a in first_words)


@cache
def _first_words() -> frozenset[str]:
    """Return the words that say a demand alone, unless the word behind them goes with them."""
    kinds = {"sort", "not_before_known", "soft_sort", "soft_tone"}
    return frozenset(
        token
        for book in phrase_books().values()
        for token, trie in book.phrases.items()
        if token and "" in trie and trie[""].kind in kinds
    )


def _values_of(value: JsonValue) -> Sequence[str | bool]:
    if isinstance(value, str | bool):
        return [value]
    return [] if value is None or isinstance(value, int | float) else value


def _differences(
    old: Mapping[str, Mapping[str | bool, int]], new: Mapping[str, Mapping[str | bool, int]]
) -> tuple[list[tuple[str, str | bool]], list[tuple[str, str | bool]]]:
    added, removed = [], []
    for name, values in new.items():
        if values is not old[name]:
            added += _missing(name, values, old[name])
            removed += _missing(name, old[name], values)
    return added, removed


def _missing(
    name: str, some: Iterable[str | bool], others: Mapping[str | bool, int]
) -> list[tuple[str, str | bool]]:
    return [(name, value) for value in some if value not in others and value is not False]
