"""Bundles that take over, over fakes: who answers what, what is refused, what is let go.

Nothing here sleeps: engines and loads have gates, the watcher's sleep is the test's.
"""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from prometheus_client import CollectorRegistry

from app.core.errors import BundleError
from app.core.ranking import RankRequest
from app.core.telemetry import Metrics
from app.core.types import Generation
from app.domain.event_rules import DEFAULT_EVENT_RULES, EventRule
from app.domain.request import SeenRule
from app.serving.batching.batcher import Batcher
from app.serving.batching.plan import Limits
from app.serving.breaker import Breaker
from app.serving.current_engine import CurrentEngine, LoadedBundle
from app.serving.reloader import BundleSource, Reloader
from app.serving.user_state import UserStates
from app.testing.event_store import MemoryEventStore
from app.testing.fakes import GatedEngine, MemoryUserStore
from tests.batcher_rig import FAR
from tests.clock import Clock
from tests.event_stores import event
from tests.turns import Turns


def loaded(bundle: str, **rules: EventRule) -> LoadedBundle:
    users = MemoryUserStore({"u:ann": [bundle]})
    return LoadedBundle(GatedEngine(3, bundle=bundle), users, {**DEFAULT_EVENT_RULES, **rules})


class Rig:
    """A reloader between generation "a" and whatever `bundles` holds; `points_to` is `current`."""

    def __init__(self, batcher_clock: Clock) -> None:
        self.bundles: dict[str, LoadedBundle | BaseException] = {"a": loaded("a"), "b": loaded("b")}
        self.points_to: str | None = "a"
        self.loads: list[str] = []
        self.settled = 0
        self.trouble: Exception | None = None
        self.may_load = threading.Event()
        self.may_load.set()
        self.metrics = Metrics(CollectorRegistry())
        first = self.bundles["a"]
        assert isinstance(first, LoadedBundle)
        self.current = CurrentEngine(first)
        self.batcher = Batcher(self.current, Limits(8, 64, 16), self.metrics, batcher_clock)
        source = BundleSource(lambda: self.points_to, self._load, self._settle)
        self.reloader = Reloader(self.current, self.batcher, source, self.metrics)

    def _load(self) -> LoadedBundle:
        generation = str(self.points_to)
        self.loads.append(threading.current_thread().name)
        assert self.may_load.wait(10)
        found = self.bundles[generation]
        if isinstance(found, BaseException):
            raise found
        return found

    def _settle(self) -> None:
        self.settled += 1
        if self.trouble:
            raise self.trouble

    def engine(self, name: str) -> GatedEngine:
        found = self.bundles[name]
        assert isinstance(found, LoadedBundle)
        assert isinstance(found.engine, GatedEngine)
        return found.engine

    async def answered_by(self, query: str) -> str:
        return (await self.batcher.submit(RankRequest(query), FAR)).generation.bundle

    def count(self, result: str) -> float:
        labels = {"result": result}
        return self.metrics.registry.get_sample_value("recserve_reloads_total", labels) or 0.0


@asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    made = Rig(Clock())
    async with made.batcher:
        yield made


async def test_the_generation_that_is_pointed_to_takes_over():
    async with rig() as r:
        assert await r.answered_by("before") == "a"
        r.points_to = "b"
        done = await r.reloader.reload()

        assert (done.generation, done.previous, done.reloaded) == (Generation("b", 0), "a", True)
        assert await r.answered_by("after") == "b"
        assert r.loads == ["recserve-reload"]
        assert (r.engine("a").closed, r.engine("b").closed, r.settled) == (True, False, 1)
        assert (r.count("done"), r.count("refused")) == (1, 0)


async def test_nothing_is_done_for_what_serves_already():
    async with rig() as r:
        done = await r.reloader.reload()

        assert (done.generation.bundle, done.previous, done.reloaded) == ("a", "a", False)
        assert (r.loads, r.settled, r.engine("a").closed) == ([], 0, False)


async def test_a_source_that_sees_nothing_is_asked_to_load_and_says_why():
    async with rig() as r:
        r.points_to = None
        r.bundles["None"] = BundleError("there is no bundle")
        with pytest.raises(BundleError, match="there is no bundle"):
            await r.reloader.reload()
        r.bundles["None"] = loaded("a")
        assert not (await r.reloader.reload()).reloaded


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (BundleError("the checksum is wrong"), "the checksum is wrong"),
        (RuntimeError("/secret"), "^the bundle cannot be loaded$"),
        (SystemExit(), "^the bundle cannot be loaded$"),
    ],
)
async def test_what_cannot_be_loaded_is_refused_and_the_old_one_serves_on(wrong, said):
    async with rig() as r:
        r.points_to, r.bundles["bad"] = "bad", wrong
        with pytest.raises(BundleError, match=said):
            await r.reloader.reload()

        assert await r.answered_by("x") == "a"
        assert (r.engine("a").closed, r.settled) == (False, 0)
        assert (r.count("done"), r.count("refused")) == (0, 1)


async def test_requests_are_answered_while_a_bundle_loads():
    async with rig() as r:
        r.may_load.clear()
        r.points_to = "b"
        reload = asyncio.create_task(r.reloader.reload())
        assert [await r.answered_by(f"{n}") for n in range(3)] == ["a"] * 3
        assert not reload.done()
        r.may_load.set()
        assert (await reload).reloaded


