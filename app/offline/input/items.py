"""Reading the items of a file into typed columns.

A row that cannot be used is counted with its line number and reason. Several rows of one id are put
together and counted. Event logs are read by `app.offline.input.events`. This module knows neither
encoders nor bundles.
"""

from pathlib import Path
from typing import Any, Final

from app.core.errors import BadDataError, UsageError
from app.domain.columns import Kind
from app.domain.markup import plain_text
from app.domain.values import LONGEST_WORD, MISSING_WORDS, Cell, Unusable, parse_id, parse_text
from app.offline.input.column_names import joined
from app.offline.input.files.readers import Cells, Format
from app.offline.input.fitted_columns import fitted
from app.offline.input.item_table import FIELD_KINDS, Items
from app.offline.input.merged_rows import MergedRows
from app.offline.input.read_report import ReadReport, counted_rows
from app.offline.input.recipe import ItemColumns, Recipe
from app.offline.input.roles import NUMERIC_ROLES, guessed_column
from app.offline.input.values.column_remarks import OUTSIDE, UNREADABLE, ColumnRemarks
from app.offline.input.values.date_columns import read_published
from app.offline.input.values.list_columns import LIST_NAMES, ListColumn
from app.offline.input.values.typed_columns import read_column

_CATEGORIES: Final = "categories"
MAX_COLUMNS = 256


def read_items(path: Path, recipe: Recipe) -> Items:
    """Read the items of a file.

    Several rows of one id make one item, at the position of the first: of each field the first
    value that is not empty counts, and lists are united.

    If the recipe takes one of our fields from another column, a column with the name of our field
    is not read.

    Raises:
        BadDataError: the file cannot be read, is empty, or more than half of its rows are unusable.
        UsageError: the recipe does not fit the file.
    """
    report, given = ReadReport(path.name), recipe.items
    recipe, file_format, report.guessed = fitted(path, recipe, "items")
    names = recipe.items
    ours = names.model_dump(exclude={"path"})
    not_attributes = {*ours, *ours.values(), ""} - (_still_attributes(given, names) - {*ours})
    columns = _Columns(recipe, not_attributes)
    table = MergedRows(ours)
    for line, cells in counted_rows(path, file_format, report):
        try:
            fields = _item_fields(cells, names, file_format)
        except Unusable as reason:
            report.reject(line, reason)
            continue
        table.add(fields["id"], columns.with_lists(fields, cells))
        if len(table.columns) > MAX_COLUMNS:
            raise BadDataError(f"{path.name} has more than {MAX_COLUMNS} columns")
    recipe.check_columns("items", columns.seen, path.name)
    if report.rows == 0:
        raise BadDataError(f"{path.name} contains no items")
    report.check()
    report.duplicates = table.n_repeated
    return columns.typed(table.finish(), file_format, report)


def _still_attributes(given: ItemColumns, fitted_names: ItemColumns) -> set[str]:
    """Return the columns that a guess leaves what they are without it: filters may name them."""
    guessed = {"categories", "published_at"} - given.model_fields_set
    return {getattr(fitted_names, field) for field in guessed}


def _item_fields(cells: Cells, names: ItemColumns, file_format: Format) -> dict[str, Any]:
    """Return our fields of a row; categories and dates are read when the whole column is known."""
    return {
        "id": parse_id(cells.get(names.id), "id", whole_floats=file_format.whole_floats),
        "title": _text(cells.get(names.title), "title"),
        "text": _text(cells.get(names.text), "text"),
        "categories": cells.get(names.categories),
        "published_at": cells.get(names.published_at),
    }


def _text(cell: Cell, name: str) -> str | None:
    if name == "text" and isinstance(cell, list) and all(isinstance(part, str) for part in cell):
        cell = "\n".join(cell)
    text = parse_text(cell, name)
    is_word = text is not None and len(text) <= LONGEST_WORD and text in MISSING_WORDS
    return None if is_word else text


