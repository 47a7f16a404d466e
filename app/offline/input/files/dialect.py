"""How the rows and cells of a text file are separated, recognised by a sample of it.

clevercsv finds the delimiter: it weighs how alike the rows are against how many cells look like a
number, a date, a text … That holds where titles are full of commas, which misleads `csv.Sniffer`.
It knows no delimiter of two characters, and gives none for a single column; both are dealt with
here, and so are `sep=` lines of Excel, quotes and headers.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import clevercsv

from app.offline.input.column_names import is_known_name
from app.offline.input.recipe import FileFormat, Quote

MAX_CELL_CHARS: Final = 16 * 1024 * 1024

_DELIMITERS: Final = (",", ";", "\t", "|")
_NAMES: Final = {
    ",": "comma",
    ";": "semicolon",
    "\t": "tab",
    "|": "pipe",
    "::": "double colon",
    " ": "blank",
}
_MAY_LACK_QUOTES: Final = frozenset("\t|")
_SAMPLE_ROWS: Final = 100
_SAMPLE_CHARS: Final = 16 * 1024

_SEP_LINE = re.compile(r'"?sep=(.)"?\r?\n?', re.IGNORECASE)
_COMMENTS = re.compile(r"(?:#[^\r\n]*[\r\n]+)+")
# Bytes that could not be decoded, and what clevercsv does not take.
_BROKEN = re.compile(r"[\ud800-\udfff\x00]")
# A date, a number, an address: no name of a column.
_VALUE = re.compile(r"[-+$€£¥]?\d[\d.,:/ TZ-]*|\d{1,2}-[A-Z][a-z]{2}-\d{4}|https?://\S+")


@dataclass(frozen=True, slots=True)
class Dialect:
    """A dialect of delimited text.

    Attributes:
        delimiter: what separates cells, one character or more.
        quote: what encloses a cell; "" = nothing does.
        has_header: the first row has the names of the columns.
        skipped: lines before the first row.
    """

    delimiter: str
    quote: Quote
    has_header: bool
    skipped: int

    @property
    def shown(self) -> str:
        """The delimiter in words."""
        return _NAMES.get(self.delimiter, repr(self.delimiter))

    @property
    def may_lack_quotes(self) -> bool:
        """Files with this delimiter are often written without quoting."""
        return self.quote != "" and self.delimiter in _MAY_LACK_QUOTES

    def records(self, lines: Iterable[str], escape: str | None = None) -> Iterator[list[str]]:
        """Cut lines into cells. Raises `csv.Error` at a row that is not sound, and may go on.

        escape: what stands before a quote that does not end its cell; None = another quote.
        """
        if len(self.delimiter) > 1:
            return (line.rstrip("\r\n").split(self.delimiter) for line in lines)
        csv.field_size_limit(MAX_CELL_CHARS)
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote or None,
            escapechar=escape,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            skipinitialspace=True,
            strict=True,
        )


def dialect_of(sample: str, wanted: FileFormat) -> Dialect:
    r"""Return the dialect of a text; `sample`: its first lines. What a recipe sets is not guessed.

    >>> dialect_of("id;name\n1;Chair, oak\n", FileFormat())
    Dialect(delimiter=';', quote='"', has_header=True, skipped=0)
    >>> dialect_of("1::Up (2009)::Drama|Comedy\n", FileFormat()).shown
    'double colon'
    """
    separator = _SEP_LINE.match(sample)
    start = separator.end() if separator else _end_of_comments(sample, wanted)
    skipped = sum(1 for _ in _lines(sample[:start]))
    text = sample[start:]
    delimiter = wanted.delimiter or (separator[1] if separator else _delimiter_of(text))
    quote = _quote_of(text, delimiter) if wanted.quote is None else wanted.quote
    bare = Dialect(delimiter, quote, has_header=True, skipped=skipped)
    has_header = _has_header(_sample_rows(text, bare), wanted)
    return Dialect(delimiter, quote, has_header, skipped)


def _end_of_comments(sample: str, wanted: FileFormat) -> int:
    """Return where lines end that begin with # and have fewer cells than the rows after them."""
    comments = _COMMENTS.match(sample)
    if comments is None or not (rest := sample[comments.end() :]):
        return 0
    delimiter = wanted.delimiter or _delimiter_of(rest)
    most = max(line.count(delimiter) for line in _lines(comments[0]))
    return comments.end() if most < next(_lines(rest)).count(delimiter) else 0


