"""Reads a query in which no word demands anything, in a few microseconds.

Most queries are such: names and other plain words. Each word has a kind, which is remembered. The
kinds, and the phrases that words may begin, tell whether the whole parser would find a demand.
Where they leave a doubt, the query is not read here; where they leave none, the result is the same.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from app.domain.intent import Intent
from app.engine.intent.cutting import fold, words_in_folded
from app.engine.intent.language import LatinLanguages
from app.engine.intent.phrases import SLOTS_KEY, PhraseBook, Trie
from app.engine.intent.vocabulary import IntentVocabulary
from app.engine.intent.word_kinds import (
    CONNECTIVE,
    DATE,
    FILLER,
    KNOWN,
    NUMBER,
    SPEAKS,
    TITLE_WORD,
    UNKNOWN,
    WordKinds,
)

SURE: Final = 0.95
"""The confidence in a query whose words are all known."""

TITLED: Final = 0.9
"""The confidence in a query that is a title."""

LOST: Final = 0.6
"""How much of the confidence is lost where the titles know none of the words."""

CONNECTED: Final = 0.75
"""Factor of the confidence for each connective."""

_REMEMBERED: Final = 16_384

_OPENED: Final = re.compile(f"[A-Z](?=[^{UNKNOWN}{TITLE_WORD}])")
_COUNTING: Final = re.compile(f"[{NUMBER}{DATE}]")
_HYPHEN_IN_FRONT: Final = r"(?<![^\W_])-"
_PLAIN_PIECES: Final = re.compile(r"(?:(?:[a-z](?:[a-z'-]*[a-z])?|\d{1,3})(?:\s+|$))+")


class QuietQueries:
    """Reads queries without demands; immutable, so any thread may use it."""

    def __init__(
        self, vocabulary: IntentVocabulary, book: PhraseBook, languages: LatinLanguages
    ) -> None:
        """Take what is known of the catalogue, and the phrases of the default language."""
        self._vocabulary, self._book, self._languages = vocabulary, book, languages
        self._titles, self._names = vocabulary.titles, vocabulary.names
        self._words = WordKinds(vocabulary, book)
        roots = [trie[SLOTS_KEY] for trie in (book.phrases, book.periods)]
        self._behind_numbers = self._words.counted.union(
            *(trie for root in roots for trie in root.values()),
            *(
                self._words.starts[slot]
                for root in roots
                for trie in root.values()
                for slot in trie.get(SLOTS_KEY, ())
            ),
        )
        self._signs = _signs(book)
        # Of another object: one whose own cache refers to it waits for the garbage collector.
        self._kind = lru_cache(_REMEMBERED)(self._words.of)

    def read(self, query: str) -> Intent | None:
        """Return what a query asks for; None where that is not quickly decided."""
        text = fold(query)
        if not text.isascii():
            return None
        words = words_in_folded(text)
        kinds = "".join(map(self._kind, words))
        if SPEAKS in kinds or self._may_demand(text, words, kinds):
            return None
        title = self._titles.count(" ".join(words)) > 0
        return Intent(
            residual_text=query,
            language=self._book.language,
            confidence=TITLED if title else _confidence(kinds.lower()),
            title=title,
        )

    def _may_demand(self, text: str, words: Sequence[str], kinds: str) -> bool:
        """Tell whether words that say nothing alone may demand something together."""
        if not self._languages.is_default(words):
            return True
        if not self._names.longest.keys().isdisjoint(words) and self._may_name(words):
            return True
        if not text.replace(" ", "").isalpha() and self._signs.search(text):
            return True
        if not kinds.islower() and self._may_say(words, kinds):
            return True
        plain = kinds.lower()
        if (NUMBER in plain or DATE in plain) and not self._counts_nothing(text, words, plain):
            return True
        return plain[:1] == FILLER and self._asks_for_title(words, plain)

    def _asks_for_title(self, words: Sequence[str], kinds: str) -> bool:
        """Tell whether a title stands behind words such as "show me"."""
        asking = len(kinds) - len(kinds.lstrip(FILLER))
        count = self._titles.count
        return count(" ".join(words[asking:])) > 0 and not count(" ".join(words))

    def _may_name(self, words: Sequence[str]) -> bool:
        """Tell whether a name of several words may begin at one of the words."""
        names = self._names
        return any(
            " ".join(words[at:end]) in names.by_name
            for at, word in enumerate(words)
            for end in range(at + 2, at + names.longest.get(word, 0) + 1)
        )

    def _may_say(self, words: Sequence[str], kinds: str) -> bool:
        """Tell whether a phrase of several words may begin at one of the words."""
        for match in _OPENED.finditer(kinds):
            at = match.end()
            for trie in self._words.opening[words[at - 1]]:
                if self._goes_on(trie, words, at):
                    return True
        return False

    def _goes_on(self, trie: Trie, words: Sequence[str], at: int) -> bool:
        """Tell whether the words from a place on, or a part of them, may end a phrase."""
        for place in range(at, len(words)):
            for slot in trie.get(SLOTS_KEY, ()):
                if self._may_fill(slot, words, place):
                    return True
            behind = trie.get(words[place])
            if behind is None:
                return False
            if "" in behind:
                return True
            trie = behind
        return False

    def _may_fill(self, slot: str, words: Sequence[str], at: int) -> bool:
        word = words[at]
        if word in self._words.starts[slot]:
            if slot != "period" or word in self._words.parts or word not in self._book.periods:
                return True
            times = self._book.periods[word]
            return "" in times or self._goes_on(times, words, at + 1)
        if word in self._book.ones:
            return at + 1 < len(words) and words[at + 1] in self._words.counted
        return word[0].isdecimal()

    def _counts_nothing(self, text: str, words: Sequence[str], kinds: str) -> bool:
        """Tell whether nothing says what the numbers count, and no date goes on."""
        if not _PLAIN_PIECES.fullmatch(text):
            return False
        for match in _COUNTING.finditer(kinds):
            at = match.start()
            if at and kinds[at - 1] == FILLER:
                return False
            if _COUNTING.match(kinds, at + 1) or not self._behind_numbers.isdisjoint(
                words[at + 1 : at + 2]
            ):
                return False
        return True


def _signs(book: PhraseBook) -> re.Pattern[str]:
    """Return a pattern of the signs that may say more than "and" or a comma does."""
    known = {token for token in (*book.phrases, *book.fillers) if token and token != SLOTS_KEY}
    signs = [s for s in known if not s[0].isalnum() and "" not in book.phrases.get(s, {})]
    return re.compile("|".join([_HYPHEN_IN_FRONT, '"', *map(re.escape, sorted(signs))]))


@lru_cache(_REMEMBERED)
def _confidence(kinds: str) -> float:
    """Return the confidence in words of some kinds."""
    unknown = kinds.count(UNKNOWN)
    n = unknown + sum(map(kinds.count, (KNOWN, TITLE_WORD, DATE)))
    confidence = SURE * CONNECTED ** kinds.count(CONNECTIVE)
    return confidence * (1.0 - LOST * unknown / n) if n else confidence
