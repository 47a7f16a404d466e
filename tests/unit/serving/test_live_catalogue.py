"""Changes of the catalogue: journalled first, shown by the next pass, the same in every process."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from app.core.errors import (
    DeadlineExceededError,
    NotFoundError,
    NotReadyError,
    OverloadedError,
    StoreError,
)
from app.core.ranking import RankRequest
from app.core.telemetry import Metrics
from app.core.types import Change
from app.engine.engine import RankEngine
from app.serving.live_catalogue import LiveCatalogue
from app.testing.journal import MemoryChanges, MemoryJournal
from tests.clock import Clock
from tests.small_engine import small_engine
from tests.turns import Turns


@asynccontextmanager
async def watching(catalogue: LiveCatalogue) -> AsyncIterator[Turns]:
    """Let a catalogue watch; each `next` of what is yielded lets it look once."""
    turns = Turns()
    task = asyncio.create_task(catalogue.watch(1.0, turns.sleep))
    await turns.first()
    try:
        yield turns
        assert not task.done()
    finally:
        task.cancel()


class ExclusiveCalls:
    """Runs what it is given at once, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, call: Callable[[], Any]) -> Any:
        self.calls += 1
        await asyncio.sleep(0)
        return call()


class Wrapped:
    """An engine, and whatever a test adds to it."""

    def __init__(self, engine: RankEngine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


class Threads(Wrapped):
    """Remembers which threads planned, and how far they stood back."""

    def __init__(self, engine: RankEngine) -> None:
        super().__init__(engine)
        self.used: set[str] = set()
        self.nice: set[int] = set()

    def plan(self, changes: Sequence[Change], now: float) -> Any:
        self.used.add(threading.current_thread().name)
        self.nice.add(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return self._engine.plan(changes, now)


class Mergeable(Wrapped):
    """Has something to merge whenever it is asked."""

    def __init__(self, engine: RankEngine, use: Callable[[], None]) -> None:
        super().__init__(engine)
        self._use = use

    def merge(self) -> Callable[[], None]:
        return self._use


class Process:
    """One process: an engine, a catalogue over it, a journal that others may share."""

    def __init__(self, store: dict[str, MemoryChanges] | None = None) -> None:
        self.engine = small_engine()
        self.journal = MemoryJournal("small", store)
        self.run_exclusive = ExclusiveCalls()
        self.clock = 1000.0
        self.catalogue = self.catalogue_over(self.engine)

    def catalogue_over(
        self, engine: Any, clock: Callable[[], float] = time.monotonic
    ) -> LiveCatalogue:
        """Return a catalogue over an engine, with the journal of this process."""
        return LiveCatalogue(
            engine=engine,
            run_exclusive=self.run_exclusive,
            journal=self.journal,
            metrics=Metrics(CollectorRegistry()),
            now=lambda: self.clock,
            clock=clock,
        )

    def ids(self, query: str = "", k: int = 20) -> list[str]:
        result = self.engine.rank([RankRequest(query=query, k=k)]).results[0]
        return [item.id for item in result.items]


@pytest.fixture
async def process() -> Process:
    return Process()


async def test_what_was_put_is_in_the_next_pass(process: Process) -> None:
    seq = await process.catalogue.put([{"id": "new", "title": "submarine"}])

    assert process.ids("submarine")[0] == "new"
    assert seq == process.engine.info.catalogue == 1


async def test_a_patch_changes_what_it_names(process: Process) -> None:
    await process.catalogue.patch("star", {"year": 2001, "categories": None})
    item = process.engine.item("star")

    assert item is not None
    assert (item.title, dict(item.fields)) == (
        "star space adventure",
        {"year": 2001, "categories": None},
    )


async def test_what_is_not_there_cannot_be_patched_or_deleted(process: Process) -> None:
    with pytest.raises(NotFoundError):
        await process.catalogue.patch("?", {"year": 1})
    with pytest.raises(NotFoundError):
        await process.catalogue.delete("?")
    assert await process.journal.newest() == 0


async def test_what_cannot_be_journalled_is_not_shown(process: Process) -> None:
    process.journal.down = True
    with pytest.raises(StoreError):
        await process.catalogue.put([{"id": "new", "title": "submarine"}])

    assert "new" not in process.ids("submarine")


async def test_a_restart_comes_to_the_same_catalogue() -> None:
    store: dict[str, MemoryChanges] = {}
    first = Process(store)
    await first.catalogue.put([{"id": "new", "title": "submarine"}, {"id": "b", "title": "x"}])
    await first.catalogue.delete("alien")
    await first.catalogue.delete("b")
    second = Process(store)
    await second.catalogue.open()

    assert second.ids("submarine space") == first.ids("submarine space")
    # What a journal has left out may have been anything.
    assert (first.engine.info.visible_since_seq, second.engine.info.visible_since_seq) == (2, 4)
    assert replace(second.engine.info, visible_since_seq=2) == first.engine.info


async def test_processes_see_each_others_changes() -> None:
    store: dict[str, MemoryChanges] = {}
    one, other = Process(store), Process(store)
    await one.catalogue.put([{"id": "new", "title": "submarine"}])
    seq = await other.catalogue.put([{"id": "newer", "title": "other submarine"}])

    assert {"new", "newer"} <= set(other.ids())
    await one.catalogue.reach(seq, asyncio.get_running_loop().time() + 5)
    assert set(one.ids()) == set(other.ids())


async def test_watching_takes_in_what_others_change() -> None:
    store: dict[str, MemoryChanges] = {}
    one, other = Process(store), Process(store)
    async with watching(other.catalogue) as turns:
        await one.catalogue.delete("mob")
        assert other.engine.contains("mob")
        await turns.next()

        assert not other.engine.contains("mob")
        assert "mob" not in other.ids()


async def test_watching_outlives_a_journal_that_is_down(process: Process) -> None:
    async with watching(process.catalogue) as turns:
        process.journal.down = True
        for _ in range(3):
            await turns.next()
        process.journal.down = False
        await process.journal.append([("mob", None)])
        assert process.engine.contains("mob")
        await turns.next()

        assert not process.engine.contains("mob")


async def test_items_appear_at_their_time(process: Process) -> None:
    await process.catalogue.put([{"id": "soon", "title": "soon", "available_from": 2000.0}])
    assert "soon" not in process.ids()
    async with watching(process.catalogue) as turns:
        for now, is_there in ((1999.0, False), (2000.0, True)):
            process.clock = now
            await turns.next()
            assert ("soon" in process.ids()) == is_there


async def test_what_was_put_is_merged_where_no_pass_is_under_way(process: Process) -> None:
    merged: list[int] = []
    index = process.engine._parts.texts.index
    assert index.merge() is None
    mergeable = Mergeable(process.engine, lambda: merged.append(process.run_exclusive.calls))
    catalogue = process.catalogue_over(mergeable)
    await catalogue.put([{"id": "new", "title": "submarine"}])
    before = process.run_exclusive.calls
    async with watching(catalogue) as turns:
        for _ in range(3):
            await turns.next()
        assert merged == [before + 1]  # once, for nothing has changed since
        async with catalogue.handover(mergeable):
            pass
        await turns.next()
        assert len(merged) == 2  # another engine may have taken in more


async def test_a_start_without_a_journal_serves_the_bundle(process: Process) -> None:
    await process.journal.append([("mob", None)])
    process.journal.down = True
    await process.catalogue.open()

    assert "mob" in process.ids()


async def test_a_change_that_never_comes_is_not_waited_for_beyond_the_deadline(
    process: Process,
) -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(DeadlineExceededError):
        await process.catalogue.reach(9, loop.time() + 0.05)


async def test_between_two_passes_nothing_is_encoded(process: Process) -> None:
    threads = Threads(process.engine)
    catalogue = process.catalogue_over(threads)
    items = [{"id": f"n{n}", "title": f"title number {n}"} for n in range(400)]
    await catalogue.put(items)

    assert process.run_exclusive.calls == 2  # 400 items are performed in two parts
    assert process.engine.info.n_items == 407
    assert threads.used == {"recserve-changes"}
    if sys.platform == "linux":
        assert threads.nice == {min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)}


async def test_too_many_waiting_changes_are_refused(process: Process) -> None:
    puts = [process.catalogue.put([{"id": str(n), "title": "x"}]) for n in range(100)]
    done = await asyncio.gather(*puts, return_exceptions=True)
    refused = [result for result in done if isinstance(result, OverloadedError)]

    assert 0 < len(refused) < 100
    assert process.engine.info.n_items == 7 + 100 - len(refused)


async def test_a_closed_catalogue_takes_no_change(process: Process) -> None:
    process.catalogue.close()
    with pytest.raises(NotReadyError):
        await process.catalogue.put([{"id": "late", "title": "submarine"}])

    assert await process.journal.newest() == 0


async def test_a_new_engine_takes_over_with_all_changes(process: Process) -> None:
    await process.catalogue.put([{"id": "new", "title": "submarine"}])
    await process.catalogue.delete("mob")
    fresh = small_engine()
    async with process.catalogue.handover(fresh):
        pass
    process.engine = fresh

    assert process.ids("submarine")[0] == "new"
    assert "mob" not in process.ids()
    await process.catalogue.delete("new")
    assert not fresh.contains("new")


class _Stuck(Wrapped):
    """Does not come back from planning before it is let."""

    def __init__(self, engine: RankEngine) -> None:
        super().__init__(engine)
        self.begun, self.go = threading.Event(), threading.Event()

    def plan(self, changes: Sequence[Change], now: float) -> Any:
        self.begun.set()
        self.go.wait(20)
        return self._engine.plan(changes, now)


async def test_a_change_that_is_planned_for_ever_is_found_by_its_time(process: Process) -> None:
    stuck, clock = _Stuck(process.engine), Clock()
    catalogue = process.catalogue_over(stuck, clock)
    assert catalogue.failure(300.0) is None
    put = asyncio.create_task(catalogue.put([{"id": "new", "title": "x"}]))
    await asyncio.to_thread(stuck.begun.wait, 20)
    clock.advance(300.0)
    assert catalogue.failure(300.0) is None
    clock.advance(0.1)
    assert catalogue.failure(300.0) == "a change has been planned for 300 s"
    stuck.go.set()
    await put

    assert catalogue.failure(300.0) is None
    catalogue.close()
    await catalogue._thread.wait_ended()
    assert catalogue.failure(300.0) == "the thread for changes has died"
