"""Two halves of a pass, in two threads: what overlaps, and what must not. Gates, no sleeping."""

import asyncio
import threading
from collections.abc import Sequence
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from app.errors import EngineError, NotReadyError
from app.serving.batcher import Batcher
from app.telemetry import Metrics
from app.testing import GatedEngine
from app.types import BatchResult, RankRequest
from tests.batcher_rig import FAR, LIMITS, outcomes
from tests.clock import Clock


class Ranking(GatedEngine):
    """Prepares at once; ranks a batch when it is let through."""

    def __init__(self) -> None:
        super().__init__(1)
        self.ranked: list[list[str]] = []
        self.slots = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.trouble: BaseException | None = None

    def rank(self, batch: Sequence[RankRequest], prepared: bool | None = None) -> BatchResult:
        self.begun.release()
        assert self.slots.acquire(timeout=10)
        self.ranked.append([request.query for request in batch])
        if self.trouble is not None and len(batch) > 1:
            raise self.trouble
        return super().rank(batch, prepared)


class Rig:
    def __init__(self) -> None:
        self.engine = Ranking()
        self.clock = Clock()
        self.metrics = Metrics(CollectorRegistry())
        self.batcher = Batcher(self.engine, LIMITS, self.metrics, self.clock)

    def submit(self, *queries: str) -> list[asyncio.Task]:
        submit = self.batcher.submit
        return [asyncio.create_task(submit(RankRequest(query), FAR)) for query in queries]

    async def ranking(self, *queries: str) -> list[asyncio.Task]:
        """Submit, and return once a batch is held in its second half."""
        tasks = self.submit(*queries)
        assert await asyncio.to_thread(self.engine.begun.acquire, timeout=10)
        return tasks

    async def prepared(self, batches: int, *queries: str) -> list[asyncio.Task]:
        """Submit, and return once so many batches in all have entered the first half."""
        tasks = self.submit(*queries)
        await asyncio.sleep(0)
        await asyncio.to_thread(self.engine.wait_entered, batches)
        return tasks


@asynccontextmanager
async def rig():
    made = Rig()
    try:
        async with made.batcher:
            yield made
            made.engine.slots.release(1000)
    finally:
        made.engine.slots.release(1000)


async def test_the_next_batch_is_prepared_while_one_is_ranked_and_no_third():
    async with rig() as r:
        tasks = await r.ranking("a")
        tasks += await r.prepared(2, "b", "c")
        tasks += r.submit("d")
        for _ in range(100):  # turns in which to do what it must not
            await asyncio.sleep(0)
        assert len(r.engine.batches) == 2
        assert repr(r.batcher) == "<Batcher ready, 1 waiting, 3 running>"
        r.engine.slots.release(3)
        assert await outcomes(tasks) == ["a", "b", "c", "d"]
    assert r.engine.ranked == [["a"], ["b", "c"], ["d"]]


async def test_half_of_those_who_wait_are_prepared_while_the_other_half_is_ranked():
    async with rig() as r:
        tasks = await r.ranking("a")
        tasks += r.submit("b", "c", "d")
        await asyncio.sleep(0)
        await asyncio.to_thread(r.engine.wait_entered, 2)
        r.engine.slots.release(3)
        assert await outcomes(tasks) == ["a", "b", "c", "d"]
    assert r.engine.ranked == [["a"], ["b", "c"], ["d"]]


async def test_a_call_between_passes_waits_for_both_halves():
    async with rig() as r:
        tasks = await r.ranking("a")
        tasks += await r.prepared(2, "b")
        call = asyncio.create_task(r.batcher.between(lambda: list(r.engine.ranked)))
        r.engine.slots.release(2)
        assert await call == [["a"], ["b"]]
        assert await outcomes(tasks) == ["a", "b"]


async def test_a_batch_that_cannot_be_ranked_is_split_though_another_is_under_way():
    async with rig() as r:
        r.engine.trouble = EngineError("poison")
        tasks = await r.ranking("a")
        tasks += await r.prepared(2, "b", "c")
        r.engine.slots.release(2)
        tasks += await r.prepared(3, "d")
        r.engine.slots.release(9)
        assert await outcomes(tasks) == ["a", "b", "c", "d"]
    assert r.engine.ranked[:2] == [["a"], ["b", "c"]]
    assert sorted(r.engine.ranked[2:]) == [["b"], ["c"], ["d"]]


async def test_when_the_second_thread_dies_everybody_is_told():
    async with rig() as r:
        r.engine.trouble = SystemExit()
        tasks = await r.ranking("a", "b", "c")
        tasks += await r.prepared(2, "d")
        tasks += r.submit("e")
        await asyncio.sleep(0)
        r.engine.slots.release(9)
        assert set(await outcomes(tasks)) == {"NotReadyError"}
        assert not r.batcher.ready
        with pytest.raises(NotReadyError):
            await r.batcher.submit(RankRequest("late"), FAR)


async def test_when_it_dies_while_nothing_else_is_asked_that_is_seen_too():
    async with rig() as r:
        r.engine.trouble = SystemExit()
        tasks = await r.ranking("a", "b", "c")
        r.engine.slots.release(1)
        assert set(await outcomes(tasks)) == {"NotReadyError"}
        with pytest.raises(NotReadyError):
            await r.batcher.between(lambda: None)


async def test_closing_finishes_both_halves():
    async with rig() as r:
        tasks = await r.ranking("a")
        tasks += await r.prepared(2, "b")
        closing = asyncio.create_task(r.batcher.aclose(FAR))
        r.engine.slots.release(2)
        assert await closing
        assert await outcomes(tasks) == ["a", "b"]


async def test_what_is_not_drained_in_time_fails_in_both_halves():
    async with rig() as r:
        tasks = await r.ranking("a")
        tasks += await r.prepared(2, "b")
        assert await r.batcher.aclose(0.0) is False
        assert set(await outcomes(tasks)) == {"NotReadyError"}


async def test_a_pass_counts_from_when_the_one_before_it_ended():
    """What overlaps keeps nobody waiting: 10 s each, 20 s for both, and not 30."""
    async with rig() as r:
        first = await r.ranking("a")  # two tokens
        second = await r.prepared(2, "b")
        for tasks in (first, second):
            r.clock.advance(10.0)
            r.engine.slots.release(1)
            await outcomes(tasks)
        third = await r.ranking("c")
        await asyncio.sleep(0)
        assert r.batcher.predicted_wait() == pytest.approx(10.0)
        r.engine.slots.release(1)
        await outcomes(third)
