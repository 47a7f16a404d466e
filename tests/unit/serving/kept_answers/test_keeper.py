"""The keeper of answers: its queue is bounded, its writes are few, and it never fails an answer."""

import logging
from bisect import bisect
from itertools import accumulate
from random import Random

import pytest
from prometheus_client import CollectorRegistry

from app.core.telemetry import Metrics
from app.serving.kept_answers.keeper import AnswerKeeper
from app.testing.answer_store import MemoryAnswers, MemoryAnswerStore
from tests.clock import Clock
from tests.recommender_rig import ask, rig, settled

NEVER_S = 3600.0


class KeeperRig:
    """A keeper that writes only when it is told to, over a fake store."""

    def __init__(self, most_waiting_bytes: int = 1 << 20) -> None:
        self.registry = CollectorRegistry()
        self.held: dict[str, MemoryAnswers] = {}
        self.store = MemoryAnswerStore("films", self.held)
        self.now = Clock(1_800_000_000.0)
        self.keeper = AnswerKeeper(
            self.store,
            Metrics(self.registry),
            now=self.now,
            write_every_s=NEVER_S,
            most_waiting_bytes=most_waiting_bytes,
        )

    def count(self, result: str) -> float | None:
        name = "recserve_answers_kept_total"
        return self.registry.get_sample_value(name, {"result": result})

    def waiting(self) -> float | None:
        return self.registry.get_sample_value("recserve_answers_waiting")


async def test_answers_are_written_together() -> None:
    r = KeeperRig(most_waiting_bytes=1 << 30)
    for number in range(2500):
        r.keeper.note(f"{number:032x}", ask(query="a"), "", b"head", b"tail")
    assert (r.waiting(), r.store.puts) == (2500, [])
    await r.keeper.flush()
    assert (r.waiting(), r.store.puts) == (0, [1000, 1000, 500])
    assert r.count("kept") == 2500
    # One request and one tail.
    assert sorted(r.held["films"].bodies.values()) == [b"tail", b'{"query":"a"}']
    await r.keeper.aclose()


async def test_bodies_of_two_users_are_never_shared() -> None:
    r = KeeperRig()
    for number, user in enumerate(["7", "7", "8", None]):
        r.keeper.note(f"{number:032x}", ask(user_id=user), "", b"head", b"tail")
    await r.keeper.flush()
    answers = r.held["films"].answers.values()
    assert [each.user for each in answers] == ["u:7", "u:7", "u:8", ""]
    assert len({each.tail for each in answers}) == len({each.request for each in answers}) == 3
    await r.keeper.aclose()


async def test_what_finds_no_room_is_dropped_and_counted() -> None:
    r = KeeperRig(most_waiting_bytes=3 * 2048 + 30)
    for number in range(5):
        r.keeper.note(f"{number:032x}", ask(), "", b"head", b"x" * 10)
    assert (r.waiting(), r.count("dropped")) == (3, 2)
    await r.keeper.flush()
    r.keeper.note("f" * 32, ask(), "", b"head", b"x" * 10)
    assert (await r.keeper.read("f" * 32, "")) is not None
    assert (r.count("kept"), r.count("dropped")) == (4, 2)
    await r.keeper.aclose()


async def test_a_store_that_is_down_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    r = KeeperRig()
    r.store.down = True
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            r.keeper.note(f"{number:032x}", ask(), "", b"head", b"tail")
            await r.keeper.flush()
        r.store.down = False
        for number in range(3, 5):
            r.keeper.note(f"{number:032x}", ask(), "", b"head", b"tail")
            await r.keeper.flush()
    assert [record.message for record in caplog.records] == [
        "answers are not kept: the store of answers cannot be read or written",
        "answers are kept again",
    ]
    assert (r.count("failed"), r.count("kept"), r.waiting()) == (3, 2, 0)
    await r.keeper.aclose()


async def test_closing_writes_what_waits() -> None:
    r = KeeperRig()
    r.keeper.start()
    r.keeper.note("a" * 32, ask(), "", b"head", b"tail")
    await r.keeper.aclose()
    assert list(r.held["films"].answers) == ["a" * 32]


async def test_it_writes_by_itself() -> None:
    store: dict[str, MemoryAnswers] = {}
    async with rig(answers=MemoryAnswerStore("films", store)) as r:
        answer = await r.get(query="a")
        await settled(lambda: answer["recommendation_id"] in store["films"].answers)


async def test_an_erasure_reaches_what_waits_and_what_comes_late() -> None:
    r = KeeperRig()
    another = AnswerKeeper(r.store, Metrics(CollectorRegistry()), now=r.now, write_every_s=NEVER_S)
    r.keeper.note("a" * 32, ask(user_id="7"), "", b"head", b"tail")
    r.keeper.note("b" * 32, ask(user_id="8"), "", b"head", b"tail")
    another.note("c" * 32, ask(user_id="7"), "", b"head", b"tail")
    r.now.advance(1)
    assert await r.keeper.erase(["u:7"]) == 1
    for keeper in (r.keeper, another):
        await keeper.flush()
    assert list(r.held["films"].answers) == ["b" * 32]
    for keeper in (r.keeper, another):
        await keeper.aclose()


async def test_the_hit_rate_stays_with_it_on() -> None:
    """A Zipf mix of 4,000 requests of 300 kinds, of 40 users and nobody."""
    random, store = Random(7), dict[str, MemoryAnswers]()
    total = list(accumulate(1 / rank for rank in range(1, 301)))
    async with rig(answers=MemoryAnswerStore("films", store)) as r:
        ids = []
        for _ in range(4000):
            kind = bisect(total, random.random() * total[-1])
            who = {} if kind % 2 else {"user_id": f"{kind % 40}"}
            ids.append((await r.get(query=f"query {kind}", **who))["recommendation_id"])
        hits = r.metric("cache_reads_total", tier="local", result="hit")
        assert hits / 4000 >= 0.9
        # Each miss is the first of its kind: none is due to keeping.
        assert hits == 4000 - len(r.asked)
    held = store["films"]
    assert sorted(held.answers) == sorted(ids)
    assert len(held.bodies) == 2 * len(r.asked)
