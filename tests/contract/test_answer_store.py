"""What every `AnswerStore` promises: over the fake, over SQLite and over a real Redis."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from app.core.answer_port import AnswerStore, GivenAnswer, KeptAnswer
from app.core.errors import StoreError
from app.testing.answer_store import MemoryAnswerStore
from tests.answer_stores import LIFE_S, OpenAnswers, in_memory, in_redis, in_sqlite

NOW = 1_800_000_000.25
ANN, BOB, SESSION = "u:ann", "u:bob", "s:ann"


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def open_answers(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[OpenAnswers]:
    """Open the kept answers of a namespace ("films") on the one store of the test."""
    if request.param == "memory":
        opener = in_memory()
    elif request.param == "sqlite":
        opener = in_sqlite(tmp_path)
    else:
        opener = in_redis(request.getfixturevalue("redis_server"))
    opened: list[AnswerStore] = []

    def another(*namespace: str, **bounds: float) -> AnswerStore:
        opened.append(opener(*namespace, **bounds))
        return opened[-1]

    yield another
    for store in opened:
        await store.aclose()


@pytest.fixture
async def store(open_answers: OpenAnswers) -> AnswerStore:
    return open_answers()


def given(
    answer_id: str, user: str = "", *, at: float = NOW, tail: bytes = b"tail"
) -> tuple[GivenAnswer, dict[bytes, bytes]]:
    """Return an answer and its bodies; the digest of a body is its user and the body."""
    bodies = {user.encode() + body: body for body in (b"request", tail)}
    request_name, tail_name = bodies
    return GivenAnswer(answer_id, at, user, b"head", request_name, tail_name), bodies


async def put(
    store: AnswerStore, *all_given: tuple[GivenAnswer, dict[bytes, bytes]], now: float = NOW
) -> int:
    bodies = {name: body for _, some in all_given for name, body in some.items()}
    return await store.put([answer for answer, _ in all_given], bodies, now)


async def ids_in(store: AnswerStore, ids: Sequence[str], now: float = NOW) -> list[str]:
    return [each for each in ids if await store.read(each, now) is not None]


async def test_an_answer_comes_back_exactly(store: AnswerStore) -> None:
    odd = bytes(range(256))
    answer = GivenAnswer("a", NOW, ANN, '{"é'.encode(), b"\x00\xff", b"\xff\x00")
    assert await store.put([answer], {b"\x00\xff": odd, b"\xff\x00": b"\x00" + odd}, NOW) == 1
    assert await store.read("a", NOW) == KeptAnswer(NOW, '{"é'.encode(), odd, b"\x00" + odd)
    assert await store.read("b", NOW) is None


async def test_nothing_is_there_at_first(store: AnswerStore) -> None:
    assert await store.read("a", NOW) is None
    assert await store.put([], {}, NOW) == 0
    assert await store.erase([ANN], NOW) == 0
    await store.clear()


async def test_a_write_may_be_repeated(open_answers: OpenAnswers) -> None:
    one, other = open_answers(), open_answers()
    for store in (one, other, one):
        assert await put(store, given("a", ANN), given("b", ANN)) == 2
    assert await ids_in(other, ["a", "b"]) == ["a", "b"]
    assert await one.erase([ANN], NOW) == 2


async def test_namespaces_share_nothing(open_answers: OpenAnswers) -> None:
    films, shop = open_answers("films"), open_answers("shop")
    await put(films, given("a", ANN))
    await put(shop, given("b", ANN))
    assert await ids_in(shop, ["a", "b"]) == ["b"]
    assert await shop.erase([ANN], NOW) == 1
    await shop.clear()
    assert await ids_in(films, ["a", "b"]) == ["a"]


async def test_an_answer_leaves_when_it_is_too_old(store: AnswerStore) -> None:
    await put(store, given("old", at=NOW - LIFE_S + 10), given("new", at=NOW))
    assert await ids_in(store, ["old", "new"], NOW + 9) == ["old", "new"]
    assert await ids_in(store, ["old", "new"], NOW + 11) == ["new"]
    await put(store, now=NOW + 11)
    # It has left the store, and is not only hidden. The other one still has both bodies.
    assert await ids_in(store, ["old", "new"], NOW) == ["new"]


async def test_a_body_that_is_used_again_stays(store: AnswerStore) -> None:
    await put(store, given("old", at=NOW - LIFE_S + 10))
    await put(store, given("new", at=NOW))
    await put(store, given("late", at=NOW - 5))  # of another process
    await put(store, now=NOW + 11)
    assert await ids_in(store, ["old", "late", "new"], NOW + 11) == ["late", "new"]
    await put(store, now=NOW + LIFE_S - 1)
    assert await ids_in(store, ["late", "new"], NOW + LIFE_S - 1) == ["new"]


async def test_beyond_the_bound_the_oldest_leave(open_answers: OpenAnswers) -> None:
    store = open_answers(most_bytes=20_000)
    ids = [f"{number:02}" for number in range(40)]
    for number, each in enumerate(ids):
        await put(store, given(each, at=NOW + number, tail=each.encode() * 500), now=NOW + number)
    left = await ids_in(store, ids, NOW + 40)
    assert left == ids[-len(left) :]
    # An answer counts about 1,400 bytes here. Some more may leave at a time than have to.
    assert 4 <= len(left) <= 14
    # What is erased makes room.
    await store.erase([""], NOW + 40)
    await store.clear()
    await put(store, *(given(each, at=NOW + 50, tail=each.encode()) for each in ids[:20]))
    assert await ids_in(store, ids[:20], NOW + 50) == ids[:20]


async def test_answers_that_share_bodies_are_small(open_answers: OpenAnswers) -> None:
    store = open_answers(most_bytes=20_000)
    ids = [f"{number:02}" for number in range(40)]
    tail = b"shared" * 1000
    for number, each in enumerate(ids):
        await put(store, given(each, at=NOW + number, tail=tail), now=NOW + number)
    assert await ids_in(store, ids, NOW + 40) == ids


async def test_an_answer_beyond_the_bound_is_not_kept(open_answers: OpenAnswers) -> None:
    store = open_answers(most_bytes=20_000)
    await put(store, given("huge", tail=b"x" * 30_000))
    assert await ids_in(store, ["huge"]) == []
    await put(store, given("small", at=NOW + 1))
    assert await ids_in(store, ["small"]) == ["small"]


async def test_a_user_is_erased_for_all(open_answers: OpenAnswers) -> None:
    one, other = open_answers(), open_answers()
    await put(one, given("a", ANN), given("b", BOB), given("s", SESSION), given("n"))
    assert await other.erase([ANN, SESSION], NOW + 10) == 2
    assert await ids_in(one, ["a", "b", "s", "n"]) == ["b", "n"]
    assert await one.erase([ANN, SESSION], NOW + 10) == 0


async def test_what_is_put_late_of_an_erased_user_is_left_out(open_answers: OpenAnswers) -> None:
    one, other = open_answers(), open_answers()
    await one.erase([ANN], NOW)
    assert await put(other, given("a", ANN, at=NOW - 1), given("b", BOB, at=NOW - 1)) == 1
    assert await ids_in(one, ["a", "b"]) == ["b"]
    assert await put(other, given("c", ANN, at=NOW + 10), now=NOW + 10) == 1
    assert await ids_in(one, ["c"], NOW + 10) == ["c"]


async def test_clear_erases_everything(open_answers: OpenAnswers) -> None:
    store = open_answers(most_bytes=5000)
    for _ in range(3):  # what was cleared counts no more
        await put(store, *(given(f"{n}", ANN, tail=b"%d" % n * 300) for n in range(5)))
        assert await ids_in(store, ["0", "4"]) == ["0", "4"]
        await store.clear()
        assert await ids_in(store, ["0", "4"]) == []


async def test_a_store_that_is_down_says_so() -> None:
    store = MemoryAnswerStore()
    store.down = True
    with pytest.raises(StoreError):
        await put(store, given("a"))
