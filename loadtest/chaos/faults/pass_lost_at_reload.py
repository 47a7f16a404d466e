"""For a tenth of a second after another bundle took over, no pass succeeds.

A pass that fails alone would be mended: its requests are tried once more, each in a smaller pass.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from app.core.errors import EngineError
from app.core.ranking import RankRequest
from app.serving.batching.queue import Pass
from app.serving.current_engine import CurrentEngine, LoadedBundle

_LOST_S: Final = 0.1


def seed() -> None:
    """Fail what is ranked too soon after a takeover."""
    replace, prepare = CurrentEngine.replace, CurrentEngine.prepare
    taken_over = [float("-inf")]

    def noted(self: CurrentEngine, loaded: LoadedBundle) -> LoadedBundle:
        taken_over[0] = time.monotonic()
        return replace(self, loaded)

    def forgetful(self: CurrentEngine, batch: Sequence[RankRequest]) -> Callable[[], Pass]:
        if time.monotonic() - taken_over[0] < _LOST_S:
            raise EngineError("the engine has gone")
        return prepare(self, batch)

    CurrentEngine.replace = noted
    CurrentEngine.prepare = forgetful
