"""What every `Journal` promises: over the fake, over SQLite and over a real Redis."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.core.errors import StoreError, StoreFullError
from app.core.store_ports import Journal
from app.core.types import Change
from app.testing.journal import MemoryJournal
from tests.journals import OpenJournal, in_memory, in_redis, in_sqlite


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def open_journal(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[OpenJournal]:
    """Open a journal of a catalogue ("films") on the one store of the test."""
    if request.param == "memory":
        opener = in_memory()
    elif request.param == "sqlite":
        opener = in_sqlite(tmp_path)
    else:
        opener = in_redis(request.getfixturevalue("redis_server"))
    opened: list[Journal] = []

    def another(*catalogue: str, **rest: int) -> Journal:
        opened.append(opener(*catalogue, **rest))
        return opened[-1]

    yield another
    for journal in opened:
        await journal.aclose()


@pytest.fixture
async def journal(open_journal: OpenJournal) -> Journal:
    return open_journal()


def film(item: str, title: str = "Heat", **rest: object) -> tuple[str, dict[str, object]]:
    return item, {"id": item, "title": title, **rest}


async def items(journal: Journal) -> list[str]:
    return [change.item for change in await journal.after(0, 1000)]


async def test_a_change_comes_back_exactly(journal: Journal) -> None:
    odd = [
        film("最新|a:b,\"'\n", "é\x00\u2028", tags=["a|b", "", "日"], none=None, empty=[]),
        film(" ", year=1995, price=-0.1, small=1e-17, large=2**53, yes=True, no=False),
        ("3:x", {}),
        ("null", None),
    ]
    given = await journal.append(odd)
    expected = tuple(Change(seq, *change) for seq, change in enumerate(odd, 1))

    assert given == expected
    kept = await journal.after(0, 10)
    assert kept == expected
    # 1 == True and 1 == 1.0: the types have to come back too.
    assert repr(kept) == repr(expected)


async def test_so_many_items_may_have_changes_and_no_more(open_journal: OpenJournal) -> None:
    journal = open_journal(most_items=3)
    await journal.append([film("a"), film("b"), ("a", None), film("a"), film("b"), film("c")])
    for changes in ([film("d")], [film("a"), ("d", None)], [film("d"), film("d")]):
        with pytest.raises(StoreFullError, match="3 items have changed already"):
            await journal.append(changes)
    again = await journal.append([("a", None), film("b", "Ran"), ("a", None)])

    assert [change.seq for change in again] == [7, 8, 9]
    assert await items(journal) == ["c", "b", "a"]
    assert await open_journal("other", most_items=3).append([film("d")])


async def test_nothing_is_there_at_first(journal: Journal) -> None:
    assert await journal.newest() == 0
    assert await journal.after(0, 10) == ()
    assert await journal.append([]) == ()
    assert await journal.newest() == 0


async def test_changes_are_numbered_in_their_order(journal: Journal) -> None:
    first = await journal.append([film("b"), film("a")])
    second = await journal.append([film("10"), film("9"), ("c", None)])

    assert [change.seq for change in (*first, *second)] == [1, 2, 3, 4, 5]
    assert await journal.after(0, 10) == (*first, *second)
    assert await journal.newest() == 5


async def test_only_the_newest_change_of_an_item_is_kept(journal: Journal) -> None:
    await journal.append([film("a"), film("b"), film("c")])
    again = await journal.append([film("a", "Ran"), film("b", "Alien"), film("a", "Brazil")])

    assert [change.seq for change in again] == [4, 5, 6]
    kept = await journal.after(0, 10)
    assert [(c.seq, c.item, c.record["title"]) for c in kept] == [
        (3, "c", "Heat"),
        (5, "b", "Alien"),
        (6, "a", "Brazil"),
    ]


async def test_a_deletion_is_kept_until_the_item_comes_back(journal: Journal) -> None:
    await journal.append([film("a"), film("b")])
    await journal.append([("a", None), ("never there", None)])
    assert await journal.after(2, 10) == (Change(3, "a", None), Change(4, "never there", None))
    assert await journal.after(0, 10) == (
        Change(2, *film("b")),
        *await journal.after(2, 10),
    )

    await journal.append([film("a", "Ran")])
    assert await journal.after(4, 10) == (Change(5, *film("a", "Ran")),)
    assert await items(journal) == ["b", "never there", "a"]


async def test_pages_follow_each_other_without_gaps(journal: Journal) -> None:
    await journal.append([film(f"{n}") for n in range(25)])
    await journal.append([film("3"), film("7")])
    seq, sizes, found = 0, [], []
    while page := await journal.after(seq, 10):
        seq = page[-1].seq
        sizes.append(len(page))
        found += [change.item for change in page]

    assert sizes == [10, 10, 5]
    assert found == [*(f"{n}" for n in range(25) if n not in {3, 7}), "3", "7"]
    assert await journal.after(27, 10) == await journal.after(10**12, 10) == ()


async def test_two_journals_of_a_catalogue_see_each_other_at_once(
    open_journal: OpenJournal,
) -> None:
    one, other = open_journal(), open_journal()
    await one.append([film("a")])
    assert await other.newest() == 1
    assert await other.append([film("a", "Ran"), film("b")]) == await one.after(1, 10)
    assert await one.newest() == 3
    assert await items(one) == await items(other) == ["a", "b"]


async def test_catalogues_do_not_mix(open_journal: OpenJournal) -> None:
    names = ["films", "films:newest", "films:records", "films:order", "FILMS", "电影", ""]
    journals = [open_journal(name) for name in names]
    for n, journal in enumerate(journals):
        await journal.append([film("a", f"{n}")] * (n + 1))

    for n, journal in enumerate(journals):
        assert await journal.newest() == n + 1
        assert await journal.after(0, 10) == (Change(n + 1, *film("a", f"{n}")),)


async def test_changes_are_there_after_reopening(open_journal: OpenJournal) -> None:
    first = open_journal()
    await first.append([film("a"), ("b", None)])
    await first.append([film("a", "Ran")])
    await first.aclose()

    again = open_journal()
    assert await again.after(0, 10) == (Change(2, "b", None), Change(3, *film("a", "Ran")))
    assert [change.seq for change in await again.append([film("c")])] == [4]


async def test_what_is_no_json_is_refused_whole(journal: Journal) -> None:
    await journal.append([film("a")])
    for wrong in (object(), {1: "a"}, "\ud800", 2**70):
        with pytest.raises(TypeError):
            await journal.append([film("b"), ("c", {"x": wrong}), film("d")])

    assert await journal.newest() == 1
    assert await items(journal) == ["a"]
    assert [change.seq for change in await journal.append([film("b")])] == [2]


async def test_appends_at_once_are_whole_and_share_no_number(open_journal: OpenJournal) -> None:
    """Two journals append 20 times 30 changes each, while somebody reads."""
    journals = [open_journal(), open_journal()]
    size = 30

    async def send(n: int) -> tuple[Change, ...]:
        changes = [film(f"{n}-{place}", f"{n}") for place in range(size)]
        return await journals[n % 2].append(changes)

    async def look(n: int) -> int:
        return len(await journals[n % 2].after(0, 10_000))

    sent = [asyncio.create_task(send(n)) for n in range(40)]
    seen = [asyncio.create_task(look(n)) for n in range(40)]
    given = await asyncio.gather(*sent)

    # All or none: nobody ever saw a part of an append.
    assert {await task % size for task in seen} == {0}
    for changes in given:
        first = changes[0].seq
        assert [change.seq for change in changes] == list(range(first, first + size))
    everything = sorted((change for part in given for change in part), key=lambda c: c.seq)
    assert await journals[0].after(0, 10_000) == tuple(everything)
    assert await journals[1].newest() == len(everything) == 40 * size


async def test_who_follows_misses_nothing(open_journal: OpenJournal) -> None:
    """A number that was seen is never followed by a change with a lower one."""
    writers = [open_journal(), open_journal()]
    reader = open_journal()

    async def follow() -> list[Change]:
        found: list[Change] = []
        while len(found) < 200:
            found += await reader.after(found[-1].seq if found else 0, 7)
            await asyncio.sleep(0)  # the fake lets nobody else run
        return found

    async def send(n: int) -> None:
        await writers[n % 2].append([film(f"{n}-{place}") for place in range(5)])

    found, *_ = await asyncio.gather(follow(), *(send(n) for n in range(40)))
    assert [change.seq for change in found] == list(range(1, 201))
    assert len({change.item for change in found}) == 200


async def test_closing_twice_is_fine(journal: Journal) -> None:
    await journal.append([film("a")])
    await journal.aclose()
    await journal.aclose()


async def test_a_journal_that_is_down_says_so() -> None:
    down = MemoryJournal("films")
    down.down = True
    for call in (down.append([film("a")]), down.after(0, 1), down.newest()):
        with pytest.raises(StoreError):
            await call
