"""Putting several rows of one id together while a file is read.

Of each field the first value that is not empty counts, and lists are united. This module does not
know what the rows are about.
"""

from collections.abc import Iterable, Mapping

from app.domain.values import MISSING_WORDS, Cell, is_missing


class MergedRows:
    """Rows while they are read: a list of cells for each column.

    Attributes:
        columns: name -> the cells so far, which may be fewer than there are ids.
        n_repeated: rows whose id had come before.
    """

    def __init__(self, names: Iterable[str]) -> None:
        """Start with empty columns of these names."""
        self.columns: dict[str, list[Cell]] = {name: [] for name in names}
        self.n_repeated = 0
        self._row_of: dict[str, int] = {}
        # Column and row -> the united texts of several lists, in order. They are written into the
        # columns at the end: to copy a list for every row that adds to it takes quadratic time.
        self._united: dict[tuple[str, int], dict[str, None]] = {}

    def add(self, row_id: str, values: Mapping[str, Cell]) -> None:
        """Append a new id, or fill in what the earlier rows of this id leave empty."""
        n_rows = len(self._row_of)
        row = self._row_of.setdefault(row_id, n_rows)
        if row == n_rows:
            for name, value in values.items():
                column = self.columns.setdefault(name, [])
                # A column may be new, or may have been missing in the rows before.
                column.extend([None] * (row - len(column)))
                column.append(value)
            return
        self.n_repeated += 1
        for name, value in values.items():
            if not _is_empty(value):
                self._fill(name, row, value)

    def finish(self) -> dict[str, list[Cell]]:
        """Return the columns, all of one length."""
        for (name, row), texts in self._united.items():
            column = self.columns[name]
            column[row] = type(column[row])(texts)
        for column in self.columns.values():
            column.extend([None] * (len(self._row_of) - len(column)))
        return self.columns

    def _fill(self, name: str, row: int, value: Cell) -> None:
        column = self.columns.setdefault(name, [])
        column.extend([None] * (row + 1 - len(column)))
        first = column[row]
        if _is_empty(first):
            column[row] = value
        elif _is_texts(value) and ((name, row) in self._united or _is_texts(first)):
            united = self._united.setdefault((name, row), dict.fromkeys(first))
            united.update(dict.fromkeys(value))


def _is_empty(value: Cell) -> bool:
    if isinstance(value, str):
        return not value.strip() or value in MISSING_WORDS
    return is_missing(value) or (isinstance(value, list) and not value)


def _is_texts(value: Cell) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(text, str) for text in value)
