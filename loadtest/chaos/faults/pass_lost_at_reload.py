"""A pass that has begun fails if another bundle takes over before its end."""

from collections.abc import Callable, Sequence

from app.core.errors import EngineError
from app.core.ranking import RankRequest
from app.serving.batching.queue import Pass
from app.serving.current_engine import CurrentEngine


def seed() -> None:
    """Look again which engine serves before the second half."""
    prepare = CurrentEngine.prepare

    def forgetful(self: CurrentEngine, batch: Sequence[RankRequest]) -> Callable[[], Pass]:
        loaded, rank = self._loaded, prepare(self, batch)

        def ranked() -> Pass:
            if self._loaded is not loaded:
                raise EngineError("the engine has gone")
            return rank()

        return ranked

    CurrentEngine.prepare = forgetful
