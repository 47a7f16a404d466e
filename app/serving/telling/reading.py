"""Reads a sentence about an answer: which of its words are titles, values, numbers, plain words.

Each token of a sentence becomes part of one `Mark`. What a mark says is not judged here: that is
`app.serving.telling.check`.
"""

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from app.serving.telling.evidence import (
    ItemEvidence,
    Support,
    evidence_of,
    merged,
    names_of,
    stretch,
    windows,
)
from app.serving.telling.facts import Facts
from app.serving.telling.languages import Language, Phrase, fields_in, kinds_of, phrase_of
from app.serving.telling.tokens import Token, number_of, tokens_of, words_in

MarkKind = Literal[
    "title",
    "value",
    "text",
    "query",
    "number",
    "date",
    "decade",
    "relation",
    "loose",
    "history",
    "kind",
    "plain",
    "punctuation",
    "refused",
    "unknown",
]

_DECADE: Final = re.compile(r"(\d{2}|\d{3}0)s")
_MOST_TOKENS: Final = 12
_LEAST_STRETCH: Final = 2
"""Words of a text that are evidence: one alone may be said of anything."""
_QUOTES: Final = frozenset("\"“”„‟'‘’«»《》〈〉「」『』")
_FIXED: Final = frozenset({"categories", "text", "published_at"})


class UnprovenError(Exception):
    """A sentence says what cannot be proven; the text says which part."""


@dataclass(slots=True)
class Mark:
    """A part of a sentence.

    Attributes:
        kind: what it is.
        start, end: its tokens, [start, end).
        places: the items of a title, or whose texts have it.
        holders: of a value: the items that have it, and in which fields.
        fields: of a relation: the fields that it speaks of.
        kinds: of a kind: what the items would be.
        number: of a number or decade.
        day: of a date: year, month and day, None = it does not say.
    """

    kind: MarkKind
    start: int
    end: int
    places: frozenset[int] = frozenset()
    holders: dict[int, Support] = field(default_factory=dict)
    fields: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    number: float = 0.0
    day: tuple[int | None, int | None, int | None] = (None, None, None)


@dataclass(slots=True)
class Sentence:
    """A sentence that was read."""

    tokens: list[Token]
    marks: list[Mark]
    all_alike: bool
    conditional: bool
    first: bool

    def keys(self, mark: Mark) -> Phrase:
        """Return the tokens of a mark."""
        return tuple(token.key for token in self.tokens[mark.start : mark.end])

    def shown(self, mark: Mark) -> str:
        """Return a mark for messages."""
        return " ".join(self.keys(mark))

    @property
    def first_named(self) -> frozenset[int]:
        """The items of the first title; none if there is none."""
        titles = (mark.places for mark in self.marks if mark.kind == "title")
        return next(titles, frozenset())


class _SentenceWords:
    """The keys of a sentence, and which phrases begin where."""

    def __init__(self, tokens: Sequence[Token], language: Language) -> None:
        self._keys = tuple(token.key for token in tokens)
        self._language = language

    def phrase(self, at: int, size: int) -> Phrase:
        return self._keys[at : at + size]

    def longest(self, phrases: Container[Phrase], at: int) -> int:
        """Return how long the longest of some phrases is that begins at a token; 0 = none does."""
        for size in windows(len(self._keys) - at, 4):
            if self._keys[at : at + size] in phrases:
                return size
        return 0

    def is_plain(self, at: int) -> bool:
        return self._keys[at : at + 1] in self._language.plain

    def before(self, at: int) -> str:
        return self._keys[at - 1] if at else ""

    def refused_in(self, start: int, end: int) -> bool:
        """Tell whether a refused phrase is within some tokens."""
        return any(
            at + self.longest(self._language.refused, at) <= end
            and self.longest(self._language.refused, at)
            for at in range(start, end)
        )

    def any(self, phrases: frozenset[Phrase], marks: Sequence[Mark]) -> bool:
        """Tell whether a mark of no item begins with one of some phrases."""
        kinds = {"plain", "number", "relation"}
        return any(mark.kind in kinds and self.longest(phrases, mark.start) for mark in marks)


