"""A fake of the port `ControlStore`, for tests and load tests only."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.core.control_port import KEPT_VERSIONS, ControlEntry, ControlKind, ControlState
from app.core.errors import StoreError


@dataclass(slots=True)
class MemoryControl:
    """What one namespace has: the number of its newest change, and versions by kind and name."""

    number: int = 0
    versions: dict[tuple[str, str], list[ControlEntry]] = field(default_factory=dict)


class MemoryControlStore:
    """A `ControlStore` in a dictionary. Stores with the same `store` share what they hold.

    Attributes:
        down: whether every call raises `StoreError`.
    """

    def __init__(
        self, namespace: str = "films", store: dict[str, MemoryControl] | None = None
    ) -> None:
        """Keep the entries of a namespace in `store`, or in a store of its own."""
        self.down = False
        self._held = ({} if store is None else store).setdefault(namespace, MemoryControl())

    def __repr__(self) -> str:
        return f"<MemoryControlStore {len(self._held.versions)} entries>"

    @property
    def alive(self) -> bool:
        """True: it has no thread."""
        return True

    async def number(self) -> int:
        """Return the number of the newest change."""
        self._check()
        return self._held.number

    async def read(self) -> ControlState:
        """Return everything."""
        self._check()
        newest = [each[0] for each in self._held.versions.values()]
        return ControlState(self._held.number, tuple(sorted(newest, key=lambda entry: entry.since)))

    async def put(
        self, kind: ControlKind, texts: Sequence[tuple[str, str]], now: float
    ) -> tuple[ControlEntry, ...]:
        """Store entries."""
        self._check()
        put = []
        for name, text in texts:
            self._held.number += 1
            kept = self._held.versions.setdefault((kind, name), [])
            since = kept[0].since if kept else self._held.number
            entry = ControlEntry(kind, name, since, self._held.number, now, text)
            kept.insert(0, entry)
            del kept[KEPT_VERSIONS[kind] :]
            put.append(entry)
        return tuple(put)

    async def delete(self, kind: ControlKind, name: str | None) -> int:
        """Delete one entry, or all."""
        self._check()
        gone = [key for key in self._held.versions if key[0] == kind and name in {None, key[1]}]
        for key in gone:
            del self._held.versions[key]
        self._held.number += bool(gone)
        return len(gone)

    async def versions(self, kind: ControlKind, name: str) -> tuple[ControlEntry, ...]:
        """Return the kept versions."""
        self._check()
        return tuple(self._held.versions.get((kind, name), ()))

    async def aclose(self) -> None:
        """Do nothing."""

    def _check(self) -> None:
        if self.down:
            raise StoreError("the store of rules and scenarios cannot be read or written")
