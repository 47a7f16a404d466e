"""A catalogue, read from a file into typed columns, every rule for wrong rows applied.

A row that cannot be used is counted with its line and reason; a repeated id is counted and its last
row wins. Event logs are read by `app.offline.input.events`. This module knows no encoders, no
bundles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.core.errors import BadDataError
from app.domain.columns import Kind
from app.domain.values import (
    Cell,
    Unusable,
    convert,
    infer_kind,
    parse_categories,
    parse_id,
    parse_text,
    parse_time,
)
from app.offline.input.read_report import ReadReport, counted_rows
from app.offline.input.readers import Cells, Format, format_of
from app.offline.input.recipe import ItemColumns, Recipe

MAX_COLUMNS = 256
FIELD_KINDS: dict[str, Kind] = {
    "id": "string",
    "title": "string",
    "text": "string",
    "categories": "strings",
    "published_at": "time",
}


@dataclass(frozen=True, slots=True)
class Items:
    """A catalogue: `columns` holds n values per field, None = missing, of the kind in `kinds`.

    The fields of `FIELD_KINDS` are always there; the others are attributes of the data.
    """

    columns: dict[str, list[Any]]
    kinds: dict[str, Kind]
    tally: ReadReport

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def ids(self) -> list[str]:
        """The item ids in row order."""
        return self.columns["id"]


def read_items(path: Path, recipe: Recipe) -> Items:
    """Read a catalogue.

    A column of the file that bears the name of one of our fields, while the recipe takes that field
    from another column, is left out.

    Raises:
        BadDataError: unreadable, empty, or more than half of the rows are unusable.
        UsageError: another ending, or the recipe names a column that is not there.
    """
    form, tally, seen = format_of(path), ReadReport(path.name), set[str]()
    names = recipe.items
    ours = names.model_dump(exclude={"path"})
    hidden = {*ours, *ours.values(), ""}
    columns: dict[str, list[Cell]] = {name: [] for name in ours}
    row_of: dict[str, int] = {}
    count = 0
    for line, cells in counted_rows(path, tally):
        seen.update(cells)
        try:
            fields = _item_fields(cells, names, form)
        except Unusable as reason:
            tally.reject(line, reason)
            continue
        attributes = {k: v for k, v in cells.items() if k not in hidden}
        _append(columns, count, {**fields, **attributes})
        if len(columns) > MAX_COLUMNS:
            raise BadDataError(f"{path.name} has more than {MAX_COLUMNS} columns")
        row_of[fields["id"]] = count
        count += 1
    recipe.check_columns("items", seen, path.name)
    if tally.rows == 0:
        raise BadDataError(f"{path.name} holds no items")
    tally.check()
    tally.duplicates = count - len(row_of)
    kept = sorted(row_of.values())
    return _typed({k: _take(v, kept) for k, v in columns.items()}, form, tally)


def _item_fields(cells: Cells, names: ItemColumns, form: Format) -> dict[str, Any]:
    return {
        "id": parse_id(cells.get(names.id), "id", whole_floats=form.whole_floats),
        "title": parse_text(cells.get(names.title), "title"),
        "text": parse_text(cells.get(names.text), "text"),
        "categories": parse_categories(cells.get(names.categories)),
        "published_at": parse_time(cells.get(names.published_at), "published_at", years=True),
    }


def _append(columns: dict[str, list[Cell]], row: int, values: dict[str, Cell]) -> None:
    """Append a row to columns that may be new, or were missing in the rows before."""
    for name, value in values.items():
        column = columns.setdefault(name, [])
        column.extend([None] * (row - len(column)))
        column.append(value)


def _take(column: Sequence[Cell], rows: list[int]) -> list[Cell]:
    return [column[row] if row < len(column) else None for row in rows]


def _typed(columns: dict[str, list[Cell]], form: Format, tally: ReadReport) -> Items:
    """Give every attribute the kind that all its values have, and count what rows lack."""
    kinds = dict(FIELD_KINDS)
    for name in [name for name in columns if name not in FIELD_KINDS]:
        kinds[name] = infer_kind(columns[name], text_cells=form.text_cells)
        columns[name] = [convert(value, kinds[name]) for value in columns[name]]
    titles, texts = columns["title"], columns["text"]
    tally.noted["missing_title"] = sum(title is None for title in titles)
    tally.noted["missing_title_and_text"] = sum(
        title is None and text is None for title, text in zip(titles, texts, strict=True)
    )
    return Items(columns, kinds, tally)
