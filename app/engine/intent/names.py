"""The names of the values of a catalogue: each value in its forms, and its synonyms.

A name is the tokens of a value, joined by blanks. Beside the value itself there are its plural or
singular, its parts ("Arts & Crafts": arts), and the synonyms of the language packs. The tables of
this module are never changed: a change returns new ones, and copies only what it touches.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final, NamedTuple

from app.engine.intent.cutting import cut, is_single
from app.engine.intent.packs import packs

MANY: Final = 2_000
"""Values of a field from which on only exact names count: no forms, parts and misspellings."""

_WORDS_OF_TYPOS: Final = 4_000
_LEAST_TYPO: Final = 5
_MOST_TOKENS: Final = 6
_PART: Final = re.compile(r"\s*[&/,|+>;]\s*")

_EXACT: Final = 0
_SYNONYM: Final = 1
_PARTLY: Final = 2


class Target(NamedTuple):
    """A value of a field that a name stands for; a smaller rank says it more exactly."""

    field: str
    value: str | bool
    rank: int


class Named(NamedTuple):
    """What a name stands for.

    Attributes:
        targets: all values; `best` are those of the smallest rank.
        plural: whether the name is a plural.
        attributes: the fields that have this name themselves, such as "brand".
    """

    targets: tuple[Target, ...]
    best: tuple[Target, ...]
    plural: bool
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Names:
    """The names of the values of a catalogue.

    Attributes:
        by_name: name -> what it stands for.
        longest: first token of a name -> tokens of the longest name that begins so.
        codes: field and value, where the value alone is no name: size and 42.
        typos: a word without one of its letters, or the word itself -> the word.
    """

    by_name: Mapping[str, Named] = field(default_factory=dict)
    longest: Mapping[str, int] = field(default_factory=dict)
    codes: Mapping[tuple[str, str], str] = field(default_factory=dict)
    typos: Mapping[str, str] = field(default_factory=dict)

    def with_values(
        self,
        added: Iterable[tuple[str, str | bool]],
        removed: Iterable[tuple[str, str | bool]] = (),
        attributes: Mapping[tuple[str, ...], tuple[str, ...]] | None = None,
        exact: frozenset[str] = frozenset(),
    ) -> "Names":
        """Return the names with other values.

        Args:
            added: pairs of field and value; of a boolean field, its name and True.
            removed: the same.
            attributes: names of fields, in tokens; None = no change.
            exact: fields whose values have no other names than themselves.
        """
        added, removed = list(added), list(removed)
        table = _Table(self, exact)
        table.code(added, removed)
        for name, values in _names_of_all(removed, exact):
            table.remove(name, values)
        for name, values in _names_of_all(added, exact):
            table.add(name, values)
        for tokens, fields in (attributes or {}).items():
            table.call(tokens, fields)
        return table.names()

    def correct(self, word: str) -> str:
        """Return the word of a name that differs by one letter; "" if there is none."""
        if len(word) < _LEAST_TYPO:
            return ""
        found = self.typos.get(word, "")
        for at in range(1, len(word)) if not found else ():
            shorter = word[:at] + word[at + 1 :]
            found = self.typos.get(shorter, "")
            if found and (found == shorter or len(word) > _LEAST_TYPO):
                break
            found = ""
        return found if found[:1] == word[0] else ""


class _Name(NamedTuple):
    tokens: tuple[str, ...]
    plural: bool
    rank: int


class _Table:
    """The names while they change."""

    def __init__(self, names: Names, exact: frozenset[str]) -> None:
        self._names, self._exact = names, exact
        self._by_name, self._longest = dict(names.by_name), dict(names.longest)
        self._codes = dict(names.codes)
        self._new_words = dict.fromkeys(() if names.typos else _common_words())

    def add(self, name: _Name, target: Target) -> None:
        known = self._known(name.tokens)
        targets = (*known.targets, target)
        self._put(name.tokens, targets, known._replace(plural=known.plural or name.plural))
        if target.field not in self._exact:
            self._new_words.update(dict.fromkeys(name.tokens))

    def remove(self, name: _Name, target: Target) -> None:
        known = self._known(name.tokens)
        self._put(name.tokens, tuple(t for t in known.targets if t != target), known)

    def call(self, tokens: tuple[str, ...], fields: tuple[str, ...]) -> None:
        known = self._known(tokens)
        self._put(tokens, known.targets, known._replace(attributes=fields))

    def code(
        self, added: list[tuple[str, str | bool]], removed: list[tuple[str, str | bool]]
    ) -> None:
        for name, value in removed:
            self._codes.pop((name, " ".join(_tokens(str(value)))), None)
        for name, value in added:
            tokens = _tokens(str(value))
            if isinstance(value, str) and tokens and not _usable(tokens):
                self._codes[name, " ".join(tokens)] = value

    def names(self) -> Names:
        return Names(self._by_name, self._longest, self._codes, self._typos())

    def _known(self, tokens: tuple[str, ...]) -> Named:
        return self._by_name.get(" ".join(tokens)) or Named((), (), plural=False)

    def _put(self, tokens: tuple[str, ...], targets: tuple[Target, ...], known: Named) -> None:
        key = " ".join(tokens)
        targets = tuple(dict.fromkeys(targets))
        if not targets and not known.attributes:
            self._by_name.pop(key, None)
            return
        least = min((target.rank for target in targets), default=0)
        best = tuple(target for target in targets if target.rank == least)
        self._by_name[key] = known._replace(targets=targets, best=best)
        self._longest[tokens[0]] = max(self._longest.get(tokens[0], 0), len(tokens))

    def _typos(self) -> Mapping[str, str]:
        old = self._names.typos
        words = [
            w for w in self._new_words if len(w) >= _LEAST_TYPO and w.isalpha() and w not in old
        ]
        if not words or len(old) > _WORDS_OF_TYPOS * 10:
            return old
        typos = dict(old)
        typos |= {word: word for word in words[:_WORDS_OF_TYPOS]}
        for word in words[:_WORDS_OF_TYPOS]:
            for at in range(1, len(word)):
                typos.setdefault(word[:at] + word[at + 1 :], word)
        return typos


def _names_of_all(
    values: Iterable[tuple[str, str | bool]], exact: frozenset[str]
) -> Iterator[tuple[_Name, Target]]:
    for name, value in values:
        if name in exact:
            tokens = _tokens(str(value))
            if tokens and _usable(tokens):
                yield _Name(tokens, plural=False, rank=_EXACT), Target(name, value, _EXACT)
            continue
        for found in _names_of(value if isinstance(value, str) else name):
            yield found, Target(name, value, found.rank)


def _names_of(value: str) -> Iterator[_Name]:
    """Yield the names of a value, each once."""
    names: dict[tuple[str, ...], _Name] = {}
    for tokens, rank in _spellings(value):
        for form, plural in _forms(tokens):
            names.setdefault(form, _Name(form, plural, rank))
    synonyms = _synonyms()
    heads = {head for name in tuple(names) for head in synonyms.heads.get(name, ())}
    for head in sorted(heads):
        for member in synonyms.members[head]:
            rank = _PARTLY if _is_longer(member, value) else _SYNONYM
            for form, plural in _forms(member):
                names.setdefault(form, _Name(form, plural, rank))
    for name in names.values():
        if _usable(name.tokens):
            yield name


def _is_longer(synonym: tuple[str, ...], value: str) -> bool:
    """Tell whether a synonym begins with the value, in a script without blanks.

    It is then likely the name of something else, if another value has it too: a "notebook computer"
    begins as a notebook does in Chinese.
    """
    tokens = _tokens(value)
    n = len(tokens)
    return bool(tokens) and is_single(tokens[0]) and len(synonym) > n and synonym[:n] == tokens


def _spellings(value: str) -> Iterator[tuple[tuple[str, ...], int]]:
    tokens = _tokens(value)
    if not tokens:
        return
    yield tokens, _EXACT
    if 1 < len(tokens) <= 3 and all(token.isascii() for token in tokens):
        yield ("".join(tokens),), _EXACT
    if "&" in value:
        yield tuple(cut(value).texts), _EXACT
    if "&" in value or "+" in value:
        for word in _ands():
            yield _tokens(value.replace("&", f" {word} ").replace("+", f" {word} ")), _EXACT
    parts = [part for part in _PART.split(value) if len(part) >= 3]
    if len(parts) > 1:
        yield from ((_tokens(part), _PARTLY) for part in parts if _tokens(part))


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(token for token in cut(text).texts if token[0].isalnum())


def _usable(tokens: tuple[str, ...]) -> bool:
    """Tell whether a name can stand for a value: not a number, a letter, or half a sentence."""
    if not tokens or len(tokens) > _MOST_TOKENS:
        return False
    return (
        len(tokens) > 1
        or (len(tokens[0]) > 1 and not tokens[0].isdecimal())
        or is_single(tokens[0])
    )


def _forms(tokens: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Yield a name, and with its last word as singular or plural; each with whether it is one."""
    last = tokens[-1]
    plural = False
    if last.isalpha() and not is_single(last):
        for pack in packs():
            if pack.default and pack.plurals:
                plural = pack.is_plural(last)
            for form, many in pack.forms(last):
                yield (*tokens[:-1], form), many
    yield tokens, plural


