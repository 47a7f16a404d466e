"""Each pass of the engine takes 200 ms longer, or as many as `CHAOS_ENGINE_MS` says."""

import os
import time
from collections.abc import Callable, Sequence

from app.core.ranking import RankRequest
from app.serving.batching.queue import Pass
from app.serving.current_engine import CurrentEngine


def seed() -> None:
    """Sleep in the encode thread before each pass."""
    prepare, seconds = CurrentEngine.prepare, int(os.environ.get("CHAOS_ENGINE_MS", "200")) / 1e3

    def slow(self: CurrentEngine, batch: Sequence[RankRequest]) -> Callable[[], Pass]:
        time.sleep(seconds)
        return prepare(self, batch)

    CurrentEngine.prepare = slow
