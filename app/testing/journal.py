"""A fake of the port `Journal`, for tests and load tests only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from app.core.errors import StoreError
from app.core.store_ports import MOST_CHANGED, journal_full
from app.core.types import Change


@dataclass(slots=True)
class MemoryChanges:
    """The stored changes of one catalogue: the highest number, and (number, record) by item."""

    newest: int = 0
    by_item: dict[str, tuple[int, bytes]] = field(default_factory=dict)


class MemoryJournal:
    """A `Journal` in a dictionary. Journals with the same `store` share their changes.

    Attributes:
        down: whether every call raises `StoreError`.
    """

    def __init__(
        self,
        catalogue: str,
        store: dict[str, MemoryChanges] | None = None,
        *,
        most_items: int = MOST_CHANGED,
    ) -> None:
        """Keep the changes of a catalogue in `store`, or in a store of its own."""
        self.down, self._most_items = False, most_items
        self._changes = ({} if store is None else store).setdefault(catalogue, MemoryChanges())

    def __repr__(self) -> str:
        return f"<MemoryJournal {len(self._changes.by_item)} items>"

    @property
    def alive(self) -> bool:
        """True: it has no thread."""
        return True

    async def append(
        self, changes: Sequence[tuple[str, Mapping[str, object] | None]]
    ) -> tuple[Change, ...]:
        """Store changes."""
        self._check()
        packed = [(item, orjson.dumps(record)) for item, record in changes]
        if len(self._changes.by_item.keys() | dict(packed)) > self._most_items:
            raise journal_full(self._most_items)
        first = self._changes.newest + 1
        for number, (item, record) in enumerate(packed, first):
            self._changes.by_item[item] = (number, record)
        self._changes.newest += len(packed)
        return tuple(Change(first + n, *change) for n, change in enumerate(changes))

    async def after(self, seq: int, limit: int) -> tuple[Change, ...]:
        """Return the stored changes with a higher number."""
        self._check()
        later = sorted((n, item, r) for item, (n, r) in self._changes.by_item.items() if n > seq)
        return tuple(Change(n, item, orjson.loads(record)) for n, item, record in later[:limit])

    async def newest(self) -> int:
        """Return the highest number that a change got."""
        self._check()
        return self._changes.newest

    async def aclose(self) -> None:
        """Do nothing."""

    def _check(self) -> None:
        if self.down:
            raise StoreError("the journal cannot be read or written")
