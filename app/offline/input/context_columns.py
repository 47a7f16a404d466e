"""The context of an event among the cells of its row.

It may be an object in the cell `context`, as `POST /events` takes it and an export writes it;
columns `context.NAME`, as tables have them; or columns that the recipe names. The class remembers
which columns it has seen, so that a row costs little where there are none.
"""

from collections.abc import Mapping
from typing import Final

from app.core.types import Context
from app.domain.named_values import WrongValue, context_of
from app.domain.values import Unusable, spelled
from app.offline.input.files.readers import Cells, Format

_OBJECT: Final = "context"
_PREFIX: Final = "context."


class ContextColumns:
    """Finds the context in the rows of one file."""

    def __init__(self, mapped: Mapping[str, str], file_format: Format) -> None:
        """Read rows of a format. `mapped`: name of a value -> its column, from the recipe."""
        self._columns = dict(mapped)  # name -> column
        self._text_cells = file_format.text_cells
        self._seen: set[str] = set()
        self._has_objects = False

    @property
    def used(self) -> set[str]:
        """The columns that are part of the context."""
        return {*self._columns.values(), *({_OBJECT} if self._has_objects else ())}

    def context(self, cells: Cells) -> Context:
        """Return the context of a row, () without any. Raises `Unusable`."""
        for column in cells.keys() - self._seen:
            self._seen.add(column)
            if column.startswith(_PREFIX):
                self._columns.setdefault(column.removeprefix(_PREFIX), column)
        whole = cells.get(_OBJECT)
        if isinstance(whole, dict):
            self._has_objects = True
        elif not self._columns:
            return ()
        values = dict(whole) if isinstance(whole, dict) else {}
        for name, column in self._columns.items():
            if column in cells:
                cell = cells[column]
                values[name] = spelled(cell) if self._text_cells else cell
        try:
            return context_of(values)
        except WrongValue as wrong:
            raise Unusable(f"context: {wrong}") from wrong
