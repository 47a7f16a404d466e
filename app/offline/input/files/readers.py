"""Reading files row by row. What a file is, its content says: its name does not matter.

JSON Lines, JSON documents, Parquet and delimited text, each of them also packed by gzip. A reader
yields each row with its line number, and goes on after a row that cannot be read. How text is
encoded and cut into cells is recognised by `text_encoding` and `dialect`; this module puts them
together. It does not know what columns mean.
"""

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, TypeAlias, cast

import pyarrow as pa
import pyarrow.parquet as pq

from app.core.errors import BadDataError
from app.domain.values import Cell, Unusable
from app.offline.input.files.delimited import DelimitedFile
from app.offline.input.files.dialect import dialect_of, keeps_rows_on_lines
from app.offline.input.files.json_rows import is_json_lines, read_json_document, read_json_lines
from app.offline.input.files.text_encoding import OpenBytes, TextEncoding, encoding_of
from app.offline.input.recipe import FileFormat

Cells: TypeAlias = dict[str, Cell]
Rows: TypeAlias = Iterator[tuple[int, Cells | Unusable]]

_GZIP: Final = b"\x1f\x8b"
_PARQUET: Final = b"PAR1"
_NOT_READ: Final = {
    b"PK\x03\x04": "is a ZIP archive or an Excel workbook: unpack it, or save it as CSV",
    b"\xd0\xcf\x11\xe0": "is an Excel workbook: save it as CSV",
    b"BZh": "is packed by bzip2: unpack it, or pack it by gzip",
    b"\xfd7zXZ": "is packed by xz: unpack it, or pack it by gzip",
    b"\x28\xb5\x2f\xfd": "is packed by zstd: unpack it, or pack it by gzip",
    b"SQLite format 3": "is a database: export a table of it as CSV",
}
_QUOTES: Final = {"": "without quotes", "'": "single quotes"}
_BOM_AND_BLANKS: Final = b"\xef\xbb\xbf \t\r\n"
_MARKUP = re.compile(r"<(?:!doctype|\?xml|html|rss|feed)\b", re.IGNORECASE)
_ARRAY = re.compile(r"\[\s*[{\[\]]")
_BATCH_ROWS: Final = 4096
_SAMPLE_CHARS: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Format:
    """What a file was recognised as.

    Attributes:
        read: yields (line number from 1, cells by column); for Parquet the number of the row.
        whole_floats: integers may come as floats.
        text_cells: all cells are text.
        shown: what it was recognised as, in words.
        columns: the columns that all rows have; None = they differ (JSON).
        settings: what a recipe would set, to read it like this.
    """

    read: Callable[[], Rows]
    whole_floats: bool
    text_cells: bool
    shown: str
    columns: tuple[str, ...] | None
    settings: FileFormat

    @property
    def has_no_names(self) -> bool:
        """Its columns have no names: neither a header nor a recipe gives them any."""
        return self.settings.header is False and self.settings.columns is None


def format_of(path: Path, wanted: FileFormat | None = None) -> Format:
    """Recognise what a file is. `wanted`: what a recipe sets for it; the rest is recognised.

    Raises:
        UsageError: what the recipe sets does not fit.
        BadDataError: it cannot be read, or is nothing that is read here.
    """
    with _translated(path):
        if path.exists() and not path.is_file():
            if path.is_dir():
                raise BadDataError(f"{path.name or path} is a folder, not a file")
            raise BadDataError(f"{path.name} is not a file that can be read more than once")
        with path.open("rb") as file:
            packed = file.read(len(_GZIP)) == _GZIP
        open_bytes = partial(_opened, path, packed=packed)
        return _recognised(path, open_bytes, wanted or FileFormat())


def read_rows(path: Path, file_format: Format) -> Rows:
    """Yield (line number, cells) of each row, or (line number, reason) if it cannot be read.

    Raises:
        BadDataError: the file cannot be read to its end.
    """
    with _translated(path):
        yield from file_format.read()