class Reader:
    """Reads sentences about one answer."""

    def __init__(self, facts: Facts) -> None:
        """Collect what there is to find."""
        self.facts, self.language = facts, facts.language
        self.evidence: list[ItemEvidence] = [
            evidence_of(item, facts.language) for item in facts.items
        ]
        self._values = merged(self.evidence)
        self._names: dict[Phrase, list[tuple[int, tuple[Token, ...]]]] = {}
        for place, item in enumerate(facts.items):
            for name in names_of(item.title) if item.title else ():
                tokens = words_in(name)
                if tokens:
                    phrase = tuple(token.key for token in tokens)
                    self._names.setdefault(phrase, []).append((place, tokens))
        self._longest_name = max(map(len, self._names), default=0)
        self._query = [token.key for token in words_in(facts.query)]
        self.fields = {name.casefold() for item in facts.items for name in item.fields}
        self._own_fields = {
            phrase_of(name.replace("_", " ")): frozenset({name})
            for name in self.fields - _FIXED
            if not any(item.fields.get(name) is True for item in facts.items)
        }
        self.kinds = self._kinds(facts)
        self._are_products = self.kinds == {"product"}

    def read(self, text: str) -> Sentence:
        """Return a sentence as marks."""
        tokens = tokens_of(text)
        words = _SentenceWords(tokens, self.language)
        marks: list[Mark] = []
        asked = False
        at = 0
        while at < len(tokens):
            mark = self._mark(tokens, at, words, asked=asked)
            marks.append(mark)
            asked = self._asks(tokens, mark, asked=asked)
            at = mark.end
        return Sentence(
            tokens,
            marks,
            all_alike=words.any(self.language.all, marks),
            conditional=words.any(self.language.conditional, marks),
            first=words.any(self.language.first, marks),
        )

    def _asks(self, tokens: Sequence[Token], mark: Mark, *, asked: bool) -> bool:
        """Return whether the words after a mark may be those of the query."""
        if mark.kind in {"title", "punctuation"} and tokens[mark.start].text not in _QUOTES:
            return False
        keys = tuple(token.key for token in tokens[mark.start : mark.end])
        return asked or (mark.kind in {"plain", "relation"} and _ends(keys, self.language.asked))

    def _mark(
        self, tokens: Sequence[Token], at: int, words: _SentenceWords, *, asked: bool
    ) -> Mark:
        found = self._title(tokens, at)
        if found is not None:
            return found
        if tokens[at].kind == "mark":
            return Mark("punctuation", at, at + 1)
        found = self._date(tokens, at)
        if found is not None:
            return found
        best = Mark("unknown", at, at + 1)
        for mark in self._candidates(tokens, at, words, asked=asked):
            if mark.end > best.end or (best.kind == "unknown" and mark.end == best.end):
                best = mark
        loose = best.kind in {"text", "query"} or (
            best.kind == "value" and not any(each.whole for each in best.holders.values())
        )
        if loose and words.refused_in(best.start, best.end):
            best.kind = "refused"
        return best

    def _candidates(
        self, tokens: Sequence[Token], at: int, words: _SentenceWords, *, asked: bool
    ) -> Iterator[Mark]:
        """Yield what may begin at a token; of two of one length the first one counts."""
        whole, part = self._value(tokens, at)
        if whole is not None:
            yield whole
        size = words.longest(self.language.refused, at)
        if size:
            yield Mark("refused", at, at + size)
        yield from self._relations(at, words)
        yield from self._numbers(tokens, at, words)
        yield from self._known_words(at, words)
        if part is not None:
            yield part
        yield from self._text(tokens, at, words)
        if asked and tokens[at].key in self._query:
            yield Mark("query", at, at + 1)

    def _relations(self, at: int, words: _SentenceWords) -> Iterator[Mark]:
        language = self.language
        size = words.longest(language.relations, at)
        if size:
            fields = fields_in(language.relations[words.phrase(at, size)])
            yield Mark("relation", at, at + size, fields=fields)
        size = words.longest(self._own_fields, at)
        if size:
            yield Mark("relation", at, at + size, fields=self._own_fields[words.phrase(at, size)])
        size = words.longest(language.loose, at)
        if size:
            fields = fields_in(language.loose[words.phrase(at, size)])
            yield Mark("loose", at, at + size, fields=fields)

    def _known_words(self, at: int, words: _SentenceWords) -> Iterator[Mark]:
        language = self.language
        size = words.longest(language.history, at)
        if size and (not words.is_plain(at) or words.before(at) in language.reader):
            yield Mark("history", at, at + size)
        for plain in (language.plain, language.asked):
            size = words.longest(plain, at)
            if size:
                yield Mark("plain", at, at + size)
        size = words.longest(language.kinds, at)
        if size:
            yield Mark("kind", at, at + size, kinds=language.kinds[words.phrase(at, size)])

    def _title(self, tokens: Sequence[Token], at: int) -> Mark | None:
        if tokens[at].kind == "mark":
            return None
        for size in range(self._longest_name, 0, -1):
            seen, end = _words_from(tokens, at, size)
            named = self._names.get(tuple(token.key for token in seen))
            if named is None or len(seen) < size or self._goes_on(tokens, at, end):
                continue
            quoted = at > 0 and tokens[at - 1].text in _QUOTES
            marks = {token.text for token in tokens[at:end] if token.kind == "mark"}
            places = {
                place
                for place, name in named
                if marks <= set(self.facts.items[place].title or "")
                and (quoted or self._is_written(name, seen, at))
            }
            if places:
                return Mark("title", at, end, places=frozenset(places))
        return None

    def _goes_on(self, tokens: Sequence[Token], at: int, end: int) -> bool:
        """Tell whether words may be a part of a longer title.

        That is so where a quotation goes on, or a word in capitals stands beside them. "The" before
        a title belongs to it, but before the name of a product it does not.
        """
        if at == 1 and tokens[0].key in self.language.articles and not self._are_products:
            return True
        beside = [tokens[end]] if end < len(tokens) else []
        if at and tokens[at - 1].text in _QUOTES and beside and beside[0].kind != "mark":
            return True
        if at > 1:
            beside.append(tokens[at - 1])
        return any(token.kind == "word" and token.text[0].isupper() for token in beside)

    def _is_written(self, name: Sequence[Token], seen: Sequence[Token], at: int) -> bool:
        """Tell whether tokens without quotes are a title, and not the same words in a sentence."""
        if any(a.text[0].isupper() != b.text[0].isupper() for a, b in zip(name, seen, strict=True)):
            return False
        if all(token.kind == "number" for token in name):
            return False
        plain = all((token.key,) in self.language.plain for token in name)
        return not plain or at > 0

    def _value(self, tokens: Sequence[Token], at: int) -> tuple[Mark | None, Mark | None]:
        """Return the longest value that begins at a token, and the longest part of one."""
        whole = part = None
        for size in windows(len(tokens) - at, _MOST_TOKENS):
            phrase = tuple(token.stem for token in tokens[at : at + size])
            holders = self._values.get(phrase)
            if holders is None:
                continue
            mark = Mark("value", at, at + size, holders=holders)
            if any(support.whole for support in holders.values()):
                whole = whole or mark
            else:
                part = part or mark
        return whole, part

    def _text(self, tokens: Sequence[Token], at: int, words: _SentenceWords) -> Iterator[Mark]:
        token = tokens[at]
        if token.kind == "number" or (token.kind == "word" and words.is_plain(at)):
            return
        sizes = [stretch(tokens[at:], each.texts, self.language) for each in self.evidence]
        best = max(sizes, default=0)
        if best >= _LEAST_STRETCH:
            places = frozenset(place for place, size in enumerate(sizes) if size == best)
            yield Mark("text", at, at + best, places=places)

    def _numbers(self, tokens: Sequence[Token], at: int, words: _SentenceWords) -> Iterator[Mark]:
        language, token = self.language, tokens[at]
        decade = _DECADE.fullmatch(token.key)
        if decade:
            year = int(decade[1])
            yield Mark("decade", at, at + 1, number=year if year >= 1000 else 1900 + year)
        size = words.longest(language.decades, at)
        if size:
            yield Mark("decade", at, at + size, number=language.decades[words.phrase(at, size)])
        if token.kind == "number":
            value = number_of(token.text)
            if value is not None:
                yield Mark("number", at, at + 1, number=value)
        size = words.longest(language.numbers, at)
        if size:
            yield Mark("number", at, at + size, number=language.numbers[words.phrase(at, size)])

    def _date(self, tokens: Sequence[Token], at: int) -> Mark | None:
        """Return the date that begins at a token, of any of the usual forms."""
        if tokens[at].kind == "date":
            year, month, day = map(int, tokens[at].text.split("-"))
            return Mark("date", at, at + 1, day=(year, month, day))
        shapes = "".join(self._shape(token) for token in tokens[at : at + 7])
        for pattern, order in _DATES:
            found = pattern.match(shapes)
            if found:
                return self._dated(tokens, at, found[0], order)
        return None

    def _shape(self, token: Token) -> str:
        """Return one letter for what a token may be within a date."""
        if token.kind == "number" and token.text.isdecimal():
            return "y" if len(token.text) == 4 else "d" if len(token.text) <= 2 else "x"
        if token.key in self.language.months:
            return "m"
        return {"年": "Y", "月": "M", "日": "D", "代": "Z", ",": ",", "de": "e"}.get(token.key, "x")

    def _dated(self, tokens: Sequence[Token], at: int, shape: str, order: str) -> Mark:
        values: dict[str, int] = {}
        names = iter(order)
        for token, letter in zip(tokens[at:], shape, strict=False):
            if letter in "ydm":
                month = self.language.months.get(token.key)
                values[next(names)] = int(token.text) if month is None else month
        end = at + len(shape)
        if order == "z":
            year = values["z"]
            return Mark("decade", at, end, number=year if year >= 1000 else 1900 + year)
        return Mark("date", at, end, day=(values.get("y"), values.get("m"), values.get("d")))

    def _kinds(self, facts: Facts) -> frozenset[str]:
        """Return what the items are: by the query, their fields, or their categories."""
        asked = {
            kind
            for phrase, kinds in self.language.kinds.items()
            if _contains(self._query, phrase)
            for kind in kinds
        }
        categories = {
            each.casefold()
            for item in facts.items
            for values in [item.fields.get("categories")]
            if isinstance(values, tuple)
            for each in values
        }
        fields = {*self.fields, *(name.casefold() for name in facts.known_fields)}
        return kinds_of(fields, categories) or frozenset(asked)


