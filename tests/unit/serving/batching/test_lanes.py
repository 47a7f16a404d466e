"""Lanes: whose turn it is, what is ahead of a request, and who finds room."""

import asyncio
import random

import pytest

from app.core.errors import OverloadedError
from app.core.lane import OPEN_LANE, Lane
from app.core.ranking import RankRequest
from app.serving.batching.lanes import PendingQueue
from app.serving.batching.plan import Limits
from app.serving.batching.queue import QueueEntry
from tests.batcher_rig import FAR, rig

_A, _B, _C = Lane("a"), Lane("b"), Lane("c")
_BULK = Lane("bulk", interactive=False)


def _entry(name: str, lane: Lane = OPEN_LANE, cost: int = 1, **more: bool) -> QueueEntry[str, str]:
    return QueueEntry(name, cost, FAR, 0.0, lane=lane, **more)


def _queue(*entries: QueueEntry[str, str]) -> PendingQueue[QueueEntry[str, str]]:
    queue = PendingQueue[QueueEntry[str, str]]()
    for entry in entries:
        queue.add(entry)
    return queue


def _names(queue: PendingQueue[QueueEntry[str, str]]) -> str:
    return " ".join(entry.item for entry in queue)


async def test_without_keys_the_oldest_comes_first() -> None:
    queue = _queue(*[_entry(name) for name in "abcd"])
    queue.add(_entry("retry"), front=True)
    assert _names(queue) == "retry a b c d"
    assert (len(queue), queue.tokens) == (5, 5)


async def test_interactive_lanes_take_turns_and_bulk_comes_last() -> None:
    queue = _queue(
        *[_entry(f"u{n}", _BULK) for n in range(2)],
        *[_entry(f"a{n}", _A) for n in range(4)],
        _entry("b0", _B),
        *[_entry(f"c{n}", _C) for n in range(2)],
    )
    assert _names(queue) == "a0 b0 c0 a1 c1 a2 a3 u0 u1"


async def test_what_was_asked_together_has_one_turn() -> None:
    queue = _queue(
        _entry("a0", _A),
        _entry("a1", _A, follows=True),
        _entry("a2", _A, follows=True),
        _entry("a3", _A),
        _entry("b0", _B),
        _entry("b1", _B),
    )
    assert _names(queue) == "a0 a1 a2 b0 a3 b1"


async def test_a_lane_that_had_its_turn_is_last_in_the_next_batch() -> None:
    entries = {name: _entry(name, Lane(name[0])) for name in ("a0", "a1", "b0", "b1", "c0", "c1")}
    queue = _queue(*entries.values())
    taken = []
    for _ in range(3):  # batches of two, three lanes
        batch = [entry.item for entry, _ in zip(queue, range(2), strict=False)]
        taken += batch
        for name in batch:
            queue.discard(entries[name])
    assert taken == ["a0", "b0", "c0", "a1", "b1", "c1"]
    assert (len(queue), queue.tokens, _names(queue)) == (0, 0, "")


@pytest.mark.parametrize("seed", range(20))
async def test_every_entry_comes_out_once_and_in_the_order_of_its_lane(seed: int) -> None:
    chance = random.Random(seed)
    lanes = [OPEN_LANE, _A, _B, _C, _BULK, Lane("more", interactive=False)]
    queue, inside, out = PendingQueue[QueueEntry[str, str]](), list[QueueEntry[str, str]](), []
    for n in range(300):
        if chance.random() < 0.6:
            entry = _entry(f"{n}", chance.choice(lanes), chance.randint(1, 9))
            queue.add(entry)
            inside.append(entry)
        elif chance.random() < 0.3 and inside:
            gone = inside.pop(chance.randrange(len(inside)))
            queue.discard(gone)
            queue.discard(gone)
        else:
            batch = [entry for entry, _ in zip(queue, range(4), strict=False)]
            for entry in batch:
                queue.discard(entry)
                inside.remove(entry)
            out += batch
        assert len(queue) == len(inside)
        assert queue.tokens == sum(entry.cost for entry in inside)
        assert sorted(entry.item for entry in queue) == sorted(entry.item for entry in inside)
    for lane in lanes:
        order = [int(entry.item) for entry in out if entry.lane == lane]
        assert order == sorted(order)


