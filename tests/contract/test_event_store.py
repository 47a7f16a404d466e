"""What every `EventStore` promises: over the fake, over SQLite and over a real Redis."""

import asyncio
import math
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.core.caller import scoped
from app.core.errors import StoreError
from app.core.store_ports import MOST_KINDS, MOST_MERGED, NEWEST_EVENTS, EventStore, user_key
from app.core.types import Attributes, Event, Retention, StoredUser
from app.testing.event_store import MemoryEventStore
from tests.clock import Clock
from tests.event_stores import (
    NOW,
    RETENTION,
    OpenStore,
    event,
    in_memory,
    in_redis,
    in_sqlite,
)

HERE = (('a:|"\n', "最新\n"), ("hour", 14.0), ("new", False))


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.now = NOW
    return clock


@pytest.fixture
def retention() -> Retention:
    return RETENTION


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def open_store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock, retention: Retention
) -> AsyncIterator[OpenStore]:
    """Open the store of a namespace ("films"), all of them in one place."""
    if request.param == "memory":
        opener = in_memory(clock, retention)
    elif request.param == "sqlite":
        opener = in_sqlite(tmp_path, clock, retention)
    else:
        opener = in_redis(request.getfixturevalue("redis_server"), clock, retention)
    opened: list[EventStore] = []

    def another(*namespace: str) -> EventStore:
        opened.append(opener(*namespace))
        return opened[-1]

    yield another
    for store in opened:
        await store.aclose()


@pytest.fixture
async def store(open_store: OpenStore) -> EventStore:
    return open_store()


async def items(store: EventStore, user: str = "u:ann") -> list[str]:
    return [kept.item for kept in (await store.read(user)).events]


async def everything(store: EventStore) -> set[Event]:
    return {kept async for part in store.scan() for kept in part}


async def test_an_event_comes_back_exactly(store: EventStore) -> None:
    odd = [
        event("1", item="最新|a:b,\"'", kind="k:ind", value=1e-17, recommendation="r"),
        event("2", item="é", kind="click", value=-0.1, time=NOW + 0.123456, query='a "b" 最新'),
        event("3:x", item=" ", kind="日", value=None, time=NOW + 1 / 3 + 1, context=HERE),
        event("4", item="b", time=NOW + 3, query="q", context=(("n", 1e300),)),
    ]
    assert await store.append(odd) == (True,) * 4

    assert (await store.read("u:ann")).events == tuple(odd)
    assert await everything(store) == set(odd)


@pytest.mark.parametrize("retention", [Retention()])
async def test_both_ends_of_what_is_accepted_come_back_in_order(store: EventStore) -> None:
    times = [-62_135_596_800.0, -2.5, -5e-324, 0.0, 5e-324, 1e-9, NOW, 99_999_999_999.999]
    sent = [event(f"e{n}", time=moment) for n, moment in enumerate(times)]
    assert await store.append(sent[::-1]) == (True,) * len(sent)
    assert (await store.read("u:ann", ["click"])).events == tuple(sent)

    longest, largest = "\U0001f600" * 256, 1.7976931348623157e308
    kind, words = "\U0001f600" * 64, "\U0001f600" * 512
    ends = [
        event(longest, "u:bob", longest, kind, value=largest, recommendation=longest, query=words),
        event("2", "u:bob", "b", kind, value=-largest),
        event("3", "u:bob", "c", kind, value=5e-324),
    ]
    await store.append(ends)
    assert (await store.read("u:bob")).events == tuple(ends)
    assert await everything(store) == {*sent, *ends}


async def test_nobody_is_known_at_first(store: EventStore) -> None:
    for user in ("u:bob", "u:", "s:ann", "u:最新", "u:\x00", "u:\ud800"):
        assert await store.read(user) == StoredUser()
        assert await store.read(user, ["click"]) == StoredUser()
    assert await everything(store) == set()
    assert await store.append([]) == ()


