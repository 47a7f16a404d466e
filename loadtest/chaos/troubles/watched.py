"""Nothing is broken: the service writes down, every second, how many tasks its event loop has.

It writes to the file that `WATCHED_FILE` names.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from app.core.telemetry import LoopLag

VARIABLE = "WATCHED_FILE"


def seed() -> None:
    """Begin when the service begins to measure the lag of its loop."""
    measure = LoopLag.measure

    async def watched(self: LoopLag, *args: object, **options: object) -> None:
        watch = asyncio.create_task(_write(Path(os.environ[VARIABLE]), asyncio.sleep))
        try:
            await measure(self, *args, **options)
        finally:
            watch.cancel()

    LoopLag.measure = watched


async def _write(path: Path, sleep: Callable[[float], Awaitable[None]]) -> None:
    while True:
        new = path.with_suffix(".new")
        new.write_text(str(len(asyncio.all_tasks())))
        new.replace(path)
        await sleep(1)
