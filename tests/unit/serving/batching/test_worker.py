"""Worker threads, and a batcher whose workers are no threads at all."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from app.core.ranking import RankRequest
from app.core.telemetry import Metrics
from app.serving.batching.batcher import Batcher
from app.serving.batching.worker import ThreadDiedError, Threads, WorkerThread
from app.testing.fakes import GatedEngine
from tests.batcher_rig import FAR, LIMITS, echo, outcomes
from tests.clock import Clock


class InlineWorker:
    """A `Worker` that runs each call at once, in the thread of the event loop."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.busy = self.has_waiting_call = self.ended = False
        self.calls = 0

    @property
    def alive(self) -> bool:
        return not self.ended

    async def run(self, call: Callable[[], Any]) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.hand(call, answer.set_result)
        return await answer

    def hand(self, call: Callable[[], Any], ended: Callable[[Any], None]) -> None:
        self.calls += 1
        try:
            outcome: Any = call()
        except Exception as error:  # noqa: BLE001 - reported to the caller
            outcome = error
        asyncio.get_running_loop().call_soon(ended, outcome)

    def stop(self) -> None:
        self.ended = True

    async def wait_ended(self) -> None:
        return


async def test_a_batcher_runs_on_workers_that_are_given_to_it():
    workers: list[InlineWorker] = []

    def new_thread(name: str) -> InlineWorker:
        workers.append(InlineWorker(name))
        return workers[-1]

    threads = threading.active_count()
    metrics, engine = Metrics(CollectorRegistry()), GatedEngine(n_items=1)
    batcher = Batcher(engine, LIMITS, metrics, Clock(), threads=Threads(new_thread))
    async with batcher:
        requests = [RankRequest(query) for query in ("a", "b", "c")]
        tasks = [asyncio.create_task(batcher.submit(request, FAR)) for request in requests]
        assert await outcomes(tasks) == ["a", "b", "c"]
        assert await batcher.run_exclusive(lambda: len(engine.batches)) == len(engine.batches)
        assert threading.active_count() == threads

    assert [worker.name for worker in workers] == ["recserve-model", "recserve-rank"]
    assert workers[0].calls == len(engine.batches) + 1
    assert not batcher.ready
    assert echo(tasks[0]) == "a"


async def test_a_thread_runs_calls_in_order_and_returns_what_they_raise():
    thread = WorkerThread("test")
    done: list[int] = []
    error = ValueError("wrong")

    def fails() -> None:
        raise error

    results = await asyncio.gather(
        thread.run(lambda: done.append(1)), thread.run(fails), thread.run(lambda: done.append(2))
    )
    assert results == [None, error, None]
    assert done == [1, 2]
    assert not thread.busy

    thread.stop()
    await thread.wait_ended()
    assert thread.ended
    assert not thread.alive


async def test_a_dead_thread_says_so():
    thread = WorkerThread("test")

    def dies() -> None:
        raise SystemExit

    with pytest.raises(ThreadDiedError):
        await thread.run(dies)
    with pytest.raises(ThreadDiedError):
        await thread.run(lambda: None)


async def test_an_ended_thread_refuses_the_calls_that_it_will_not_run():
    thread = WorkerThread("test")
    begun, go_on = threading.Event(), threading.Event()

    def waits() -> str:
        begun.set()
        go_on.wait(10)
        return "done"

    first = asyncio.create_task(thread.run(waits))
    await asyncio.to_thread(begun.wait, 10)
    thread.stop()
    behind = asyncio.create_task(thread.run(lambda: "never"))
    await asyncio.sleep(0)
    go_on.set()

    assert await first == "done"
    with pytest.raises(ThreadDiedError):
        await behind
    await thread.wait_ended()
    with pytest.raises(ThreadDiedError):
        await thread.run(lambda: "never")
    assert not thread.busy
