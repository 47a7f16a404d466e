"""The batcher's contract, what it does with a batch. Nothing here sleeps: the engine has a gate.

Refusing, dying and closing are in `test_batcher_limits.py`.
"""

import asyncio
import gc
import random
import weakref
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from prometheus_client import CollectorRegistry

from app.core.errors import EngineError, InvalidRequestError
from app.core.ranking import BatchResult, RankRequest, StageTimings
from app.core.telemetry import Metrics
from app.serving.batching.batcher import Batcher
from app.serving.batching.plan import Limits
from app.testing.fakes import GatedEngine
from tests.batcher_rig import FAR, LIMITS, Rig, outcomes, rig


async def test_an_idle_request_starts_at_once_and_alone():
    async with rig(held=False) as r:
        (task,) = r.submit("a")
        got = await task
        assert got.result.items[0].title == "a"
        assert (got.queue_s, got.batch_size) == (0.0, 1)
        assert got.timings == StageTimings(1.0, 2.0, 3.0)


async def test_half_of_what_is_here_goes_together_in_order():
    async with rig() as r:
        tasks = await r.running("a")
        tasks += await r.waiting("b", "c", "d")
        r.clock.advance(2.0)
        r.engine.release()
        assert await outcomes(tasks) == ["a", "b", "c", "d"]
        assert r.batches() == [["a"], ["b", "c"], ["d"]]  # of a, which is under way, and b, c, d
        found = [(task.result().queue_s, task.result().batch_size) for task in tasks]
        assert found == [(0.0, 1), (2.0, 2), (2.0, 2), (2.0, 1)]
        assert (r.value("batch_size_sum"), r.value("batch_tokens_sum")) == (4, 8)
        assert r.value("queue_wait_seconds_sum") == 6.0


async def test_a_full_batch_is_begun_ahead_and_no_third():
    async with rig() as r:
        tasks = await r.running("a")
        tasks += await r.waiting("b", "c")
        await asyncio.sleep(0)
        assert repr(r.batcher) == "<Batcher ready, 0 waiting, 3 running>"
        tasks += await r.waiting(*"defg")
        await asyncio.sleep(0)
        assert repr(r.batcher) == "<Batcher ready, 4 waiting, 3 running>"
        r.engine.release()
        assert await outcomes(tasks) == list("abcdefg")


async def test_an_item_over_the_token_budget_goes_by_itself():
    async with rig() as r:
        tasks = await r.running("a")
        tasks += await r.waiting("b", "long " * 500, "c")
        r.engine.release()
        assert await outcomes(tasks) == ["a", "b", "long " * 500, "c"]
        assert [len(batch) for batch in r.batches()] == [1, 1, 1, 1]


# 1. every submit ends exactly once


@pytest.mark.parametrize("seed", range(5))
async def test_every_submit_ends_exactly_once_whatever_happens(seed):
    chance = random.Random(seed)
    async with rig(held=False, limits=Limits(4, 64, 10_000)) as r:
        r.engine.poison = {f"q{n}" for n in range(0, 300, 17)}
        tasks, cancelled = [], set()
        for n in range(300):
            tasks += r.submit(f"q{n}")
            if chance.random() < 0.3:
                await asyncio.sleep(0)
            if chance.random() < 0.2:
                victim = chance.randrange(len(tasks))
                if tasks[victim].cancel():
                    cancelled.add(victim)
        for n, got in enumerate(await outcomes(tasks)):
            if n in cancelled:
                assert got == "cancelled"
            else:
                assert got == ("EngineError" if f"q{n}" in r.engine.poison else f"q{n}")
        assert repr(r.batcher) == "<Batcher ready, 0 waiting, 0 running>"
        seen = Counter(query for batch in r.batches() for query in batch)
        assert max(seen.values()) <= 2  # in one batch, and at most once alone


# 2. a failing batch fails only itself, a failing item alone


async def test_a_failing_item_fails_alone_after_one_split():
    async with rig() as r:
        r.engine.poison = {"bad"}
        tasks = await r.running("a")
        tasks += await r.waiting("b", "bad", "c")
        r.engine.release()
        assert await outcomes(tasks) == ["a", "b", "EngineError", "c"]
        assert r.batches() == [["a"], ["b", "bad"], ["b"], ["bad"], ["c"]]
        assert r.value("batch_retries_total") == 1


async def test_a_lone_failing_item_is_not_repeated():
    async with rig(held=False) as r:
        r.engine.poison = {"bad"}
        assert await outcomes(r.submit("bad")) == ["EngineError"]
        assert r.batches() == [["bad"]]
        assert await outcomes(r.submit("a")) == ["a"]
        assert r.value("batch_retries_total") == 0


async def test_when_everything_fails_no_item_runs_more_than_twice():
    async with rig() as r:
        r.engine.poison = {"a", "b", "c"}
        tasks = await r.running("x")
        tasks += await r.waiting("a", "b", "c")
        r.engine.release()
        assert await outcomes(tasks) == ["x"] + ["EngineError"] * 3
        assert r.batches()[1:] == [["a", "b"], ["a"], ["b"], ["c"]]