async def test_a_pass_under_way_ends_with_the_engine_it_began_with_which_is_closed_after_it():
    async with rig() as r:
        r.engine("a").hold()
        first = asyncio.create_task(r.answered_by("first"))
        await asyncio.to_thread(r.engine("a").wait_entered, 1)
        waits = asyncio.create_task(r.answered_by("waits"))
        r.points_to = "b"
        reload = asyncio.create_task(r.reloader.reload())
        async with asyncio.timeout(10):
            while r.current.info.bundle != "b":  # noqa: ASYNC110 - a state, not an event
                await asyncio.sleep(0)
        assert not r.engine("a").closed
        r.engine("a").release()

        assert [await first, await waits] == ["a", "b"]
        await reload
        assert r.engine("a").closed
        assert [len(r.engine(name).batches) for name in "ab"] == [1, 1]


async def test_reloads_at_the_same_time_load_once():
    async with rig() as r:
        r.points_to = "b"
        both = await asyncio.gather(r.reloader.reload(), r.reloader.reload())

        assert [(done.previous, done.reloaded) for done in both] == [("a", True), ("b", False)]
        assert len(r.loads) == 1


async def test_the_old_bundle_is_let_go():
    async with rig() as r:
        gone = [weakref.ref(r.engine("a")), weakref.ref(r.bundles["a"].users)]
        await r.answered_by("before")
        r.points_to = "b"
        del r.bundles["a"]
        await r.reloader.reload()

        assert [part() for part in gone] == [None, None]


async def test_what_was_loaded_of_a_refused_bundle_is_let_go():
    """Without the collector: the error holds the frames that it came through."""
    gone = threading.Event()

    def fails() -> LoadedBundle:
        half = loaded("half")
        weakref.finalize(half.engine, gone.set)
        raise BundleError("the other half is missing")

    gc.disable()
    try:
        async with rig() as r:
            r.points_to = "half"
            reloader = Reloader(
                r.current, r.batcher, BundleSource(lambda: "half", fails), r.metrics
            )
            with suppress(BundleError):
                await reloader.reload()
            # The loop holds what woke us for this turn, the thread its last call for a moment.
            assert await asyncio.to_thread(gone.wait, 10)
    finally:
        gc.enable()


async def test_a_service_that_stops_meanwhile_ends_the_reload():
    async with rig() as r:
        r.points_to = "b"
        await r.batcher.aclose()

        assert (await r.reloader.reload()).reloaded


# Watching


@asynccontextmanager
async def watching(r: Rig) -> AsyncIterator[Turns]:
    turns = Turns()
    task = asyncio.create_task(r.reloader.watch(1.0, turns.sleep))
    await turns.first()
    try:
        yield turns
    finally:
        task.cancel()


async def test_a_watcher_follows():
    async with rig() as r, watching(r) as turns:
        for points_to, serves in (("a", "a"), ("b", "b"), ("b", "b"), (None, "b"), ("a", "a")):
            r.points_to = points_to
            await turns.next()
            assert r.current.info.bundle == serves
        assert len(r.loads) == 2


@pytest.mark.parametrize("wrong", [BundleError("damaged"), KeyError("odd")])
async def test_a_watcher_tries_a_refused_generation_once_until_another_was_pointed_to(wrong):
    async with rig() as r, watching(r) as turns:
        r.bundles["bad"] = wrong
        for points_to in ("bad", "bad", "bad"):
            r.points_to = points_to
            await turns.next()
        assert (len(r.loads), r.current.info.bundle) == (1, "a")

        for points_to in ("a", "bad", "bad", "b"):
            r.points_to = points_to
            await turns.next()
        assert (len(r.loads), r.current.info.bundle) == (3, "b")
        assert r.count("refused") == 2


async def test_a_watcher_outlives_what_goes_wrong_around_a_reload():
    async with rig() as r, watching(r) as turns:
        r.trouble = RuntimeError("settling")
        for points_to in ("b", "a"):
            r.points_to = points_to
            await turns.next()
            assert r.current.info.bundle == points_to


# What else comes from a bundle


async def test_histories_and_rules_take_over_together():
    async with rig() as r:
        store = MemoryEventStore()
        await store.append([event("1", kind="odd")])
        states = UserStates(r.current, store, 10.0, Breaker(5, 1.0))
        before = await states.read("u:ann", SeenRule())
        r.bundles["b"] = loaded("b", odd=EventRule(weight=1.0))
        r.points_to = "b"
        await r.reloader.reload()
        after = await states.read("u:ann", SeenRule())

        assert (before.frozen, before.stored.events) == (("a",), ())
        assert (after.frozen, [e.kind for e in after.stored.events]) == (("b",), ["odd"])
        assert "odd" in states.rules


async def test_a_user_is_read_again_if_another_bundle_took_over_meanwhile():
    async with rig() as r:
        new = loaded("b", odd=EventRule(weight=1.0))

        class Store(MemoryEventStore):
            async def read(self, user, kinds=None, *, seen=()):
                found = await super().read(user, kinds, seen=seen)
                r.current.replace(new)
                return found

        store = Store()
        await store.append([event("1", kind="odd")])
        state = await UserStates(r.current, store, 10.0, Breaker(5, 1.0)).read("u:ann", SeenRule())

        assert (state.frozen, [e.kind for e in state.stored.events]) == (("b",), ["odd"])
        assert store.reads == ["u:ann", "u:ann"]
