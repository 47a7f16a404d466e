"""The watchdog: it looks all the time whether a part of the process is lost.

Each part says by itself what is wrong with it. What never answers, such as a call of native code
that does not return, is found by the time for which it has been running.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from app.core.life import Life

LOOK_S: Final = 0.25

Examination: TypeAlias = Callable[[], str | None]
"""Returns what a part has lost for good, as a sentence; None = nothing. Cheap."""


async def watch(
    life: Life,
    parts: Sequence[Examination],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Look at all parts four times a second, for ever."""
    while True:
        for examine in parts:
            if (what := examine()) is not None:
                life.lose(what)
        await sleep(LOOK_S)
