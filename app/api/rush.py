"""Under a rush most requests are refused: most of those are not even read.

A body that went through lately may have an answer in the cache, or work under way to join; any
other is taken to need the engine. So while the engine takes no new work, it is refused by its bytes
alone, and the interpreter is left to the passes. What says something about time is always read.
Knows bodies, not what they mean.
"""

from collections.abc import Callable
from typing import Final

_MOST_REMEMBERED: Final = 65_536


class Rush:
    """Remembers which bodies were let through. Belongs to one event loop."""

    def __init__(self, turn_away: Callable[[], None], most: int = _MOST_REMEMBERED) -> None:
        """Ask `turn_away`, which raises while new work is refused; remember `most` bodies twice."""
        self._turn_away, self._most = turn_away, most
        self._newer: set[int] = set()
        self._older: set[int] = set()

    def check(self, body: bytes) -> None:
        """Refuse a body that is taken for new work; remember one that is let through.

        Raises:
            AppError: what `turn_away` raised.
        """
        mark = hash(body)
        if mark in self._newer:
            return
        about_time = b"budget_ms" in body or b"max_stale_ms" in body or b"min_catalogue" in body
        if not about_time and mark not in self._older:
            self._turn_away()
        self._newer.add(mark)
        if len(self._newer) >= self._most:
            self._older, self._newer = self._newer, set()
