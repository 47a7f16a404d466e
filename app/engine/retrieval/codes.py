"""Finds items by what names one of them: an id, a SKU, a part number, an ISBN.

People paste such a code into the search box, in capitals or not, with or without dashes and blanks.
So a code is compared by its letters and digits alone. An item has the codes of its id, of fields
whose value is a code, and of the codes in its title and text. A code that many items share names
none of them: it is a word like others. The arrays are:

    code/keys    int64[c], ascending: hash of a code
    code/rows    int32[c]: the item that has it
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.core.bounds import are_below, is_plain
from app.core.errors import BundleError
from app.core.types import JsonValue, Rows
from app.domain.columns import Arrays
from app.engine.retrieval.folding import folded

MAX_ITEMS: Final = 16
"""Items that may share a code."""

_NO_ROWS: Final[Rows] = np.empty(0, np.int64)
_MAX_LENGTH: Final = 64
_MAX_IN_TEXT: Final = 16
_LEAST_DIGITS: Final = 7
_LEAST_NUMBER: Final = 10 ** (_LEAST_DIGITS - 1)
_LEAST_MIXED: Final = 4
_LEAST_IN_TEXT: Final = 6
"""A shorter one in a text is rather a size: "16GB"."""

_NOT_CODE: Final = re.compile(r"[\W_]+")
_IN_TEXT: Final = re.compile(r"[^\W_]+(?:[-‐‑–/._+][^\W_]+)*")
_DIGIT: Final = re.compile(r"\d")


def code_of(text: str) -> str:
    """Return the letters and digits of a text, "" if there are none or too many for a code.

    Leading zeros of a number go: a table may have lost them.

    >>> code_of("54-OR323014"), code_of(" 0439064864 "), code_of("wh 1000 xm4"), code_of("!")
    ('54or323014', '439064864', 'wh1000xm4', '')
    """
    if len(text) > _MAX_LENGTH:
        return ""
    code = (text.lower() if text.isascii() else folded(text)).replace(" ", "")
    if not code.isalnum():
        code = _NOT_CODE.sub("", code)
    return code.lstrip("0") or code if code.isdecimal() else code


def is_distinctive(code: str) -> bool:
    """Tell whether a code can hardly be anything else: a title, a year, a size.

    >>> [is_distinctive(code) for code in ("54or323014", "sku1018", "439064864", "2012", "matrix")]
    [True, True, True, False, False]
    """
    if not _DIGIT.search(code):
        return False
    return len(code) >= (_LEAST_DIGITS if code.isdecimal() else _LEAST_MIXED)


def is_year(code: str) -> bool:
    """Tell whether a code is rather a year; ids may be plain numbers.

    >>> is_year("1995"), is_year("2571"), is_year("a1995")
    (True, False, False)
    """
    return code.isdecimal() and 1800 <= int(code) < 2100


def named_by(item_id: str, values: Iterable[JsonValue]) -> list[str]:
    """Return what may name an item: its id, and those values of its fields that look like a code.

    >>> named_by("a1", ["54-OR323014", 9780439064864, 12.5, "red", "two words 2", ["x"], None])
    ['a1', '54-OR323014', '9780439064864']
    """
    names = [item_id]
    for value in values:
        if isinstance(value, str):
            if _DIGIT.search(value) and _IN_TEXT.fullmatch(value):
                names.append(value)
        elif type(value) is int and value >= _LEAST_NUMBER:
            names.append(str(value))
    return names


def codes_in(text: str) -> Iterator[str]:
    """Yield the distinctive codes of a text.

    >>> list(codes_in("Sony WH-1000XM4, ISBN 978-0-439-06486-4, 2 x 16 in 2019"))
    ['wh1000xm4', '9780439064864']
    """
    if not _DIGIT.search(text):
        return
    for part in text.split():
        if len(part) < _LEAST_IN_TEXT or not _DIGIT.search(part):
            continue
        for token in _IN_TEXT.findall(part):
            if _DIGIT.search(token) and len(token) >= _LEAST_IN_TEXT:
                code = code_of(token)
                if len(code) >= _LEAST_IN_TEXT and is_distinctive(code):
                    yield code


def code_arrays(
    titles: Sequence[str | None], texts: Sequence[str], names: Sequence[Sequence[str]] | None
) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays listed above for N items.

    All by row; `names`: the id, and values of fields that may be codes.

    Raises:
        ValueError: their numbers differ.
    """
    keys, rows = list[int](), list[int]()
    for row, (title, text, named) in enumerate(
        zip(titles, texts, names or [()] * len(titles), strict=True)
    ):
        codes = dict.fromkeys(islice(codes_in(f"{title or ''}\n{text}"), _MAX_IN_TEXT))
        codes |= dict.fromkeys(map(code_of, named))
        codes.pop("", None)
        keys += map(_key, codes)
        rows += [row] * len(codes)
    key_array, row_array = np.array(keys, np.int64), np.array(rows, np.int32)
    order = np.lexsort((row_array, key_array))
    return {"code/keys": key_array[order], "code/rows": row_array[order]}


class Codes:
    """The codes of a catalogue."""

    def __init__(self, arrays: Arrays, n_items: int) -> None:
        """Take the arrays; none is copied.

        Raises:
            BundleError: they are missing or do not fit.
        """
        keys, rows = arrays.get("code/keys"), arrays.get("code/rows")
        if keys is None or rows is None or not is_plain(keys, np.int64):
            raise BundleError("the lexical index of the bundle lacks its codes")
        if not is_plain(rows, np.int32, len(keys)):
            raise BundleError("the lexical index of the bundle has other codes than rows")
        if not are_below(rows, n_items):
            raise BundleError("the lexical index of the bundle has codes of items that it lacks")
        # A view that returns plain Python numbers: searched in a tenth of numpy's time.
        self._keys, self._rows = keys.data, rows

    def rows(self, code: str) -> Rows:
        """Return int64[r], ascending: the rows that have a code; none for "" or if many have it."""
        if not code:
            return _NO_ROWS
        key = _key(code)
        first = bisect_left(self._keys, key)
        if first == len(self._keys) or self._keys[first] != key:
            return _NO_ROWS
        last = bisect_right(self._keys, key, first)
        if last - first > MAX_ITEMS:
            return _NO_ROWS
        return self._rows[first:last].astype(np.int64)


def _key(code: str) -> int:
    return int.from_bytes(
        blake2b(code.encode("utf-8", "replace"), digest_size=8).digest(), signed=True
    )