_DATES: Final = tuple(
    (re.compile(pattern), order)
    for pattern, order in (
        ("yYdMdD", "ymd"),
        ("yYdM", "ym"),
        ("dMdD", "md"),
        ("yYZ", "z"),
        ("dYZ", "z"),
        ("dmy", "dmy"),
        ("demey", "dmy"),
        ("md,y", "mdy"),
        ("mdy", "mdy"),
        ("mey", "my"),
        ("my", "my"),
        ("md", "md"),
        ("dem", "dm"),
        ("dm", "dm"),
    )
)
"""Shapes of dates, as `Reader._shape` writes tokens, and what their numbers are."""


def _words_from(tokens: Sequence[Token], at: int, size: int) -> tuple[list[Token], int]:
    """Return so many words and where they end; punctuation between them does not count."""
    seen: list[Token] = []
    while at < len(tokens) and len(seen) < size:
        if tokens[at].kind != "mark":
            seen.append(tokens[at])
        elif tokens[at].text in _QUOTES:
            break
        at += 1
    return seen, at


def _ends(keys: Phrase, phrases: frozenset[Phrase]) -> bool:
    return any(keys[start:] in phrases for start in range(len(keys)))


def _contains(keys: Sequence[str], phrase: Phrase) -> bool:
    size = len(phrase)
    return any(tuple(keys[at : at + size]) == phrase for at in range(len(keys) - size + 1))
