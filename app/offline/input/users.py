"""Reading the attributes of users: from a file of users, or from a bundle that has them.

The rows are read as those of items are: the kind of an attribute is that of its whole column,
several rows of one id are put together, and a row that cannot be used is counted with its line
number and reason. This module does not know what users did.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from app.bundle.reader import Bundle, load_arrays
from app.core.caller import NAMESPACE
from app.core.errors import BadDataError
from app.core.store_ports import user_key
from app.core.types import Attributes
from app.domain.columns import Kind, decode_column, encode_column, parts_of, prefixed
from app.domain.named_values import (
    ID_NAMES,
    MAX_NAME_CHARS,
    MAX_NAMES,
    attribute_value,
    attributes_of,
    is_name,
)
from app.domain.values import Cell, Unusable, is_missing_id, parse_id, parse_namespace
from app.offline.input.files.readers import Cells, Format
from app.offline.input.fitted_columns import fitted
from app.offline.input.merged_rows import MergedRows
from app.offline.input.read_report import ReadReport, counted_rows
from app.offline.input.recipe import Recipe, UserColumns
from app.offline.input.values.typed_columns import read_column, read_texts

_KEY: Final = "user"
"""The column of keys while a file is read: no attribute has this name."""


@dataclass(frozen=True, slots=True)
class Users:
    """The attributes of n users.

    Attributes:
        keys: user keys, as `user_key` makes them.
        columns: attribute -> n values as `encode_column` takes them, None = missing.
        kinds: attribute -> kind of its values.
        report: what was counted while reading; None = no file was read.
    """

    keys: list[str]
    columns: dict[str, list[Any]]
    kinds: dict[str, Kind]
    report: ReadReport | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def none(cls) -> "Users":
        """Return that nothing is known of anybody."""
        return cls([], {}, {})

    @classmethod
    def of_bundle(cls, bundle: Bundle) -> "Users":
        """Return what a bundle knows. Raises `BundleError`."""
        kinds = bundle.manifest.user_attributes
        if not kinds:
            return cls.none()
        arrays = load_arrays(bundle, "users.safetensors")
        keys = decode_column("string", parts_of(arrays, "user"))
        decoded = {
            n: decode_column(k, parts_of(arrays, f"attribute/{n}")) for n, k in kinds.items()
        }
        columns = {n: [c.value(row) for row in range(len(keys))] for n, c in decoded.items()}
        known = [
            row for row in range(len(keys)) if any(c[row] is not None for c in columns.values())
        ]
        return cls(
            keys=[str(keys.value(row)) for row in known],
            columns={name: [column[row] for row in known] for name, column in columns.items()},
            kinds=dict(kinds),
        )

    def of(self, row: int) -> Attributes:
        """Return what is known of one user. `row`: position in `keys`."""
        return attributes_of({name: column[row] for name, column in self.columns.items()})

    def arrays(self, keys: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        """Return the columns of the attributes with a row for each of `keys`, for a bundle."""
        row_of = {key: row for row, key in enumerate(self.keys)}
        rows = [row_of.get(key, -1) for key in keys]
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name, column in self.columns.items():
            values = [None if row < 0 else column[row] for row in rows]
            arrays |= prefixed(f"attribute/{name}", encode_column(self.kinds[name], values))
        return arrays


def read_users(path: Path, recipe: Recipe) -> Users:
    """Read the attributes of the users of a file.

    Raises:
        BadDataError: the file cannot be read, more than half of its rows are unusable, or it has
            more attributes than a user may have.
        UsageError: the recipe does not fit the file.
    """
    report, seen = ReadReport(path.name), set[str]()
    recipe, file_format, report.guessed = fitted(path, recipe, "users")
    table = MergedRows([_KEY])
    for line, cells in counted_rows(path, file_format, report):
        seen.update(cells)
        try:
            key = _key(cells, recipe.users, file_format)
        except Unusable as reason:
            report.reject(line, reason)
            continue
        names = _attributes(recipe.users, cells)
        before = len(table.columns)
        table.add(key, {_KEY: key, **{name: cells.get(name) for name in names}})
        if len(table.columns) > before:
            _check_names(path, table)
    recipe.check_columns("users", seen, path.name)
    report.check()
    report.duplicates = table.n_repeated
    table_columns = table.finish()
    keys = table_columns.pop(_KEY)
    columns: dict[str, list[Any]] = {}
    kinds: dict[str, Kind] = {}
    for name, column in table_columns.items():
        kinds[name], columns[name] = _typed(name, column, file_format, report)
    return Users(keys, columns, kinds, report)


def _key(cells: Cells, names: UserColumns, file_format: Format) -> str:
    if names.id is not None:
        cell = cells.get(names.id)
    else:
        cell = next((cells[name] for name in ID_NAMES if not is_missing_id(cells.get(name))), None)
    user = parse_id(cell, "id", whole_floats=file_format.whole_floats)
    return str(user_key(user, None, parse_namespace(cells.get(NAMESPACE))))


def _attributes(names: UserColumns, cells: Cells) -> Sequence[str]:
    if names.attributes is not None:
        return names.attributes
    return [name for name in cells if name and name not in {names.id, NAMESPACE, *ID_NAMES}]


def _check_names(path: Path, table: MergedRows) -> None:
    names = table.columns.keys() - {_KEY}
    wrong = ""
    if len(names) > MAX_NAMES:
        wrong = f"has more than {MAX_NAMES} attributes"
    elif not all(map(is_name, names)):
        wrong = f"has an attribute with a name that is no name of 1 to {MAX_NAME_CHARS} characters"
    if wrong:
        raise BadDataError(
            f"{path.name} {wrong}: choose some by `attributes` in [users] of a recipe"
        )


def _typed(
    name: str, cells: Sequence[Cell], file_format: Format, report: ReadReport
) -> tuple[Kind, list[Any]]:
    """Return the values of an attribute; those that are too long are left out and noted."""
    column = read_column(cells, text_cells=file_format.text_cells)
    if column.kind == "time":
        column = read_texts(cells)
    report.note_column(name, column.remarks)
    values: list[Any] = []
    left_out = Counter[str]()
    for value in column.values:
        try:
            values.append(attribute_value(value))
        except Unusable as reason:
            values.append(None)
            left_out[str(reason)] += 1
    for why, n in left_out.items():
        report.notes.append(f"{n} values of {name!r} were left out: each {why}")
    return column.kind, values
