"""`recserve inspect`: what a file holds, which column is which field, and a recipe for a build.

The output is a recipe: all that is only said are comments, so `recserve inspect items.csv
events.csv > shop.toml` makes one that `recserve build --recipe` takes. The guesses are those of a
build without a recipe. Kinds, samples and guesses come from the first 10,000 rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from app.core.errors import BadDataError, UsageError
from app.domain.values import Cell, Unusable, is_missing
from app.offline.input.column_names import toml_table, toml_text
from app.offline.input.files.readers import Cells, Format, format_of, read_rows
from app.offline.input.fitted_columns import (
    MEANINGS,
    RATING_COLUMNS,
    SECTIONS,
    Fit,
    Section,
    fit_of,
)
from app.offline.input.recipe import Recipe, Roles
from app.offline.input.roles import NUMERIC_ROLES, guessed_column, guessed_roles, guessed_unit_of
from app.offline.input.values.typed_columns import ReadColumn, read_column

MAX_ROWS: Final = 10_000

_SAMPLES: Final = 3
_SAMPLE_CHARS: Final = 24
_NAME_CHARS: Final = 32


@dataclass(frozen=True, slots=True)
class InspectedColumn:
    """One column of a file.

    Attributes:
        name: of the column.
        kind: of its values: number, string, strings, boolean or time.
        filled: how many of the rows have a value, 0 to 1.
        samples: a few different values, shortened.
        use: our field, or the role, that it is taken for; "" = an attribute, or not used.
    """

    name: str
    kind: str
    filled: float
    samples: tuple[str, ...]
    use: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a file holds.

    Attributes:
        file: its name.
        section: what it is taken for: items, events, users or judgements.
        read_as: what it was recognised as.
        rows: how many rows were looked at, `MAX_ROWS` at most.
        is_whole: there are no more.
        unusable: how many of them cannot be read, and the first with its reason.
        columns: what each holds.
        recipe: tables of a recipe -> key -> value.
        missing: fields that are needed, of which it has none.
        format_lines: how it was read, as lines of a recipe.
    """

    file: str
    section: Section
    read_as: str
    rows: int
    is_whole: bool
    unusable: tuple[int, str]
    columns: tuple[InspectedColumn, ...]
    recipe: dict[str, dict[str, str]]
    missing: tuple[str, ...]
    format_lines: tuple[str, ...]

    def said(self) -> list[str]:
        """Return what is said of the file, as comments of a recipe."""
        more = "" if self.is_whole else "the first "
        head = f"{self.file}: {self.read_as}; {more}{self.rows:,} rows, read as {self.section}"
        n_unusable, first = self.unusable
        broken = (
            [f"{n_unusable:,} of them cannot be read, the first: {first}"] if n_unusable else []
        )
        wanted = [
            f'no column is known as {MEANINGS[name]}; name it: {name} = "…" in [{self.section}]'
            for name in self.missing
        ]
        read = ["what was recognised; without the # it is set:", *self.format_lines]
        lines = [head, *(broken if n_unusable else []), "", *self._table(), "", *wanted]
        return [f"# {line}".rstrip() for line in [*lines, *(read if self.format_lines else [])]]

    def _table(self) -> list[str]:
        rows = [("column", "kind", "filled", "taken for", "samples")]
        rows += [
            (
                _short(column.name, _NAME_CHARS),
                column.kind,
                f"{column.filled:.0%}",
                column.use,
                "; ".join(column.samples),
            )
            for column in self.columns
        ]
        widths = [max(len(row[cell]) for row in rows) for cell in range(4)]
        return [
            "  ".join([*(cell.ljust(n) for cell, n in zip(row, widths, strict=False)), row[4]])
            for row in rows
        ]

    def facts(self) -> dict[str, Any]:
        """Return all of it, as JSON takes it."""
        n_unusable, _ = self.unusable
        return {
            "file": self.file,
            "section": self.section,
            "read_as": self.read_as,
            "rows": self.rows,
            "is_whole": self.is_whole,
            "unusable": n_unusable,
            "missing": list(self.missing),
            "columns": [asdict(column) for column in self.columns],
            "recipe": self.recipe,
        }


