"""Rows of delimited text, by a dialect that is known.

The standard library cuts the rows: pyarrow does not say in which line a row with quoted line breaks
began, and stops at a broken row. A quote that opens where none was meant takes in the rows up to
the next quote. So of a row that spans several lines and does not fit, only the first line is given
up, and the others are read again.
"""

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from app.core.errors import BadDataError, UsageError
from app.domain.values import Unusable
from app.offline.input.column_names import listed
from app.offline.input.files.dialect import Dialect
from app.offline.input.files.text_encoding import OpenBytes, TextEncoding
from app.offline.input.recipe import FileFormat

TextRows: TypeAlias = Iterator[tuple[int, dict[str, str] | Unusable]]

_NOT_CSV: Final = Unusable("the line is not CSV")
_TAKES_IN: Final = Unusable("a quote opens in the line, and takes in rows after it")
_LEAST_TAKEN_IN: Final = 3
_LEAST_DELIMITERS: Final = 2
_WRONG_WIDTH: Final = Unusable("the row has more or fewer cells than the header")
_HEADER_AGAIN: Final = Unusable("the row is the header again")
# So spreadsheets are kept from reading a code as a number.
_FORMULA: Final = re.compile(r'^\s*="([^"]*)"\s*$')


@dataclass(frozen=True, slots=True)
class DelimitedFile:
    """A file of delimited text.

    Attributes:
        file: its name.
        open_bytes: opens it.
        encoding: of its text.
        dialect: of its rows.
        names: of its columns; "" = a column that is not read.
    """

    file: str
    open_bytes: OpenBytes
    encoding: TextEncoding
    dialect: Dialect
    names: tuple[str, ...]

    @classmethod
    def opened(
        cls,
        file: str,
        open_bytes: OpenBytes,
        encoding: TextEncoding,
        dialect: Dialect,
        wanted: FileFormat,
    ) -> "DelimitedFile":
        """Read the names of the columns.

        Raises:
            UsageError: the recipe names more or fewer columns than there are.
            BadDataError: the first row cannot be read, or has a name twice.
        """
        bare = cls(file, open_bytes, encoding, dialect, ())
        try:
            first = next((row for _, row in bare._records() if not isinstance(row, Unusable)), [])
        except BadDataError as error:
            raise BadDataError(f"{file}: the first row cannot be read: {error}") from error
        found = [name.strip() for name in first]
        if wanted.columns is not None:
            if len(wanted.columns) != len(found):
                raise UsageError(
                    f"the recipe names {len(wanted.columns)} columns of {file}, "
                    f"which has {len(found)}: {listed(found)}"
                )
            found = wanted.columns
        elif not dialect.has_header:
            found = [f"column_{number}" for number in range(1, len(found) + 1)]
        repeated = sorted({name for name in found if name and found.count(name) > 1})
        if repeated:
            raise BadDataError(
                f"{file} has more than one column {repeated[0]!r}; name all {len(found)} in a "
                "recipe, for example in [format.items]: header = true, columns = [...]"
            )
        return cls(file, open_bytes, encoding, dialect, tuple(found))

    def rows(self) -> TextRows:
        """Yield (line number, cells by column) of each row.

        Raises:
            BadDataError: a quote is never closed.
        """
        records = self._records()
        _, header = next(records, (0, None)) if self.dialect.has_header else (0, None)
        is_sound = self.encoding.is_sound
        nameless = "" in self.names
        for line, row in records:
            if isinstance(row, Unusable):
                yield line, row
            elif row == header:
                yield line, _HEADER_AGAIN
            elif not is_sound and any(map(self.encoding.is_broken, row)):
                yield line, Unusable(f"the line is not {self.encoding.shown}")
            else:
                cells = dict(zip(self.names, row, strict=False))
                if nameless:
                    cells.pop("", None)
                yield line, cells

    def _records(self) -> Iterator[tuple[int, list[str] | Unusable]]:
        with self.open_bytes() as stream, self.encoding.text(stream, newline="") as text:
            lines = _Lines(text, self.dialect.skipped)
            records, width, taken = self.dialect.records(lines), len(self.names), lines.taken
            while True:
                try:
                    row = next(records)
                    if len(taken) >= _LEAST_TAKEN_IN and self._takes_in_rows(lines):
                        wrong = _TAKES_IN
                    elif len(row) == width or not row or self._fits(row):
                        if '="' in "".join(taken):
                            row = [_FORMULA.sub(r"\1", cell) for cell in row]
                        line = lines.all()
                        # Spreadsheets write the empty rows below a table, too.
                        if any(row):
                            yield line, row
                        continue
                    else:
                        wrong = _WRONG_WIDTH
                except StopIteration:
                    return
                except csv.Error as error:
                    wrong = self._unusable(error, lines)
                escaped = self._escaped(lines.taken[0])
                yield lines.first(), wrong if escaped is None else escaped
                records = self.dialect.records(lines)

    def _takes_in_rows(self, lines: "_Lines") -> bool:
        """Tell whether each line of a row is a whole row itself: a quote opens there by mistake.

        In lines of a text that stand in quotes the delimiter would have to come as often by chance.
        """
        delimiters = len(self.names) - 1
        return delimiters >= _LEAST_DELIMITERS and lines.all_have(
            self.dialect.delimiter, delimiters
        )

    def _unusable(self, error: csv.Error, lines: "_Lines") -> Unusable:
        """Return what is wrong with a row; raise if it took in all rows after it."""
        if "unexpected end" in str(error) and self._escaped(lines.taken[0]) is None:
            raise BadDataError(
                f"{self.file}: a quote in line {lines.number} never ends; if quotes enclose no "
                'cells there, set quote = "" in the recipe, for example in [format.items]'
            ) from error
        return _NOT_CSV

    def _escaped(self, line: str) -> list[str] | None:
        r"""Return the cells of one line in which a quote is written as `\"`, None if it is none."""
        if '\\"' not in line:
            return None
        try:
            row = next(self.dialect.records([line], escape="\\"), [])
        except csv.Error:
            return None
        return row if row and self._fits(row) else None

    def _fits(self, row: Sequence[str]) -> bool:
        """Tell whether a row has a cell for each column; empty ones may follow."""
        width = len(self.names)
        return not width or len(row) == width or (len(row) > width and not any(row[width:]))


class _Lines:
    """Lines that can be taken back while a row is cut out of them.

    Attributes:
        number: of the first line taken.
        taken: the lines that the row consists of.
    """

    def __init__(self, text: Iterator[str], skipped: int) -> None:
        self._text = text
        self._again = deque[str]()
        self.taken: list[str] = []
        self.number = 1 + skipped
        for _ in range(skipped):
            next(text, None)

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._text)
        # Files that were put together have a byte order mark within.
        line = line.removeprefix("\ufeff")
        self.taken.append(line)
        return line

    def all_have(self, delimiter: str, n: int) -> bool:
        """Tell whether each line taken has a delimiter n times."""
        return all(line.count(delimiter) == n for line in self.taken)

    def all(self) -> int:
        """Be done with all lines taken; return the number of the first."""
        number = self.number
        self.number += len(self.taken)
        self.taken.clear()
        return number

    def first(self) -> int:
        """Be done with the first line taken, give the others back; return its number."""
        self._again.extendleft(reversed(self.taken[1:]))
        self.taken.clear()
        self.number += 1
        return self.number - 1
