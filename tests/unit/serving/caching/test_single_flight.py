"""Sharing identical work: who runs, who waits, who takes over, and what is never shared."""

import asyncio
import gc
import traceback
import weakref

import pytest
from prometheus_client import CollectorRegistry

from app.core.errors import DeadlineExceededError, EngineError, NotReadyError, OverloadedError
from app.core.telemetry import Metrics
from app.serving.caching.single_flight import SingleFlight
from tests.clock import Clock

FAR = 1e6
KEY = b"key"


class Work:
    """Computations that a test ends by hand; what they give is finished by putting an accent."""

    def __init__(self) -> None:
        self.started: list[asyncio.Future] = []
        self.finished = 0

    def begin(self) -> asyncio.Future:
        future = asyncio.get_running_loop().create_future()
        self.started.append(future)
        return future

    def finish(self, begun: str) -> str:
        self.finished += 1
        return f"{begun}!"


class Rig:
    def __init__(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics(CollectorRegistry())
        self.flight = SingleFlight(self.metrics, self.clock)
        self.work = Work()

    async def callers(self, n: int, key: bytes = KEY, deadline: float = FAR) -> list[asyncio.Task]:
        run, work = self.flight.run, self.work
        tasks = [asyncio.create_task(run(key, deadline, work.begin, work.finish)) for _ in range(n)]
        await turn()
        return tasks

    def coalesced(self) -> float | None:
        return self.metrics.registry.get_sample_value("recserve_coalesced_total")


async def turn() -> None:
    """Let everything that can run without outside help do so."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_many_identical_requests_start_one_computation(rig):
    tasks = await rig.callers(500)
    assert repr(rig.flight) == "<SingleFlight 1 flights, 500 callers>"
    rig.work.started[0].set_result("value")
    shared = await asyncio.gather(*tasks)
    assert (len(rig.work.started), rig.work.finished) == (1, 1)
    assert {got.value for got in shared} == {"value!"}
    assert [got.leader for got in shared] == [True] + [False] * 499
    assert rig.coalesced() == 499
    assert repr(rig.flight) == "<SingleFlight 0 flights, 0 callers>"


async def test_different_keys_do_not_share(rig):
    tasks = await rig.callers(1) + await rig.callers(1, b"other")
    for n, future in enumerate(rig.work.started):
        future.set_result(n)
    assert [(got.value, got.leader) for got in await asyncio.gather(*tasks)] == [
        ("0!", True),
        ("1!", True),
    ]


async def test_one_after_the_other_computes_again(rig):
    for n in range(2):
        (task,) = await rig.callers(1)
        rig.work.started[n].set_result(n)
        assert (await task).leader
    assert len(rig.work.started) == 2


async def test_the_leader_leaving_does_not_disturb_followers(rig):
    leader, *followers = await rig.callers(500)
    leader.cancel()
    await turn()
    assert leader.cancelled()
    rig.work.started[0].set_result("value")
    assert {(await task).value for task in followers} == {"value!"}
    assert len(rig.work.started) == 1


async def test_the_work_is_cancelled_when_everybody_has_left(rig):
    tasks = await rig.callers(3)
    for task in tasks[:2]:
        task.cancel()
    await turn()
    assert not rig.work.started[0].cancelled()
    tasks[2].cancel()
    await turn()
    assert rig.work.started[0].cancelled()
    assert repr(rig.flight) == "<SingleFlight 0 flights, 0 callers>"


async def test_a_newcomer_does_not_join_work_that_has_been_cancelled(rig):
    (gone,) = await rig.callers(1)
    gone.cancel()
    (task,) = await rig.callers(1)
    rig.work.started[1].set_result("fresh")
    assert (await task).value == "fresh!"


async def test_what_cannot_begin_fails_its_caller_and_leaves_nothing_behind(rig):
    def refuse() -> asyncio.Future:
        raise OverloadedError("full", retry_after_ms=1)

    with pytest.raises(OverloadedError):
        await rig.flight.run(KEY, FAR, refuse, rig.work.finish)
    assert repr(rig.flight) == "<SingleFlight 0 flights, 0 callers>"


async def test_an_error_in_finishing_reaches_all_callers(rig):
    def broken(begun: str) -> str:
        raise EngineError(begun)

    run = rig.flight.run
    tasks = [asyncio.create_task(run(KEY, FAR, rig.work.begin, broken)) for _ in range(2)]
    await turn()
    rig.work.started[0].set_result("odd")
    got = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(error) for error in got] == ["odd"] * 2


@pytest.mark.parametrize("late", [False, True])
async def test_an_error_is_freed_with_its_last_holder(rig, late):
    """Thousands a second in reference cycles keep the collector busy, and all others waiting."""
    errors = []

    async def failing() -> None:
        try:
            await rig.flight.run(KEY, -1.0 if late else FAR, rig.work.begin, rig.work.finish)
        except (EngineError, DeadlineExceededError) as error:
            errors.append(weakref.ref(error))

    gc.disable()
    try:
        tasks = [asyncio.create_task(failing()) for _ in range(2)]
        await turn()
        if not late:
            rig.work.started[0].set_exception(EngineError("no"))
        await asyncio.gather(*tasks)
        del tasks
        rig.work.started.clear()
        await turn()
        assert [error() for error in errors] == [None, None]
    finally:
        gc.enable()


async def test_each_caller_gets_the_way_of_the_error_and_not_that_of_the_others(rig):
    tasks = await rig.callers(50)
    rig.work.started[0].set_exception(EngineError("no"))
    got = await asyncio.gather(*tasks, return_exceptions=True)
    assert len(set(map(id, got))) == 1
    assert len(traceback.extract_tb(got[0].__traceback__)) <= 3


async def test_a_newcomer_does_not_get_the_error_of_work_that_has_just_ended(rig):
    (first,) = await rig.callers(1)
    rig.work.started[0].set_exception(EngineError("no"))
    (second,) = await rig.callers(1)  # runs right after the work, before anybody is told
    with pytest.raises(EngineError):
        await first
    rig.work.started[1].set_result("value")
    assert (await second).value == "value!"


async def test_an_error_reaches_all_callers_and_poisons_nothing(rig):
    tasks = await rig.callers(3)
    rig.work.started[0].set_exception(EngineError("no"))
    got = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in got] == [EngineError] * 3
    (task,) = await rig.callers(1)
    rig.work.started[1].set_result("value")
    assert (await task).value == "value!"


async def test_followers_take_over_together_when_the_leader_ran_out_of_time(rig):
    late = DeadlineExceededError("late")
    leader, *followers = await rig.callers(4)
    rig.work.started[0].set_exception(late)
    await turn()
    assert leader.exception() is late
    assert len(rig.work.started) == 2
    rig.work.started[1].set_result("value")
    shared = await asyncio.gather(*followers)
    assert [got.value for got in shared] == ["value!"] * 3
    assert [got.leader for got in shared] == [True, False, False]


async def test_taking_over_happens_once_however_many_follow(rig):
    late = DeadlineExceededError("late")
    tasks = await rig.callers(50)
    for n in range(2):
        rig.work.started[n].set_exception(late)
        await turn()
    got = await asyncio.gather(*tasks, return_exceptions=True)
    assert got == [late] * 50
    assert len(rig.work.started) == 2


async def test_a_follower_with_time_outlives_any_number_of_leaders_without(rig):
    tasks = [(await rig.callers(1, deadline=rig.clock.now + n))[0] for n in range(1, 5)]
    for n in range(3):
        rig.clock.advance(1.0)
        rig.work.started[n].set_exception(DeadlineExceededError("late"))
        await turn()
    rig.work.started[3].set_result("value")
    got = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in got[:3]] == [DeadlineExceededError] * 3
    assert (got[3].value, got[3].leader) == ("value!", True)


async def test_a_follower_without_time_left_does_not_take_over(rig):
    tasks = await rig.callers(1) + await rig.callers(1, deadline=rig.clock.now + 5.0)
    rig.clock.advance(5.0)
    rig.work.started[0].set_exception(DeadlineExceededError("late"))
    got = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in got] == [DeadlineExceededError] * 2
    assert len(rig.work.started) == 1


async def test_a_follower_in_a_hurry_is_told_at_its_own_deadline(rig):
    (leader,) = await rig.callers(1)
    rig.clock.advance(10.0)
    (late,) = await rig.callers(1, deadline=rig.clock.now - 1.0)
    with pytest.raises(DeadlineExceededError):
        await late
    rig.work.started[0].set_result("value")
    assert (await leader).value == "value!"


async def test_closing_ends_the_work_and_tells_the_callers(rig):
    tasks = await rig.callers(3)
    await rig.flight.aclose()
    await rig.flight.aclose()
    got = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in got] == [NotReadyError] * 3
    assert rig.work.started[0].cancelled()