@dataclass(frozen=True, slots=True)
class _Synonyms:
    """The rows of synonyms: name -> rows it stands in, and row -> its names."""

    heads: Mapping[tuple[str, ...], tuple[str, ...]]
    members: Mapping[str, tuple[tuple[str, ...], ...]]


@cache
def _synonyms() -> _Synonyms:
    members: dict[str, list[tuple[str, ...]]] = {}
    for pack in packs():
        for head, texts in pack.section("synonyms").items():
            row = members.setdefault(head, [_tokens(head)])
            row += [tokens for text in texts if (tokens := _tokens(text)) not in row]
    heads: dict[tuple[str, ...], list[str]] = {}
    for head, row in members.items():
        for tokens in row:
            heads.setdefault(tokens, []).append(head)
    return _Synonyms(
        {tokens: tuple(names) for tokens, names in heads.items()},
        {head: tuple(row) for head, row in members.items()},
    )


@cache
def _common_words() -> tuple[str, ...]:
    """Return the words for things and orders of the default languages, singular and plural."""
    words: dict[str, None] = {}
    for pack in packs():
        if pack.default:
            texts = [text for sort in pack.section("sort").values() for text in sort]
            for text in (*pack.phrases("words", "generic"), *texts):
                tokens = _tokens(text)
                if len(tokens) == 1:
                    words.update(dict.fromkeys(form[0] for form, _ in _forms(tokens)))
    return tuple(words)


@cache
def _ands() -> tuple[str, ...]:
    words = (word for pack in packs() for word in pack.phrases("words", "and"))
    return tuple(dict.fromkeys(word for word in words if word.isalpha() and " " not in word))
