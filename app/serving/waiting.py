"""The queue in front of the engine: entries in order, and the sum of their costs."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from app.serving.entry import Entry

E = TypeVar("E", bound=Entry[Any, Any])


class Waiting(Generic[E]):
    """Entries in order; any of them can leave in O(1).

    Attributes:
        tokens: total cost of what waits.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._entries: OrderedDict[E, None] = OrderedDict()
        self.tokens = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[E]:
        return iter(self._entries)

    def add(self, entry: E, *, front: bool = False) -> None:
        """Put an entry at the end, or at the front."""
        self._entries[entry] = None
        self.tokens += entry.cost
        if front:
            self._entries.move_to_end(entry, last=False)

    def discard(self, entry: E) -> None:
        """Take an entry out, if it is still there: its place is free at once."""
        if entry in self._entries:
            del self._entries[entry]
            self.tokens -= entry.cost

    def clear(self) -> None:
        """Forget them all."""
        self._entries.clear()
        self.tokens = 0
