"""The service is ready before anything is warm: the first request opens the engine once more."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from app import bootstrap, loading
from app.core.ranking import RankRequest
from app.engine.open import open_engine
from app.serving.batching.queue import Pass
from app.serving.current_engine import CurrentEngine


def seed() -> None:
    """Warm nothing up, and leave work to the first request."""
    bundle = Path(sys.argv[sys.argv.index("--bundle") + 1])
    prepare, opened = CurrentEngine.prepare, list[object]()

    async def cold(*_: object) -> None:
        return None

    def lazily(self: CurrentEngine, batch: Sequence[RankRequest]) -> Callable[[], Pass]:
        if not opened:
            opened.append(open_engine(bundle, 1))
        return prepare(self, batch)

    bootstrap._warm_up  # noqa: B018, SLF001 - it must exist
    bootstrap._warm_up = cold  # noqa: SLF001 - a fault
    loading.warm_up_batches  # noqa: B018 - it must exist
    loading.warm_up_batches = lambda *_, **__: []
    CurrentEngine.prepare = lazily
