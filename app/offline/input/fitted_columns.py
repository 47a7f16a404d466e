"""Which column of a file is which of our fields, before its rows are read.

The recipe decides. A field that it does not name is the column of our own name; without one, a
column with a usual name (`column_names.toml`) whose values fit. The columns of a file without a
header have no names, so their values alone decide. What was guessed is shown as lines of a recipe.
A file that lacks a field it needs is refused with one message, which says how to name it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from app.core.errors import BadDataError
from app.domain.named_values import ID_NAMES
from app.domain.values import Cell, Unusable, is_missing_id
from app.offline.input.column_names import (
    field_rank,
    joined,
    known_names,
    listed,
    nearest_name,
    rating_rank,
    same_name,
    toml_table,
    toml_text,
)
from app.offline.input.files.readers import Cells, Format, format_of, read_rows
from app.offline.input.recipe import (
    EventColumns,
    ItemColumns,
    JudgementColumns,
    Recipe,
    UserColumns,
)
from app.offline.input.values.column_values import FITS, are_ids, nameless_fields

Section: TypeAlias = Literal["items", "events", "users", "judgements"]
SECTIONS: Final[tuple[Section, ...]] = ("items", "events", "users", "judgements")
Columns: TypeAlias = ItemColumns | EventColumns | UserColumns | JudgementColumns

RATING_COLUMNS: Final = ("rating", "stars", "star_rating")
"""Names of columns of events that are known to contain stars."""

_SAMPLE_ROWS: Final = 1000

_OWN_NAMES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("events", "user_id"): ("user_id", "user"),
    ("events", "item_id"): ("item_id", "item"),
    ("users", "id"): ID_NAMES,
}
_NEEDED: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "items": (("id",),),
    "events": (("user_id", "session_id"), ("item_id",)),
    "users": (("id",),),
    "judgements": (("query",), ("item_id",), ("grade",)),
}
"""Of each group one field is needed."""
MEANINGS: Final = {
    "id": "the id",
    "user_id": "the user",
    "item_id": "the item",
    "query": "the query",
    "grade": "the grade",
}
"""What a field that is needed is called in a message."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How the columns of a file fit a section of a recipe.

    Attributes:
        section: of the recipe.
        found: field -> column, for the fields that the file has.
        guessed: those of them that neither the recipe nor our own names say, and what follows from
            them; as keys of the section.
        resolved: key -> value, where the recipe spells the name of a column otherwise.
        missing: fields that are needed, of which the file has none.
        columns: of the file.
    """

    section: Section
    found: dict[str, str]
    guessed: dict[str, str]
    resolved: dict[str, Any]
    missing: tuple[str, ...]
    columns: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return what was guessed: a heading, and the lines that would set it in a recipe."""
        if not self.guessed:
            return []
        head = 'columns guessed; to correct a line, write it in the recipe ("" = none):'
        return [head, *toml_table(self.section, self.guessed)]


def fitted(path: Path, recipe: Recipe, section: Section) -> tuple[Recipe, Format, tuple[str, ...]]:
    """Fit a recipe to the columns of a file.

    Returns the recipe that names the columns as the file does, what the file was recognised as, and
    lines that say what was guessed.

    Raises:
        UsageError: the recipe names a column that the file does not have.
        BadDataError: the file cannot be read, or no column is a field that is needed.
    """
    file_format = format_of(path, getattr(recipe.format, section))
    sample = sample_of(path, file_format, _SAMPLE_ROWS)
    fit = fit_of(section, getattr(recipe, section), file_format, sample)
    columns = getattr(recipe, section).model_copy(update={**fit.resolved, **fit.guessed})
    ours = recipe.model_copy(update={section: columns})
    # Rows of JSON may have a column later, unless it is needed.
    if fit.missing or file_format.columns is not None:
        ours.check_columns(section, set(fit.columns), path.name)
    if fit.missing and fit.columns:
        raise BadDataError(_missing(path.name, file_format, fit))
    return ours, file_format, tuple(fit.lines())


def sample_of(path: Path, file_format: Format, n: int) -> list[Cells]:
    """Return the first rows of a file, at most n, that can be read. Raises `BadDataError`."""
    rows = islice(read_rows(path, file_format), n)
    return [cells for _, cells in rows if not isinstance(cells, Unusable)]


