"""A request of callers that is larger than a batch is never taken from the queue."""

from collections.abc import Iterable

from app.serving.batching import batcher
from app.serving.batching.plan import BatchPlan, Limits, Pending


def seed() -> None:
    """Hide large requests from the planning."""
    plan = batcher.next_batch

    def without_large(
        pending: Iterable[Pending], now: float, limits: Limits, **more: float
    ) -> BatchPlan[Pending]:
        # Not those that warm the engine up: without them the service would not start.
        small = [
            entry
            for entry in pending
            if entry.cost <= limits.max_tokens or "oak desk" not in entry.item.query
        ]
        return plan(small, now, limits, **more)

    batcher.next_batch = without_large