async def test_an_event_id_counts_once_whoever_sends_it_again(store: EventStore) -> None:
    assert await store.append([event("1"), event("2", item="b"), event("1", item="c")]) == (
        True,
        True,
        False,
    )
    again = [event("2", item="x"), event("1", user="u:bob"), event("3", item="d")]
    assert await store.append(again) == (False, False, True)

    assert await items(store) == ["a", "b", "d"]
    assert await store.read("u:bob") == StoredUser()


async def test_oldest_first_by_time_and_then_as_they_came(store: EventStore) -> None:
    await store.append([event("9", item="b"), event("1", item="c", time=NOW + 1)])
    await store.append([event("8", item="d"), event("2", item="a", time=NOW - 1)])
    await store.append([event("7", item="e", kind="view"), event("6", item="f")])

    assert await items(store) == ["a", "b", "d", "e", "f", "c"]


async def test_the_newest_of_each_kind_that_was_asked_for(store: EventStore) -> None:
    n = NEWEST_EVENTS + 50
    shown = [event(f"i{k}", item=f"{k}", kind="impression", time=NOW + k) for k in range(n)]
    await store.append([event("1", item="first"), *shown, event("2", kind="view", item="v")])

    both = (await store.read("u:ann", ["click", "impression"])).events
    assert [kept.item for kept in both] == ["first", *(f"{k}" for k in range(50, n))]
    clicked = await store.read("u:ann", ["click"])
    assert [kept.item for kept in clicked.events] == ["first"]
    assert clicked.counts == {}
    assert (await store.read("u:ann", [])).events == ()
    assert (await store.read("u:ann")).counts == {"click": 1, "impression": n, "view": 1}


async def test_every_change_changes_the_version_and_only_that_users(store: EventStore) -> None:
    seen = {(await store.read("u:ann")).version}
    await store.append([event("other", user="u:bob")])
    other = (await store.read("u:bob")).version

    async def changed() -> bool:
        version = (await store.read("u:ann", [])).version
        new = version not in seen
        seen.add(version)
        return new

    assert not await changed()
    await store.append([event("1")])
    assert await changed()
    await store.append([event("1")])  # a duplicate is no change
    assert not await changed()
    await store.append([event("2"), event("3")])
    assert await changed()
    await store.append([event("4", user="s:1")])
    await store.merge("s:1", "u:ann")
    assert await changed()
    # A counter alone would now repeat.
    for n in range(3):
        await store.delete("u:ann")
        assert await changed()
        await store.append([event(f"after{n}")])
        assert await changed()
    assert (await store.read("u:bob")).version == other


async def test_a_deleted_user_is_gone_and_known_to_be(store: EventStore) -> None:
    await store.append([event("1"), event("2", kind="view"), event("3", user="u:bob")])

    assert await store.delete("u:ann") == 2
    gone = await store.read("u:ann")
    assert (gone.events, gone.counts, gone.deleted, gone.merged) == ((), {}, True, ())
    assert await store.delete("u:ann") == 0
    assert {kept.id for kept in await everything(store)} == {"3"}
    assert not (await store.read("u:bob")).deleted

    # Their ids are forgotten too, and who comes back starts anew.
    assert await store.append([event("1", item="new")]) == (True,)
    back = await store.read("u:ann")
    assert ([kept.item for kept in back.events], back.deleted) == (["new"], True)


async def test_an_event_that_is_undone_was_never_sent(store: EventStore) -> None:
    sent = [event("1"), event("2:x", item="b", kind="like"), event("3", "u:bob")]
    await store.append(sent)
    before, bob = await store.version("u:ann"), await store.read("u:bob")
    assert await store.undo("2:x")

    left = await store.read("u:ann", seen=["like"])
    assert (left.events, dict(left.counts)) == ((sent[0],), {"click": 1})
    assert left.seen == {"like": []}
    assert left.version not in {before, b""}
    assert await store.version("u:ann") == left.version
    assert await store.read("u:bob") == bob
    assert await everything(store) == {sent[0], sent[2]}

    assert not await store.undo("2:x")
    assert not await store.undo("nothing")
    assert await store.version("u:ann") == left.version
    assert await store.append([sent[1]]) == (True,)


