"""A change that cannot be planned is journalled all the same, and stops all those after it."""

from collections.abc import Sequence
from typing import Any

from app.core.types import Change
from app.serving.change_applier import ChangeApplier
from app.serving.live_catalogue import LiveCatalogue


def seed() -> None:
    """Journal before planning, and set nothing aside."""

    async def record(self: LiveCatalogue, changes: Sequence[Any]) -> int:
        journalled = await self._journal.append(changes)
        await self._catch_up()
        return journalled[-1].seq

    async def apply(self: ChangeApplier, changes: Sequence[Change]) -> None:
        await self._apply(changes)

    LiveCatalogue._record_some, ChangeApplier.apply  # noqa: B018, SLF001 - they must exist
    LiveCatalogue._record_some, ChangeApplier.apply = record, apply  # noqa: SLF001
