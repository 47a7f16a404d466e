"""A batcher over a gated engine, on a clock that stands still, and helpers to drive it."""

import asyncio
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from app.core.ranking import RankRequest
from app.core.telemetry import Metrics
from app.serving.batching.batcher import Batcher
from app.serving.batching.plan import Limits
from app.testing.fakes import GatedEngine
from tests.clock import Clock

LIMITS = Limits(max_requests=8, max_tokens=64, max_pending=16)
FAR = 1e6


class Rig:
    """A batcher over a gated engine, with a clock that stands still."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.engine = GatedEngine(n_items=1)
        self.clock = Clock()
        self.metrics = Metrics(CollectorRegistry())
        self.lag = 0.0
        self.batcher = Batcher(self.engine, limits, self.metrics, self.clock, lambda: self.lag)

    def submit(self, *queries: str, deadline: float = FAR) -> list[asyncio.Task]:
        submit = self.batcher.submit
        return [asyncio.create_task(submit(RankRequest(q), deadline)) for q in queries]

    async def waiting(self, *queries: str, deadline: float = FAR) -> list[asyncio.Task]:
        """Submit, and return once all are in the queue of the held engine."""
        tasks = self.submit(*queries, deadline=deadline)
        await asyncio.sleep(0)
        return tasks

    async def running(self, *queries: str) -> list[asyncio.Task]:
        """Submit, and return once the (held) engine has them."""
        entered = len(self.engine.batches)
        tasks = self.submit(*queries)
        await asyncio.to_thread(self.engine.wait_entered, entered + 1)
        return tasks

    def batches(self) -> list[list[str]]:
        return [[request.query for request in batch] for batch in self.engine.batches]

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"recserve_{name}", labels) or 0.0


@asynccontextmanager
async def rig(*, held: bool = True, limits: Limits = LIMITS):
    made = Rig(limits)
    if held:
        made.engine.hold()
    try:
        async with made.batcher:
            yield made
            made.engine.release()
    finally:
        made.engine.release()


def echo(task: asyncio.Task) -> str:
    """The query that the engine says it answered."""
    return task.result().result.items[0].title


async def outcomes(tasks: list[asyncio.Task]) -> list[str]:
    await asyncio.wait(tasks)
    return [
        "cancelled"
        if task.cancelled()
        else type(task.exception()).__name__
        if task.exception()
        else echo(task)
        for task in tasks
    ]