async def test_only_what_has_its_turn_before_is_ahead() -> None:
    queue = _queue(*[_entry("a", _A, 10) for _ in range(30)], *[_entry("u", _BULK) for _ in "123"])
    assert queue.tokens_ahead(_A) == 300
    assert queue.tokens_ahead(_B) == 10  # one of the others' before its own
    assert queue.tokens_ahead(_BULK) == queue.tokens_ahead(Lane("x", interactive=False)) == 303
    queue.add(_entry("b", _B, 2))
    assert queue.tokens_ahead(_B) == 22
    assert queue.tokens_ahead(_A) == 302
    queue.add(_entry("r", _A, 7), front=True)
    assert queue.tokens_ahead(_C) == 7 + 10 + 2


async def test_the_room_that_each_finds() -> None:
    def room(queue: PendingQueue[QueueEntry[str, str]], lane: Lane) -> bool:
        return queue.has_room(lane, 100)

    queue = _queue(*[_entry("u", _BULK) for _ in range(50)])
    assert (room(queue, _BULK), room(queue, _A)) == (False, True)
    for _ in range(24):
        queue.add(_entry("a", _A))
    assert room(queue, _A)
    queue.add(_entry("a", _A))  # 75 of 100 wait
    assert room(queue, _A)  # 25 * 3 is not more than 75
    queue.add(_entry("a", _A))
    assert (room(queue, _A), room(queue, _B), room(queue, _BULK)) == (False, True, False)
    for _ in range(24):
        queue.add(_entry("b", _B))
    assert not any(map(room, [queue] * 3, (_A, _B, _C)))

    without_keys = _queue(*[_entry("x") for _ in range(99)])
    assert room(without_keys, OPEN_LANE)
    without_keys.add(_entry("x"))
    assert not room(without_keys, OPEN_LANE)


async def test_passes_are_short_only_where_keys_have_lanes() -> None:
    assert _queue().longest_pass_s == float("inf")
    assert _queue(_entry("x")).longest_pass_s == float("inf")
    assert _queue(_entry("a", _A)).longest_pass_s == 0.05
    assert _queue(_entry("x"), _entry("u", _BULK)).longest_pass_s == 0.05


async def test_who_floods_waits_and_is_refused_and_nobody_else() -> None:
    async with rig(limits=Limits(max_requests=8, max_tokens=64, max_pending=16)) as r:

        async def asked(name: str, lane: Lane) -> str:
            answer = await r.batcher.submit(RankRequest(name), FAR, lane)
            return answer.result.items[0].title

        first = asyncio.create_task(asked("first", _A))
        await asyncio.to_thread(r.engine.wait_entered, 1)
        flood = [asyncio.create_task(asked(f"a{n}", _A)) for n in range(40)]
        bulk = asyncio.create_task(asked("bulk", _BULK))
        await asyncio.sleep(0)
        calm = [asyncio.create_task(asked(f"b{n}", _B)) for n in range(2)]
        await asyncio.sleep(0)
        r.engine.release()
        assert await first == "first"
        assert await asyncio.gather(*calm) == ["b0", "b1"]
        flooded = await asyncio.gather(*flood, bulk, return_exceptions=True)
        refused = [each for each in flooded if isinstance(each, OverloadedError)]
        assert len(refused) == 40 - 12 + 1
        # One batch had begun when they came; they have their turn at the start of the next.
        worked = [request for batch in r.batches()[2:] for request in batch]
        assert worked.index("b0") <= 1
        assert worked.index("b1") <= 3
