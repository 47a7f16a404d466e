"""Two halves of a pass, in two threads: what overlaps, and what must not. Gates, no sleeping."""

import asyncio
import threading
from collections.abc import Sequence
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from app.core.errors import EngineError, NotReadyError
from app.core.ranking import BatchResult, RankRequest
from app.core.telemetry import Metrics
from app.serving.batching.batcher import Batcher
from app.testing.fakes import GatedEngine
from tests.batcher_rig import FAR, LIMITS, outcomes
from tests.clock import Clock


class Ranking(GatedEngine):
    """Prepares at once; ranks a batch when it is let through."""

    def __init__(self) -> None:
        super().__init__(1)
        self.ranked: list[list[str]] = []
        self.threads: list[str] = []
        self.slots = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.trouble: BaseException | None = None

    def rank_prepared(self, batch: Sequence[RankRequest]) -> BatchResult:
        self.begun.release()
        assert self.slots.acquire(timeout=10)
        self.ranked.append([request.query for request in batch])
        self.threads.append(threading.current_thread().name)
        if self.trouble is not None and (len(batch) > 1 or isinstance(self.trouble, SystemExit)):
            raise self.trouble
        return super().rank_prepared(batch)


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

    async def overlapping(self, first: str, *then: str) -> list[asyncio.Task]:
        """Submit, and return once one is held in its second half and others had their first.

        They have come while the one was in its first half, or it would stay in the first thread.
        """
        self.engine.hold()
        tasks = self.submit(first)
        await asyncio.to_thread(self.engine.wait_entered, 1)
        tasks += self.submit(*then)
        await turns()
        self.engine.release()
        await asyncio.to_thread(self.engine.wait_entered, 2)
        assert await asyncio.to_thread(self.engine.begun.acquire, timeout=10)
        return tasks


async def turns() -> None:
    """Let the loop do all that it may, also what it must not."""
    for _ in range(100):
        await asyncio.sleep(0)


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
        tasks = await r.overlapping("a", "b", "c")
        tasks += r.submit("d")
        await turns()
        assert len(r.engine.batches) == 2
        assert repr(r.batcher) == "<Batcher ready, 1 waiting, 3 running>"
        r.engine.slots.release(3)
        assert await outcomes(tasks) == ["a", "b", "c", "d"]
    assert r.engine.ranked == [["a"], ["b", "c"], ["d"]]
    assert r.engine.threads[:2] == ["recserve-rank", "recserve-rank"]


async def test_half_of_those_who_wait_are_prepared_while_the_other_half_is_ranked():
    async with rig() as r:
        tasks = await r.overlapping("a", "b", "c", "d")
        r.engine.slots.release(3)
        assert await outcomes(tasks) == ["a", "b", "c", "d"]
    assert r.engine.ranked == [["a"], ["b", "c"], ["d"]]


async def test_a_batch_that_is_alone_is_ranked_where_it_was_prepared():
    async with rig() as r:
        r.engine.slots.release(2)
        for query in ("a", "b"):
            assert await outcomes(r.submit(query)) == [query]
    assert r.engine.threads == ["recserve-model", "recserve-model"]


async def test_the_last_batch_does_not_overtake_the_one_that_is_ranked():
    async with rig() as r:
        tasks = await r.overlapping("a", "b")
        await turns()  # nothing waits behind b, but a is being ranked
        assert r.engine.ranked == []
        r.engine.slots.release(2)
        assert await outcomes(tasks) == ["a", "b"]
    assert r.engine.ranked == [["a"], ["b"]]
    assert r.engine.threads == ["recserve-rank", "recserve-rank"]


async def test_what_comes_while_one_is_ranked_in_the_first_thread_follows_it():
    async with rig() as r:
        tasks = await r.ranking("a")
        tasks += r.submit("b", "c")
        await turns()
        assert len(r.engine.batches) == 1
        r.engine.slots.release(2)
        assert await outcomes(tasks) == ["a", "b", "c"]
    assert r.engine.ranked == [["a"], ["b", "c"]]


async def test_when_the_first_thread_dies_in_ranking_everybody_is_told():
    async with rig() as r:
        r.engine.trouble = SystemExit()
        tasks = await r.ranking("a")
        tasks += r.submit("b")
        await turns()
        r.engine.slots.release(9)
        assert set(await outcomes(tasks)) == {"NotReadyError"}
        assert not r.batcher.ready


async def test_a_call_between_passes_waits_for_both_halves():
    async with rig() as r:
        tasks = await r.overlapping("a", "b")
        call = asyncio.create_task(r.batcher.run_exclusive(lambda: list(r.engine.ranked)))
        r.engine.slots.release(2)
        assert await call == [["a"], ["b"]]
        assert await outcomes(tasks) == ["a", "b"]


async def test_a_batch_that_cannot_be_ranked_is_split_though_another_is_under_way():
    async with rig() as r:
        r.engine.trouble = EngineError("poison")
        tasks = await r.overlapping("a", "b", "c")
        tasks += r.submit("d")
        r.engine.slots.release(9)
        assert await outcomes(tasks) == ["a", "b", "c", "d"]
    assert r.engine.ranked[:2] == [["a"], ["b", "c"]]
    assert sorted(r.engine.ranked[2:]) == [["b"], ["c"], ["d"]]


async def test_when_the_second_thread_dies_everybody_is_told():
    async with rig() as r:
        r.engine.trouble = SystemExit()
        tasks = await r.overlapping("a", "b", "c")
        tasks += r.submit("d")
        await turns()
        r.engine.slots.release(9)
        assert set(await outcomes(tasks)) == {"NotReadyError"}
        assert not r.batcher.ready
        with pytest.raises(NotReadyError):
            await r.batcher.submit(RankRequest("late"), FAR)


async def test_when_it_dies_while_nothing_else_is_asked_that_is_seen_too():
    async with rig() as r:
        r.engine.trouble = SystemExit()
        tasks = await r.overlapping("a", "b", "c")
        r.engine.slots.release(9)
        assert set(await outcomes(tasks)) == {"NotReadyError"}
        with pytest.raises(NotReadyError):
            await r.batcher.run_exclusive(lambda: None)


async def test_closing_finishes_both_halves():
    async with rig() as r:
        tasks = await r.overlapping("a", "b")
        closing = asyncio.create_task(r.batcher.aclose(FAR))
        r.engine.slots.release(2)
        assert await closing
        assert await outcomes(tasks) == ["a", "b"]


async def test_what_is_not_drained_in_time_fails_in_both_halves():
    async with rig() as r:
        tasks = await r.overlapping("a", "b")
        assert await r.batcher.aclose(0.0) is False
        assert set(await outcomes(tasks)) == {"NotReadyError"}


async def test_a_pass_counts_from_when_the_one_before_it_ended():
    """What overlaps keeps nobody waiting: 10 s each, 20 s for both, and not 30."""
    async with rig() as r:
        for task in await r.overlapping("a", "b"):  # two tokens each
            r.clock.advance(10.0)
            r.engine.slots.release(1)
            await outcomes([task])
        third = await r.ranking("c")
        await asyncio.sleep(0)
        assert r.batcher.predicted_wait() == pytest.approx(10.0)
        r.engine.slots.release(1)
        await outcomes(third)
