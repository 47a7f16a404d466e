"""A sleep that a test ends, for loops that look at something every few seconds."""

import asyncio


class Turns:
    """Give `sleep` to the loop; it returns when the test says so, and says when it is called."""

    def __init__(self) -> None:
        self._turns: asyncio.Queue[None] = asyncio.Queue()
        self._asleep = asyncio.Semaphore(0)

    async def sleep(self, _seconds: float) -> None:
        self._asleep.release()
        await self._turns.get()

    async def first(self) -> None:
        """Return once the loop sleeps for the first time."""
        await asyncio.wait_for(self._asleep.acquire(), 10)

    async def next(self) -> None:
        """Let the loop look once, and return when it sleeps again."""
        self._turns.put_nowait(None)
        await self.first()
