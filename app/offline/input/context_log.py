"""The contexts of the events of a log as flat arrays, a column of codes for each name.

Values are kept as the texts of their buckets (`app.domain.named_values.text_of`). An event needs
two bytes for each name, and nothing where no event has a context. This module does not know which
values are worth learning of.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from app.core.types import Context, ContextValue
from app.domain.named_values import MAX_NAMES, text_of

Codes: TypeAlias = npt.NDArray[np.uint16]

MAX_VALUES: Final = 2**16 - 1
"""Different values of one name that are kept. A name with more is an id, and teaches nothing."""


@dataclass(frozen=True, slots=True)
class ContextLog:
    """The contexts of n events.

    Attributes:
        values: name -> the texts of its values, in the order in which they came.
        codes: name -> uint16[n]: 1 + the position of the event's value in `values`; 0 = none.
    """

    values: Mapping[str, list[str]] = field(default_factory=dict)
    codes: Mapping[str, Codes] = field(default_factory=dict)

    def only(self, keep: npt.NDArray[np.bool_]) -> "ContextLog":
        """Return the contexts of the events where `keep`, bool[n], is true."""
        return ContextLog(self.values, {name: codes[keep] for name, codes in self.codes.items()})

    def of(self, position: int) -> dict[str, str]:
        """Return the texts of the context of one event."""
        found = [(name, int(codes[position])) for name, codes in self.codes.items()]
        return {name: self.values[name][code - 1] for name, code in found if code}


class ContextLogger:
    """Collects the contexts of events while a file is read.

    `left_out`: names of which some value was left out, because there are too many.
    """

    def __init__(self) -> None:
        self._columns: dict[str, _Column] = {}
        self.left_out: set[str] = set()

    def add(self, row: int, context: Context) -> None:
        """Note the context of an event. `row`: its position among all events that were read."""
        for name, value in context:
            column = self._columns.get(name)
            if column is None:
                if len(self._columns) == MAX_NAMES:
                    self.left_out.add(name)
                    continue
                column = self._columns[name] = _Column()
            if not column.add(row, value):
                self.left_out.add(name)

    def log(self, n: int, live: npt.NDArray[np.bool_]) -> ContextLog:
        """Return the contexts of the events where `live`, bool[n], is true, of n that were read."""
        columns = self._columns.items()
        return ContextLog(
            {name: list(column.position) for name, column in columns},
            {name: column.codes(n) for name, column in columns},
        ).only(live)


class _Column:
    """The values of one name: rows that have one, and their codes."""

    def __init__(self) -> None:
        self.position: dict[str, int] = {}  # text -> code
        self._rows, self._codes = array("i"), array("H")

    def add(self, row: int, value: ContextValue) -> bool:
        """Note the value of a row. Return whether there is still room for another value."""
        text = text_of(value)
        if text not in self.position and len(self.position) == MAX_VALUES:
            return False
        code = self.position.setdefault(text, len(self.position) + 1)
        self._rows.append(row)
        self._codes.append(code)
        return True

    def codes(self, n: int) -> Codes:
        """Return uint16[n]."""
        dense = np.zeros(n, np.uint16)
        dense[np.array(self._rows, np.int32)] = self._codes
        return dense