def inspect(path: Path, recipe: Recipe, section: Section | None = None) -> Inspection:
    """Look at a file.

    Args:
        path: of the file.
        recipe: what is known of it already.
        section: what it holds; None = guessed.

    Raises:
        BadDataError: it cannot be read, or has no rows.
        UsageError: the recipe does not fit.
    """
    formats = recipe.format.items if section is None else getattr(recipe.format, section)
    file_format = format_of(path, formats)
    rows, n_rows, unusable = _rows(path, file_format)
    if not rows:
        raise BadDataError(f"{path.name} has no rows that can be read ({file_format.shown})")
    fits = {each: fit_of(each, getattr(recipe, each), file_format, rows) for each in SECTIONS}
    fit = fits[section or _section_of(fits, has_names=not file_format.has_no_names)]
    values = {name: [row.get(name) for row in rows] for name in fit.columns}
    read = {name: _read(name, cells, file_format) for name, cells in values.items()}
    kinds = {name: column.kind for name, column in read.items()}
    uses = {column: field for field, column in fit.found.items()}
    tables: dict[str, dict[str, str]] = {fit.section: _keys(fit)}
    if fit.section == "items":
        free = {name: kind for name, kind in kinds.items() if name not in uses}
        as_read = {name: column.values for name, column in read.items()}
        tables["roles"] = guessed_roles(Roles.model_fields, free, as_read)
        tables["units"] = {
            name: guessed_unit_of(name, read[name].values)
            for role, name in tables["roles"].items()
            if role == "runtime"
        }
        uses |= {name: role for role, name in tables["roles"].items()}
    elif fit.section == "events" and "value" not in fit.found:
        uses |= {name: "value of ratings" for name in RATING_COLUMNS if name in values}
    return Inspection(
        file=path.name,
        section=fit.section,
        read_as=file_format.shown,
        rows=min(n_rows, MAX_ROWS),
        is_whole=n_rows <= MAX_ROWS,
        unusable=unusable,
        columns=tuple(
            InspectedColumn(name, kinds[name], _filled(v), _samples(v), uses.get(name, ""))
            for name, v in values.items()
        ),
        recipe={name: keys for name, keys in tables.items() if keys},
        missing=fit.missing,
        format_lines=tuple(_format_lines(fit.section, file_format)),
    )


def recipe_of(inspections: Sequence[Inspection]) -> str:
    """Return one recipe of several files, with what is said of them as comments.

    Raises:
        UsageError: two of them are taken for the same.
    """
    by_section = {each.section: each for each in inspections}
    for each in inspections:
        if by_section[each.section] is not each:
            raise UsageError(
                f"{each.file} and {by_section[each.section].file} are both taken for "
                f"{each.section}: inspect one of them with --as items, events, users or judgements"
            )
    lines: list[str] = []
    for each in inspections:
        lines += [*each.said(), ""]
        for table, keys in each.recipe.items():
            lines += [*(line.strip() for line in toml_table(table, keys)), ""]
    return "\n".join(lines).rstrip() + "\n"


def _rows(path: Path, file_format: Format) -> tuple[list[Cells], int, tuple[int, str]]:
    """Return the first rows that can be read, how many rows there are, and what is unusable."""
    rows: list[Cells] = []
    n_rows = n_unusable = 0
    first = ""
    for line, cells in islice(read_rows(path, file_format), MAX_ROWS + 1):
        n_rows += 1
        if n_rows > MAX_ROWS:
            break
        if isinstance(cells, Unusable):
            n_unusable += 1
            first = first or f"line {line}: {cells}"
        else:
            rows.append(cells)
    return rows, n_rows, (n_unusable, first)


def _section_of(fits: dict[Section, Fit], *, has_names: bool) -> Section:
    """Return what a file is most likely: what it lacks nothing for, and has a mark of."""
    if not has_names and "title" in fits["items"].found:
        return "items"
    if not fits["judgements"].missing and "user_id" not in fits["events"].found:
        return "judgements"
    if not fits["events"].missing:
        return "events"
    is_of_users = fits["users"].found.get("id") == fits["events"].found.get("user_id")
    return "users" if is_of_users and not fits["users"].missing else "items"


def _keys(fit: Fit) -> dict[str, str]:
    """Return the keys of the section that say which column is which field."""
    also = {key: value for key, value in fit.guessed.items() if key not in fit.found}
    return {**fit.found, **also}


def _read(name: str, cells: Sequence[Cell], file_format: Format) -> ReadColumn:
    """Read a column as a build does."""
    is_number = any(guessed_column(role, {name: "number"}) for role in NUMERIC_ROLES)
    return read_column(cells, text_cells=file_format.text_cells, is_number=is_number)


def _filled(values: Sequence[Cell]) -> float:
    return sum(not is_missing(value) for value in values) / len(values)


def _samples(values: Sequence[Cell]) -> tuple[str, ...]:
    shown = (_short(_text(value), _SAMPLE_CHARS) for value in values if not is_missing(value))
    return tuple(islice(dict.fromkeys(shown), _SAMPLES))


def _text(value: Cell) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _short(text: str, n: int) -> str:
    """Return text on one line, without signs that a comment of TOML may not have."""
    whole = "".join(letter for letter in " ".join(text.split()) if letter.isprintable())
    return whole if len(whole) <= n else whole[: n - 1] + "…"


def _format_lines(section: Section, file_format: Format) -> Iterator[str]:
    if not file_format.text_cells:
        return
    settings = file_format.settings
    yield f"[format.{section}]"
    yield f"encoding = {toml_text(settings.encoding or '')}"
    yield f"delimiter = {toml_text(settings.delimiter or '')}"
    if settings.quote != '"':
        yield f"quote = {toml_text(settings.quote or '')}"
    if settings.header is False:
        yield "header = false"
        yield f"columns = [{', '.join(map(toml_text, file_format.columns or ()))}]"
