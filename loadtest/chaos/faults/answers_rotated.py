"""The answers of a batch go to the wrong requests."""

from collections.abc import Sequence
from dataclasses import replace

from app.core.ranking import BatchResult, RankRequest
from app.engine.engine import EncodedBatch, RankEngine


def seed() -> None:
    """Give each request of a batch the answer of the next one."""
    right = RankEngine._rank  # noqa: SLF001 - the service calls it through a partial

    def rotated(
        engine: RankEngine, batch: Sequence[RankRequest], encoded: EncodedBatch
    ) -> BatchResult:
        found = right(engine, batch, encoded)
        return replace(found, results=(*found.results[1:], *found.results[:1]))

    RankEngine._rank = rotated  # noqa: SLF001