def _opened(path: Path, *, packed: bool) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if packed else path.open("rb")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn the errors of reading into our own."""
    try:
        yield
    except gzip.BadGzipFile as error:
        raise BadDataError(f"{path.name} cannot be unpacked: it is damaged") from error
    except (EOFError, zlib.error) as error:
        raise BadDataError(f"{path.name} cannot be unpacked: it is damaged or cut off") from error
    except OSError as error:
        reason = error.strerror or "it is damaged"
        raise BadDataError(f"{path.name} cannot be read: {reason}") from error
    except pa.ArrowException as error:
        raise BadDataError(f"{path.name} is not a sound Parquet file") from error


def _recognised(path: Path, open_bytes: OpenBytes, wanted: FileFormat) -> Format:
    with open_bytes() as stream:
        head = stream.read(16)
    for magic, message in _NOT_READ.items():
        if head.startswith(magic):
            raise BadDataError(f"{path.name} {message}")
    if head.startswith(_PARQUET):
        return _parquet(path, open_bytes)
    encoding = encoding_of(open_bytes, wanted.encoding, path.name)
    if wanted.encoding is not None and head.lstrip(_BOM_AND_BLANKS).startswith((b"{", b"[")):
        # A recipe names the encoding of tables; what we export ourselves is always UTF-8.
        found = encoding_of(open_bytes, None, path.name)
        encoding = found if found.is_utf8 and found.is_sound else encoding
    with open_bytes() as stream, encoding.text(stream, newline="") as text:
        sample = _whole_lines(text.read(_SAMPLE_CHARS))
    start = sample.lstrip("\ufeff \t\r\n")
    if _MARKUP.match(start):
        raise BadDataError(f"{path.name} is HTML or XML: save what it shows as CSV or JSON")
    if start.startswith("{"):
        is_lines = is_json_lines(sample)
    elif _ARRAY.match(start):
        is_lines = False
    else:
        return _delimited(path, open_bytes, encoding, sample, wanted)
    return _json(path, open_bytes, encoding, is_lines=is_lines)


def _whole_lines(text: str) -> str:
    cut = text.rfind("\n") if len(text) == _SAMPLE_CHARS else -1
    return text[: cut + 1] or text


def _json(path: Path, open_bytes: OpenBytes, encoding: TextEncoding, *, is_lines: bool) -> Format:
    if is_lines:
        read: Callable[[], Rows] = partial(read_json_lines, open_bytes, encoding)
    else:
        read = partial(read_json_document, open_bytes, encoding, path.name)
    kind = "JSON Lines" if is_lines else "JSON"
    settings = FileFormat(encoding=encoding.codec)
    return Format(
        read=read,
        whole_floats=False,
        text_cells=False,
        shown=f"{kind}, {encoding.shown}",
        columns=None,
        settings=settings,
    )


def _delimited(
    path: Path, open_bytes: OpenBytes, encoding: TextEncoding, sample: str, wanted: FileFormat
) -> Format:
    dialect = dialect_of(sample, wanted)
    if wanted.quote is None and dialect.may_lack_quotes:
        with open_bytes() as stream, encoding.text(stream, newline="") as text:
            if keeps_rows_on_lines(text, dialect):
                dialect = replace(dialect, quote="")
    table = DelimitedFile.opened(path.name, open_bytes, encoding, dialect, wanted)
    n = len(table.names)
    said = [
        dialect.shown,
        encoding.shown,
        *([] if dialect.has_header else ["no header"]),
        *([] if dialect.quote == '"' or len(dialect.delimiter) > 1 else [_QUOTES[dialect.quote]]),
        f"{n} column{'' if n == 1 else 's'}",
    ]
    columns = tuple(name for name in table.names if name)
    return Format(
        read=table.rows,
        whole_floats=True,
        text_cells=True,
        shown=", ".join(said) if n else "an empty file",
        columns=columns,
        settings=FileFormat(
            encoding=encoding.codec,
            delimiter=dialect.delimiter,
            quote=dialect.quote,
            header=dialect.has_header,
            columns=wanted.columns,
        ),
    )


def _parquet(path: Path, open_bytes: OpenBytes) -> Format:
    with _parquet_file(open_bytes) as file:
        names = file.schema_arrow.names
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise BadDataError(f"{path.name} has more than one column {repeated[0]!r}")
    return Format(
        read=partial(_read_parquet, open_bytes, names),
        whole_floats=True,
        text_cells=False,
        shown=f"Parquet, {len(names)} columns",
        columns=tuple(names),
        settings=FileFormat(),
    )


@contextmanager
def _parquet_file(open_bytes: OpenBytes) -> Iterator[Any]:
    with open_bytes() as stream:
        # Parquet is read from its end: what is packed has to be unpacked as a whole.
        source = stream if isinstance(stream, io.BufferedReader) else io.BytesIO(stream.read())
        with pq.ParquetFile(source) as file:
            yield file


def _read_parquet(open_bytes: OpenBytes, names: Sequence[str]) -> Rows:
    with _parquet_file(open_bytes) as file:
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
