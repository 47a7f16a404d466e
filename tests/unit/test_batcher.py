"""The batcher's contract, clause by clause. The engine waits on a gate; nothing here sleeps."""

import asyncio
import random
from collections import Counter
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from app.errors import (
    AppError,
    DeadlineExceededError,
    EngineError,
    InvalidRequestError,
    NotReadyError,
    OverloadedError,
)
from app.serving.batch_plan import Limits
from app.serving.batcher import Batcher
from app.telemetry import Metrics
from app.testing import GatedEngine
from app.types import RankRequest, StageTimings
from tests.clock import Clock

LIMITS = Limits(max_requests=8, max_tokens=64, max_pending=16)
FAR = 1e6


class Rig:
    """A batcher over a gated engine, with a clock that stands still."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.engine = GatedEngine(n_items=1)
        self.clock = Clock()
        self.metrics = Metrics(CollectorRegistry())
        self.batcher = Batcher(self.engine.rank, self.engine.cost, limits, self.metrics, self.clock)

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


async def test_an_idle_request_starts_at_once_and_alone():
    async with rig(held=False) as r:
        (task,) = r.submit("a")
        got = await task
        assert got.result.items[0].title == "a"
        assert (got.queue_s, got.batch_size) == (0.0, 1)
        assert got.timings == StageTimings(1.0, 2.0, 3.0)


async def test_what_arrives_while_the_engine_is_busy_goes_together_in_order():
    async with rig() as r:
        tasks = await r.running("a")
        tasks += await r.waiting("b", "c", "d")
        r.clock.advance(2.0)
        r.engine.release()
        assert await outcomes(tasks) == ["a", "b", "c", "d"]
        assert r.batches() == [["a"], ["b", "c", "d"]]
        assert (tasks[1].result().queue_s, tasks[1].result().batch_size) == (2.0, 3)
        assert (r.value("batch_size_sum"), r.value("batch_tokens_sum")) == (4, 8)
        assert r.value("queue_wait_seconds_sum") == 6.0


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
        assert r.batches() == [["a"], ["b", "bad", "c"], ["b"], ["bad"], ["c"]]
        assert r.value("batch_retries_total") == 1


async def test_a_lone_failing_item_is_not_repeated():
    async with rig(held=False) as r:
        r.engine.poison = {"bad"}
        assert await outcomes(r.submit("bad")) == ["EngineError"]
        assert r.batches() == [["bad"]]
        assert await outcomes(r.submit("a")) == ["a"]
        assert r.value("batch_retries_total") == 0


async def test_when_everything_fails_each_item_runs_twice_and_no_more():
    async with rig() as r:
        r.engine.poison = {"a", "b", "c"}
        tasks = await r.running("x")
        tasks += await r.waiting("a", "b", "c")
        r.engine.release()
        assert await outcomes(tasks) == ["x"] + ["EngineError"] * 3
        assert r.batches()[1:] == [["a", "b", "c"], ["a"], ["b"], ["c"]]


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


# 3. a dead loop or thread is seen by everybody


async def assert_lost(r: Rig, tasks: list[asyncio.Task], entered: int) -> None:
    assert set(await outcomes(tasks)) == {"NotReadyError"}
    assert not r.batcher.ready
    assert r.value("engine_up") == 0
    with pytest.raises(NotReadyError):
        await r.batcher.submit(RankRequest("late"), FAR)
    assert len(r.engine.batches) == entered


async def test_when_the_thread_dies_all_fail_and_later_submits_at_once():
    async with rig() as r:
        assert r.value("engine_up") == 1
        tasks = await r.running("a")
        tasks += await r.waiting("b", "c")
        r.engine.death = SystemExit()
        r.engine.release()
        await assert_lost(r, tasks, entered=1)
        assert await r.batcher.aclose(FAR)


async def test_when_the_task_dies_all_fail_and_later_submits_at_once():
    async with rig() as r:
        tasks = await r.running("a")
        tasks += await r.waiting("b", "c")
        (task,) = [t for t in asyncio.all_tasks() if t.get_name() == "recserve-batcher"]
        task.cancel()
        await assert_lost(r, tasks, entered=1)


async def test_when_the_loop_raises_all_fail_and_later_submits_at_once():
    async with rig() as r:
        tasks = await r.running("a")
        tasks += await r.waiting("b", "c")
        r.clock.now = "broken"  # the next reading of the clock raises inside the loop
        r.engine.release()
        await assert_lost(r, tasks, entered=1)


async def test_before_it_is_entered_it_takes_nothing():
    r = Rig()
    assert not r.batcher.ready
    with pytest.raises(NotReadyError):
        await r.batcher.submit(RankRequest("a"), FAR)
    assert await r.batcher.aclose()


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
        assert r.batches() == [["a"], ["b", "bad", "c"], ["bad"], ["c"]]


async def test_an_error_in_sizing_belongs_to_its_caller():
    r = Rig()

    def cost(request: RankRequest) -> int:
        if request.query == "unsizable":
            raise InvalidRequestError("too odd")
        return 1

    async with Batcher(r.engine.rank, cost, LIMITS, Metrics(CollectorRegistry())) as batcher:
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
    answers = iter([None, GatedEngine(1).rank([RankRequest("a")])])
    metrics = Metrics(CollectorRegistry())
    async with Batcher(lambda _: next(answers), lambda _: 1, LIMITS, metrics) as batcher:
        with pytest.raises(EngineError):
            await batcher.submit("a", FAR)
        assert (await batcher.submit("a", FAR)).result.items[0].title == "a"


# 6. bounded, and refusing at the door


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back():
    async with rig() as r:
        tasks = await r.running("a")
        tasks += await r.waiting(*"bcdefghijklmnopq")
        r.clock.advance(1.5)  # the pass is 1.5 s late: as long again is expected
        with pytest.raises(OverloadedError, match="too many") as refused:
            await r.batcher.submit(RankRequest("z"), FAR)
        assert refused.value.retry_after_ms == 1500
        assert r.value("rejected_total", reason="overloaded") == 1
        r.engine.release()
        assert await outcomes(tasks) == list("abcdefghijklmnopq")


async def learn_rate(r: Rig, seconds: float) -> None:
    """Let one pass over one token take `seconds`."""
    (task,) = await r.running("")
    r.clock.advance(seconds)
    r.engine.step()
    await task
    await asyncio.sleep(0)


async def test_a_deadline_that_cannot_be_met_is_refused_before_any_work():
    async with rig() as r:
        await learn_rate(r, 1.0)  # 1 s a token
        assert r.batcher.predicted_wait() == 0.0
        tasks = await r.running("a")  # 2 tokens running
        tasks += await r.waiting("b c")  # 3 tokens queued
        assert r.batcher.predicted_wait() == pytest.approx(5.0)
        with pytest.raises(OverloadedError, match="in time") as refused:
            await r.batcher.submit(RankRequest("z"), r.clock.now + 4.9)
        assert refused.value.retry_after_ms == 5000
        tasks += await r.waiting("y", deadline=r.clock.now + 5.1)
        r.engine.release()
        assert await outcomes(tasks) == ["a", "b c", "y"]


async def test_an_idle_engine_takes_a_request_however_slow_it_was():
    async with rig() as r:
        await learn_rate(r, 500.0)
        r.engine.release()
        assert await outcomes(r.submit("a", deadline=r.clock.now + 0.5)) == ["a"]


async def test_behind_an_engine_that_hangs_everybody_is_refused_in_the_end():
    async with rig() as r:
        tasks = await r.running("a")
        r.clock.advance(60.0)
        with pytest.raises(OverloadedError):
            await r.batcher.submit(RankRequest("z"), r.clock.now + 10.0)
        r.engine.release()
        assert await outcomes(tasks) == ["a"]


# 7. deadlines on the injected clock


async def test_what_expires_in_the_queue_never_reaches_the_engine():
    async with rig() as r:
        tasks = await r.running("a")
        late = await r.waiting(*"bcd", deadline=r.clock.now + 5.0)
        tasks += await r.waiting("e")
        r.clock.advance(5.0)
        r.engine.release()
        assert await outcomes(late + tasks) == ["DeadlineExceededError"] * 3 + ["a", "e"]
        assert r.batches() == [["a"], ["e"]]
        assert r.value("rejected_total", reason="deadline") == 3


async def test_one_that_comes_too_late_is_told_so_at_once():
    async with rig() as r:
        with pytest.raises(DeadlineExceededError):
            await r.batcher.submit(RankRequest("a"), r.clock.now)
        assert r.batches() == []


async def test_callers_are_told_at_their_deadline_even_if_the_engine_hangs():
    async with rig() as r:
        tasks = await r.running("a")
        soon = r.clock.now + 0.01  # the timer is real, the clock is not
        tasks += await r.waiting("b", deadline=soon)
        assert await outcomes(tasks[1:]) == ["DeadlineExceededError"]
        assert r.value("queue_requests") == 0
        r.engine.release()
        assert await outcomes(tasks[:1]) == ["a"]


# 9., 10. closing


async def test_closing_refuses_drains_and_ends_the_thread():
    async with rig() as r:
        tasks = await r.running("a")
        tasks += await r.waiting("b", "c")
        closing = asyncio.create_task(r.batcher.aclose(FAR))
        await asyncio.sleep(0)
        assert not r.batcher.ready
        with pytest.raises(NotReadyError):
            await r.batcher.submit(RankRequest("z"), FAR)
        r.engine.release()
        assert await closing
        assert await outcomes(tasks) == ["a", "b", "c"]
        assert repr(r.batcher) == "<Batcher not ready, 0 waiting, 0 running>"


async def test_what_is_not_drained_in_time_fails_and_the_thread_is_reported_busy():
    async with rig() as r:
        tasks = await r.running("a")
        tasks += await r.waiting("b", "c")
        assert await r.batcher.aclose(0.0) is False
        assert await outcomes(tasks) == ["NotReadyError"] * 3
        assert r.batches() == [["a"]]


async def test_closing_is_idempotent_also_at_the_same_time():
    async with rig() as r:
        tasks = await r.running("a")
        closings = [asyncio.create_task(r.batcher.aclose(FAR)) for _ in range(3)]
        await asyncio.sleep(0)
        r.engine.release()
        assert await asyncio.gather(*closings) == [True] * 3
        assert await r.batcher.aclose()
        assert await outcomes(tasks) == ["a"]


async def test_repr_shows_live_counts():
    async with rig() as r:
        assert repr(r.batcher) == "<Batcher ready, 0 waiting, 0 running>"
        tasks = await r.running("a")
        tasks += await r.waiting("b", "c")
        assert repr(r.batcher) == "<Batcher ready, 2 waiting, 1 running>"
        r.engine.release()
        await asyncio.wait(tasks)
    assert repr(r.batcher) == "<Batcher not ready, 0 waiting, 0 running>"


def test_every_error_a_submit_raises_is_ours():
    for kind in (DeadlineExceededError, EngineError, NotReadyError, OverloadedError):
        assert issubclass(kind, AppError)
