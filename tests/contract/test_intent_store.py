"""What every `IntentStore` promises: over the fake, over SQLite and over a real Redis."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.core.errors import StoreError
from app.core.store_ports import IntentStore
from app.core.types import LearnedIntent, LearnedState
from app.domain.use_counts import HALF_LIFE_S, UNUSED_S
from app.testing.intent_store import MemoryIntentStore
from tests.intent_stores import OpenIntents, in_memory, in_redis, in_sqlite

NOW = 1_800_000_000.25
DAY = 86_400.0


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def open_intents(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[OpenIntents]:
    """Open the learned intents of a namespace ("films") on the one store of the test."""
    if request.param == "memory":
        opener = in_memory()
    elif request.param == "sqlite":
        opener = in_sqlite(tmp_path)
    else:
        opener = in_redis(request.getfixturevalue("redis_server"))
    opened: list[IntentStore] = []

    def another(*namespace: str, **bounds: int) -> IntentStore:
        opened.append(opener(*namespace, **bounds))
        return opened[-1]

    yield another
    for store in opened:
        await store.aclose()


@pytest.fixture
async def store(open_intents: OpenIntents) -> IntentStore:
    return open_intents()


async def words_in(store: IntentStore) -> list[str]:
    return [learned.words for learned in await store.after(0, 1000)]


async def test_what_was_learned_comes_back_exactly(store: IntentStore) -> None:
    odd = ["太空冒险 机器人", "a:b|\"'\\\n", " ", "é\u2028"]
    expected = tuple(
        LearnedIntent(seq, words, f'{{"residual_text":"{words}"}}', NOW + seq, NOW + seq, 2 + seq)
        for seq, words in enumerate(odd, 1)
    )
    put = [
        await store.put(each.words, each.intent, NOW + n, 2 + n)
        for n, each in enumerate(expected, 1)
    ]
    assert tuple(put) == await store.after(0, 10) == expected
    assert await store.state() == LearnedState(4, 0)
    assert await store.after(2, 1) == expected[2:3]


async def test_nothing_is_there_at_first(store: IntentStore) -> None:
    assert await store.state() == LearnedState(0, 0)
    assert await store.after(0, 10) == ()
    assert await store.remove("a") == await store.remove(None) == 0
    await store.count({"a": 3}, NOW)
    await store.count({}, NOW)
    assert await store.state() == LearnedState(0, 0)


async def test_words_learned_again_get_a_new_number(store: IntentStore) -> None:
    await store.put("a", "1", NOW)
    await store.put("b", "2", NOW)
    await store.put("a", "", NOW + 1)
    assert [(each.seq, each.words, each.intent) for each in await store.after(0, 10)] == [
        (2, "b", "2"),
        (3, "a", ""),
    ]
    assert await store.state() == LearnedState(3, 0)


async def test_removing_is_seen_by_all(open_intents: OpenIntents) -> None:
    one, other = open_intents(), open_intents()
    for words in ("a", "b", "c"):
        await one.put(words, "{}", NOW)
    assert await other.remove("b") == 1
    assert await other.remove("b") == await other.remove("unknown") == 0
    assert await words_in(one) == ["a", "c"]
    assert await one.state() == LearnedState(3, 1)
    assert await one.remove(None) == 2
    assert await words_in(other) == []
    assert await other.state() == LearnedState(3, 2)
    assert (await other.put("d", "{}", NOW)).seq == 4


async def test_uses_are_counted(store: IntentStore) -> None:
    await store.put("a", "{}", NOW, 2)
    await store.count({"a": 5, "unknown": 7}, NOW + 9)
    await store.count({"a": 1}, NOW + 4)
    assert await store.after(0, 10) == (LearnedIntent(1, "a", "{}", NOW, NOW + 9, 8),)
    assert await store.state() == LearnedState(1, 0)


async def test_the_least_used_leave(open_intents: OpenIntents) -> None:
    store = open_intents(most=20)
    for n in range(20):
        await store.put(f"w{n}", "{}", NOW)
    await store.count({f"w{n}": 1 for n in range(20) if n not in {3, 8, 11}}, NOW)
    assert await store.state() == LearnedState(20, 0)

    await store.put("new", "{}", NOW)
    stay = [f"w{n}" for n in range(20) if n not in {3, 8, 11}]
    assert await words_in(store) == [*stay, "new"]
    assert await store.state() == LearnedState(21, 1)


async def test_what_is_new_does_not_leave_for_what_is_used_more(open_intents: OpenIntents) -> None:
    store = open_intents(most=10)
    for n in range(10):
        await store.put(f"w{n}", "{}", NOW, 100 + n)
    await store.put("new", "{}", NOW)
    assert await words_in(store) == [*(f"w{n}" for n in range(2, 10)), "new"]


async def test_a_use_of_long_ago_counts_less(open_intents: OpenIntents) -> None:
    store = open_intents(most=2)
    await store.put("often, once upon a time", "{}", NOW, 7)
    later = NOW + 3 * HALF_LIFE_S  # 7 uses then are less than 1 now
    await store.put("lately", "{}", later)
    await store.put("newest", "{}", later)
    assert await words_in(store) == ["lately", "newest"]


async def test_what_is_not_used_is_forgotten(store: IntentStore) -> None:
    await store.put("used once", "{}", NOW)
    await store.put("used again", "{}", NOW)
    await store.count({"used again": 1}, NOW + 30 * DAY)
    await store.put("early", "{}", NOW + UNUSED_S - 1)
    assert await words_in(store) == ["used once", "used again", "early"]
    await store.put("late", "{}", NOW + UNUSED_S + 1)
    assert await words_in(store) == ["used again", "early", "late"]
    assert await store.state() == LearnedState(4, 1)


async def test_one_process_at_a_time_asks(open_intents: OpenIntents) -> None:
    one, other = open_intents(), open_intents()
    claims = await asyncio.gather(
        *(store.claim("a", NOW, 30.0, 100) for store in (one, other) for _ in range(10))
    )
    assert sorted(claims) == ["granted", *["taken"] * 19]
    assert await other.claim("b", NOW, 30.0, 100) == "granted"
    # A claim ends with its time, or when something was learned. Then nothing is left to ask.
    assert await one.claim("a", NOW + 29.0, 30.0, 100) == "taken"
    assert await one.claim("a", NOW + 30.0, 30.0, 100) == "granted"
    await other.put("a", "", NOW + 31.0)
    assert await one.claim("a", NOW + 99.0, 30.0, 100) == "taken"
    await one.remove("a")
    assert await one.claim("a", NOW + 99.0, 30.0, 100) == "granted"


async def test_the_budget_of_a_minute_is_shared(open_intents: OpenIntents) -> None:
    one, other = open_intents(), open_intents()
    minute = 60.0 * (NOW // 60)
    for n, store in enumerate((one, other, one)):
        assert await store.claim(f"w{n}", minute + n, 30.0, 3) == "granted"
    assert await other.claim("w0", minute + 9, 30.0, 3) == "taken"
    assert await other.claim("more", minute + 59, 30.0, 3) == "spent"
    assert await one.claim("more", minute + 60, 30.0, 3) == "granted"
    assert await other.claim("w0", minute + 61, 30.0, 2) == "granted"
    assert await one.claim("w1", minute + 62, 30.0, 2) == "spent"


async def test_namespaces_do_not_mix(open_intents: OpenIntents) -> None:
    names = ["films", "films:meta", "films:order", "FILMS", '["电影", "m", "1"]', ""]
    stores = [open_intents(name) for name in names]
    for n, store in enumerate(stores):
        await store.put("a", f"{n}", NOW)
        assert await store.claim("b", NOW, 30.0, 1) == "granted"
    await stores[0].remove(None)
    for n, store in enumerate(stores[1:], 1):
        assert [each.intent for each in await store.after(0, 10)] == [f"{n}"]
        assert await store.state() == LearnedState(1, 0)


async def test_it_is_there_after_reopening(open_intents: OpenIntents) -> None:
    first = open_intents()
    learned = await first.put("a", "{}", NOW, 4)
    await first.remove("nothing")
    await first.aclose()
    await first.aclose()
    again = open_intents()
    assert await again.after(0, 10) == (learned,)
    assert (await again.put("b", "{}", NOW)).seq == 2


async def test_a_store_that_is_down_says_so() -> None:
    down = MemoryIntentStore()
    down.down = True
    for call in (
        down.put("a", "{}", NOW),
        down.remove("a"),
        down.after(0, 1),
        down.state(),
        down.count({"a": 1}, NOW),
        down.claim("a", NOW, 1.0, 1),
    ):
        with pytest.raises(StoreError):
            await call