async def test_an_event_of_a_session_that_became_a_user_can_be_undone(store: EventStore) -> None:
    await store.append([event("1", "s:x"), event("2", "s:x", item="b")])
    await store.merge("s:x", "u:ann")
    assert await store.undo("1")
    assert await items(store) == ["b"]
    assert await items(store, "s:x") == []


async def test_of_many_that_undo_an_event_one_does(store: EventStore) -> None:
    await store.append([event(str(n), item=str(n)) for n in range(20)])
    done = await asyncio.gather(*(store.undo(str(n % 10)) for n in range(40)))
    assert sum(done) == 10
    assert await items(store) == [str(n) for n in range(10, 20)]


async def test_deleting_somebody_unknown_is_remembered(store: EventStore) -> None:
    assert await store.delete("u:bundle-only") == 0
    assert (await store.read("u:bundle-only")).deleted


async def test_a_session_becomes_a_user(store: EventStore) -> None:
    await store.append([event("1", item="a", time=NOW), event("2", item="c", time=NOW + 2)])
    session = [
        event("3", "s:1", item="b", time=NOW + 1, value=0.1, query="q", context=HERE),
        event("4", "s:1", item="d", kind="view", time=NOW + 2),
        event("5", "s:1", item="e", time=NOW + 2),
    ]
    await store.append(session)

    assert await store.merge("s:1", "u:ann") == 3
    assert await items(store) == ["a", "b", "c", "d", "e"]
    merged = await store.read("u:ann")
    assert merged.merged == ("s:1",)
    assert merged.counts == {"click": 4, "view": 1}
    assert merged.events[1] == replace(session[0], user="u:ann")
    old = await store.read("s:1")
    assert (old.events, old.deleted) == ((), True)

    assert await store.merge("s:1", "u:ann") == 0
    assert await store.append(session) == (False, False, False)
    assert (await store.read("u:ann")).merged == ("s:1",)


async def test_merging_into_nobody_makes_somebody_and_follows_older_merges(
    store: EventStore,
) -> None:
    await store.append([event("1", "s:1")])
    await store.merge("s:1", "s:2")
    await store.merge("s:2", "u:ann")
    await store.merge("s:unknown", "u:ann")

    ann = await store.read("u:ann")
    assert ([kept.id for kept in ann.events], ann.merged) == (["1"], ("s:1", "s:2", "s:unknown"))
    assert {kept.user for kept in await everything(store)} == {"u:ann"}


async def test_merged_sessions_are_bounded_and_go_with_their_user(store: EventStore) -> None:
    for n in range(MOST_MERGED + 2):
        await store.merge(f"s:{n}", "u:ann")
    names = tuple(f"s:{n}" for n in range(2, MOST_MERGED + 2))
    assert (await store.read("u:ann")).merged == names
    await store.delete("u:ann")
    assert (await store.read("u:ann")).merged == ()


async def test_only_the_newest_of_a_kind_are_kept(store: EventStore) -> None:
    keep = RETENTION.per_kind
    many = [event(f"{n}", item=f"{n}", time=NOW + n) for n in range(keep)]
    await store.append([*many, event("view", kind="view", time=NOW - 5)])
    late = [event("late", item="late", time=NOW - 1), event("new", item="new", time=NOW + keep)]
    assert await store.append(late) == (True, True)

    user = await store.read("u:ann")
    assert user.counts == {"click": keep, "view": 1}
    assert {kept.id for kept in await everything(store)} == {
        *(f"{n}" for n in range(1, keep)),
        *("new", "view"),
    }


