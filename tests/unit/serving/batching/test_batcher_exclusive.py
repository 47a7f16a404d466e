"""The batcher's contract, calls between passes. Nothing sleeps: engine and calls have gates."""

import asyncio
import threading
import weakref

import pytest

from app.core.errors import NotReadyError, OverloadedError
from app.core.ranking import RankRequest
from tests.batcher_rig import FAR, Rig, outcomes, rig


class Gate:
    """A call that says when it has begun and waits until it may end."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.may_end.wait(10)
        return threading.current_thread().name

    async def wait_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 10)


async def asked(r: Rig, *calls) -> list[asyncio.Task]:
    """Ask for calls, and return once all of them wait or run."""
    tasks = [asyncio.create_task(r.batcher.run_exclusive(call)) for call in calls]
    await asyncio.sleep(0)
    return tasks


async def test_an_idle_batcher_runs_a_call_at_once_in_the_model_thread():
    async with rig() as r:
        assert (
            await r.batcher.run_exclusive(lambda: threading.current_thread().name)
            == "recserve-model"
        )
        assert await r.batcher.run_exclusive(lambda: None) is None


async def test_a_call_waits_for_the_pass_and_goes_before_those_that_wait():
    async with rig() as r:
        tasks = await r.running("a")
        tasks += await r.waiting("b", "c", "d", "e")  # half of all five is begun ahead
        (seen,) = await asked(r, lambda: len(r.engine.batches))
        assert not seen.done()
        r.engine.release()
        assert await seen == 2
        assert await outcomes(tasks) == ["a", "b", "c", "d", "e"]
        assert r.batches() == [["a"], ["b", "c", "d"], ["e"]]


async def test_calls_keep_their_order_and_a_pass_goes_between_each_two():
    async with rig() as r:
        tasks = await r.running("a")
        calls = await asked(r, *[lambda n=n: (n, len(r.engine.batches)) for n in range(3)])
        tasks += await r.waiting("b")
        r.engine.release()
        assert [await call for call in calls] == [(0, 1), (1, 2), (2, 2)]
        assert await outcomes(tasks) == ["a", "b"]


async def test_no_pass_starts_while_a_call_runs():
    async with rig(held=False) as r:
        gate = Gate()
        calls = await asked(r, gate, lambda: len(r.engine.batches))
        await gate.wait_begun()
        tasks = await r.waiting("a")
        assert r.batches() == []
        gate.may_end.set()
        assert await outcomes(tasks) == ["a"]
        assert await calls[1] == 1


async def test_what_a_call_raises_is_its_callers_alone():
    async with rig() as r:
        tasks = await r.running("a")
        tasks += await r.waiting("b")
        wrong = KeyError("mine")

        def fails() -> None:
            raise wrong

        (call,) = await asked(r, fails)
        r.engine.release()
        with pytest.raises(KeyError) as caught:
            await call
        assert caught.value is wrong
        assert await outcomes(tasks) == ["a", "b"]
        assert r.batcher.ready


async def test_a_caller_that_leaves_before_its_turn_takes_the_call_along():
    async with rig() as r:
        tasks = await r.running("a")
        ran = []
        gone, stays = await asked(r, lambda: ran.append("gone"), lambda: ran.append("stays"))
        gone.cancel()
        r.engine.release()
        await stays
        assert ran == ["stays"]
        assert await outcomes(tasks) == ["a"]


async def test_a_call_that_has_begun_goes_on_when_its_caller_leaves():
    async with rig(held=False) as r:
        gate = Gate()
        (call,) = await asked(r, gate)
        await gate.wait_begun()
        call.cancel()
        await asyncio.wait({call})
        gate.may_end.set()
        assert await outcomes(r.submit("a")) == ["a"]


async def test_a_call_that_takes_long_is_part_of_the_predicted_wait():
    async with rig(held=False) as r:
        gate = Gate()
        (call,) = await asked(r, gate)
        await gate.wait_begun()
        r.clock.advance(60.0)
        with pytest.raises(OverloadedError):
            await r.batcher.submit(RankRequest("z"), r.clock.now + 10.0)
        gate.may_end.set()
        await call
        assert r.batcher.predicted_wait() == 0.0


async def test_closing_runs_the_calls_that_wait_and_takes_no_more():
    async with rig() as r:
        tasks = await r.running("a")
        calls = await asked(r, lambda: "b", lambda: "c")
        closing = asyncio.create_task(r.batcher.aclose(FAR))
        await asyncio.sleep(0)
        with pytest.raises(NotReadyError):
            await r.batcher.run_exclusive(lambda: "late")
        r.engine.release()
        assert await closing
        assert [await call for call in calls] == ["b", "c"]
        assert await outcomes(tasks) == ["a"]


async def test_what_is_not_drained_in_time_fails_the_running_call_too():
    async with rig(held=False) as r:
        gate = Gate()
        calls = await asked(r, gate, lambda: None)
        await gate.wait_begun()
        assert await r.batcher.aclose(0.0) is False
        assert await asyncio.gather(*calls, return_exceptions=True) == [
            call.exception() for call in calls
        ]
        assert {type(call.exception()) for call in calls} == {NotReadyError}
        gate.may_end.set()


async def test_a_cancelled_caller_leaves_when_its_running_call_has_ended():
    """Or what it does next, such as to release a lock, would overlap with its call."""
    async with rig(held=False) as r:
        gate = Gate()
        ended: list[bool] = []
        (call,) = await asked(r, gate)
        call.add_done_callback(lambda _: ended.append(gate.may_end.is_set()))
        await gate.wait_begun()
        call.cancel()
        await asyncio.sleep(0)
        assert not call.done()
        gate.may_end.set()
        await asyncio.wait({call})
        assert call.cancelled()
        assert await r.batcher.run_exclusive(lambda: "next") == "next"
    assert ended == [True]


async def test_a_lost_engine_fails_the_calls_that_wait_and_takes_no_more():
    async with rig() as r:
        tasks = await r.running("a")
        (call,) = await asked(r, lambda: None)
        r.engine.death = SystemExit()
        r.engine.release()
        assert set(await outcomes(tasks)) == {"NotReadyError"}
        with pytest.raises(NotReadyError):
            await call
        with pytest.raises(NotReadyError):
            await r.batcher.run_exclusive(lambda: None)


async def test_a_call_that_kills_the_thread_fails_everybody():
    async with rig(held=False) as r:

        def dies() -> None:
            raise SystemExit

        with pytest.raises(NotReadyError):
            await r.batcher.run_exclusive(dies)
        assert not r.batcher.ready


async def test_before_it_is_entered_it_takes_no_call():
    with pytest.raises(NotReadyError):
        await Rig().batcher.run_exclusive(lambda: None)


async def test_nothing_of_a_call_is_kept_once_it_ran():
    """Or an engine that was closed by one would stay in memory until the next pass."""

    class Heavy:
        def close(self) -> None: ...

    dropped = threading.Event()
    async with rig(held=False) as r:
        heavy = Heavy()
        weakref.finalize(heavy, dropped.set)
        await r.batcher.run_exclusive(heavy.close)
        del heavy
        assert await asyncio.to_thread(dropped.wait, 10)
