"""The batcher's contract, where it refuses, dies or closes. Nothing here sleeps."""

import asyncio
import threading

import pytest

from app.core.errors import DeadlineExceededError, NotReadyError, OverloadedError
from app.core.ranking import RankRequest
from tests.batcher_rig import FAR, Rig, outcomes, rig

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


async def test_a_late_loop_counts_for_the_way_in_and_the_way_out():
    async with rig(held=False) as r:
        r.lag = 0.5
        assert r.batcher.predicted_wait() == pytest.approx(1.0)
        assert r.batcher.saturation(budget_s=4.0) == pytest.approx(0.5)
        with pytest.raises(OverloadedError, match="in time"):
            await r.batcher.submit(RankRequest("a"), r.clock.now + 1.9)
        assert await outcomes(r.submit("b", deadline=r.clock.now + 2.1)) == ["b"]


async def test_a_deadline_that_cannot_be_met_is_refused_before_any_work():
    async with rig() as r:
        await learn_rate(r, 1.0)  # 1 s a token
        assert r.batcher.predicted_wait() == 0.0
        tasks = await r.running("a")  # 2 tokens running
        tasks += await r.waiting("b c")  # 3 tokens queued
        assert r.batcher.predicted_wait() == pytest.approx(5.0)
        with pytest.raises(OverloadedError, match="in time") as refused:
            await r.batcher.submit(RankRequest("z"), r.clock.now + 9.9)
        assert refused.value.retry_after_ms == 5000
        tasks += await r.waiting("y", deadline=r.clock.now + 10.1)  # 5 s are half of it
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
        tasks += await r.waiting("x", "y")  # a batch that is begun ahead
        await asyncio.sleep(0)
        late = await r.waiting(*"bcd", deadline=r.clock.now + 5.0)
        tasks += await r.waiting("e")
        r.clock.advance(5.0)
        r.engine.release()
        assert await outcomes(late + tasks) == ["DeadlineExceededError"] * 3 + ["a", "x", "y", "e"]
        assert r.batches() == [["a"], ["x", "y"], ["e"]]
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


# 5. what is lost for good


async def test_a_pass_that_does_not_return_is_found_by_its_time():
    async with rig() as r:
        tasks = [*await r.running("stuck"), *await r.waiting("behind")]
        r.clock.advance(10.0)
        assert r.batcher.failure(10.0) is None
        r.clock.advance(0.1)
        assert r.batcher.failure(10.0) == "a call of the engine has not returned for 10 s"
        r.batcher.give_up()
        assert await outcomes(tasks) == ["NotReadyError"] * 2
        assert not r.batcher.ready
        assert r.batcher.failure(10.0) == "the batcher has ended"


async def test_an_exclusive_call_that_does_not_return_is_found_too():
    async with rig(held=False) as r:
        hangs, begun = threading.Event(), threading.Event()

        def call() -> None:
            begun.set()
            hangs.wait(20)

        task = asyncio.create_task(r.batcher.run_exclusive(call))
        await asyncio.to_thread(begun.wait, 20)
        r.clock.advance(11.0)
        assert r.batcher.failure(10.0) == "a call of the engine has not returned for 10 s"
        r.batcher.give_up()
        with pytest.raises(NotReadyError):
            await task
        hangs.set()


async def test_time_without_work_is_no_hang_and_closing_is_no_loss():
    async with rig(held=False) as r:
        await outcomes(r.submit("a"))
        r.clock.advance(1000.0)
        assert r.batcher.failure(10.0) is None
    assert r.batcher.failure(10.0) is None


async def test_a_dead_thread_is_a_loss():
    async with rig(held=False) as r:
        r.engine.death = SystemExit()
        assert await outcomes(r.submit("a")) == ["NotReadyError"]
        assert r.batcher.failure(10.0) in {
            "the batcher has ended",
            "a thread of the engine has died",
        }