async def test_what_is_too_old_is_gone_at_once_and_from_the_store_when_compacted(
    store: EventStore, clock: Clock
) -> None:
    await store.append([event("1", item="old"), event("2", item="new", time=NOW + 10)])
    await store.append([event("3", user="u:bob"), event("4", user="u:bob", kind="view")])
    assert await store.compact() == 0

    clock.now = NOW + RETENTION.max_age_s + 5
    assert await items(store) == ["new"]
    assert (await store.read("u:ann")).counts == {"click": 1}
    assert (await store.read("u:bob")).counts == {}
    assert await store.compact() == 3
    assert {kept.id for kept in await everything(store)} == {"2"}
    assert await store.append([event("1", time=clock.now)]) == (True,)


async def test_many_at_once_lose_and_double_nothing(store: EventStore) -> None:
    """Every event is sent by three tasks in batches of their own; each counts once."""
    chance = random.Random(3)
    events = [event(f"{n}", user=f"u:{n % 7}", item=f"{n}") for n in range(600)]

    async def send() -> int:
        mine = chance.sample(events, len(events))
        parts = [mine[n : n + 23] for n in range(0, len(mine), 23)]
        return sum(map(sum, await asyncio.gather(*map(store.append, parts))))

    assert sum(await asyncio.gather(send(), send(), send())) == len(events)
    assert await everything(store) == set(events)
    for n in range(7):
        assert (await store.read(f"u:{n}", [])).version.endswith(
            b":%d" % sum(e.user == f"u:{n}" for e in events)
        )


async def test_a_merge_or_deletion_beside_appends_leaves_one_owner(store: EventStore) -> None:
    events = [event(f"{n}", user="s:1", time=NOW + n) for n in range(100)]
    calls = [store.append([one]) for one in events]
    calls.insert(50, store.merge("s:1", "u:ann"))
    await asyncio.gather(*calls)

    ann, session = await store.read("u:ann"), await store.read("s:1")
    ids = [kept.id for kept in (*ann.events, *session.events)]
    assert sorted(ids, key=int) == [f"{n}" for n in range(100)]


async def test_numbers_without_end_are_not_asked_for(store: EventStore) -> None:
    assert RETENTION.oldest(NOW) == NOW - RETENTION.max_age_s
    assert type(RETENTION)().oldest(NOW) == -math.inf


async def test_closing_twice_is_fine(store: EventStore) -> None:
    await store.append([event("1")])
    await store.aclose()
    await store.aclose()


async def test_a_store_that_is_down_says_so() -> None:
    down = MemoryEventStore()
    down.down = True
    for call in (down.read("u:ann"), down.append([event("1")]), down.delete("u:ann")):
        with pytest.raises(StoreError):
            await call


def remembered(user: StoredUser) -> dict[tuple[str, str], tuple[float, float | None]]:
    """What is remembered as seen, each item once a kind."""
    rows = [(kind, *seen) for kind, items in user.seen.items() for seen in items]
    found = {(kind, item): (time, value) for kind, item, time, value in rows}
    assert len(found) == len(rows)
    return found


