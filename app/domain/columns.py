"""Typed columns: the fields of items as flat arrays, on disk and in memory.

A column is a few numpy arrays and has no Python object per row. So it takes little memory, and a
large one can stay in its file. A value of every kind may be missing. This module knows neither
files nor the meaning of a column. `app.domain.values` infers the kinds.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from app.core.bounds import are_offsets, is_plain
from app.core.errors import BundleError
from app.core.types import JsonValue

Kind: TypeAlias = Literal["string", "number", "strings", "boolean", "time"]
KINDS: tuple[Kind, ...] = get_args(Kind)

TimeUnit: TypeAlias = Literal["milliseconds", "seconds", "minutes", "hours"]
"""What the numbers of a column count, if they are lengths of time."""

Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]
Floats: TypeAlias = npt.NDArray[np.float64]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PIECES_AT_ONCE = 4096
_LARGEST_WHOLE = 2.0**53  # above it float64 no longer tells neighbouring integers apart


@dataclass(frozen=True, slots=True)
class Instant:
    """A point in time: unix seconds, and whether it was given as a bare year."""

    seconds: float
    is_year: bool = False

    def shown(self) -> int | str:
        """Return the year as an integer if it was given so, else ISO 8601 in UTC to the second.

        >>> Instant(1451700245.7).shown(), Instant.of_year(1995).shown()
        ('2016-01-02T02:04:05Z', 1995)
        """
        moment = _EPOCH + timedelta(seconds=int(self.seconds // 1))
        # Not strftime: it does not pad years below 1000 everywhere.
        return moment.year if self.is_year else moment.isoformat()[:19] + "Z"

    @classmethod
    def of_year(cls, year: int) -> "Instant":
        """Return the first second of a year (1–9999)."""
        return cls((datetime(year, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds(), is_year=True)


class Column(ABC):
    """Values of one field, a row per item; read-only."""

    kind: Kind

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def value(self, row: int) -> JsonValue:
        """Return the value as callers see it, None if it is missing. `row`: from 0."""

    @abstractmethod
    def n_present(self) -> int:
        """Return how many rows have a value."""

    def numbers(self) -> Floats:
        """Return float64[n] for number, boolean (0, 1) and time (unix seconds); NaN = missing.

        Raises:
            TypeError: the kind has no numeric form.
        """
        raise TypeError(f"a column of kind {self.kind} has no numbers")


class StringColumn(Column):
    """One UTF-8 text per row: bytes end to end, with offsets."""

    kind: Kind = "string"

    def __init__(self, arrays: Arrays) -> None:
        """Take `data` uint8[bytes], `offsets` int64[n + 1], `present` uint8[n]."""
        offsets = _part(arrays, "offsets", np.int64)
        # A memoryview returns plain Python numbers: several times faster to read one by one.
        self._data = _text(arrays, offsets).data
        self._offsets = offsets.data
        self._present = _part(arrays, "present", np.uint8).data
        _same_length(len(offsets) - 1, self._present)

    def __len__(self) -> int:
        return len(self._present)

    def value(self, row: int) -> str | None:
        """Return the text of a row, None when missing."""
        return self.raw(row).decode() if self._present[row] else None

    def n_present(self) -> int:
        """Return how many rows have a text."""
        return int(np.count_nonzero(np.asarray(self._present)))

    @property
    def arrays(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """The bytes of all rows, end to end, and int64[n + 1] where each row begins."""
        return np.asarray(self._data), np.asarray(self._offsets)

    def raw(self, row: int) -> bytes:
        """Return the UTF-8 bytes of a row, b"" when missing; cheap to compare."""
        return bytes(self._data[self._offsets[row] : self._offsets[row + 1]])

    def texts(self) -> Iterator[bytes]:
        """Yield the UTF-8 bytes of the rows that have a text."""
        return _pieces(self._data, self._offsets)


class NumberColumn(Column):
    """One float64 per row; whole numbers are shown as integers."""

    kind: Kind = "number"

    def __init__(self, arrays: Arrays) -> None:
        """Take `values` float64[n], NaN = missing."""
        self._values = _part(arrays, "values", np.float64)

    def __len__(self) -> int:
        return len(self._values)

    def value(self, row: int) -> int | float | None:
        """Return the number of a row, None when missing or not finite (JSON has no such number)."""
        number = float(self._values[row])
        if not np.isfinite(number):
            return None
        return int(number) if number.is_integer() and abs(number) <= _LARGEST_WHOLE else number

    def n_present(self) -> int:
        """Return how many rows have a number."""
        return int(np.count_nonzero(~np.isnan(self._values)))

    def numbers(self) -> Floats:
        """Return float64[n]."""
        return self._values


class StringsColumn(Column):
    """A list of texts per row."""

    kind: Kind = "strings"

    def __init__(self, arrays: Arrays) -> None:
        """Take `data`, `offsets` int64[m + 1] per text, `rows` int64[n + 1], `present` uint8[n]."""
        self._offsets = _part(arrays, "offsets", np.int64)
        self._data = _text(arrays, self._offsets)
        self._rows = _part(arrays, "rows", np.int64)
        self._present = _part(arrays, "present", np.uint8)
        if not are_offsets(self._rows, len(self._offsets) - 1, len(self._present)):
            raise BundleError("a column of lists of the bundle is inconsistent")

    def __len__(self) -> int:
        return len(self._present)

    def value(self, row: int) -> list[str] | None:
        """Return the texts of a row, None when missing; an empty list is not missing."""
        if not self._present[row]:
            return None
        first, last = self._rows[row : row + 2].tolist()
        bounds = self._offsets[first : last + 1].tolist()
        data = self._data[bounds[0] : bounds[-1]].tobytes()
        return [data[a - bounds[0] : b - bounds[0]].decode() for a, b in pairwise(bounds)]

    def n_present(self) -> int:
        """Return how many rows have a list, also an empty one."""
        return int(np.count_nonzero(self._present))

    def texts(self) -> Iterator[bytes]:
        """Yield the UTF-8 bytes of all texts of all rows."""
        return _pieces(self._data.data, self._offsets.data)


class BooleanColumn(Column):
    """True, false or missing per row."""

    kind: Kind = "boolean"

    def __init__(self, arrays: Arrays) -> None:
        """Take `values` int8[n]: 1, 0, −1 = missing."""
        self._values = _part(arrays, "values", np.int8)

    def __len__(self) -> int:
        return len(self._values)

    def value(self, row: int) -> bool | None:
        """Return the value of a row, None when missing."""
        value = int(self._values[row])
        return None if value < 0 else value > 0

    def n_present(self) -> int:
        """Return how many rows have a value."""
        return int(np.count_nonzero(self._values >= 0))

    def numbers(self) -> Floats:
        """Return float64[n], a fresh array."""
        return np.where(self._values < 0, np.nan, self._values).astype(np.float64)


class TimeColumn(Column):
    """An instant per row; a bare year is shown as that year again."""

    kind: Kind = "time"

    def __init__(self, arrays: Arrays) -> None:
        """Take `values` float64[n] unix seconds, NaN = missing, and `year` uint8[n] flags."""
        self._values = _part(arrays, "values", np.float64)
        self._year = _part(arrays, "year", np.uint8)
        _same_length(len(self._values), self._year)

    def __len__(self) -> int:
        return len(self._values)

    def value(self, row: int) -> int | str | None:
        """Return a year as int, any other time as `2016-01-02T03:04:05Z`, None when missing."""
        seconds = float(self._values[row])
        return None if np.isnan(seconds) else Instant(seconds, bool(self._year[row])).shown()

    def n_present(self) -> int:
        """Return how many rows have a time."""
        return int(np.count_nonzero(~np.isnan(self._values)))

    def numbers(self) -> Floats:
        """Return float64[n], unix seconds."""
        return self._values


def encode_column(kind: Kind, values: Sequence[Any]) -> dict[str, npt.NDArray[Any]]:
    """Turn values, None = missing, into the arrays that `decode_column` takes.

    Values by kind: str, int or float, sequence of str, bool, `Instant`.
    """
    present = np.fromiter((v is not None for v in values), dtype=np.uint8, count=len(values))
    match kind:
        case "string":
            return {**_encode_texts([v or "" for v in values]), "present": present}
        case "number":
            return {"values": np.array([np.nan if v is None else v for v in values], np.float64)}
        case "strings":
            return {**_encode_lists(values), "present": present}
        case "boolean":
            return {"values": np.array([-1 if v is None else bool(v) for v in values], np.int8)}
        case "time":
            seconds = [np.nan if v is None else v.seconds for v in values]
            years = [v is not None and v.is_year for v in values]
            return {"values": np.array(seconds, np.float64), "year": np.array(years, np.uint8)}


def decode_column(kind: str, arrays: Arrays) -> Column:
    """Return the column over the arrays of `encode_column`, which are not copied.

    Raises:
        BundleError: unknown kind; arrays missing, of another type, or disagreeing in length.
    """
    classes = (StringColumn, NumberColumn, StringsColumn, BooleanColumn, TimeColumn)
    by_kind: dict[str, Callable[[Arrays], Column]] = {c.kind: c for c in classes}
    if kind not in by_kind:
        raise BundleError("the bundle contains a column of an unknown kind")
    return by_kind[kind](arrays)


def _encode_lists(lists: Sequence[Sequence[str] | None]) -> dict[str, npt.NDArray[Any]]:
    lengths = [0 if texts is None else len(texts) for texts in lists]
    flat = [text for texts in lists if texts is not None for text in texts]
    return {**_encode_texts(flat), "rows": offsets_of(lengths)}


def _encode_texts(texts: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    encoded = [text.encode() for text in texts]
    data = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    return {"data": data, "offsets": offsets_of([len(piece) for piece in encoded])}


def offsets_of(lengths: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return int64[n + 1]: the start of each of n pieces that lie end to end, and the end.

    >>> offsets_of([2, 0, 3]).tolist()
    [0, 2, 2, 5]
    """
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def prefixed(name: str, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays under their tensor names, `<column>/<part>`."""
    return {f"{name}/{part}": array for part, array in arrays.items()}


def parts_of(arrays: Arrays, name: str) -> dict[str, npt.NDArray[Any]]:
    """Return the parts of one column among the tensors that `prefixed` named."""
    split = [(*key.rpartition("/"), array) for key, array in arrays.items()]
    return {part: array for column, _, part, array in split if column == name}


def _pieces(data: memoryview, offsets: memoryview) -> Iterator[bytes]:
    """Yield the pieces that are not empty."""
    for start in range(0, len(offsets) - 1, _PIECES_AT_ONCE):
        bounds = offsets[start : start + _PIECES_AT_ONCE + 1].tolist()
        first = bounds[0]
        chunk = bytes(data[first : bounds[-1]])
        for low, high in pairwise(bounds):
            if low < high:
                yield chunk[low - first : high - first]


def _text(arrays: Arrays, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    data = _part(arrays, "data", np.uint8)
    if not are_offsets(offsets, len(data)):
        raise BundleError("a text column of the bundle is inconsistent")
    return data


def _part(arrays: Arrays, name: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
    array = arrays.get(name)
    if array is None or not is_plain(array, dtype):
        raise BundleError(f"a column of the bundle lacks a sound part {name!r}")
    return array


def _same_length(length: int, array: Sized) -> None:
    if length != len(array):
        raise BundleError("the parts of a column of the bundle differ in length")