class _Columns:
    """The columns of a file of items: which are lists, and what their values are at the end."""

    def __init__(self, recipe: Recipe, not_attributes: set[str]) -> None:
        self._recipe = recipe
        self._not_attributes = not_attributes
        self._separators = {joined(name): mark for name, mark in recipe.separators.items()}
        separator = self._separators.get(_CATEGORIES)
        self._categories = ListColumn(_CATEGORIES, separator, has_levels=True)
        self._lists: dict[str, ListColumn] = {}
        self._numeric = {
            joined(name)
            for role, name in recipe.roles.attributes().items()
            if role in NUMERIC_ROLES
        }
        self.seen: set[str] = set()

    def with_lists(self, fields: dict[str, Any], cells: Cells) -> dict[str, Any]:
        """Return our fields and the attributes of a row, lists as tuples of texts."""
        if not cells.keys() <= self.seen:
            self._see(cells)
        fields[_CATEGORIES] = self._categories.take(fields[_CATEGORIES])
        row = {**fields, **{k: v for k, v in cells.items() if k not in self._not_attributes}}
        for name, column in self._lists.items():
            if name in row:
                row[name] = column.take(row[name])
        return row

    def _see(self, cells: Cells) -> None:
        for name in cells.keys() - self.seen - self._not_attributes:
            separator = self._separators.get(joined(name))
            if separator is not None or joined(name) in LIST_NAMES:
                self._lists[name] = ListColumn(name, separator)
        self.seen.update(cells)

    def typed(
        self, columns: dict[str, list[Cell]], file_format: Format, report: ReadReport
    ) -> Items:
        """Read the values of the columns, and count what is missing."""
        known = {_CATEGORIES, *map(joined, self._lists)}
        for name in [name for name in self._recipe.separators if joined(name) not in known]:
            raise UsageError(
                f"{self._recipe.file}: separators: {report.file} has no other column {name!r}"
            )
        kinds = dict(FIELD_KINDS)
        for name in ("title", "text"):
            columns[name] = _without_html(name, columns[name], report)
        columns[_CATEGORIES] = self._categories.finish(columns[_CATEGORIES])
        remarks = ColumnRemarks()
        day_first = self._recipe.day_first
        columns["published_at"] = read_published(columns["published_at"], remarks, day_first)
        for name, said in ((_CATEGORIES, self._categories.remarks), ("published_at", remarks)):
            report.note_column(name, said)
            if n := said.n_lost(UNREADABLE) + said.n_lost(OUTSIDE):
                report.noted[f"unreadable_{name}"] = n
        for name in [name for name in columns if name not in FIELD_KINDS]:
            kinds[name], columns[name] = self._attribute(name, columns[name], file_format, report)
        _count_missing(columns["title"], columns["text"], report)
        return Items(columns, kinds, report, self._recipe.items)

    def _attribute(
        self, name: str, cells: list[Cell], file_format: Format, report: ReadReport
    ) -> tuple[Kind, list[Any]]:
        column = self._lists.get(name)
        if column is not None:
            lists = column.finish(cells) if column.has_parts(cells) else []
            if column.is_list or any(len(names) > 1 for names in lists if names):
                report.note_column(name, column.remarks)
                return "strings", [None if names is None else list(names) for names in lists]
            cells = [None if names is None else names[0] for names in cells]
        is_number = joined(name) in self._numeric or any(
            guessed_column(role, {name: "number"}) for role in NUMERIC_ROLES
        )
        read = read_column(
            cells,
            text_cells=file_format.text_cells,
            day_first=self._recipe.day_first,
            is_number=is_number,
        )
        report.note_column(name, read.remarks)
        return read.kind, read.values


def _without_html(name: str, texts: list[str | None], report: ReadReport) -> list[str | None]:
    plain = [None if text is None else plain_text(text) or None for text in texts]
    n = sum(new is not old for new, old in zip(plain, texts, strict=True))
    if n:
        report.notes.append(f"column {name!r}: HTML was taken out of {n} texts")
    return plain


def _count_missing(titles: list[str | None], texts: list[str | None], report: ReadReport) -> None:
    report.noted["missing_title"] = sum(title is None for title in titles)
    report.noted["missing_title_and_text"] = sum(
        title is None and text is None for title, text in zip(titles, texts, strict=True)
    )
