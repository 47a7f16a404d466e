"""If a pass fails, all its requests fail."""

from collections.abc import Sequence

from app.serving.batching.batcher import Batcher
from app.serving.batching.queue import QueueEntry


def seed() -> None:
    """Retry nothing."""

    def fail_all(_batcher: Batcher, batch: Sequence[QueueEntry], error: Exception) -> None:
        for entry in batch:
            entry.fail(error)

    Batcher._retry_alone  # noqa: B018, SLF001 - it must exist
    Batcher._retry_alone = fail_all  # noqa: SLF001 - a fault
