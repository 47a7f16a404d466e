"""Sentences of explanations: templates in a file for each language, and what fills them.

Each sentence belongs to a group of signals and to a fact; its slots take values of that fact alone.
So a sentence is as true as its fact. A file lacks no sentence, and has no other slots: it is
checked when it is read.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from string import Formatter
from typing import Final, TypeAlias

Templates: TypeAlias = Mapping[str, Mapping[str, str]]

LOST: Final = "lost"
"""In place of a group: how an item was lost."""

ORDER: Final = "order"
"""In place of a group: the strict order that an item stands in."""

PLAIN: Final = "plain"
"""The fact of a group itself: it speaks more for the item than for the average candidate."""

FACTS: Final[Mapping[str, Mapping[str, frozenset[str]]]] = {
    "words": {"title": frozenset({"words"}), "field": frozenset({"field", "words"})},
    "intent": {"span": frozenset({"words"}), "item": frozenset({"title"})},
    "taste": dict.fromkeys(("content", "taste", "like"), frozenset({"title"})),
    "behaviour": {"item": frozenset({"title"})},
    "context": {"value": frozenset({"name", "value"})},
    "popularity": {"rank": frozenset({"rank", "of"})},
    "freshness": {"share": frozenset({"percent"})},
    "goals": {},
    "boosts": {},
    "filling": {},
    "nothing": {},
    ORDER: {
        **dict.fromkeys(("newest", "oldest", "rated"), frozenset({"value"})),
        **dict.fromkeys(("cheapest", "dearest"), frozenset({"field", "value"})),
        "popular": frozenset({"rank", "of"}),
        **dict.fromkeys(("trending", "missing"), frozenset[str]()),
    },
    LOST: {
        **dict.fromkeys(
            (
                *("unknown", "hidden", "deleted", "early", "late"),
                *("candidates", "exclude", "history", "like", "dislike", "intent", "shown"),
                *("seen_before", "not_retrieved", "diversity", "max_per", "exposure", "explore"),
                *("pins", "promotion"),
            ),
            frozenset[str](),
        ),
        "answered": frozenset({"place"}),
        "seen": frozenset({"event"}),
        "disliked": frozenset({"event"}),
        "blocked": frozenset({"rule"}),
        "filter": frozenset({"clause"}),
        "demand": frozenset({"clause"}),
        "without": frozenset({"word"}),
        "below_min_score": frozenset({"score", "min_score"}),
        "rank": frozenset({"rank", "of"}),
        "outranked": frozenset({"rank", "of", "behind", "group"}),
        "sorted": frozenset({"sort", "rank"}),
        "no_value": frozenset({"sort"}),
    },
}
"""Group -> fact -> the slots of its sentence; every group has `PLAIN` too, without slots."""

DEFAULT_LANGUAGE: Final = "en"
_PACKAGE: Final = "app.engine.explaining"
_DIGITS: Final = 3


class SentencesError(Exception):
    """A file of sentences is wrong; the message says where."""


@cache
def languages() -> Mapping[str, Templates]:
    """Return code of a language -> its sentences. Raises `SentencesError`."""
    folder = resources.files(_PACKAGE) / "templates"
    return {
        file.name.removesuffix(".toml"): templates_of(file.read_text("utf-8"), file.name)
        for file in folder.iterdir()
        if file.name.endswith(".toml")
    }


def templates_of(text: str, file: str) -> Templates:
    """Return the sentences of a file.

    Raises:
        SentencesError: a sentence is missing or unknown, or has wrong slots.
    """
    raw = tomllib.loads(text)
    wanted = {group: {**facts, PLAIN: frozenset[str]()} for group, facts in FACTS.items()}
    if raw.keys() != wanted.keys():
        raise SentencesError(f"{file}: the groups must be: {', '.join(wanted)}")
    for group, facts in wanted.items():
        if raw[group].keys() != facts.keys():
            raise SentencesError(f"{file}: {group}: the facts must be: {', '.join(facts)}")
        for fact, slots in facts.items():
            found = {name for _, name, _, _ in Formatter().parse(raw[group][fact]) if name}
            if found != slots:
                raise SentencesError(f"{file}: {group}.{fact}: the slots must be: {sorted(slots)}")
    return raw


def sentence(language: str, group: str, fact: str, /, **values: object) -> str:
    """Return a sentence; in English where there are none in the language."""
    known = languages()
    templates = known.get(language) or known[DEFAULT_LANGUAGE]
    shown = {
        name: round(value, _DIGITS) if isinstance(value, float) else value
        for name, value in values.items()
    }
    return templates[group][fact].format(**shown)
