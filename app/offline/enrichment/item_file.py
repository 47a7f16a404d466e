"""The files of an enrichment: the items read and written, and the part file between two runs.

The part file is JSON lines: a head that says what it belongs to, then a line for each item that is
done. It is written batch by batch, so a run that was stopped goes on where it was.
"""

import csv
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from app.core.errors import BadDataError, UsageError
from app.domain.values import Unusable, parse_id
from app.offline.enrichment.questions import COLUMNS, Enriched
from app.offline.input.files.readers import Cells, format_of, read_rows
from app.offline.input.recipe import FileFormat

_JOINED: Final = "; "


@dataclass(frozen=True, slots=True)
class ItemFiles:
    """Which file is read, with the column of the ids, and which one is written.

    `format`: what a recipe sets for the file that is read.
    """

    items: Path
    out: Path
    id_column: str
    format: FileFormat | None = None

    @property
    def part(self) -> Path:
        """What is done so far."""
        return self.out.with_name(f"{self.out.name}.part")

    def check(self) -> None:
        """Refuse names that cannot be meant.

        Raises:
            UsageError: an ending does not fit, or the result is there already.
            BadDataError: the items cannot be read.
        """
        wanted = ".csv" if format_of(self.items, self.format).text_cells else ".jsonl"
        if self.out.suffix.lower() != wanted:
            raise UsageError(f"{self.out.name}: the ending must be {wanted}, as of the items")
        if self.out.exists():
            raise UsageError(f"{self.out.name} exists already")

    def rows(self) -> Iterator[tuple[str | None, Cells]]:
        """Yield (id, cells) of each row; id None = it repeats an id, or has none.

        Rows that cannot be read are left out.

        Raises:
            BadDataError: the file cannot be read, or has a column that would be overwritten.
        """
        file_format = format_of(self.items, self.format)
        floats = file_format.whole_floats
        seen: set[str] = set()
        for _, cells in read_rows(self.items, file_format):
            if isinstance(cells, Unusable):
                continue
            if taken := [name for name in COLUMNS if name in cells]:
                raise BadDataError(f"{self.items.name} has a column {taken[0]!r} already")
            try:
                name = parse_id(cells.get(self.id_column), "id", whole_floats=floats)
            except Unusable:
                yield None, cells
                continue
            yield (None if name in seen else name), cells
            seen.add(name)

    def write(self, done: Mapping[str, Enriched]) -> None:
        """Write all rows with the new columns, then remove the part file."""
        new = self.out.with_name(f"{self.out.name}.new")
        write = _write_csv if self.out.suffix.lower() == ".csv" else _write_jsonl
        write(new, ((cells, done.get(name or "", {})) for name, cells in self.rows()))
        new.rename(self.out)
        self.part.unlink(missing_ok=True)


class PartFile:
    """What is done so far, in memory and on the disk. Use as a context."""

    def __init__(self, path: Path, belongs_to: Mapping[str, str]) -> None:
        """Open or begin a file. `belongs_to`: a run with other values does not go on with it.

        Raises:
            UsageError: it belongs to another run.
        """
        self.done: dict[str, Enriched] = {}
        lines = path.read_bytes().splitlines() if path.exists() else []
        if lines:
            if _object(lines[0]) != dict(belongs_to):
                raise UsageError(f"{path.name} is of another run: remove it to begin anew")
            # A run that was killed may have left half a line.
            entries = [_object(line) for line in lines[1:]]
            self.done = {each["id"]: each["columns"] for each in entries if "columns" in each}
        self._file = path.open("wb")
        self._write(belongs_to)
        self.add(self.done)

    def __enter__(self) -> "PartFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, done: Mapping[str, Enriched]) -> None:
        """Add items that are done; they are on the disk when this returns."""
        self.done |= done
        for name, columns in done.items():
            self._write({"id": name, "columns": columns})
        self._file.flush()
        os.fsync(self._file.fileno())

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(orjson.dumps(line) + b"\n")


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _write_jsonl(path: Path, rows: Iterator[tuple[Cells, Enriched]]) -> None:
    with path.open("wb") as file:
        for cells, columns in rows:
            file.write(orjson.dumps({**cells, **columns}) + b"\n")


def _write_csv(path: Path, rows: Iterator[tuple[Cells, Enriched]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer: csv.DictWriter[str] | None = None
        for cells, columns in rows:
            if writer is None:
                writer = csv.DictWriter(file, [*cells, *COLUMNS])
                writer.writeheader()
            joined = {name: _JOINED.join(columns.get(name, ())) for name in COLUMNS}
            writer.writerow({**cells, **joined})
