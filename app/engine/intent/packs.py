"""Reads the language packs: a TOML file for each language, and one for what all of them share.

A pack has phrases by what they mean; `languages/en.toml` explains the sections. Phrases may have
slots, such as "under {amount}". A pack knows no catalogue. It is checked when it is read, so that a
misspelt section or slot is an error and not a phrase that is never understood.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from app.domain.intent import SPOKEN_SORTS, TONES

SHARED: Final = "any"
"""Code of the pack that is part of every language."""

SLOTS: Final = frozenset(
    {
        *("amount", "open_amount", "number", "period"),
        *("generic", "time", "decade", "month", "weekday", "season", "ordinal"),
    }
)
_SLOT: Final = re.compile(r"\{(\w*)\}")
_PACKAGE: Final = "app.engine.intent"

_SORTS: Final = frozenset(SPOKEN_SORTS) - {"relevance"}
_ROLES: Final = frozenset({"price", "rating", "runtime"})
_BOUNDS: Final = frozenset({"most", "least", "between", "about", "vague"})
_SECTIONS: Final[Mapping[str, frozenset[str] | None]] = {
    # None: the keys are free; a set: these and no others.
    "sort": _SORTS,
    "soft_sort": _SORTS,
    "tone": frozenset(TONES),
    "soft_tone": frozenset(TONES),
    "words": frozenset(
        {
            "generic",
            "unfinished",
            "opener",
            "filler",
            "lead",
            "stop",
            "maker",
            "and",
            "or",
            "but",
            "comma",
            "plain",
            "connective",
            "signs",
        }
    ),
    "denial": frozenset({"before", "after"}),
    "negation": frozenset(
        {
            *("before", "before_first", "before_taste", "before_value", "before_known"),
            *("after", "after_value", "only_end"),
        }
    ),
    "like": frozenset({"like", "with_end", "after", "unlike", "end", "stop", "taste"}),
    "count": _SORTS | {"relevance"},
    "numbers": None,
    "units": None,
    "unit_names": None,
    "currencies": frozenset({"before", "after"}),
    "bounds": _BOUNDS | _ROLES,
    "dates": frozenset({"in", "around", "before", "after", "since", "until", "between"}),
    "periods": frozenset(
        {
            *("year", "decade", "early_decade", "mid_decade", "late_decade"),
            *("century", "date_ymd", "date_mdy", "date_dmy", "month_of_year", "year_month"),
            *("last", "past", "season_of_year", "year_of_season", "season_last", "season_this"),
            *(
                "last_two",
                "last_few",
                "month_last",
                "month_only",
                "month_day",
                "day_month",
                "weekday",
                "ago",
            ),
        }
    ),
    "season_back": None,
    "back": frozenset({"day", "week", "weekend", "month", "year", "decade", "century"}),
    "time": frozenset({"hour", "day", "week", "month", "year", "decade"}),
    "weekdays": None,
    "seasons": frozenset({"spring", "summer", "autumn", "winter"}),
    "months": None,
    "decades": None,
    "attributes": None,
    "groups": None,
    "synonyms": None,
    "parts": None,
    "fitting": frozenset(TONES),
}
_TOP: Final = frozenset({"code", "name", "script", "default", "plurals"})


class PackError(Exception):
    """A language pack is wrong. The text says which file, where and why."""


@dataclass(frozen=True, slots=True)
class Pack:
    """What one language says.

    Attributes:
        code, name: of the language.
        script: "latin", "han" or "" (the shared pack).
        default: a query in its script is in this language unless it has the signs of another.
        plurals: pairs of endings: of a singular, and of its plural.
        sections: the rest of the file, by section and key.
    """

    code: str
    name: str
    script: str
    default: bool
    plurals: tuple[tuple[str, str], ...]
    sections: Mapping[str, Mapping[str, Any]]

    def phrases(self, section: str, key: str) -> Sequence[str]:
        """Return the phrases of a meaning; none where the language has none."""
        found: Sequence[str] = self.sections.get(section, {}).get(key, ())
        return found

    def section(self, section: str) -> Mapping[str, Any]:
        """Return a whole section; empty where the language has none."""
        return self.sections.get(section, {})

    def forms(self, word: str) -> Iterator[tuple[str, bool]]:
        """Yield a word as singular and as plural, as far as the rules of the language say.

        Each with whether it is a plural. The word itself is not among them.
        """
        many = self.is_plural(word)
        fitting = [pair for pair in self.plurals if word.endswith(pair[many]) and len(word) >= 3]
        longest = max((len(pair[many]) for pair in fitting), default=0)
        for pair in fitting:
            stem = word[: len(word) - len(pair[many])]
            if len(pair[many]) == longest and len(stem) >= 2:
                yield stem + pair[not many], not many

    def is_plural(self, word: str) -> bool:
        """Tell whether a word ends as a plural does."""
        ends = [(len(end), many) for pair in self.plurals for many, end in enumerate(pair) if end]
        fitting = [(n, many) for n, many in ends if len(word) > n + 1 and self._ends(word, n, many)]
        return bool(fitting) and max(fitting)[1] == 1

    def _ends(self, word: str, length: int, many: int) -> bool:
        return any(len(pair[many]) == length and word.endswith(pair[many]) for pair in self.plurals)


@cache
def packs() -> tuple[Pack, ...]:
    """Return the packs that come with the program, the shared one first.

    Raises:
        PackError: one of them is wrong.
    """
    folder = resources.files(_PACKAGE) / "languages"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    read = [pack_of(file.read_text("utf-8"), file.name) for file in files]
    return tuple(sorted(read, key=lambda pack: (pack.code != SHARED, not pack.default, pack.code)))


def read_pack(path: Path) -> Pack:
    """Read one file. Raises `PackError`."""
    return pack_of(path.read_text("utf-8"), path.name)


def pack_of(text: str, file: str) -> Pack:
    """Return the pack of the text of a file.

    Raises:
        PackError: it is no TOML, or a section, key, slot or value is wrong.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PackError(f"{file}: {error}") from error
    unknown = sorted(set(raw) - _TOP - set(_SECTIONS))
    if unknown:
        raise PackError(f"{file}: there is no section {unknown[0]!r}")
    for key in ("code", "name"):
        if not isinstance(raw.get(key), str) or not raw[key]:
            raise PackError(f"{file}: {key!r} must be a text")
    for section in set(raw) - _TOP:
        _check_section(raw[section], _SECTIONS[section], f"{file}: {section}")
    plurals = raw.get("plurals", [])
    if not all(isinstance(p, list) and len(p) == 2 and p[1] for p in plurals):
        raise PackError(f"{file}: plurals: each must be two endings, singular and plural")
    return Pack(
        code=raw["code"],
        name=raw["name"],
        script=raw.get("script", ""),
        default=raw.get("default", False),
        plurals=tuple((one, many) for one, many in plurals),
        sections={name: raw[name] for name in set(raw) - _TOP},
    )


def _check_section(raw: object, keys: frozenset[str] | None, where: str) -> None:
    if not isinstance(raw, dict):
        raise PackError(f"{where}: this must be a table")
    for key, value in raw.items():
        if keys is not None and key not in keys:
            raise PackError(
                f"{where}: there is no key {key!r}; there are: {', '.join(sorted(keys))}"
            )
        _check_value(value, f"{where}.{key}")


def _check_value(value: object, where: str) -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            _check_value(part, f"{where}.{key}")
    elif isinstance(value, list):
        for phrase in value:
            if not isinstance(phrase, str) or not phrase.strip():
                raise PackError(f"{where}: each phrase must be a text that is not blank")
            unknown = set(_SLOT.findall(phrase)) - SLOTS
            if unknown:
                raise PackError(f"{where}: there is no slot {min(unknown)!r} ({phrase!r})")
    elif isinstance(value, bool) or not isinstance(value, int | float | str):
        raise PackError(f"{where}: this must be a list of phrases, a number or a text")
