"""Columns whose cells are lists: categories, tags and the like.

A cell may be a list, a list as text (`['a', 'b']`), or text with separators. The recipe may name
the separator of a column. Otherwise it is guessed: `|` if any cell has one, else semicolons,
commas and line breaks. Commas within names are recognised: all texts with commas are like `Arts,
Crafts & Sewing`, or a text comes often, and its parts come in no other text.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from app.domain.category_names import WrongCategoriesError, levels_of, listed, named, unique_levels
from app.domain.markup import plain_text
from app.domain.values import NO_VALUES, Cell, is_missing
from app.offline.input.values.column_remarks import MISSING, UNREADABLE, ColumnRemarks

Split: TypeAlias = Callable[[str], list[str]]

_LIST_NAMES = "tag tags keyword keywords genre genres label labels topic topics cuisine cuisines"
LIST_NAMES: Final = frozenset(_LIST_NAMES.split())
"""Names, in lower case, of columns whose texts are lists if they contain separators."""

_LISTING: Final = re.compile(
    r"(?:.*\S)?\s*(?:&|\b(?:and|und|et|y|e|og|och|en)\b)\s*\S.*", re.DOTALL
)
"""The last part of a name such as `Arts, Crafts & Sewing`."""
_COMMA: Final = re.compile(r"(?<!\\),")
_OTHERS: Final = re.compile(r"[;\n]")
_MARKS: Final = "|;,\n"
_OFTEN: Final = 10


class ListColumn:
    """Collects the cells of one column while a file is read, and reads them at the end.

    `is_list`: a cell was a list, or the recipe says that the texts are.
    """

    def __init__(self, name: str, separator: str | None, *, has_levels: bool = False) -> None:
        """Read a column.

        Args:
            name: as remarks and the recipe have it.
            separator: between the parts of a text; "" = texts are whole; None = guess.
            has_levels: `A > B` stands for A and B, as in categories.
        """
        self._name = name
        self._separator = separator
        self._has_levels = has_levels
        self._has_lists = False
        self.is_list = separator is not None
        self.remarks = ColumnRemarks()

    def take(self, cell: Cell) -> tuple[str, ...] | None:
        """Return the names in a cell; those in text are not separated yet. None without any."""
        if is_missing(cell):
            return None
        if isinstance(cell, str) and cell.strip() in NO_VALUES:
            self.remarks.lose(MISSING, cell)
            return None
        found: Cell = listed(cell) if isinstance(cell, str) else cell
        if found is None:
            return (cell,)
        if isinstance(found, int | float) and not isinstance(found, bool):
            return (str(found) if isinstance(found, int) else f"{found:.15g}",)
        names = self._named(found)
        if names is not None:
            self._has_lists = self.is_list = True
        return names or None

    def _named(self, found: Cell) -> tuple[str, ...] | None:
        """Return the names in a list, None if there is something without a name."""
        if isinstance(found, list) and all(isinstance(name, str) for name in found):
            return tuple(found)  # by far the most frequent form
        try:
            return tuple(named(found))
        except WrongCategoriesError:
            self.remarks.lose(UNREADABLE, found)
            return None

    def finish(self, cells: Sequence[tuple[str, ...] | None]) -> list[tuple[str, ...] | None]:
        """Return the names in each cell, separated, each once."""
        n_cells = Counter(cells)
        n_cells.pop(None, None)
        counted = Counter[str]()
        for names, n in n_cells.items():
            for text in names or ():
                counted[text] += n
        split = self._split(counted)
        read = unique_levels if self._has_levels else _unique
        parts = {text: read(split(text)) or () for text in counted}
        known = {
            names: tuple(dict.fromkeys(part for text in names or () for part in parts[text]))
            for names in n_cells
        }
        return [None if names is None else known[names] or None for names in cells]

    def has_parts(self, cells: Sequence[tuple[str, ...] | None]) -> bool:
        """Return whether a cell has more than one name, or may have when it is split."""
        return self.is_list or any(
            len(names) > 1 or any(mark in names[0] for mark in _MARKS) for names in cells if names
        )

    def _split(self, counted: Mapping[str, int]) -> Split:
        mark = self._separator
        if mark is not None:
            return (lambda text: text.split(mark)) if mark else lambda text: [text]
        if any("|" in text for text in counted):
            return lambda text: text.split("|")
        if self._has_lists:
            return lambda text: [text]
        return self._guessed({text: plain_text(text) for text in counted}, counted)

    def _guessed(self, plain: Mapping[str, str], counted: Mapping[str, int]) -> Split:
        pieces = {text: _OTHERS.split(content) for text, content in plain.items()}
        # Where both occur in one text, the commas belong to names.
        commas_separate = not any("," in text and ";" in text for text in plain.values()) and (
            not self._has_levels or _commas_separate(pieces.values())
        )
        parts = {
            text: [
                name
                for piece in each
                for name in (_by_commas(piece) if commas_separate else [piece])
            ]
            for text, each in pieces.items()
        }
        if self._has_levels:
            _keep_names(parts, counted)
        marks = [
            shown
            for mark, shown in ((",", "comma"), (";", "semicolon"), ("\n", "line break"))
            if any(mark in plain[text] and len(parts[text]) > 1 for text in plain)
            and (mark != "," or commas_separate)
        ]
        if marks:
            self.remarks.read_as.append(
                f"lists, split at each {' and '.join(marks)} "
                f'(a guess: [separators] {self._name} = "" in the recipe keeps texts whole)'
            )
        return parts.__getitem__


def _by_commas(text: str) -> list[str]:
    return [part.replace("\\,", ",") for part in _COMMA.split(text)]


def _commas_separate(pieces: Iterable[Sequence[str]]) -> bool:
    """Tell whether some text with commas is a list, and not a name such as `Food, Drink & Tea`."""
    levels = {level for texts in pieces for text in texts for level in levels_of(text)}
    listed_parts = [_COMMA.split(level) for level in levels if "," in level]
    if any(not _LISTING.fullmatch(parts[-1]) for parts in listed_parts):
        return True
    # A part of such a name that is a category by itself shows that it is a list after all.
    return any(part.strip() in levels for parts in listed_parts for part in parts)


def _keep_names(parts: dict[str, list[str]], counted: Mapping[str, int]) -> None:
    """Put texts together again that come often, but whose parts come in no other text."""
    owners: dict[str, set[str]] = defaultdict(set)
    for text, names in parts.items():
        for name in names:
            owners[name.strip()].add(text)
    for text, names in parts.items():
        apart = len(names) > 1 and counted[text] >= _OFTEN
        if apart and all(owners[name.strip()] == {text} for name in names):
            parts[text] = [text]


def _unique(names: Sequence[str]) -> tuple[str, ...] | None:
    texts = (plain_text(name).strip() for name in names)
    return tuple(dict.fromkeys(text for text in texts if text)) or None