def fit_of(section: Section, names: Columns, file_format: Format, sample: Sequence[Cells]) -> Fit:
    """Find the fields of a section among the columns of a file.

    names: what the recipe says. sample: the first rows.
    """
    columns = file_format.columns or tuple(dict.fromkeys(name for row in sample for name in row))
    values = {name: [row.get(name) for row in sample] for name in columns}
    fields = known_names().fields[section]
    resolved = {
        key: _resolved(getattr(names, key), columns)
        for key in names.model_fields_set - {"path", "default_event"}
    }
    named = {
        field: column
        for field in fields
        if isinstance(column := resolved.get(field), str) and column in columns
    }
    unset = [field for field in fields if field not in names.model_fields_set]
    own = {
        field: name
        for field in unset
        for name in reversed(_OWN_NAMES.get((section, field), (field,)))
        if name in columns and name not in named.values()
    }
    guesser = _Guesser(section, values, {*named.values(), *own.values(), *_contexts(resolved)})
    if file_format.has_no_names and not named:
        guessed = nameless_fields(section, values)
    else:
        guessed = guesser.guesses([field for field in unset if field not in own])
    if section == "events":
        guessed |= _event_guesses(names, {**named, **own}, guessed, guesser)
    found = {**named, **own, **guessed}
    found = {field: name for field, name in found.items() if name in columns}
    needed = [group for group in _NEEDED[section] if not any(field in found for field in group)]
    return Fit(
        section=section,
        found={field: found[field] for field in fields if field in found},
        guessed=guessed,
        resolved=resolved,
        missing=tuple(group[0] for group in needed),
        columns=columns,
    )


class _Guesser:
    """Finds columns by their names and values; each column is one field."""

    def __init__(self, section: str, values: Mapping[str, list[Cell]], taken: set[str]) -> None:
        self._section, self._values, self.taken = section, values, taken

    @property
    def names(self) -> set[str]:
        """All columns."""
        return set(self._values)

    def guesses(self, fields: Sequence[str]) -> dict[str, str]:
        """Return field -> column, for the fields that a column looks like."""
        guessed: dict[str, str] = {}
        for field in fields:
            column = self._best(field)
            if column is not None:
                guessed[field] = column
                self.taken.add(column)
        return guessed

    def _best(self, field: str) -> str | None:
        fits = FITS[self._section, field]
        ranks = {
            name: (not are_ids(values) if field == "id" else False, rank)
            for name, values in self._values.items()
            if name not in self.taken
            and (rank := field_rank(self._section, field, name)) is not None
            and (joined(name) == joined(field) or fits(values))
        }
        return min(ranks, key=ranks.__getitem__, default=None)

    def rating(self) -> str | None:
        """Return the column of ratings."""
        ranks = {
            name: rank
            for name, values in self._values.items()
            if name not in self.taken
            and (rank := rating_rank(name)) is not None
            and FITS["events", "value"](values)
        }
        return min(ranks, key=ranks.__getitem__, default=None)

    def both_filled(self, one: str, other: str) -> bool:
        """Tell whether most rows have a value in both columns."""
        pairs = zip(self._values[one], self._values[other], strict=True)
        both = sum(not is_missing_id(a) and not is_missing_id(b) for a, b in pairs)
        return 2 * both > len(self._values[one])


def _event_guesses(
    names: Columns, known: Mapping[str, str], guessed: Mapping[str, str], guesser: _Guesser
) -> dict[str, str]:
    """Return what follows from the fields of events: ratings, and who counts of two."""
    more: dict[str, str] = {}
    found = {**known, **guessed}
    free = names.model_fields_set.isdisjoint({"value"}) and "value" not in found
    stars = None if set(RATING_COLUMNS) & guesser.names else guesser.rating()
    if free and stars is not None:
        more["value"] = stars
        if "event" not in found and "default_event" not in names.model_fields_set:
            more["default_event"] = "rating"
    user, session = found.get("user_id"), found.get("session_id")
    is_free = "session_id" not in names.model_fields_set
    if user and session and is_free and guesser.both_filled(user, session):
        more["session_id"] = ""
    return more


def _resolved(value: Any, columns: Collection[str]) -> Any:  # noqa: ANN401 - as the recipe has it
    """Return names of columns as the file spells them."""
    if isinstance(value, str):
        return same_name(value, columns) or value
    if isinstance(value, list):
        return [same_name(name, columns) or name for name in value]
    if isinstance(value, dict):
        return {key: same_name(name, columns) or name for key, name in value.items()}
    return value


def _contexts(resolved: Mapping[str, Any]) -> set[str]:
    context = resolved.get("context")
    return set(context.values()) if isinstance(context, dict) else set()


def _missing(file: str, file_format: Format, fit: Fit) -> str:
    """Return what to say of a file that lacks fields: what it has, and lines for a recipe."""
    lacking = " and ".join(MEANINGS[field] for field in fit.missing)
    free = [name for name in fit.columns if name not in fit.found.values()]
    nearest: dict[str, str] = {}
    for field in fit.missing:
        names = known_names().fields[fit.section][field]
        likest = (near for name in names if (near := nearest_name(name, free)))
        nearest[field] = next(likest, free[0] if free else "…")
        free = [name for name in free if name != nearest[field]]
    keys = ", ".join(f"{field} = {toml_text(name)}" for field, name in nearest.items())
    return (
        f"{file}: no column is known as {lacking}. It has {listed(fit.columns)} "
        f"(read as: {file_format.shown}). Name yours in a recipe, for example: "
        f"[{fit.section}] {keys}"
    )
