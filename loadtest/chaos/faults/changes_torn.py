"""The changes of one call are applied one by one, with passes between them."""

import asyncio
from collections.abc import Callable, Sequence

from app.core.types import Change
from app.serving.change_applier import ChangeApplier


def seed() -> None:
    """Plan and perform each change alone."""

    async def one_by_one(
        self: ChangeApplier, changes: Sequence[Change], _planned: Callable[[], None]
    ) -> None:
        for change in changes:
            await self._run(await self.plan([change]))
            await asyncio.sleep(0.02)

    ChangeApplier.perform  # noqa: B018 - it must exist
    ChangeApplier.perform = one_by_one
