"""The items as columns: id to row, row to title and fields.

Knows nothing of vectors, scores or requests.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import filterfalse

import numpy as np

from app.columns import Column
from app.types import Item, JsonValue, Rows

_NOT_ATTRIBUTES = frozenset({"id", "title"})


class Catalogue:
    """Read-only view over the item columns of a bundle, in row order."""

    def __init__(self, columns: Mapping[str, Column], attributes: Mapping[str, str]) -> None:
        """Take columns of equal length; `id` and `title` must be among them."""
        self._columns = columns
        self._ids = columns["id"]
        self._titles = columns["title"]
        self.attributes = {k: v for k, v in attributes.items() if k not in _NOT_ATTRIBUTES}
        self._row_of = {str(self._ids.value(row)): row for row in range(len(self._ids))}

    def __len__(self) -> int:
        return len(self._ids)

    def row(self, item_id: str) -> int:
        """Return the row of an item, -1 if the catalogue does not hold it."""
        return self._row_of.get(item_id, -1)

    def rows(self, item_ids: Iterable[str]) -> Rows:
        """Return int64[n], the rows of the known ids in their order; unknown ones are left out."""
        found = [row for row in map(self._row_of.get, item_ids) if row is not None]
        return np.array(found, dtype=np.int64)

    def unknown(self, item_ids: Iterable[str]) -> list[str]:
        """Return the ids that the catalogue does not hold, in order, each once."""
        return list(dict.fromkeys(filterfalse(self._row_of.__contains__, item_ids)))

    def id(self, row: int) -> str:
        """Return the id of a row."""
        return str(self._ids.value(row))

    def title(self, row: int) -> str | None:
        """Return the title of a row, None where the data had none."""
        value = self._titles.value(row)
        return None if value is None else str(value)

    def fields(self, row: int, names: Sequence[str]) -> dict[str, JsonValue]:
        """Return the named attributes of a row; null for those that there are not."""
        columns = self._columns
        return {name: columns[name].value(row) if name in columns else None for name in names}

    def item(self, item_id: str) -> Item | None:
        """Return one item with all its attributes, None if unknown."""
        row = self.row(item_id)
        if row < 0:
            return None
        return Item(item_id, self.title(row), self.fields(row, tuple(self.attributes)))