async def test_a_foreign_error_is_translated_and_its_text_kept_from_the_caller():
    async with rig(held=False) as r:
        for foreign in (RuntimeError("/secret"), StopIteration(), TimeoutError(), MemoryError()):
            r.engine.death = foreign
            (task,) = r.submit("a")
            with pytest.raises(EngineError, match=r"^the engine failed on this request$") as caught:
                await task
            assert caught.value.__cause__ is foreign
        r.engine.death = None
        assert await outcomes(r.submit("b")) == ["b"]


@pytest.mark.parametrize("half", ["prepare", "rank"])
async def test_an_error_is_freed_with_its_last_holder(half):
    """Else the collector has to, and stops everybody meanwhile."""
    errors = []

    class Failing(GatedEngine):
        def prepare(self, batch: Sequence[RankRequest]) -> Callable[[], BatchResult]:
            self._fail("prepare")
            return super().prepare(batch)

        def rank_prepared(self, batch: Sequence[RankRequest]) -> BatchResult:
            self._fail("rank")
            return super().rank_prepared(batch)

        def _fail(self, where: str) -> None:
            if where == half:
                errors.append(EngineError("no"))
                raise errors[-1]

    gc.disable()
    try:
        async with Batcher(Failing(1), LIMITS, Metrics(CollectorRegistry())) as batcher:
            task = asyncio.create_task(batcher.submit(RankRequest("a"), FAR))
            await asyncio.wait({task})
            error = weakref.ref(errors.pop())
            assert task.exception() is error()
            del task
            await asyncio.sleep(0)
            assert error() is None
    finally:
        gc.enable()


# 4. callers that leave, and costs


async def test_a_caller_that_left_is_skipped_and_neighbours_are_served():
    async with rig() as r:
        tasks = await r.running("a")
        tasks += await r.waiting("b", "gone", "c")
        tasks[2].cancel()
        r.engine.release()
        assert await outcomes(tasks) == ["a", "b", "cancelled", "c"]
        assert r.batches() == [["a"], ["b", "c"]]
        assert r.value("dropped_total") == 1


async def test_leaving_frees_the_place_in_the_queue_at_once():
    async with rig() as r:
        tasks = await r.running("a")
        full = await r.waiting(*"bcdefghijklmnopq")
        assert r.value("queue_requests") == LIMITS.max_pending
        for task in full:
            task.cancel()
        assert await outcomes(full) == ["cancelled"] * LIMITS.max_pending
        assert r.value("queue_requests") == 0
        assert r.value("dropped_total") == LIMITS.max_pending
        tasks += await r.waiting("z")
        r.engine.release()
        assert await outcomes(tasks) == ["a", "z"]


async def test_leaving_during_the_pass_does_not_disturb_neighbours():
    async with rig() as r:
        first = await r.running("a")
        pair = await r.waiting("b", "c")
        r.engine.step()
        await asyncio.to_thread(r.engine.wait_entered, 2)
        pair[0].cancel()
        r.engine.release()
        assert await outcomes(first + pair) == ["a", "cancelled", "c"]


async def test_leaving_before_the_split_costs_no_second_run():
    async with rig() as r:
        r.engine.poison = {"bad"}
        first = await r.running("a")
        trio = await r.waiting("b", "bad", "c")
        r.engine.step()
        await asyncio.to_thread(r.engine.wait_entered, 2)
        trio[0].cancel()
        r.engine.release()
        assert await outcomes(first + trio) == ["a", "cancelled", "EngineError", "c"]
        assert r.batches() == [["a"], ["b", "bad"], ["bad"], ["c"]]


async def test_an_error_in_sizing_belongs_to_its_caller():
    r = Rig()

    class Picky(GatedEngine):
        def cost(self, request: RankRequest) -> int:
            if request.query == "unsizable":
                raise InvalidRequestError("too odd")
            return 1

    r.engine = Picky(1)
    async with Batcher(r.engine, LIMITS, Metrics(CollectorRegistry())) as batcher:
        r.batcher = batcher
        r.engine.hold()
        tasks = await r.running("a")
        tasks += await r.waiting("b", "unsizable", "c")
        r.engine.release()
        assert await outcomes(tasks) == ["a", "b", "InvalidRequestError", "c"]


# 5. the number of results is checked before anybody is answered


async def test_a_wrong_number_of_results_answers_nobody_wrongly():
    async with rig() as r:
        tasks = await r.running("a")
        tasks += await r.waiting("b", "c")
        r.engine.step()
        await asyncio.to_thread(r.engine.wait_entered, 2)
        assert await tasks[0]
        r.engine.short_by = 1
        r.engine.release()
        assert await outcomes(tasks[1:]) == ["EngineError", "EngineError"]
        r.engine.short_by = 0
        assert await outcomes(r.submit("d")) == ["d"]


async def test_an_engine_that_returns_nonsense_does_not_kill_the_loop():
    class Odd(GatedEngine):
        def rank_prepared(self, batch: Sequence[RankRequest]) -> BatchResult:
            return None if batch[0].query == "odd" else super().rank_prepared(batch)

    async with Batcher(Odd(1), LIMITS, Metrics(CollectorRegistry())) as batcher:
        with pytest.raises(EngineError):
            await batcher.submit(RankRequest("odd"), FAR)
        assert (await batcher.submit(RankRequest("a"), FAR)).result.items[0].title == "a"
