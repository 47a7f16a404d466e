"""The fields of a catalogue as queries name them: "weight", "price", a number of kilograms.

A field has the names of its own name ("battery_hours": battery), and those of the row of
`[attributes]` that one of these stands in. A number field also has a group, which says what it
counts, so that "under 3 kg" finds the field for weights.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Final

import numpy as np

from app.domain.columns import Floats
from app.engine.catalogue.catalogue import Catalogue
from app.engine.intent.cutting import cut
from app.engine.intent.packs import packs
from app.engine.intent.phrases import Unit, known_units, phrase_books

DATES: Final = "published_at"
"""The field that dates in queries are about."""

MONEY: Final = "money"
STARS: Final = "stars"
TIME: Final = "time"

_ROLE_GROUPS: Final[Mapping[str, str]] = {"price": MONEY, "rating": STARS, "runtime": TIME}
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_a-zA-Z]+")
_SHORT_UNIT: Final = 2
_NO_UNITS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class NumberField:
    """A number attribute.

    Attributes:
        name: of the field.
        group: what it counts, such as "mass"; "" = unknown.
        unit: what one of it is; None = as the query says it.
        low, high: the smallest and largest value there is.
    """

    name: str
    group: str
    unit: Unit | None
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a catalogue.

    Attributes:
        kinds: field -> kind.
        names: what queries call a field, in tokens, -> fields.
        numbers: the number fields by name.
        by_role: role -> field.
        years: first and last year of the dates; None = there are no dates.
    """

    kinds: Mapping[str, str]
    names: Mapping[tuple[str, ...], tuple[str, ...]]
    numbers: Mapping[str, NumberField]
    by_role: Mapping[str, str]
    years: tuple[int, int] | None

    def with_times(self, times: Iterable[object]) -> "Fields":
        """Return the fields once items have these dates as well, in unix seconds."""
        known = [time for time in times if isinstance(time, float)]
        if self.years is None or not known:
            return self
        years = {*self.years, *(datetime.fromtimestamp(time, UTC).year for time in known)}
        return replace(self, years=(min(years), max(years)))


def fields_of(
    catalogue: Catalogue, roles: Mapping[str, str], units: Mapping[str, str] = _NO_UNITS
) -> Fields:
    """Return the fields of a catalogue.

    Args:
        catalogue: has the fields.
        roles: role -> field.
        units: field -> unit of time ("hours"); a field without one has that of its name.
    """
    kinds = catalogue.attributes
    rows = {name: frozenset(_rows_of(name)) for name in kinds}
    by_role = dict(roles)
    names: dict[tuple[str, ...], list[str]] = {}
    for name in kinds:
        extra = [role for role, field in by_role.items() if field == name]
        for key in _names_of(name, rows[name] | set(extra)):
            names.setdefault(key, []).append(name)
    numbers = {
        name: _number_field(catalogue, name, rows[name], by_role, units.get(name, ""))
        for name, kind in kinds.items()
        if kind == "number"
    }
    return Fields(
        kinds=kinds,
        names={key: tuple(fields) for key, fields in names.items()},
        numbers=numbers,
        by_role=by_role,
        years=_years(catalogue),
    )


def core_of(name: str) -> list[str]:
    """Return the words of a field's name without its unit.

    >>> core_of("battery_hours"), core_of("screenSize")
    (['battery'], ['screen', 'size'])
    """
    words = _words_of(name)
    return [word for word in words if _unit(word, words) is None] or words


def _words_of(name: str) -> list[str]:
    return [word for piece in _WORD.findall(name) for word in cut(piece).texts]


def _unit(word: str, words: list[str]) -> Unit | None:
    """Return the unit that a word of a field's name is; short ones only at its end."""
    if len(words) < 2 or (len(word) <= _SHORT_UNIT and word != words[-1]):
        return None
    if word in _unit_names():
        return _unit_names()[word]
    meaning = next(iter(phrase_books().values())).units.get(word, {}).get("")
    return meaning.value[0] if meaning else None


@cache
def _unit_names() -> Mapping[str, Unit]:
    units = known_units()
    return {
        word: units[name]
        for pack in packs()
        for name, words in pack.section("unit_names").items()
        for word in words
    }


def _number_field(
    catalogue: Catalogue, name: str, rows: frozenset[str], by_role: Mapping[str, str], time: str
) -> NumberField:
    words = _words_of(name)
    units = [known_units()[time.removesuffix("s")]] if time else []
    units += [unit for word in words if (unit := _unit(word, words)) is not None]
    groups = [
        _ROLE_GROUPS[r] for r, field in by_role.items() if field == name and r in _ROLE_GROUPS
    ]
    groups += [unit.group for unit in units] + [_groups()[row] for row in rows if row in _groups()]
    low, high = _range(catalogue.table.numbers(name))
    return NumberField(name, groups[0] if groups else "", units[0] if units else None, low, high)


def _range(numbers: Floats) -> tuple[float, float]:
    known = numbers[np.isfinite(numbers)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)


def _years(catalogue: Catalogue) -> tuple[int, int] | None:
    if catalogue.attributes.get(DATES) != "time":
        return None
    times = catalogue.table.numbers(DATES)
    if not np.isfinite(times).any():
        return None
    low, high = _range(times)
    seconds = np.array([low, high], np.int64).astype("datetime64[s]")
    first, last = (seconds.astype("datetime64[Y]").astype(np.int64) + 1970).tolist()
    return first, last


def _rows_of(name: str) -> Iterator[str]:
    """Yield the rows of `[attributes]` that a field's name stands in."""
    for key in {tuple(core_of(name)), tuple(_words_of(name))}:
        yield from _attribute_rows().get(key, ())


def _names_of(name: str, rows: frozenset[str] | set[str]) -> Iterator[tuple[str, ...]]:
    yield from {tuple(core_of(name)), tuple(_words_of(name))} | {
        tuple(cut(text).texts)
        for pack in packs()
        for row in rows
        for text in pack.phrases("attributes", row)
    }


@cache
def _attribute_rows() -> Mapping[tuple[str, ...], tuple[str, ...]]:
    found: dict[tuple[str, ...], list[str]] = {}
    for pack in packs():
        for row, texts in pack.section("attributes").items():
            for text in texts:
                found.setdefault(tuple(cut(text).texts), []).append(row)
    return {key: tuple(rows) for key, rows in found.items()}


@cache
def _groups() -> Mapping[str, str]:
    return {row: group for pack in packs() for row, group in pack.section("groups").items()}
