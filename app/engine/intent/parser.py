"""Parses a query over the catalogue of one moment: words in, an `Intent` out.

    tokens ▸ nodes (`reading`) ▸ demands (`resolving`) ▸ intent

A query in which no word says anything costs a few microseconds. A title wins over what its words
may also mean: the whole query is then the text, and nothing is demanded.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from app.domain.filters import filter_text
from app.domain.intent import WEAK_CONFIDENCE, Intent
from app.engine.catalogue.catalogue import Catalogue, Record
from app.engine.intent.conditions import conjunction
from app.engine.intent.cutting import MINUS, Cut, cut, is_single
from app.engine.intent.language import LatinLanguages, language_of
from app.engine.intent.periods import midnight_after, today_of
from app.engine.intent.phrases import phrase_books
from app.engine.intent.quiet import CONNECTED, LOST, SURE, TITLED, QuietQueries
from app.engine.intent.reading import QueryReading
from app.engine.intent.resolving import resolve
from app.engine.intent.slots import Slots
from app.engine.intent.vocabulary import IntentVocabulary, pairs_of, vocabulary_of
from app.engine.intent.walk import GONE, KEPT, Walk

_NEVER: Final = float("inf")
_NO_UNITS: Final[Mapping[str, str]] = {}
_ASKING: Final = frozenset({"filler", "lead"})
_WHOLE_DEMANDS: Final = frozenset({"sort", "date", "value", "bound", "generic"})


class QueryParser:
    """Parses queries over one catalogue; immutable, so any thread may use it."""

    def __init__(self, vocabulary: IntentVocabulary) -> None:
        """Take what is known of the catalogue."""
        self.vocabulary = vocabulary
        self._books = phrase_books()
        self._languages = LatinLanguages(vocabulary.words)
        book = self._books[self._languages.default]
        self._quiet = QuietQueries(vocabulary, book, self._languages)
        self._known = book.words | frozenset(book.phrases)

    def parse(self, query: str, now: float) -> Intent:
        """Return what a query asks for. `now`: unix seconds, for "last year" and the like."""
        return self._quiet.read(query) or self._full(query, cut(query), now)

    def changed(
        self, before: Sequence[Record | None], after: Sequence[Record | None]
    ) -> "QueryParser":
        """Return the parser once items have changed; see `IntentVocabulary.changed`."""
        vocabulary = self.vocabulary.changed(before, after)
        return self if vocabulary is self.vocabulary else QueryParser(vocabulary)

    def knows(self, record: Record) -> bool:
        """Tell whether all values of an item are known; see `IntentVocabulary.knows`."""
        return self.vocabulary.knows(record)

    def _familiar(self, words: Sequence[str]) -> float:
        """Return a factor of the confidence: less where the titles know fewer of the words."""
        if not words:
            return 1.0
        count, known = self.vocabulary.words.count, self._known
        if not all(map(str.isascii, words)):
            # One character says little, so pairs count where there are some.
            words = pairs_of(words) + [word for word in words if not is_single(word)] or words
        unknown = [word for word in words if word not in known and not count(word)]
        return 1.0 - LOST * len(unknown) / len(words)

    def _full(self, query: str, tokens: Cut, now: float) -> Intent:
        code = self._languages.of(tokens.texts)
        slots = Slots(tokens, self._books[code], today_of(now))
        reading = QueryReading(slots, self.vocabulary)
        nodes = reading.nodes()
        walk = Walk(query, reading, nodes)
        resolve(walk)
        language = code if query.isascii() else language_of(tokens.texts, code)
        title = self._title_in(query, tokens.texts, walk)
        if title and _is_one_demand(walk):
            return self._intent(query, walk, language, now, title)
        if title:
            return Intent(residual_text=title, language=language, confidence=TITLED, title=True)
        open_end = nodes[-1].end == nodes[-1].start + 1 if nodes else False
        if walk.demands.n and open_end and tokens.texts[-1] in slots.book.unfinished:
            # It is half typed, and its end will say more: "war of the".
            return Intent(residual_text=query, language=language, confidence=WEAK_CONFIDENCE)
        return self._intent(query, walk, language, now)

    def _title_in(self, query: str, tokens: Sequence[str], walk: Walk) -> str:
        """Return the title that the query is, or is behind words such as "show me"; else ""."""
        if self._is_title(tokens):
            return query
        first = next((node.start for node in walk.nodes if node.kind not in _ASKING), 0)
        if first and self._is_title(tokens[first:]):
            return walk.characters(first, len(tokens) - 1)
        return ""

    def _intent(self, query: str, walk: Walk, language: str, now: float, title: str = "") -> Intent:
        demands = walk.demands
        confidence = WEAK_CONFIDENCE if title else self._confidence(walk, language)
        text = title or _residual(query, walk)
        if not demands.n:
            return Intent(residual_text=text, language=language, confidence=confidence)
        return Intent(
            sort=demands.sort,
            filters=filter_text(demands.filters),
            prefers=filter_text(conjunction(_distinct(demands.prefers))),
            without=tuple(dict.fromkeys(demands.without)),
            like_titles=tuple(dict.fromkeys(demands.like)),
            dislike_titles=tuple(dict.fromkeys(demands.dislike)),
            tone=tuple(demands.tone),
            count=demands.count,
            residual_text=text,
            language=language,
            confidence=confidence,
            spans=tuple(sorted(walk.spans)),
            title=bool(title),
            valid_until=midnight_after(now) if demands.clock else _NEVER,
        )

    def _is_title(self, tokens: Sequence[str]) -> bool:
        if MINUS in tokens:
            return False
        key = " ".join(token for token in tokens if token[0].isalnum())
        return self.vocabulary.titles.count(key) > 0

    def _confidence(self, walk: Walk, language: str) -> float:
        words, connectives = [], 0
        for node in walk.nodes:
            if node.kind == "word" and walk.flags[node.start]:
                words.append(walk.token(node.start))
            elif node.kind == "connective" and walk.flags[node.start]:
                connectives += 1
        confidence = SURE * walk.demands.doubt * CONNECTED**connectives
        if words:
            confidence *= self._familiar(words)
        return confidence if language else min(confidence, 0.4)


def intent_parser_of(
    catalogue: Catalogue, roles: Mapping[str, str], units: Mapping[str, str] = _NO_UNITS
) -> QueryParser:
    """Return the parser over a catalogue as its bundle has it.

    Args:
        catalogue: whose values queries name.
        roles: role -> field.
        units: field -> its unit of time.
    """
    return QueryParser(vocabulary_of(catalogue, roles, units))


def _is_one_demand(walk: Walk) -> bool:
    """Tell whether a query that is a title can as a whole be read as one demand: "2012"."""
    if walk.demands.n != 1:
        return False
    said = [node for node in walk.nodes if node.kind not in _ASKING]
    return len(said) == 1 or (
        KEPT not in walk.flags and all(node.kind in _WHOLE_DEMANDS for node in said)
    )


def _residual(query: str, walk: Walk) -> str:
    """Return the words that are left: whole where nothing was taken, else without loose ends."""
    flags = walk.flags
    if GONE not in flags:
        return query
    segments: list[str] = []
    first = last = -1
    for at, flag in enumerate([*flags, GONE]):
        if flag == KEPT:
            first, last = (at if first < 0 else first), at
        elif flag == GONE and first >= 0:
            segments.append(walk.characters(first, last))
            first = -1
    return " ".join(segments)


def _distinct(parts: list[dict[str, object]]) -> list[dict[str, object]]:
    return [part for at, part in enumerate(parts) if part not in parts[:at]]
