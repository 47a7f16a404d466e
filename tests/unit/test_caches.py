"""Answers from an older catalogue: only for those who allow it, and never with what has changed."""

import orjson
import pytest
from prometheus_client import CollectorRegistry

from app.serving.caches import Caches, state_in
from app.serving.local_cache import LocalCache
from app.telemetry import Metrics
from app.testing import GatedEngine
from app.types import Generation
from tests.clock import Clock


class Changing(GatedEngine):
    """Says which items have changed, and when."""

    def __init__(self) -> None:
        super().__init__(9)
        self.changed: dict[str, int] = {}

    def unchanged(self, item_id: str, since: int) -> bool:
        return super().unchanged(item_id, since) and self.changed.get(item_id, 0) <= since


class Rig:
    def __init__(self) -> None:
        self.clock, self.engine = Clock(), Changing()
        metrics = Metrics(CollectorRegistry())
        self.caches = Caches(LocalCache(10_000, 100.0, metrics, clock=self.clock), None)

    def put(self, *items: str, catalogue: int = 5, user: bytes = b"") -> None:
        tail = orjson.dumps({"items": [{"id": name} for name in items]})[1:]
        self.caches.put(b"key", tail, state_in(Generation("b", catalogue), user))

    def stale(
        self, *, age_s: float = 10.0, least: int = 0, catalogue: int = 9, user: bytes = b""
    ) -> list[str] | None:
        state = state_in(Generation("b", catalogue), user)
        tail = self.caches.stale(b"key", state, self.engine, max_age_s=age_s, catalogue=least)
        return None if tail is None else [i["id"] for i in orjson.loads(b"{" + tail)["items"]]


@pytest.fixture
def r() -> Rig:
    return Rig()


def test_an_answer_whose_items_are_as_they_were_will_do(r):
    r.put("i1", "i2")
    r.engine.changed["i3"] = 8  # not in it
    assert r.stale() == ["i1", "i2"]


def test_nothing_is_no_answer(r):
    assert r.stale() is None


def test_an_item_that_changed_or_went_since_makes_it_useless(r):
    r.put("i1", "i2")
    r.engine.changed["i2"] = 5  # the answer is made from that
    assert r.stale() == ["i1", "i2"]
    r.engine.changed["i2"] = 6
    assert r.stale() is None
    r.put("i1", "gone")
    assert r.stale() is None


def test_it_may_be_as_old_as_was_said_and_no_older(r):
    r.put("i1")
    r.clock.advance(10.0)
    assert r.stale(age_s=10.0) == ["i1"]
    assert r.stale(age_s=9.9) is None


def test_it_may_be_of_no_older_catalogue_than_was_said(r):
    r.put("i1", catalogue=5)
    assert r.stale(least=5) == ["i1"]
    assert r.stale(least=6) is None


def test_what_a_user_did_is_never_left_out(r):
    r.put("i1", user=b"version one 4567")
    assert r.stale(user=b"version one 4567") == ["i1"]
    assert r.stale(user=b"version two 4567") is None


async def test_what_is_up_to_date_is_got_and_the_rest_is_not(r):
    r.put("i1", catalogue=5)
    assert (await r.caches.get(b"key", state_in(Generation("b", 5), b"")))[0] is not None
    assert await r.caches.get(b"key", state_in(Generation("b", 6), b"")) == (None, False)
    assert await r.caches.get(b"key", state_in(Generation("b", 5, 1), b"")) == (None, False)
