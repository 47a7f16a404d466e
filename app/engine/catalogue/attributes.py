"""The items' fields as filters and facets read them: masks of rows, and counts of values.

They are built from the columns of a bundle, each field when it is first needed. This module does
not see items that changed since; `app.engine.catalogue.catalogue` tests those one by one.
"""

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from app.core.types import Mask, Rows
from app.domain.columns import Column, Floats
from app.domain.filters import And, Exists, Filter, In, Nor, Or, Range, Ranges


@dataclass(frozen=True, slots=True)
class Values:
    """The values of a field that is no number: `rows[i]` has `names[codes[i]]`, each pair once.

    `code_of`: name -> its place in `names`.
    """

    names: list[str | bool]
    rows: Rows
    codes: npt.NDArray[np.int32]
    code_of: Mapping[Any, int]

    def counts(self, rows: Mask) -> npt.NDArray[np.int64]:
        """Return int64[names]: how many of the rows have each value."""
        return np.bincount(self.codes[rows[self.rows]], minlength=len(self.names))


class Attributes:
    """The fields of n rows. It fills its caches when it is read: one thread at a time uses it."""

    def __init__(self, columns: Mapping[str, Column], n_rows: int) -> None:
        """Take a column per field."""
        self._columns, self.n_rows = columns, n_rows
        self._values: dict[str, Values] = {}

    def column(self, field: str) -> Column:
        """Return the values of a field, `id` and `title` among them, as the bundle has them."""
        return self._columns[field]

    def passing(self, test: Filter) -> Mask:
        """Return bool[n], a fresh array: the rows that pass; see `app.domain.filters.matches`."""
        match test:
            case And(parts):
                return reduce(operator.and_, map(self.passing, parts))
            case Or(parts):
                return reduce(operator.or_, map(self.passing, parts))
            case Nor(parts):
                return ~reduce(operator.or_, map(self.passing, parts))
            case Exists(field):
                return self.present(field)
            case Range() | Ranges():
                return self._lies_in(test)
            case In(field, choices, every):
                return self._has_any_of(field, choices, every=every)

    def present(self, field: str) -> Mask:
        """Return bool[n]: the rows that have a value."""
        column = self._columns[field]
        if column.kind in {"number", "time"}:
            return ~np.isnan(self.numbers(field))
        present = np.zeros(self.n_rows, np.bool_)
        present[self.values(field).rows] = True
        if column.kind == "strings":
            # An empty list is not missing.
            rows = np.flatnonzero(~present)
            present[rows] = [column.value(row) is not None for row in rows.tolist()]
        return present

    def numbers(self, field: str) -> Floats:
        """Return float64[n] of a number or time, in unix seconds; NaN = missing."""
        return self._columns[field].numbers()

    def values(self, field: str) -> Values:
        """Return the values of a field of another kind."""
        if field not in self._values:
            self._values[field] = _values_of(self._columns[field])
        return self._values[field]

    def _lies_in(self, test: Range | Ranges) -> Mask:
        numbers = self.numbers(test.field)
        # A comparison with a missing value is false.
        if isinstance(test, Range):
            return (numbers >= test.low) & (numbers <= test.high)
        at = np.searchsorted(test.lows, numbers, side="right") - 1
        return (at >= 0) & (numbers <= np.take(test.highs, at))

    def _has_any_of(
        self, field: str, choices: frozenset[str | float | bool], *, every: bool
    ) -> Mask:
        if self._columns[field].kind == "number":
            numbers = self.numbers(field)
            if every and len(choices) > 1:  # a number has one value
                return np.zeros(self.n_rows, np.bool_)
            return np.isin(numbers, np.array(list(choices), np.float64))
        values = self.values(field)
        chosen = np.zeros(len(values.names) + 1, np.bool_)  # one more: there may be no names
        chosen[[values.code_of[name] for name in choices if name in values.code_of]] = True
        rows = values.rows[chosen[values.codes]]
        # A row has each value once, so a row with all choices is here once for each of them.
        least = len(choices) if every else 1
        return np.bincount(rows, minlength=self.n_rows) >= least


def _values_of(column: Column) -> Values:
    numbers: dict[Any, int] = {}
    rows: list[int] = []
    codes: list[int] = []
    for row in range(len(column)):
        value = column.value(row)
        if value is None:
            continue
        distinct = dict.fromkeys(value) if isinstance(value, list) else (value,)
        for name in distinct:
            rows.append(row)
            codes.append(numbers.setdefault(name, len(numbers)))
    return Values(list(numbers), np.array(rows, np.int64), np.array(codes, np.int32), numbers)
