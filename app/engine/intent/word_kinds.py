"""The kinds of the words of a query, by what a word alone may say.

A kind is one letter, so that a query has a text of kinds. A capital letter says that a phrase of
several words may begin with the word.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from app.engine.intent.phrases import SLOTS_KEY, PhraseBook, Trie
from app.engine.intent.slots import HUNDRED
from app.engine.intent.vocabulary import IntentVocabulary

SPEAKS: Final = "!"
KNOWN: Final = "k"
UNKNOWN: Final = "u"
TITLE_WORD: Final = "t"  # titles know it, and no phrase has it
LITTLE: Final = "l"
CONNECTIVE: Final = "c"
FILLER: Final = "f"
NUMBER: Final = "n"
DATE: Final = "d"  # a part of dates: alone it is a word

_KIND_OF_MEANING: Final = {
    "stop": LITTLE,
    "and": LITTLE,
    "or": LITTLE,
    "connective": CONNECTIVE,
    "filler": FILLER,
    # These say something only where they describe a thing, and all things speak.
    "soft_sort": KNOWN,
    "soft_tone": KNOWN,
}
_BARE_DATES: Final = frozenset({"month_only", "weekday"})
_MOST_DIGITS: Final = 3
"""A longer number may be a year."""


class WordKinds:
    """Tells the kinds of words.

    Attributes:
        opening: words that may begin something of several words -> the tries behind them.
        starts: slot -> what it may begin with; not "a", which counts only some words, nor
            "thousand", which is behind a number.
        counted: what "a" counts.
        parts: words that begin a part of times, such as months and numbers.
    """

    def __init__(self, vocabulary: IntentVocabulary, book: PhraseBook) -> None:
        """Take what is known of the catalogue, and the phrases."""
        self._vocabulary, self._names, self._book = vocabulary, vocabulary.names, book
        self._late = frozenset(by for by, value in book.multipliers.items() if value >= HUNDRED)
        late = self._late | book.ones
        self.starts = {slot: tokens - late for slot, tokens in book.firsts.items()}
        self.counted = frozenset(
            [*book.units, *book.money, *book.multipliers, *book.and_halves, *book.pluses]
        )
        self.parts = frozenset().union(*(self.starts[slot] for slot in book.periods[SLOTS_KEY]))
        # What phrases may go on with, beside their own words: "half", "hundred".
        self._inside = self.counted.union(*book.firsts.values())
        self.opening = dict(_opening(book, self.counted))
        self._dates = frozenset(_dates(book))

    def of(self, word: str) -> str:
        """Return the kind of a folded word."""
        kind = self._kind_alone(word)
        return kind.upper() if word in self.opening else kind

    def _kind_alone(self, word: str) -> str:
        if word in self._names.by_name:
            return SPEAKS
        if word[0].isdecimal():
            return NUMBER if word.isdecimal() and len(word) <= _MOST_DIGITS else SPEAKS
        book = self._book
        if kind := self._kind_in_times(word):
            return kind
        if word in book.phrases or word in book.words:
            meaning = book.phrases.get(word, {}).get("")
            return KNOWN if meaning is None else _KIND_OF_MEANING.get(meaning.kind, SPEAKS)
        return self._kind_of_plain(word)

    def _kind_of_plain(self, word: str) -> str:
        """Return the kind of a word that no phrase has."""
        in_titles = self._vocabulary.words.count(word) > 0
        if word in self._inside:
            return KNOWN if in_titles and word in self._late else SPEAKS
        if in_titles:
            return TITLE_WORD
        misspelt = word not in self._names.longest and self._names.correct(word)
        return SPEAKS if misspelt else UNKNOWN

    def _kind_in_times(self, word: str) -> str:
        """Return the kind of a word that times or numbers may begin with; "" of another one."""
        book = self._book
        if "" in book.periods.get(word, {}):
            return SPEAKS
        if word not in self.parts and (
            word in book.periods or word in self._late or word not in book.fillers
        ):
            return ""
        if "" in book.phrases.get(word, {}):
            return SPEAKS
        if word in self._dates:
            return DATE
        return NUMBER if word in book.numbers and word not in book.multipliers else SPEAKS


def _opening(book: PhraseBook, counted: frozenset[str]) -> Iterator[tuple[str, tuple[Trie, ...]]]:
    """Yield the tokens that may begin something of several tokens, each with what goes on."""
    behind: Trie = {token: {"": None} for token in counted}
    for token in dict.fromkeys([*book.phrases, *book.periods, *book.ones]):
        tries = [trie[token] for trie in (book.phrases, book.periods) if token in trie]
        tries += [behind] if token in book.ones else []
        longer = tuple(trie for trie in tries if trie.keys() - {""})
        if longer and token not in {"", SLOTS_KEY}:
            yield token, longer


def _dates(book: PhraseBook) -> Iterator[str]:
    """Yield the single words that are a part of dates, and alone are none."""
    slots: Mapping[str, Trie] = book.periods[SLOTS_KEY]
    for slot, behind in slots.items():
        if "" not in behind or behind[""].kind in _BARE_DATES:
            yield from (
                word for word, trie in book.slots.get(slot, {}).items() if set(trie) == {""}
            )
