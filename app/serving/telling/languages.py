"""Reads the words of the languages that texts are written in: a TOML file for each.

`languages/en.toml` explains the sections. `languages/fields.toml` says which names of fields hold
the same in all languages.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from app.serving.telling.tokens import stem_of, words_in

DEFAULT: Final = "en"
_CODES: Final = ("en", "zh", "es")

Phrase = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Language:
    """The words of a language; phrases are tuples of tokens, sets of them for fast look-up.

    Attributes: as the sections of `languages/en.toml`. `relations`, `loose`, `governors`, `units`,
        `amounts` and `kinds` map a phrase to names of groups or kinds.
    """

    code: str
    name: str
    template: Mapping[str, str]
    plain: frozenset[Phrase]
    glue: frozenset[str]
    articles: frozenset[str]
    refused: frozenset[Phrase]
    all: frozenset[Phrase]
    separate: frozenset[Phrase]
    asked: frozenset[Phrase]
    history: frozenset[Phrase]
    reader: frozenset[str]
    conditional: frozenset[Phrase]
    joiners: frozenset[str]
    first: frozenset[Phrase]
    counted: frozenset[Phrase]
    forward: frozenset[str]
    through: frozenset[str]
    authors: frozenset[str]
    possessive: frozenset[str]
    relations: Mapping[Phrase, frozenset[str]]
    loose: Mapping[Phrase, frozenset[str]]
    governors: Mapping[Phrase, frozenset[str]]
    units: Mapping[Phrase, frozenset[str]]
    amounts: Mapping[Phrase, frozenset[str]]
    kinds: Mapping[Phrase, frozenset[str]]
    numbers: Mapping[Phrase, int]
    months: Mapping[str, int]
    decades: Mapping[Phrase, int]
    same: Mapping[Phrase, frozenset[Phrase]]

    def __repr__(self) -> str:
        return f"<Language {self.code}>"


def language_of(code: str) -> Language:
    """Return a language; the default one for a code that has no words here."""
    return _read(code if code in _CODES else DEFAULT)


@cache
def _read(code: str) -> Language:
    content = _file(code)
    words = content["words"]
    return Language(
        code=code,
        name=content["name"],
        template=content["template"],
        plain=_phrases(words["plain"]),
        glue=frozenset(words["glue"].split()),
        articles=frozenset(words["articles"].split()),
        refused=_phrases(words["refused"]),
        all=_phrases(words["all"]),
        separate=_phrases(words["separate"]),
        asked=_phrases(words["asked"]),
        history=_phrases(words["history"]),
        reader=frozenset(words["reader"].split()),
        conditional=_phrases(words["conditional"]),
        joiners=frozenset(words["joiners"].split()),
        first=_phrases(words["first"]),
        counted=_phrases(words["counted"]),
        forward=frozenset(words["forward"].split()),
        through=frozenset(words["through"].split()),
        authors=frozenset(words["authors"].split()),
        possessive=frozenset(words["possessive"].split()),
        relations=_grouped(content["relations"]),
        loose=_grouped(content["loose"]),
        governors=_grouped(content["governors"]),
        units=_grouped(content["units"]),
        amounts=_grouped(content["amounts"]),
        kinds=_grouped(content["kinds"]),
        numbers={phrase_of(text): number for text, number in content["numbers"].items()},
        months=content["months"],
        decades={phrase_of(text): year for text, year in content["decades"].items()},
        same=_same(content["same"]["groups"]),
    )


def _file(name: str) -> dict[str, Any]:
    text = files(__package__).joinpath("languages", f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)


def phrase_of(text: str) -> Phrase:
    """Return the tokens of a text, as they are compared."""
    return tuple(token.key for token in words_in(text)) or (text,)


def stems_of(text: str) -> Phrase:
    """Return the tokens of a text without endings of the plural."""
    return tuple(stem_of(key) for key in phrase_of(text))


def _phrases(text: str) -> frozenset[Phrase]:
    """Return the phrases of a list with blanks between them."""
    return frozenset(phrase_of(each) for each in text.split())


def _grouped(section: Mapping[str, list[str]]) -> Mapping[Phrase, frozenset[str]]:
    """Return phrase -> the groups that it stands for; a key names several with bars."""
    found: dict[Phrase, frozenset[str]] = {}
    for groups, texts in section.items():
        for text in texts:
            phrase = phrase_of(text)
            found[phrase] = found.get(phrase, frozenset()) | frozenset(groups.split("|"))
    return found


def _same(groups: list[list[str]]) -> Mapping[Phrase, frozenset[Phrase]]:
    found: dict[Phrase, frozenset[Phrase]] = {}
    for group in groups:
        phrases = frozenset(stems_of(text) for text in group)
        for phrase in phrases:
            found[phrase] = found.get(phrase, frozenset()) | phrases
    return found


@cache
def fields_by_group() -> Mapping[str, frozenset[str]]:
    """Return the names of fields of each group."""
    return {name: frozenset(names) for name, names in _file("fields")["groups"].items()}


def fields_in(groups: Iterable[str]) -> frozenset[str]:
    """Return the names of the fields of some groups."""
    return frozenset().union(*(fields_by_group()[name] for name in groups))


@cache
def _kinds() -> tuple[Mapping[str, frozenset[str]], Mapping[str, frozenset[str]]]:
    kinds = _file("fields")["kinds"]
    by_field, by_category = (
        {name: frozenset(words) for name, words in kinds[part].items()}
        for part in ("fields", "categories")
    )
    return by_field, by_category


def kinds_of(fields: Iterable[str], categories: Iterable[str]) -> frozenset[str]:
    """Return what items are, by the names of their fields, else by their categories."""
    by_field, by_category = _kinds()
    for evidence, known in ((set(fields), by_field), (set(categories), by_category)):
        found = frozenset(kind for kind, words in known.items() if evidence & words)
        if found:
            return found
    return frozenset()


@cache
def _suspicious() -> tuple[tuple[str, ...], frozenset[Phrase]]:
    """Return what makes a text suspicious: pieces of text, and whole words."""
    texts: list[str] = _file("fields")["suspicious"]["words"]
    pieces = tuple(text for text in texts if not text.replace(" ", "").isalpha() or text == "http")
    return pieces, frozenset(phrase_of(text) for text in texts if text not in pieces)


def is_suspicious(text: str) -> bool:
    """Tell whether a text may speak to a model, and not of an item."""
    pieces, phrases = _suspicious()
    folded = text.casefold()
    if any(piece in folded for piece in pieces):
        return True
    keys = phrase_of(text)
    longest = max(map(len, phrases))
    return any(
        keys[start : start + size] in phrases
        for start in range(len(keys))
        for size in range(1, longest + 1)
    )
