"""What a change outdates: answers that show such an item, or all; and older ones who allow them."""

from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry

from app.core.telemetry import Metrics
from app.core.types import Change, Generation
from app.serving.caching.answers import CacheLookup, Caches, Validity
from app.serving.caching.local import LocalCache
from app.testing.fakes import GatedEngine, MemoryCache
from tests.clock import Clock


class Rig:
    """Caches at change 5 of the catalogue, which nothing arrived with."""

    def __init__(self) -> None:
        self.clock, self.engine = Clock(), GatedEngine(9, bundle="b")
        self.registry = CollectorRegistry()
        self.local = LocalCache(10_000, 100.0, Metrics(self.registry), clock=self.clock)
        self.shared = MemoryCache()
        self.caches = Caches(self.local, self.shared, self.engine)
        self.at = Generation("b", 5, visible_since_seq=2)

    def put(self, *items: str, user: bytes = b"", **facts: Any) -> None:
        tail = orjson.dumps({"items": [{"id": name} for name in items]})[1:]
        lookup = CacheLookup(b"key", self.at, user)
        self.caches.put(lookup, tail, Validity(self.at.catalogue, **facts))

    def change(
        self, item: str, seq: int, *, visible_since_seq: int = 2, gone: bool = False
    ) -> None:
        """An item changes; it is another moment's catalogue from now on."""
        self.engine.plan([Change(seq, item, None if gone else {"title": "new"})])()
        self.at = Generation("b", seq, visible_since_seq=visible_since_seq)

    async def get(self, *, min_catalogue_seq: int = 0) -> list[str] | None:
        tail, trouble = await self.caches.get(CacheLookup(b"key", self.at, b"", min_catalogue_seq))
        assert not trouble
        return _ids(tail)

    def stale(
        self, *, age_s: float = 10.0, min_catalogue_seq: int = 0, user: bytes = b""
    ) -> list[str] | None:
        lookup = CacheLookup(b"key", self.at, user, min_catalogue_seq)
        return _ids(self.caches.stale(lookup, age_s))

    def reads(self, result: str) -> float | None:
        labels = {"tier": "local", "result": result}
        return self.registry.get_sample_value("recserve_cache_reads_total", labels)


def _ids(tail: bytes | None) -> list[str] | None:
    return None if tail is None else [i["id"] for i in orjson.loads(b"{" + tail)["items"]]


@pytest.fixture
def r() -> Rig:
    return Rig()


async def test_what_is_up_to_date_is_got_and_the_rest_is_not(r):
    assert await r.get() is None
    r.put("i1")
    assert await r.get() == ["i1"]
    r.at = Generation("b", 6, visible_since_seq=6)
    assert await r.get() is None
    r.at = Generation("b", 5, moment=1, visible_since_seq=2)
    assert await r.get() is None


async def test_a_change_that_brings_nothing_in_outdates_what_showed_the_item(r):
    r.put("i1", "i2")
    r.change("i3", 6)
    assert await r.get() == ["i1", "i2"]
    r.change("i2", 7)
    assert await r.get() is None
    assert (r.reads("hit"), r.reads("outdated")) == (1, 1)
    r.put("i1", "i2")
    assert await r.get() == ["i1", "i2"]
    r.change("i1", 8, gone=True)
    assert await r.get() is None


async def test_so_does_one_of_an_item_that_the_answer_depends_on(r):
    r.put("i1", depends_on=("i4", "unknown", "最新"))
    r.change("i3", 6, gone=True)
    assert await r.get() == ["i1"]
    r.change("i4", 7, gone=True)
    assert await r.get() is None


async def test_one_that_depends_on_the_catalogue_is_outdated_by_every_change(r):
    r.put("i1", depends_on_catalogue=True)
    assert await r.get() == ["i1"]
    r.change("i3", 6, gone=True)
    assert await r.get() is None
    assert r.stale() == ["i1"]  # who allows an older answer gets it as any other


