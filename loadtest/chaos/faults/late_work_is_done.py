"""Requests are accepted and encoded although their time has passed."""

from app.serving.batching import batcher
from app.serving.batching.queue import QueueEntry


def seed() -> None:
    """Admit everything, and plan as if no time passed and nobody left."""
    plan = batcher.next_batch
    batcher.Batcher.admitted  # noqa: B018 - it must exist
    batcher.Batcher.admitted = lambda *_: 0.0
    QueueEntry.abandoned  # noqa: B018 - it must exist
    QueueEntry.abandoned = False
    batcher.Batcher._entry_done = lambda _batcher, _entry, timer, _answer: timer.cancel()  # noqa: SLF001 - a fault
    batcher.next_batch = lambda pending, _now, *rest, **more: plan(pending, 0.0, *rest, **more)
