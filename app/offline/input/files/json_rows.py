"""Rows of JSON: a line for each (JSON Lines), or one document with all of them.

A document is an array of objects, an object that holds one such array (`{"products": [...]}`, also
`{"data": {"products": [...]}}`), or objects one after another. It is read piece by piece, so a
large array does not lie in memory. Python writes NaN, which is no JSON: such a value is missing.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import IO, Any, Final, TypeAlias

import orjson

from app.core.errors import BadDataError
from app.domain.values import Cell, Unusable
from app.offline.input.files.text_encoding import OpenBytes, TextEncoding

JsonRows: TypeAlias = Iterator[tuple[int, dict[str, Cell] | Unusable]]

_BOM: Final = b"\xef\xbb\xbf"
_CHUNK_CHARS: Final = 1 << 20
_EXACT_DIGITS: Final = 18
_MOST_WRAPPERS: Final = 3
_OUR_IDS: Final = frozenset(["id", "title", "name", "item_id", "item", "user_id", "user"])
"""An object with one of these is a row itself, whatever lists it has."""

_BLANKS = re.compile(r"[\s\ufeff]*")
_COMMA = re.compile(r"\s*,?\s*")


def _number(digits: str) -> int | float:
    # As orjson reads it: a larger integer is a float.
    return int(digits) if len(digits) <= _EXACT_DIGITS else float(digits)


def _constant(name: str) -> float:
    return {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}[name]


_DECODER: Final = json.JSONDecoder(parse_int=_number, parse_constant=_constant)


def is_json_lines(sample: str) -> bool:
    """Tell whether text that begins with a brace has an object on each line. Else: a document.

    sample: the first lines, whole.
    """
    lines = [line for line in sample.lstrip("\ufeff").split("\n") if line.strip()]
    values = [_json(line.encode("utf-8", "replace")) for line in lines]
    whole = [isinstance(value, dict) for value in values]
    if len(lines) == 1:
        return whole[0] and _wrapped(values[0]) is None
    # The last element of an indented array may be a whole object, too.
    return whole[0] or 2 * sum(whole) >= len(whole)


def read_json_lines(open_bytes: OpenBytes, encoding: TextEncoding) -> JsonRows:
    """Yield the objects of the lines, numbered from 1; blank lines are passed over."""
    with open_bytes() as file:
        for number, raw in enumerate(_byte_lines(file, encoding), start=1):
            line = raw.removeprefix(_BOM) if number == 1 else raw
            if line.strip():
                yield number, _row(_json(line), "the line")


def read_json_document(open_bytes: OpenBytes, encoding: TextEncoding, file: str) -> JsonRows:
    """Yield the objects of a document with the lines they begin in.

    Raises:
        BadDataError: the document is not JSON, or ends too early.
    """
    with open_bytes() as stream, encoding.text(stream) as text:
        values = _Values(text, file)
        is_array = values.opens_array()
        for line, value in values.all():
            inner = None if is_array else _wrapped(value)
            for each in [value] if inner is None else inner:
                yield line, _row(each, "the element")


def _byte_lines(file: IO[bytes], encoding: TextEncoding) -> Iterator[bytes]:
    if encoding.is_utf8:
        yield from file
        return
    with encoding.text(file) as text:
        for line in text:
            yield line.encode("utf-8", "surrogatepass")


def _json(line: bytes) -> Any:  # noqa: ANN401 - whatever the text holds
    """Return the value of JSON text, `Unusable` if it is none."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            value = _DECODER.decode(line.decode())
        except (ValueError, RecursionError):  # UnicodeDecodeError, JSONDecodeError
            return Unusable("the line is not JSON")
    return value if _is_unicode(value) else Unusable("the line is not JSON")


def _row(value: Any, what: str) -> dict[str, Cell] | Unusable:  # noqa: ANN401
    if isinstance(value, dict | Unusable):
        return value
    return Unusable(f"{what} is not a JSON object")


def _is_unicode(value: Any) -> bool:  # noqa: ANN401
    """Tell whether all texts can be stored: half of a surrogate pair cannot."""
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


def _wrapped(value: Any) -> list[Any] | None:  # noqa: ANN401
    """Return the rows that an object wraps: its only list of objects; None = it is a row."""
    if not isinstance(value, dict) or not _OUR_IDS.isdisjoint(map(str.casefold, value)):
        return None
    lists = _lists_of_objects(value, _MOST_WRAPPERS)
    return lists[0] if len(lists) == 1 else None


def _lists_of_objects(value: dict[str, Any], depth: int) -> list[list[Any]]:
    """Return the lists of objects in an object, and in the objects in it down to a depth."""
    found = [v for v in value.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
    if found or depth == 1:
        return found
    inner = (v for v in value.values() if isinstance(v, dict))
    return [each for v in inner for each in _lists_of_objects(v, depth - 1)]


class _Values:
    """The values of a document, one after another, from a text that is read in pieces."""

    def __init__(self, text: IO[str], file: str) -> None:
        self._text, self._file = text, file
        self._buffer, self._position = "", 0
        self._line = 1
        self._chunk = _CHUNK_CHARS
        self._at_end = False

    def opens_array(self) -> bool:
        """Pass over the bracket that opens an array; False = there is none."""
        self._read()
        self._pass(_BLANKS)
        if self._buffer[self._position : self._position + 1] != "[":
            return False
        self._advance(self._position + 1)
        self._array = True
        return True

    _array = False

    def all(self) -> Iterator[tuple[int, Any]]:
        """Yield (line, value), to the end."""
        while True:
            self._pass(_COMMA)
            if self._position == len(self._buffer):
                if self._read():
                    continue
                if self._array:
                    raise self._broken("the array is not closed")
                return
            if self._array and self._buffer[self._position] == "]":
                self._close()
                return
            line = self._line
            yield line, self._value()

    def _value(self) -> Any:  # noqa: ANN401
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._position)
            except RecursionError as error:
                raise self._broken("it is nested too deeply") from error
            except ValueError as error:
                if self._read():
                    continue
                raise self._broken("that is not JSON") from error
            if end == len(self._buffer) and self._read():
                continue  # a number may go on
            self._advance(end)
            return value if _is_unicode(value) else Unusable("the element is not Unicode")

    def _close(self) -> None:
        self._advance(self._position + 1)
        while True:
            self._pass(_BLANKS)
            if self._position < len(self._buffer):
                raise self._broken("there is more after the end of the array")
            if not self._read():
                return

    def _pass(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._buffer, self._position)
        self._advance(match.end() if match else self._position)

    def _advance(self, position: int) -> None:
        self._line += self._buffer.count("\n", self._position, position)
        self._position = position

    def _read(self) -> bool:
        """Read more behind what is left; False = there is no more."""
        left = self._buffer[self._position :]
        # A value that is longer than a piece is tried again: twice as much each time.
        self._chunk = max(_CHUNK_CHARS, 2 * len(left))
        more = self._text.read(self._chunk)
        self._buffer, self._position = left + more, 0
        return bool(more)

    def _broken(self, why: str) -> BadDataError:
        return BadDataError(f"{self._file}: JSON breaks off in line {self._line}: {why}")
