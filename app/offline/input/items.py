"""Reading the items of a file into typed columns.

A row that cannot be used is counted with its line number and reason. Several rows of one id are put
together and counted. Event logs are read by `app.offline.input.events`. This module knows neither
encoders nor bundles.
"""

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
from app.offline.input.fitted_columns import fitted
from app.offline.input.merged_rows import MergedRows
from app.offline.input.read_report import ReadReport, counted_rows
from app.offline.input.readers import Cells, Format
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
    """The n items of a file.

    Attributes:
        names: the columns of the file that our fields were read from.
        columns: field -> n values, None = missing. The fields of `FIELD_KINDS` are always there;
            the others are attributes.
        kinds: field -> kind of its values.
        report: what was counted while reading.
    """

    columns: dict[str, list[Any]]
    kinds: dict[str, Kind]
    report: ReadReport
    names: ItemColumns

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def ids(self) -> list[str]:
        """The item ids in row order."""
        return self.columns["id"]


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
    report, seen = ReadReport(path.name), set[str]()
    given = recipe.items
    recipe, file_format, report.guessed = fitted(path, recipe, "items")
    names = recipe.items
    ours = names.model_dump(exclude={"path"})
    not_attributes = {*ours, *ours.values(), ""} - (_still_attributes(given, names) - {*ours})
    table = MergedRows(ours)
    for line, cells in counted_rows(path, file_format, report):
        seen.update(cells)
        try:
            fields = _item_fields(cells, names, file_format)
        except Unusable as reason:
            report.reject(line, reason)
            continue
        attributes = {k: v for k, v in cells.items() if k not in not_attributes}
        table.add(fields["id"], {**fields, **attributes})
        if len(table.columns) > MAX_COLUMNS:
            raise BadDataError(f"{path.name} has more than {MAX_COLUMNS} columns")
    recipe.check_columns("items", seen, path.name)
    if report.rows == 0:
        raise BadDataError(f"{path.name} contains no items")
    report.check()
    report.duplicates = table.n_repeated
    return _typed(table.finish(), file_format, report, names)


def _still_attributes(given: ItemColumns, fitted_names: ItemColumns) -> set[str]:
    """Return the columns that a guess leaves what they are without it: filters may name them."""
    guessed = {"categories", "published_at"} - given.model_fields_set
    return {getattr(fitted_names, field) for field in guessed}


def _item_fields(cells: Cells, names: ItemColumns, file_format: Format) -> dict[str, Any]:
    return {
        "id": parse_id(cells.get(names.id), "id", whole_floats=file_format.whole_floats),
        "title": parse_text(cells.get(names.title), "title"),
        "text": parse_text(cells.get(names.text), "text"),
        "categories": parse_categories(cells.get(names.categories)),
        "published_at": parse_time(cells.get(names.published_at), "published_at", years=True),
    }


def _typed(
    columns: dict[str, list[Cell]], file_format: Format, report: ReadReport, names: ItemColumns
) -> Items:
    """Infer the kinds of the attributes, convert their values, and count missing titles."""
    kinds = dict(FIELD_KINDS)
    for name in [name for name in columns if name not in FIELD_KINDS]:
        kinds[name] = infer_kind(columns[name], text_cells=file_format.text_cells)
        columns[name] = [convert(value, kinds[name]) for value in columns[name]]
    titles, texts = columns["title"], columns["text"]
    report.noted["missing_title"] = sum(title is None for title in titles)
    report.noted["missing_title_and_text"] = sum(
        title is None and text is None for title, text in zip(titles, texts, strict=True)
    )
    return Items(columns, kinds, report, names)