def keeps_rows_on_lines(lines: Iterable[str], dialect: Dialect) -> bool:
    """Tell whether quotes mean nothing: each line is a row, and some quote opens without closing.

    Files of tabs are often written without quoting (IMDb): a title that begins with a quote would
    take in the rows up to the next one.

    lines: all lines of the file.
    """
    width: int | None = None
    opens = False
    for line in lines:
        if not line.strip():
            continue
        n = line.count(dialect.delimiter)
        if n != (width := n if width is None else width):
            return False
        opens = opens or line.count(dialect.quote) % 2 == 1
    return opens


def _delimiter_of(text: str) -> str:
    lines = [line for line in _lines(text) if line.strip()]
    counts = {line.count("::") for line in lines}
    if len(counts) == 1 and counts != {0}:
        return "::"
    whole = _BROKEN.sub("x", _shortened(text))
    found = clevercsv.Detector().detect(whole, delimiters=_DELIMITERS)
    # A single column has none, and is read as well by any.
    likeliest = (found.delimiter if found else None) or ","
    if not _is_table(text, likeliest):
        others = [delimiter for delimiter in _DELIMITERS if _is_table(text, delimiter)]
        return others[0] if len(others) == 1 else likeliest
    return likeliest


def _is_table(text: str, delimiter: str) -> bool:
    """Tell whether all rows have as many cells as the header, and more than one."""
    rows = _sample_rows(text, Dialect(delimiter, '"', has_header=True, skipped=0))
    return len({len(row) for row in rows}) == 1 and len(rows[0]) > 1


def _shortened(text: str) -> str:
    """Return as many whole lines as clevercsv takes little time for."""
    if len(text) <= _SAMPLE_CHARS:
        return text
    cut = text.rfind("\n", 0, _SAMPLE_CHARS)
    return text[: cut + 1] if cut > 0 else text[:_SAMPLE_CHARS]


def _quote_of(text: str, delimiter: str) -> Quote:
    """Return the quote by which all rows are sound and of one width; the double one if several."""
    if len(delimiter) > 1:
        return ""
    if _are_alike(text, delimiter, '"'):
        return '"'
    other: Quote = "" if delimiter in _MAY_LACK_QUOTES else "'"
    return other if _are_alike(text, delimiter, other) else '"'


def _are_alike(text: str, delimiter: str, quote: Quote) -> bool:
    """Tell whether rows are of one width by a quote, and no cell begins with the double one."""
    rows = _sample_rows(text, Dialect(delimiter, quote, has_header=True, skipped=0))
    if quote == "'" and any(cell.startswith('"') for row in rows for cell in row):
        return False
    return len({len(row) for row in rows}) == 1


def _sample_rows(text: str, dialect: Dialect) -> list[list[str]]:
    """Return the first rows, up to one that is not sound: [] stands for that one."""
    rows: list[list[str]] = []
    try:
        for row in dialect.records(_lines(text)):
            if any(row):
                rows.append([cell.strip() for cell in row])
            if len(rows) == _SAMPLE_ROWS:
                break
    except csv.Error as error:
        # The end of the sample may lie inside a cell.
        if "unexpected end" not in str(error) or not rows:
            rows.append([])
    return rows


def _lines(text: str) -> io.StringIO:
    # `splitlines` also splits at signs that titles contain (NEL, U+2028).
    return io.StringIO(text, newline="")


def _has_header(rows: Sequence[list[str]], wanted: FileFormat) -> bool:
    """Tell whether the first row has names: a known one, or no number where others have one."""
    if wanted.header is not None:
        return wanted.header
    if not rows:
        return True
    first, rest = rows[0], [row for row in rows[1:] if row]
    if wanted.columns is not None:
        return [name.casefold() for name in wanted.columns] == [cell.casefold() for cell in first]
    if any(map(is_known_name, first)):
        return True
    return not any(
        _VALUE.fullmatch(cell) and all(_is_value(row, column) for row in rest)
        for column, cell in enumerate(first)
    )


def _is_value(row: Sequence[str], column: int) -> bool:
    cell = row[column] if column < len(row) else ""
    return not cell or bool(_VALUE.fullmatch(cell))
