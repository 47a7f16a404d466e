"""The values of a whole column of a file: which kind they have, and what each of them is.

A few cells that a program left empty, such as `N/A`, do not turn numbers into text. Money and
written dates are read as `app.domain.written_numbers` and `written_dates` say; what one value
leaves open, the others of its column tell. Remarks say what was done.

A column of texts stays one, unless nearly all its texts are numbers or dates: the few others are
missing then. So a table of sizes ("38", "40", "M") stays text.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeAlias

from app.domain.category_names import WrongCategoriesError, listed, named
from app.domain.columns import Kind
from app.domain.markup import plain_text
from app.domain.values import (
    LONGEST_WORD,
    MISSING_WORDS,
    NO_VALUES,
    Cell,
    convert,
    infer_kind,
    is_missing,
    plain_number,
)
from app.domain.written_numbers import NumberStyle, Written, lowest_written, written
from app.offline.input.values.column_remarks import MISSING, UNREADABLE, ColumnRemarks
from app.offline.input.values.date_columns import is_date, is_year, read_dates

_SAMPLE: Final = 64
_LEAST_SHARE: Final = 0.8
"""Part of the texts of a column that must be dates, or money, for it to be a column of them."""
_LEAST_SHARE_BY_ROLE: Final = 0.5

Found: TypeAlias = tuple[Kind, list[Any]]


@dataclass(frozen=True, slots=True)
class ReadColumn:
    """A column of a file.

    Attributes:
        kind: of its values.
        values: as `encode_column` takes them, None = missing.
        remarks: what was done.
    """

    kind: Kind
    values: list[Any]
    remarks: ColumnRemarks


def read_column(
    cells: Sequence[Cell],
    *,
    text_cells: bool,
    day_first: bool | None = None,
    is_number: bool = False,
) -> ReadColumn:
    """Return the values of a column.

    Args:
        cells: as they were read.
        text_cells: all cells are text (CSV), so the kind is what the texts spell.
        day_first: whether dates such as 05/09/2021 begin with the day; None = the column tells.
        is_number: its role asks for numbers, so texts may be numbers in JSON too, and half of them
            are enough.
    """
    remarks = ColumnRemarks()
    kind = infer_kind(cells, text_cells=text_cells)
    if kind != "string":
        return ReadColumn(kind, [convert(cell, kind) for cell in cells], remarks)
    sample = list(islice(filter(_is_told, cells), _SAMPLE))
    if not any(_may_be_more(cell, text_cells, is_number) for cell in sample):
        return read_texts(cells)
    told = list(filter(_is_told, cells))
    found = (
        _plain(cells, told, remarks, text_cells=text_cells)
        or _numbers(cells, told, remarks, text_cells=text_cells, is_number=is_number)
        or _times(cells, told, remarks, day_first)
        or _lists(cells, told, remarks)
    )
    return ReadColumn(*found, remarks) if found else read_texts(cells)


def _is_told(cell: Cell) -> bool:
    return not is_missing(cell) and not _is_no_value(cell)


def _may_be_more(cell: Cell, text_cells: bool, is_number: bool) -> bool:
    """Tell whether a cell may be anything but text."""
    if not isinstance(cell, str) or infer_kind([cell], text_cells=text_cells) != "string":
        return True
    return bool(_form(cell, is_number) or is_date(cell) or cell.lstrip()[:1] in ("[", "c"))


def read_texts(cells: Sequence[Cell]) -> ReadColumn:
    """Return the values of a column as texts, without HTML."""
    remarks = ColumnRemarks()
    texts = [convert(cell, "string") for cell in cells]
    for row, text in enumerate(texts):
        if text is None:
            continue
        if len(text) <= LONGEST_WORD and text in MISSING_WORDS:
            remarks.lose(MISSING, text)
            texts[row] = None
        elif "<" in text or "&" in text:
            texts[row] = plain_text(text) or None
    return ReadColumn("string", texts, remarks)


def _plain(
    cells: Sequence[Cell], told: Sequence[Cell], remarks: ColumnRemarks, *, text_cells: bool
) -> Found | None:
    """Read a column that is of one kind but for words that stand for no value."""
    if not told or infer_kind(told[:1], text_cells=text_cells) == "string":
        return None
    kind = infer_kind(told, text_cells=text_cells)
    if kind == "string":
        return None
    remarks.read_as.append(_SAID[kind])
    _remark_words(cells, remarks)
    return kind, [None if _is_no_value(cell) else convert(cell, kind) for cell in cells]


def _numbers(
    cells: Sequence[Cell],
    told: Sequence[Cell],
    remarks: ColumnRemarks,
    *,
    text_cells: bool,
    is_number: bool,
) -> Found | None:
    """Read numbers as people write them."""
    enough = _LEAST_SHARE_BY_ROLE if is_number else _LEAST_SHARE
    for some in (told[:_SAMPLE], told):
        forms = {cell: _form(cell, is_number) for cell in set(_only_texts(some))}
        n_read = sum(
            (forms[cell] if isinstance(cell, str) else plain_number(cell)) is not None
            for cell in some
        )
        if not some or n_read < enough * len(some):
            return None
    style = NumberStyle.of(
        form for cell in _only_texts(told) if isinstance(form := forms[cell], Written)
    )
    is_money = style.currencies.total() >= enough * len(told)
    # JSON has types: texts in it are numbers only where something says that numbers are meant.
    meant = text_cells or is_number or is_money or len(_only_texts(told)) < len(told)
    if not meant or (n_read < len(told) and not is_number and not is_money):
        return None
    remarks.read_as.append("numbers" + _style_said(style))
    _remark_words(cells, remarks)
    values = {
        cell: style.number(form) if isinstance(form, Written) else form
        for cell, form in forms.items()
    }
    return "number", [_number(cell, values, remarks) for cell in cells]


def _form(text: str, is_number: bool) -> Written | float | None:
    """Return how a text spells a number; a number where only a program writes so, as 1e5."""
    form = written(text) or plain_number(text)
    return lowest_written(text) if form is None and is_number else form


def _number(cell: Cell, values: Mapping[str, float | None], remarks: ColumnRemarks) -> float | None:
    if is_missing(cell) or _is_no_value(cell):
        return None
    value = values[cell] if isinstance(cell, str) else plain_number(cell)
    if value is None:
        remarks.lose(UNREADABLE, cell)
    return value


def _style_said(style: NumberStyle) -> str:
    said = []
    if style.currencies:
        said.append(f"money in {', '.join(sorted(style.currencies))}")
    if style.decimals[","]:
        said.append("a comma marks decimals")
    elif style.unsure and not style.decimals:
        said.append("no number tells whether 1,299 is more than a thousand; it was taken so")
    if len(style.currencies) > 1:
        said.append("warning: several currencies are mixed")
    return f" ({'; '.join(said)})" if said else ""


def _times(
    cells: Sequence[Cell], told: Sequence[Cell], remarks: ColumnRemarks, day_first: bool | None
) -> Found | None:
    """Read dates as people write them; ISO 8601 among them."""
    for some in (told[:_SAMPLE], told):
        n_dates, n_years = sum(map(is_date, some)), sum(map(is_year, some))
        if 2 * n_dates <= len(some) or n_dates + n_years < _LEAST_SHARE * len(some):
            return None
    remarks.read_as.append("times")
    return "time", read_dates(cells, remarks, day_first)


def _lists(cells: Sequence[Cell], told: Sequence[Cell], remarks: ColumnRemarks) -> Found | None:
    """Read lists that are spelled as text, and lists of objects that have a name."""
    found: list[list[str] | None] = []
    for cell in cells if told else ():
        if is_missing(cell) or _is_no_value(cell):
            found.append(None)
            continue
        parts = listed(cell) if isinstance(cell, str) else cell
        if not isinstance(parts, list) or not all(isinstance(p, str | dict) for p in parts):
            return None
        try:
            found.append(list(dict.fromkeys(named(parts))))
        except WrongCategoriesError:
            return None
    if not told:
        return None
    remarks.read_as.append("lists")
    return "strings", found


def _is_no_value(cell: Cell) -> bool:
    if not isinstance(cell, str) or (len(cell) > LONGEST_WORD and cell[0] > " "):
        return False
    return cell.strip() in NO_VALUES


def _remark_words(cells: Sequence[Cell], remarks: ColumnRemarks) -> None:
    for cell in cells:
        if _is_no_value(cell):
            remarks.lose(MISSING, cell)


def _only_texts(cells: Iterable[Cell]) -> list[str]:
    return [cell for cell in cells if isinstance(cell, str)]


_SAID: Final[Mapping[Kind, str]] = {
    "number": "numbers",
    "boolean": "true or false",
    "time": "times",
    "strings": "lists",
}
