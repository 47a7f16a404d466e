"""Which attribute plays which role, and in which unit of time a runtime is.

The recipe decides. For a role that it does not name, the names of the columns are compared with the
usual ones in several languages (`column_names.toml`), and the kind of the values must fit. What was
guessed is shown in the report of a build as lines of a recipe, so that a wrong guess is seen and
corrected.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from app.core.errors import UsageError
from app.domain.columns import Kind, TimeUnit
from app.offline.input.column_names import (
    known_names,
    listed,
    nearest_name,
    same_name,
    toml_table,
    words,
)
from app.offline.input.item_table import FIELD_KINDS, Items
from app.offline.input.recipe import Recipe, Roles

_KINDS: Final[Mapping[str, tuple[Kind, ...]]] = {
    "price": ("number",),
    "rating": ("number",),
    "runtime": ("number",),
    "brand": ("string", "strings"),
    "provider": ("string", "strings"),
}
NUMERIC_ROLES: Final = tuple(role for role, kinds in _KINDS.items() if kinds == ("number",))
"""Roles of attributes that are numbers."""
_LEAST_UNIT_NAME: Final = 5
"""Letters from which the name of a unit is a name of a runtime by itself."""
_LEAST_SECONDS: Final = 1_000.0
"""Median from which runtimes cannot be minutes: that would be 17 hours."""
_LEAST_MILLISECONDS: Final = 100_000.0
"""Median from which they cannot be seconds: that would be 28 hours."""


@dataclass(frozen=True, slots=True)
class ChosenRoles:
    """The roles of a catalogue.

    Attributes:
        roles: role -> attribute.
        units: attribute -> unit of time; a runtime always has one.
        guessed_roles, guessed_units: those keys of the two that the recipe does not set.
    """

    roles: dict[str, str]
    units: dict[str, TimeUnit]
    guessed_roles: frozenset[str]
    guessed_units: frozenset[str]

    def lines(self) -> list[str]:
        """Return what was guessed: a heading, and the lines that would set it in a recipe."""
        roles = {role: name for role, name in self.roles.items() if role in self.guessed_roles}
        units = {name: unit for name, unit in self.units.items() if name in self.guessed_units}
        head = 'guessed; to correct a line, write it in the recipe ("" switches a role off):'
        return [
            *([head] if roles or units else []),
            *toml_table("roles", roles),
            *toml_table("units", units),
        ]


def choose_roles(items: Items, recipe: Recipe) -> ChosenRoles:
    """Return the roles and units that the recipe sets, and guesses for the others.

    Raises:
        UsageError: the recipe names an attribute that is not there, or whose kind does not fit.
    """
    roles = {
        role: _checked(items, recipe, f"roles.{role}", name, numeric=_KINDS[role] == ("number",))
        for role, name in recipe.roles.attributes().items()
    }
    units: dict[str, TimeUnit] = {
        _checked(items, recipe, f"units.{name}", name, numeric=True): unit
        for name, unit in recipe.units.items()
    }
    free = {
        name: kind
        for name, kind in items.kinds.items()
        if name not in {*FIELD_KINDS, *roles.values()}
        and any(v is not None for v in items.columns[name])
    }
    unset = [role for role in Roles.model_fields if role not in recipe.roles.model_fields_set]
    guessed = guessed_roles(unset, free, items.columns)
    roles |= guessed
    runtime = roles.get("runtime")
    guessed_unit = runtime is not None and runtime not in units
    if runtime is not None and guessed_unit:
        units[runtime] = guessed_unit_of(runtime, items.columns[runtime])
    return ChosenRoles(
        roles={role: roles[role] for role in Roles.model_fields if role in roles},
        units=units,
        guessed_roles=frozenset(guessed),
        guessed_units=frozenset([runtime] if runtime is not None and guessed_unit else []),
    )


def _checked(items: Items, recipe: Recipe, key: str, named: str, *, numeric: bool) -> str:
    """Return the column that a key of the recipe names, as the items spell it."""
    name = same_name(named, items.kinds)
    if name is None:
        near = nearest_name(named, items.kinds)
        raise UsageError(
            f"{recipe.file}: {key}: the items have no column {named!r}; they have "
            f"{listed(items.kinds)}" + (f"; nearest: {near!r}" if near else "")
        )
    if numeric and items.kinds[name] != "number":
        raise UsageError(f"{recipe.file}: {key}: the column {name!r} holds no numbers")
    return name


def guessed_roles(
    roles: Iterable[str], kinds: Mapping[str, Kind], values: Mapping[str, Sequence[Any]]
) -> dict[str, str]:
    """Return role -> column, for the roles that some column most likely plays.

    A column that is filled in half of the rows comes first: few products have a sale price.

    kinds: column -> kind. values: column -> its values, None = missing.
    """
    filled = {
        name: kind
        for name, kind in kinds.items()
        if 2 * sum(value is not None for value in values[name]) >= len(values[name])
    }
    columns = {role: guessed_column(role, filled) or guessed_column(role, kinds) for role in roles}
    return {role: column for role, column in columns.items() if column is not None}


def guessed_column(role: str, kinds: Mapping[str, Kind]) -> str | None:
    """Return the column that most likely plays a role, None if no name looks like it.

    >>> guessed_column("price", {"listPrice": "number", "Preis (EUR)": "number"})
    'listPrice'
    >>> guessed_column("price", {"price": "string", "price_level": "number"})
    """
    ranks = {
        name: rank
        for name, kind in kinds.items()
        if kind in _KINDS[role] and (rank := _rank(role, name)) is not None
    }
    return min(ranks, key=ranks.__getitem__, default=None)


def _rank(role: str, name: str) -> int | None:
    """Return the position of a column's name among the usual ones of a role."""
    known = known_names()
    rest = [word for word in words(name) if word not in known.ignored[role]]
    key = " ".join(rest)
    # "length_ms" is a runtime, and so is "minutes". "min" may be the smallest of something.
    is_length = key in known.lengths or (not key and len(name) >= _LEAST_UNIT_NAME)
    if role == "runtime" and is_length and _named_unit(name) is not None:
        return len(known.ranks[role])
    return known.ranks[role].get(key)


def guessed_unit_of(name: str, values: Sequence[float | None]) -> TimeUnit:
    """Return the unit of time of a column, by its name, else by its values, else minutes.

    >>> guessed_unit_of("duration_s", [90.0]), guessed_unit_of("duration", [5400.0, 6600.0])
    ('seconds', 'seconds')
    >>> guessed_unit_of("length_ms", [None]), guessed_unit_of("runtime", [None, 110.0])
    ('milliseconds', 'minutes')
    """
    named = _named_unit(name)
    if named is not None:
        return named
    present = [value for value in values if value is not None]
    median = float(np.median(present)) if present else 0.0
    if median >= _LEAST_MILLISECONDS:
        return "milliseconds"
    return "seconds" if median >= _LEAST_SECONDS else "minutes"


def _named_unit(name: str) -> TimeUnit | None:
    units = known_names().units
    return next((units[word] for word in words(name) if word in units), None)
