"""The items: id to row, row to title and fields, and which rows may come back.

The columns of a bundle are the base. Records of the items that changed since lie on top of them.
This module knows no vectors, scores or requests.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from itertools import filterfalse

import numpy as np

from app.core.types import Item, JsonValue, Mask, Rows
from app.domain.columns import Column, Floats
from app.domain.filters import matches, parse_filter
from app.engine.catalogue.attributes import Attributes

_NO_ROWS: Rows = np.empty(0, np.int64)
_NOT_ATTRIBUTES = frozenset({"id", "title"})
_FILTERS_REMEMBERED = 128


@dataclass(frozen=True, slots=True)
class Record:
    """An item as it was changed while serving.

    Attributes:
        item: as callers see it.
        values: field -> value, as filters read them: times as unix seconds.
        text: the text that it is found by.
        hidden: whether it must not be recommended.
        start, end: unix seconds from which and until which it may be.
        others: its fields that the bundle does not have: they are kept, and nothing reads them.
    """

    item: Item
    values: Mapping[str, JsonValue]
    text: str
    hidden: bool = False
    start: float = float("-inf")
    end: float = float("inf")
    others: Mapping[str, object] = field(default_factory=dict)

    def visible(self, now: float) -> bool:
        """Tell whether it may be recommended at a moment in unix seconds."""
        return not self.hidden and self.start <= now < self.end


class Catalogue:
    """Items in row order. Rows behind the last item, and those of deleted ones, are blocked.

    Reads of single items may come from any thread; everything else belongs to the thread that
    ranks.
    """

    def __init__(
        self, columns: Mapping[str, Column], attributes: Mapping[str, str], room: int = 0
    ) -> None:
        """Take columns of equal length, `id` and `title` among them, and `room` for more rows."""
        self._columns = columns
        self._ids = columns["id"]
        self._titles = columns["title"]
        self.attributes = {k: v for k, v in attributes.items() if k not in _NOT_ATTRIBUTES}
        # A second copy: to read ids one by one from their column takes longer than all the rest of
        # an answer.
        self._id_of = [str(self._ids.value(row)) for row in range(len(self._ids))]
        self._row_of = {item_id: row for row, item_id in enumerate(self._id_of)}
        self._gone: dict[str, int] = {}
        self._records: dict[int, Record] = {}
        self._n = len(self._ids)
        self._blocked = np.zeros(self._n + room, np.bool_)
        self._blocked[self._n :] = True
        self._any_blocked = room > 0
        self.table = Attributes(columns, self._n)
        self._failing: dict[str, Mask] = {}
        self._numbers: dict[str, Floats] = {}

    def __len__(self) -> int:
        """Return the number of rows, blocked ones included."""
        return len(self._blocked)

    def row(self, item_id: str) -> int:
        """Return the row of an item, -1 if it is not in the catalogue."""
        return self._row_of.get(item_id, -1)

    def is_visible(self, item_id: str) -> bool:
        """Tell whether there is such an item and it may come back; from any thread."""
        row = self.row(item_id)
        return row >= 0 and not self._blocked[row]

    def is_deleted(self, item_id: str) -> bool:
        """Tell whether there was such an item until it was deleted."""
        return item_id in self._gone

    def rows(self, item_ids: Collection[str]) -> Rows:
        """Return int64[n], the rows of the known ids in their order; unknown ones are left out."""
        if not item_ids:  # most requests name none, and an empty array takes a microsecond
            return _NO_ROWS
        rows = [row for row in map(self._row_of.get, item_ids) if row is not None]
        return np.array(rows, dtype=np.int64)

    def unknown(self, item_ids: Iterable[str]) -> list[str]:
        """Return the ids that are not in the catalogue, in order, each once."""
        return list(dict.fromkeys(filterfalse(self._row_of.__contains__, item_ids)))

    def id(self, row: int) -> str:
        """Return the id of a row."""
        record = self._records.get(row)
        return self._id_of[row] if record is None else record.item.id

    def title(self, row: int) -> str | None:
        """Return the title of a row, None where the data had none."""
        record = self._records.get(row)
        if record is not None:
            return record.item.title
        value = self._titles.value(row)
        return None if value is None else str(value)

    def fields(self, row: int, names: Sequence[str]) -> dict[str, JsonValue]:
        """Return the named attributes of a row; null for those that there are not."""
        record = self._records.get(row)
        if record is not None:
            return {name: record.item.fields.get(name) for name in names}
        columns = self._columns
        return {name: columns[name].value(row) if name in columns else None for name in names}

    def value(self, row: int, name: str) -> JsonValue:
        """Return the title, text or attribute of a row; None where there is none."""
        return self.title(row) if name == "title" else self.fields(row, (name,))[name]

    def item(self, item_id: str) -> Item | None:
        """Return one item with all its attributes, None if unknown."""
        row = self.row(item_id)
        if row < 0:
            return None
        record = self._records.get(row)
        if record is not None:
            return record.item
        return Item(item_id, self.title(row), self.fields(row, tuple(self.attributes)))

    def blocked(self, filter_text: str = "") -> Mask | None:
        """Return bool[rows], read-only: the rows that must not come back; None where all may.

        Raises:
            InvalidRequestError: a filter that does not fit these attributes.
        """
        if filter_text:
            if len(self._failing) >= _FILTERS_REMEMBERED:
                self._failing.clear()
            if filter_text not in self._failing:
                self._failing[filter_text] = self._failing_now(filter_text)
            return self._failing[filter_text]
        return self._blocked if self._any_blocked else None

    def visible(self) -> Mask:
        """Return bool[rows], a fresh array: the rows that may come back."""
        return ~self._blocked

    def numbers(self, field: str) -> Floats:
        """Return float64[rows], read-only, of a number or time (unix seconds); NaN = missing.

        All are missing if there is no such field, or it has no numbers.
        """
        if field not in self._numbers:
            self._numbers[field] = self._numbers_now(field)
        return self._numbers[field]

    def records(self) -> Mapping[int, Record]:
        """Return row -> record of all items that changed and are still there."""
        return self._records

    @property
    def n_used(self) -> int:
        """How many rows are or were an item; those behind them are free."""
        return self._n

    @property
    def n_known(self) -> int:
        """How many items there are, hidden ones among them."""
        return len(self._row_of)

    def with_room(self, room: int) -> "Catalogue":
        """Return a copy with that many free rows; later changes are in one of the two only."""
        other = copy(self)
        other._separate(room)  # noqa: SLF001 - its own class
        return other

    def _separate(self, room: int) -> None:
        self._row_of, self._gone = dict(self._row_of), dict(self._gone)
        self._records = dict(self._records)
        used = self._blocked[: self._n]
        self._blocked = np.ones(self._n + room, np.bool_)
        self._blocked[: self._n] = used
        self._any_blocked = True
        self._failing, self._numbers = {}, {}

    def rows_to_put(self, item_ids: Sequence[str]) -> list[int]:
        """Return the row of each item to put: its own, also if it was deleted, or a free one."""
        free = iter(range(self._n, self._n + len(item_ids)))
        known = (self._row_of.get(name, self._gone.get(name)) for name in item_ids)
        return [next(free) if row is None else row for row in known]

    def put(self, row: int, record: Record, now: float) -> None:
        """Put an item into a row. `now`: unix seconds; decides whether it is visible."""
        self._records[row] = record
        self._row_of[record.item.id] = row
        self._gone.pop(record.item.id, None)
        self._n = max(self._n, row + 1)
        self._block(row, blocked=not record.visible(now))

    def delete(self, item_id: str) -> None:
        """Delete an item; nothing happens if it is unknown."""
        row = self._row_of.pop(item_id, None)
        if row is not None:
            self._gone[item_id] = row
            self._records.pop(row, None)
            self._block(row, blocked=True)

    def advance(self, now: float) -> None:
        """Show and hide the items that are visible or hidden at `now`, unix seconds."""
        for row, record in self._records.items():
            self._block(row, blocked=not record.visible(now))

    def boundaries(self, now: float) -> tuple[float, float]:
        """Return when an item last became visible or hidden, and when the next one will."""
        times = [t for record in self._records.values() for t in (record.start, record.end)]
        before = max((t for t in times if t <= now), default=float("-inf"))
        return before, min((t for t in times if t > now), default=float("inf"))

    def _block(self, row: int, *, blocked: bool) -> None:
        self._blocked[row] = blocked
        self._any_blocked |= blocked
        self._failing.clear()
        self._numbers.clear()

    def _numbers_now(self, field: str) -> Floats:
        numbers = np.full(len(self), np.nan)
        if self.attributes.get(field) in {"number", "time"}:
            numbers[: len(self._ids)] = self.table.numbers(field)
            for row, record in self._records.items():
                value = record.values.get(field)
                numbers[row] = value if isinstance(value, int | float) else np.nan
        numbers.setflags(write=False)
        return numbers

    def _failing_now(self, filter_text: str) -> Mask:
        test = parse_filter(filter_text, self.attributes, limited=False)
        failing = np.ones(len(self), np.bool_)
        failing[: len(self._ids)] = ~self.table.passing(test)
        for row, record in self._records.items():
            failing[row] = not matches(test, record.values)
        failing |= self._blocked
        failing.setflags(write=False)
        return failing