async def test_so_it_is_where_another_process_made_it(r):
    r.put("i1", depends_on_catalogue=True)
    await r.caches.aclose()
    r.change("i3", 6)
    other = Caches(LocalCache(10_000, 100.0, Metrics(CollectorRegistry())), r.shared, r.engine)
    assert await other.get(CacheLookup(b"key", r.at)) == (None, False)
    r.put("i1", depends_on_catalogue=True)
    await r.caches.aclose()
    assert _ids((await other.get(CacheLookup(b"key", r.at)))[0]) == ["i1"]


async def test_an_answer_holds_until_an_event_fades(r):
    now = Clock()
    caches = Caches(r.local, None, r.engine, now)
    lookup = CacheLookup(b"key", r.at, b"user")
    caches.put(lookup, b'"items":[]}', Validity(5, valid_until=10.0))
    now.now = 10.0
    assert await caches.get(lookup) == (b'"items":[]}', False)
    assert caches.stale(lookup, 100.0) == b'"items":[]}'
    now.now = 10.1
    assert await caches.get(lookup) == (None, False)
    assert caches.stale(lookup, 100.0) is None


async def test_a_catalogue_may_have_begun_to_show_an_item_before_1970(r):
    r.at = Generation("b", 5, moment=-62_000_000_000_000, visible_since_seq=2)
    r.put("i1")
    assert await r.get() == ["i1"]


async def test_an_answer_of_an_older_catalogue_than_was_asked_for_is_none(r):
    r.put("i1")
    r.change("i3", 6)
    assert await r.get(min_catalogue_seq=5) == ["i1"]
    assert await r.get(min_catalogue_seq=6) is None


async def test_what_other_processes_left_is_looked_at_in_the_same_way(r):
    r.put("i1", "i2")
    await r.caches.aclose()
    other = Caches(LocalCache(10_000, 100.0, Metrics(CollectorRegistry())), r.shared, r.engine)
    r.change("i3", 6)
    found, _ = await other.get(CacheLookup(b"key", r.at))
    assert _ids(found) == ["i1", "i2"]
    r.change("i2", 7)
    third = Caches(LocalCache(10_000, 100.0, Metrics(CollectorRegistry())), r.shared, r.engine)
    for caches in (other, third):
        assert await caches.get(CacheLookup(b"key", r.at)) == (None, False)


async def test_another_bundle_knows_other_changes(r):
    r.put("i1")
    r.change("i3", 6)
    lookup = CacheLookup(b"key", r.at)
    r.engine._generation = Generation("c", 6)
    assert await r.caches.get(lookup) == (None, False)


async def test_an_older_answer_whose_items_are_as_they_were_will_do(r):
    r.put("i1", "i2")
    r.change("i3", 8, visible_since_seq=8)
    assert r.stale() == ["i1", "i2"]
    assert r.reads("stale") == 1


async def test_nothing_is_no_older_answer(r):
    assert r.stale() is None


async def test_an_item_that_changed_or_went_since_makes_it_useless(r):
    r.change("i2", 5)  # the answer is made from that
    r.put("i1", "i2")
    assert r.stale() == ["i1", "i2"]
    r.change("i2", 6, visible_since_seq=6)
    assert r.stale() is None
    r.put("i1", "i3")
    r.change("i3", 7, gone=True)
    assert r.stale() is None


async def test_it_may_be_as_old_as_was_said_and_no_older(r):
    r.put("i1")
    r.clock.advance(10.0)
    assert r.stale(age_s=10.0) == ["i1"]
    assert r.stale(age_s=9.9) is None


async def test_it_may_be_of_no_older_catalogue_than_was_said(r):
    r.put("i1")
    assert r.stale(min_catalogue_seq=5) == ["i1"]
    assert r.stale(min_catalogue_seq=6) is None


async def test_what_a_user_did_is_never_left_out(r):
    r.put("i1", user=b"version one 4567")
    assert r.stale(user=b"version one 4567") == ["i1"]
    assert r.stale(user=b"version two 4567") is None