async def test_what_was_seen_outlives_the_number_of_events_that_are_kept(store: EventStore) -> None:
    n = RETENTION.per_kind + 30
    many = [event(f"{k}", item=f"i{k}", time=NOW + k, query="q", context=HERE) for k in range(n)]
    await store.append([*many[: n // 2], event("v", item="最新", kind="view")])
    await store.append(many[n // 2 :])

    user = await store.read("u:ann", [], seen=["click"])
    assert remembered(user) == {("click", f"i{k}"): (NOW + k, None) for k in range(n)}
    assert user.events == ()
    both = await store.read("u:ann", ["view"], seen=["click", "view", "never"])
    assert set(remembered(both)) == {*remembered(user), ("view", "最新")}
    assert (await store.read("u:ann", ["click"])).seen == {}
    assert not remembered(await store.read("u:bob", [], seen=["click"]))


async def test_of_a_seen_item_the_newest_time_and_the_highest_value_are_remembered(
    store: EventStore,
) -> None:
    keep = RETENTION.per_kind
    first = [
        event("1", kind="rating", value=2.0, time=NOW - 9),
        event("2", kind="rating", value=4.5, time=NOW - 8),
        event("3", kind="rating", value=None, time=NOW - 7),
        event("4", item="b", kind="rating", value=None, time=NOW - 7.125),
        event("5", item="c", kind="rating", value=-1.0, time=NOW - 6),
        event("6", item="c", kind="rating", value=-3.5, time=NOW - 5),
    ]
    expected = {
        ("rating", "a"): (NOW - 7, 4.5),
        ("rating", "b"): (NOW - 7.125, None),
        ("rating", "c"): (NOW - 5, -1.0),
    }
    await store.append(first)
    assert remembered(await store.read("u:ann", [], seen=["rating"])) == expected

    # The same when the events themselves are gone, a few at a time.
    for start in range(0, keep, 25):
        await store.append(
            [event(f"n{k}", item="n", kind="rating", time=NOW) for k in range(start, start + 25)]
        )
    kept = (await store.read("u:ann", ["rating"])).events
    assert {one.item for one in kept} == {"n"}
    found = remembered(await store.read("u:ann", [], seen=["rating"]))
    assert found == {**expected, ("rating", "n"): (NOW, None)}
    # A late event of an older time changes neither time nor value.
    await store.append([event("late", kind="rating", value=1.0, time=NOW - 20)])
    assert remembered(await store.read("u:ann", [], seen=["rating"])) == found


async def test_what_was_seen_does_not_outlive_its_age_nor_a_deletion(
    store: EventStore, clock: Clock
) -> None:
    n = RETENTION.per_kind + 20
    many = [event(f"{k}", item=f"i{k}", time=NOW + k) for k in range(n)]
    await store.append(many)
    await store.append([event(f"b{k}", "u:bob", item=f"i{k}") for k in range(n)])

    clock.now = NOW + RETENTION.max_age_s + 5
    young = {("click", f"i{k}") for k in range(5, n)}
    user = await store.read("u:ann", [], seen=["click"])
    assert set(remembered(user)) == young
    assert user.valid_until == NOW + 5 + RETENTION.max_age_s
    await store.compact()
    assert set(remembered(await store.read("u:ann", [], seen=["click"]))) == young
    assert not remembered(await store.read("u:bob", [], seen=["click"]))

    await store.delete("u:ann")
    assert not remembered(await store.read("u:ann", [], seen=["click"]))
    await store.append([event("again", item="new", time=clock.now)])
    again = remembered(await store.read("u:ann", [], seen=["click"]))
    assert set(again) == {("click", "new")}


async def test_what_a_session_saw_its_user_saw(store: EventStore) -> None:
    n = RETENTION.per_kind + 10
    await store.append([event(f"{k}", "s:1", item=f"i{k}", time=NOW + k) for k in range(n)])
    await store.append([event(f"u{k}", item=f"i{k + 5}", time=NOW + 500 + k) for k in range(n)])
    await store.merge("s:1", "u:ann")

    found = remembered(await store.read("u:ann", [], seen=["click"]))
    assert set(found) == {("click", f"i{k}") for k in range(n + 5)}
    assert found["click", "i0"] == (NOW, None)
    assert found["click", "i5"] == (NOW + 500, None)
    assert not remembered(await store.read("s:1", [], seen=["click"]))


WHO = (("age", 31.5), ("country", "最新"), ("likes", ("tea", "a|b\n")), ("new", True))


async def named(store: EventStore) -> dict[str, Attributes]:
    return {user: some async for part in store.scan_attributes() for user, some in part}


async def test_attributes_come_back_with_the_events_until_others_are_put(
    store: EventStore,
) -> None:
    assert (await store.read("u:ann")).attributes is None
    await store.append([event("1")])
    assert (await store.read("u:ann")).attributes is None

    await store.put_attributes("u:ann", WHO)
    read = await store.read("u:ann", ["click"])
    assert (read.attributes, [kept.id for kept in read.events]) == (WHO, ["1"])
    assert [type(value) for _, value in read.attributes or ()] == [float, str, tuple, bool]
    await store.put_attributes("u:ann", (("age", 32.0),))
    assert (await store.read("u:ann", [])).attributes == (("age", 32.0),)
    await store.put_attributes("u:ann", ())
    assert (await store.read("u:ann", [])).attributes == ()


async def test_attributes_change_the_version_and_need_no_event(store: EventStore) -> None:
    await store.put_attributes("u:ann", WHO)
    first = await store.version("u:ann")
    assert first == (await store.read("u:ann")).version != b""
    await store.put_attributes("u:ann", WHO)
    assert await store.version("u:ann") not in {first, b""}
    assert await store.version("u:bob") == b""


async def test_attributes_go_with_their_user_and_outlive_age_and_merges(
    store: EventStore, clock: Clock
) -> None:
    await store.append([event("1"), event("2", "s:1")])
    await store.put_attributes("u:ann", WHO)
    await store.merge("s:1", "u:ann")
    clock.now = NOW + RETENTION.max_age_s + 5
    await store.compact()
    assert (await store.read("u:ann")).attributes == WHO

    await store.delete("u:ann")
    assert await named(store) == {}
    gone = await store.read("u:ann")
    assert (gone.attributes, gone.deleted) == (None, True)
    await store.put_attributes("u:ann", WHO)
    back = await store.read("u:ann")
    assert (back.attributes, back.deleted) == (WHO, True)


async def test_all_attributes_can_be_listed(store: EventStore) -> None:
    assert await named(store) == {}
    await store.append([event("1", "u:nobody")])
    many = {f"u:最|{n}": (("n", float(n)),) for n in range(1100)}
    await asyncio.gather(*[store.put_attributes(user, some) for user, some in many.items()])
    await store.put_attributes("u:empty", ())
    assert await named(store) == {**many, "u:empty": ()}


async def test_the_version_alone_is_that_of_the_whole(store: EventStore) -> None:
    assert await store.version("u:ann") == b""
    versions = set()
    for n, change in enumerate((store.append, store.append, store.delete, store.append)):
        await (change("u:ann") if change == store.delete else change([event(f"{n}")]))
        version = await store.version("u:ann")
        assert version == (await store.read("u:ann", [])).version
        versions.add(version)
    assert len(versions) == 4


async def test_namespaces_share_nothing(open_store: OpenStore) -> None:
    names = ["films", "films:u", "FILMS", "f*", "f%2A", "电影", "a b", ""]
    stores = {name: open_store(name) for name in names}
    for place, (name, store) in enumerate(stores.items()):
        sent = [event("same", item=name), event("s", "s:1", item=name), event(f"{place}", item="b")]
        assert await store.append(sent) == (True,) * 3
        await store.put_attributes("u:ann", (("from", name),))

    await stores["films"].delete("u:ann")
    await stores["films:u"].merge("s:1", "u:ann")
    for place, (name, store) in enumerate(stores.items()):
        ann = await store.read("u:ann", seen=["click"])
        if name == "films":
            assert (ann.deleted, ann.events, ann.attributes) == (True, (), None)
            assert await named(store) == {}
            continue
        merged = name == "films:u"
        assert {kept.id for kept in ann.events} == {"same", f"{place}"} | (
            {"s"} if merged else set()
        )
        assert {one.item for one in ann.seen["click"]} == {name, "b"}
        assert (ann.attributes, ann.deleted) == ((("from", name),), False)
        assert (await store.read("s:1")).deleted is merged
        assert await named(store) == {"u:ann": (("from", name),)}
        assert len(await everything(store)) == 3
    assert await stores["f*"].version("u:ann") != await stores["f%2A"].version("u:ann")


async def test_compacting_one_namespace_leaves_the_others(
    open_store: OpenStore, clock: Clock
) -> None:
    films, shop = open_store("films"), open_store("shop")
    for store in (films, shop):
        await store.append([event("old"), event("new", time=NOW + RETENTION.max_age_s)])
    clock.now = NOW + RETENTION.max_age_s + 1
    assert await films.compact() == 1
    assert {kept.id for kept in await everything(films)} == {"new"}
    assert {kept.id for kept in await everything(shop)} == {"old", "new"}


async def test_namespaces_with_events_can_be_listed(open_store: OpenStore) -> None:
    films, shop, empty = (open_store(name) for name in ("films", "电影:*", "empty"))
    assert await films.namespaces() == []
    await films.append([event("1")])
    await shop.append([event("1")])
    await empty.put_attributes("u:ann", WHO)
    for store in (films, shop, empty):
        assert await store.namespaces() == ["films", "电影:*"]
    await films.delete("u:ann")
    assert await empty.namespaces() == ["电影:*"]


async def test_two_stores_of_a_namespace_see_each_other(open_store: OpenStore) -> None:
    one, other = open_store("films"), open_store("films")
    await one.append([event("1")])
    assert await other.append([event("1"), event("2")]) == (False, True)
    assert await one.version("u:ann") == await other.version("u:ann") != b""


async def test_users_and_events_of_the_namespaces_of_keys_are_apart(store: EventStore) -> None:
    users = {name: str(user_key("u", None, name)) for name in ("", "shopA", "shopB")}
    sessions = {name: str(user_key(None, "s", name)) for name in users}
    events = [
        event(scoped(name, "e"), sessions[name], f"item{name}", time=NOW - 1) for name in users
    ]
    assert await store.append(events) == (True, True, True)
    assert await store.append(events) == (False, False, False)
    for name, user in users.items():
        assert await store.merge(sessions[name], user) == 1
        await store.put_attributes(user, (("shop", name or "none"),))
    for name, user in users.items():
        stored = await store.read(user)
        assert [each.item for each in stored.events] == [f"item{name}"]
        assert stored.merged == (sessions[name],)
        assert stored.attributes == (("shop", name or "none"),)
    assert await store.undo(scoped("shopA", "e"))
    assert not await store.undo(scoped("shopA", "e"))
    assert await store.delete(users["shopB"]) == 1
    left = [each async for part in store.scan() for each in part]
    assert [(each.id, each.user) for each in left] == [("e", "u:u")]


async def test_of_too_many_kinds_those_that_are_oldest_leave(store: EventStore) -> None:
    kinds = [f"kind {n:03}" for n in range(MOST_KINDS + 40)]
    for n, kind in enumerate(kinds):
        old = event(f"{n} old", item=f"i{n}", kind=kind, time=NOW - 1000)
        await store.append([old, event(f"{n}", item=f"i{n}", kind=kind, time=NOW + n)])
    state = await store.read("u:ann", seen=kinds)
    kept = kinds[-MOST_KINDS:]

    assert dict(state.counts) == dict.fromkeys(kept, 2)
    assert [kind for kind in kinds if state.seen[kind]] == kept
    # What has left can be sent again: the store knows nothing of it any more.
    assert await store.append([event("0", kind=kinds[0], time=NOW - 2000)]) == (True,)
    assert kinds[0] not in (await store.read("u:ann")).counts


async def test_of_kinds_that_are_as_old_the_first_by_name_leave(store: EventStore) -> None:
    kinds = [f"kind {n:03}" for n in range(MOST_KINDS + 3)]
    await store.append([event(kind, kind=kind) for kind in kinds])

    assert sorted((await store.read("u:ann")).counts) == kinds[3:]


async def test_a_merge_keeps_no_more_kinds_than_a_user_may_have(store: EventStore) -> None:
    for user, time in (("u:ann", NOW), ("s:1", NOW + 1)):
        await store.append(
            [event(f"{user}{n}", user, kind=f"{user} {n:02}", time=time) for n in range(40)]
        )
    assert await store.merge("s:1", "u:ann") == 40
    kept = (await store.read("u:ann")).counts

    assert len(kept) == MOST_KINDS
    assert sorted(kept)[:40] == [f"s:1 {n:02}" for n in range(40)]
