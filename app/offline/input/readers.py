"""Reading files row by row: JSON Lines, CSV and Parquet, recognised by the ending.

A reader yields each row with its line number, and goes on after a row that cannot be read. CSV is
read with the standard library: pyarrow does not say on which line a row with quoted line breaks
began, and stops at a broken row. This module does not know what columns mean.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from app.core.errors import BadDataError, UsageError
from app.domain.values import Cell, Unusable

Cells: TypeAlias = dict[str, Cell]
Rows: TypeAlias = Iterator[tuple[int, Cells | Unusable]]

_BOM = b"\xef\xbb\xbf"
_MAX_CSV_CELL_CHARS = 16 * 1024 * 1024
_BATCH_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Format:
    """A file format.

    Attributes:
        read: yields (line number from 1, cells by column); for Parquet the number of the row.
        whole_floats: integers may come as floats.
        text_cells: all cells are text.
    """

    read: Callable[[Path], Rows]
    whole_floats: bool
    text_cells: bool


def format_of(path: Path) -> Format:
    """Return the format that the ending of a file names.

    Raises:
        UsageError: the ending names no known format.
    """
    file_format = _FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise UsageError(f"{path.name}: the ending must be one of {', '.join(_FORMATS)}")
    return file_format


def read_rows(path: Path) -> Rows:
    """Yield (line number, cells) of each row, or (line number, reason) if it cannot be read.

    Raises:
        UsageError: the ending names no known format.
        BadDataError: the file cannot be read at all.
    """
    read = format_of(path).read
    try:
        yield from read(path)
    except OSError as error:
        reason = error.strerror or "it is damaged"
        raise BadDataError(f"{path.name} cannot be read: {reason}") from error
    except pa.ArrowException as error:
        raise BadDataError(f"{path.name} is not a sound Parquet file") from error


def _read_jsonl(path: Path) -> Rows:
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            line = raw.removeprefix(_BOM) if number == 1 else raw
            if line.strip():
                yield number, _json_object(line)


def _json_object(line: bytes) -> Cells | Unusable:
    try:
        cells = orjson.loads(line)
    except orjson.JSONDecodeError:
        return Unusable("the line is not JSON")
    return cells if isinstance(cells, dict) else Unusable("the line is not a JSON object")


def _read_csv(path: Path) -> Rows:
    csv.field_size_limit(_MAX_CSV_CELL_CHARS)
    # Bytes that are not UTF-8 become lone surrogates: they cost one row and not the whole file.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, strict=True)
        header = _csv_header(path, reader)
        while True:
            line = reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if "unexpected end" in str(error):  # the row took in all rows after it
                    raise BadDataError(f"{path.name}: a quote in line {line} never ends") from error
                yield line, Unusable("the line is not CSV")
                continue
            if row:
                yield line, _csv_cells(header, row)


def _csv_header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise BadDataError(f"{path.name}: the first line is not CSV") from error
    _refuse_repeats(path, header)
    return header


def _csv_cells(header: list[str], row: list[str]) -> Cells | Unusable:
    if len(row) != len(header):
        return Unusable("the row has more or fewer cells than the header")
    if not all(map(_is_text, row)):
        return Unusable("the line is not UTF-8")
    return dict(zip(header, row, strict=True))


def _is_text(cell: str) -> bool:
    try:
        cell.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_parquet(path: Path) -> Rows:
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        _refuse_repeats(path, names)
        number = 0
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            columns = [_parquet_column(column) for column in batch.columns]
            for values in zip(*columns, strict=True):
                number += 1
                yield number, dict(zip(names, values, strict=True))


def _parquet_column(column: Any) -> list[Cell]:  # noqa: ANN401 — pyarrow has no types
    kind = column.type
    if pa.types.is_timestamp(kind):
        # A datetime has no nanoseconds: they are cut to microseconds.
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    elif pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    return [_plain(value) for value in column.to_pylist()]


def _plain(value: Any) -> Cell:  # noqa: ANN401 — whatever pyarrow returns
    """Return times as ISO 8601 text, as in the other formats."""
    return value.isoformat() if isinstance(value, datetime | date | time) else value


def _refuse_repeats(path: Path, names: list[str]) -> None:
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        raise BadDataError(f"{path.name} has more than one column {repeated[0]!r}")


_FORMATS = {
    ".jsonl": Format(_read_jsonl, whole_floats=False, text_cells=False),
    ".csv": Format(_read_csv, whole_floats=True, text_cells=True),
    ".parquet": Format(_read_parquet, whole_floats=True, text_cells=False),
}
