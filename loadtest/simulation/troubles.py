"""What goes wrong, where and until when: the parts of the simulation ask, the schedule sets."""

import asyncio
from random import Random
from typing import Final

from app.core.errors import StoreError
from loadtest.simulation.virtual_time import VirtualLoop

PARTS: Final = {
    "engine": ("slow", "raises", "degraded"),
    "plans": ("slow",),
    "loading": ("slow", "raises", "refuses", "dies"),
    "events": ("slow", "down", "unsure", "hangs"),
    "journal": ("slow", "down", "unsure", "hangs"),
    "rules": ("slow", "down", "unsure", "hangs"),
    "answers": ("slow", "down", "unsure", "hangs"),
    "cache": ("slow", "down", "lies", "hangs"),
}
"""Each part with what can be wrong with it."""

_FAST_S: Final = 0.002
_SLOW_S: Final = 0.6


class Troubles:
    """What is wrong now. Durations and chances are drawn by the seed."""

    def __init__(self, loop: VirtualLoop, draws: Random) -> None:
        self._loop, self.draws = loop, draws
        self.time = loop.time
        self._until: dict[tuple[str, str], float] = {}
        self._had: list[tuple[str, float, float]] = []

    def set(self, part: str, mode: str, seconds: float) -> None:
        """Let something go wrong for so many seconds."""
        now = self._loop.time()
        self._until[part, mode] = now + seconds
        self._had.append((part, now, now + seconds))

    def clear(self) -> None:
        """Let everything work from now on. What hangs goes on hanging until its own end."""
        self._until.clear()

    def has(self, part: str, mode: str) -> bool:
        """Return whether this is wrong now."""
        return self._until.get((part, mode), 0.0) > self._loop.time()

    def had(self, part: str, start: float, end: float) -> bool:
        """Return whether there was trouble between two moments, or effects of it may be left."""
        return any(
            part == name and begin <= end and until + _SLOW_S >= start
            for name, begin, until in self._had
        )

    def had_any(self, start: float, end: float) -> bool:
        """Return the same for any part."""
        return any(begin <= end and until + _SLOW_S >= start for _, begin, until in self._had)

    def seconds(self, part: str, usual_s: float) -> float:
        """Return how long a call takes, or how long one of its halves does; often no time."""
        if self._until and self.has(part, "hangs"):
            return self._until[part, "hangs"] - self._loop.time()
        if self._until and self.has(part, "slow"):
            return self.draws.uniform(0, max(_SLOW_S, 30 * usual_s))
        return max(0.0, self.draws.uniform(-usual_s, 2 * usual_s))

    async def before(self, part: str) -> None:
        """Let a call to a store begin. Raises `StoreError`: nothing was done."""
        await self._wait(part)
        if self._until and self.has(part, "down"):
            raise StoreError(f"{part}: down")

    async def after(self, part: str) -> None:
        """Let a call to a store end. Raises `StoreError`, though its work was done."""
        await self._wait(part)
        if self._until and self.has(part, "unsure") and self.draws.random() < 0.5:
            raise StoreError(f"{part}: the connection broke")

    async def _wait(self, part: str) -> None:
        seconds = self.seconds(part, _FAST_S / 2)
        if seconds:  # else it is as a store that has the answer in memory
            await asyncio.sleep(seconds)
